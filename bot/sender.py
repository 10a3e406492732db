"""Takes messages out of the outbox and gives them to Slack: in order, once, at the rate that Slack bears.

Any number of senders, in any number of bots, may work at once. What is to be posted is marked before Slack is asked;
where no clear answer comes (a reset, a 500, a time-out, a sender that died), the next attempt looks first whether
Slack has it: every message carries its number as metadata
(https://docs.slack.dev/messaging/message-metadata). Edits may be made twice, so they are not looked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPException

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient
from slack_sdk.errors import SlackClientError

from bot import conversation, uploads
from bot.slack_errors import UNREADABLE, Again, Refused, meaning
from workers.engine import queues
from workers.errors import OperatorError
from workers.records import counters
from workers.records.outbox import Entry, Limit, Outbox
from workers.records.record import TERMINAL, Ending, Phase, Record
from workers.records.requester import is_person
from workers.records.store import Records
from workers.rendering import blocks, thread
from workers.settings import Slack

THREADS = 4
IDLE_SECONDS = 1.0
REDIS_PAUSE_SECONDS = 1.0
THREAD_PAUSE_SECONDS = 0.25
THREAD_SECONDS = 600.0
METADATA = "mlflow_ops_message"
PLAIN_CHARACTERS = 3000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """Seconds from one attempt to the next, doubled each time from `first` to `longest`."""

    first: float = 0.5
    longest: float = 20.0

    def after(self, tried: int) -> float:
        """How long to wait after so many attempts."""
        return float(min(self.longest, self.first * 2 ** min(tried, 10)))


class Sender:
    """One that takes a message at a time. client: without retries of its own."""

    def __init__(
        self, client: WebClient, redis: Redis, outbox: Outbox, pace: Slack, patience: Patience | None = None
    ) -> None:
        self._client = client
        self._redis = redis
        self._records = Records(redis)
        self._outbox = outbox
        self._pace = pace
        self._patience = patience or Patience()

    def serve(self, stop: threading.Event) -> None:
        """Send until `stop` is set; while Redis is away, look again each second."""
        while not stop.is_set():
            try:
                wait = self.step()
                if wait:
                    self._outbox.wait(min(wait, IDLE_SECONDS))
            except RedisError as error:
                _log.warning("sending pauses: Redis is away", error=type(error).__name__)
                stop.wait(REDIS_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - a sender outlives whatever one message does to it
                _log.exception("a message could not be handled; its thread is tried again when its lease ends")
                stop.wait(REDIS_PAUSE_SECONDS)

    def step(self) -> float:
        """Handle one message if one is due: 0, or the seconds until one is. Raises RedisError."""
        entry, wait = self._outbox.take()
        if entry is None:
            return wait
        record = self._records.get(entry.record_id)
        if record is None or record.channel == TERMINAL:
            self._outbox.done(entry)
            return 0
        placed = self._placed(entry, record)
        if placed is None:
            return 0
        record = placed
        if record.quiet and record.phase is not Phase.FAILED:
            self._in_silence(entry, record)
            return 0
        with structlog.contextvars.bound_contextvars(operation_id=record.id):
            self._handle(entry, record)
        return 0

    def _placed(self, entry: Entry, record: Record) -> Record | None:
        """The record, knowing the thread that it is told in; None where that is not there yet. A thread that never
        comes is not waited for without end: then it is told in the channel.
        """
        if not record.beneath or record.thread_ts or record.root_ts:
            return record
        above = self._records.get(record.beneath)
        if above is None or (above.root_ts is None and time.time() - record.accepted_at > THREAD_SECONDS):
            return record
        if above.root_ts is None:
            self._outbox.later(entry, THREAD_PAUSE_SECONDS)
            return None
        self._records.update(record.id, thread_ts=above.thread)
        return record.model_copy(update={"thread_ts": above.thread})

    def _in_silence(self, entry: Entry, record: Record) -> None:
        """A command that says nothing unless it fails: it begins without a message. Its end posts one where needed."""
        if entry.kind == "root":
            self._begin(record)
        self._outbox.done(entry)

    def _handle(self, entry: Entry, record: Record) -> None:
        if not self._outbox.admitted(entry, *self._limits(entry, record)):
            return
        if not self._outbox.tried(entry, min(entry.tried + 1, 99)):
            self._outbox.later(entry, 0)
            return
        try:
            self._deliver(entry, record)
        except (SlackClientError, HTTPException, OSError, *UNREADABLE) as error:
            self._after(meaning(error), entry, record)
            return
        self._outbox.done(entry)
        counters.slack_called(self._redis, entry.kind, "ok")

    def _after(self, answer: Again | Refused, entry: Entry, record: Record) -> None:
        counters.slack_called(self._redis, entry.kind, "again" if isinstance(answer, Again) else "refused")
        if isinstance(answer, Again):
            wait = answer.after_seconds or self._patience.after(entry.tried)
            _log.warning("not sent, tried again", why=answer.why, kind=entry.kind, seconds=round(wait, 1))
            if answer.limited:
                self._outbox.used_up(self._limits(entry, record)[-1], wait)
                self._outbox.tried(entry, entry.tried)
            self._outbox.later(entry, wait)
            return
        if entry.kind in {"pin", "unpin"}:
            _log.warning("a pin stays as it is", why=answer.why, kind=entry.kind)
            self._outbox.done(entry)
            return
        _log.error("Slack refused a message", why=answer.why, kind=entry.kind)
        try:
            self._instead(answer, entry, record)
        except (SlackClientError, HTTPException, OSError, *UNREADABLE) as error:
            again = meaning(error)
            if isinstance(again, Again):
                self._outbox.later(entry, again.after_seconds or self._patience.after(entry.tried))
                return
            _log.error("given up: Slack takes it in no form", why=again.why, text=entry.text)
        self._outbox.done(entry)

    def _limits(self, entry: Entry, record: Record) -> list[Limit]:
        pace = self._pace
        if entry.kind == "edit":
            updates = Limit("chat.update", every=60 / pace.updates_per_minute, burst=25)
            return [Limit(f"edit:{entry.record_id}", every=1 / pace.edits_per_second), updates]
        place = record.requester if entry.kind == "direct" else record.channel
        return [Limit(f"chat.postMessage:{place}", every=1 / pace.posts_per_second, burst=3)]

    # What is delivered.

    def _deliver(self, entry: Entry, record: Record) -> None:
        match entry.kind:
            case "root":
                self._announce(entry, record)
            case "edit" if record.quiet and not record.root_ts:
                self._records.update(record.id, root_ts=self._post(entry, record, thread_ts=record.thread_ts))
            case "edit" if record.root_ts:
                self._client.chat_update(
                    channel=record.channel, ts=record.root_ts, text=entry.text, blocks=entry.blocks
                )
            case "file" if record.root_ts:
                uploads.upload(self._client, self._outbox, entry, record, record.thread)
            case "picture":
                uploads.upload(self._client, self._outbox, entry, record, record.thread_ts)
            case "pin" if record.root_ts:
                self._client.pins_add(channel=record.channel, timestamp=record.root_ts)
            case "unpin" if record.root_ts:
                self._client.pins_remove(channel=record.channel, timestamp=record.root_ts)
            case "pin" | "unpin":
                return
            case "direct":
                self._client.chat_postMessage(channel=record.requester, text=entry.text)
            case _:
                self._post(entry, record, thread_ts=record.thread, broadcast=entry.kind == "broadcast")

    def _announce(self, entry: Entry, record: Record) -> None:
        if record.root_ts is None:
            record = record.model_copy(update={"root_ts": self._post(entry, record, thread_ts=record.thread_ts)})
            self._records.update(record.id, root_ts=record.root_ts)
        self._begin(record)
        if not record.permalink:
            self._link(record)

    def _begin(self, record: Record) -> None:
        try:
            if record.phase is Phase.ACCEPTED:
                queues.enqueue(record, self._redis)
        except OperatorError as error:
            self._records.finish(record.id, thread.failure(record, error.message, error.hint))

    def _link(self, record: Record) -> None:
        """Keep where the message can be found, for lists; that Slack does not tell is no reason to post it again."""
        try:
            answer = self._client.chat_getPermalink(channel=record.channel, message_ts=str(record.root_ts))
            self._records.update(record.id, permalink=str(answer.get("permalink") or ""))
        except (SlackClientError, HTTPException, OSError, *UNREADABLE) as error:
            _log.warning("no link to a thread", error=type(error).__name__)

    def _post(self, entry: Entry, record: Record, thread_ts: str | None = None, *, broadcast: bool = False) -> str:
        """Post it unless Slack has it already; its ts."""
        if entry.tried:
            there = self._find(entry, record, thread_ts)
            if there:
                return there
        posted = self._client.chat_postMessage(
            channel=record.channel,
            text=entry.text,
            blocks=entry.blocks,
            thread_ts=thread_ts,
            reply_broadcast=broadcast,
            metadata={"event_type": METADATA, "event_payload": {"id": record.id, "number": entry.number}},
            unfurl_links=False,
            unfurl_media=False,
        )
        return str(posted["ts"])

    def _find(self, entry: Entry, record: Record, thread_ts: str | None) -> str | None:
        for message in conversation.messages(self._client, record, thread_ts):
            payload = message.get("metadata", {}).get("event_payload", {})
            if payload.get("number") == entry.number and payload.get("id") == record.id:
                return str(message["ts"])
        return None

    # What Slack does not take.

    def _instead(self, answer: Refused, entry: Entry, record: Record) -> None:
        if answer.channel_closed:
            self._tell_privately(answer, entry, record)
        elif answer.message_gone and entry.kind == "edit":
            ts = self._post(entry, record, thread_ts=record.thread_ts)
            self._records.update(record.id, root_ts=ts)
        else:
            ts = str(
                self._client.chat_postMessage(
                    channel=record.channel, thread_ts=record.thread, text=entry.text[:PLAIN_CHARACTERS]
                )["ts"]
            )
            if entry.kind == "root":
                self._announce(entry, record.model_copy(update={"root_ts": ts}))
                self._records.update(record.id, root_ts=ts)

    def _tell_privately(self, answer: Refused, entry: Entry, record: Record) -> None:
        """A command whose channel is closed to the bot is answered in a direct message."""
        if entry.kind == "root":
            said = f"I cannot post in <#{record.channel}> ({answer.why})"
            self._records.finish(record.id, Ending(Phase.FAILED, f"Slack refused the message: {answer.why}"))
            text = (
                f"Nothing was done for {blocks.code('/mlflow ' + record.words)}: {said}. "
                "Invite me there with /invite and ask again."
            )
        elif entry.kind == "edit":
            text = entry.text
        else:
            return
        if not is_person(record.requester):
            _log.error("told nowhere: its channel is closed to me, and nobody asked for it", text=text)
            return
        self._client.chat_postMessage(channel=record.requester, text=text)


def start(clients: Iterable[WebClient], redis: Redis, pace: Slack, stop: threading.Event) -> list[threading.Thread]:
    """Start a sender per client."""
    started = []
    for number, client in enumerate(clients):
        sender = Sender(client, redis, Outbox(redis), pace)
        thread_ = threading.Thread(target=sender.serve, args=(stop,), name=f"sender-{number}", daemon=True)
        thread_.start()
        started.append(thread_)
    return started
