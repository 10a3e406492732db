"""One message of the outbox, given to Slack: which call each kind of message is, and how it is found again.

Every message that is posted, a direct one too, carries its number as metadata
(https://docs.slack.dev/messaging/message-metadata): where an earlier attempt had no clear answer, it is looked for
before it is posted again. If Slack doesn't let us look, it is posted: twice is better than never.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from bot import conversation, uploads
from bot.slack_errors import FAILURES, Kind, meaning
from workers import TARGET
from workers.engine import queues
from workers.errors import OperatorError
from workers.records.record import Phase
from workers.rendering import forms, thread
from workers.wording import shortened

if TYPE_CHECKING:
    from redis import Redis
    from slack_sdk import WebClient

    from workers.records.outbox import Entry, Outbox
    from workers.records.record import Record
    from workers.records.store import Records

METADATA: Final = "mlflow_ops_message"
_WORDS_CHARACTERS: Final = 1000

_log = structlog.get_logger(__name__)


class Delivery:
    """Gives messages to Slack. client: without retries of its own."""

    def __init__(self, client: WebClient, redis: Redis, records: Records, outbox: Outbox) -> None:
        self._client = client
        self._redis = redis
        self._records = records
        self._outbox = outbox

    def deliver(self, entry: Entry, record: Record) -> None:
        """Give one to Slack. Raises one of FAILURES; redis.exceptions.RedisError."""
        thread_ts = None if entry.apart else record.thread
        match entry.kind:
            case "root":
                self._announce(entry, record)
            case "edit" if record.root_ts is None:
                self._records.update(record.id, root_ts=self._post(entry, record, record.thread_ts))
            case "edit":
                self._client.chat_update(
                    channel=record.channel, ts=str(record.root_ts), text=entry.text, blocks=entry.blocks
                )
            case "file" | "picture":
                below = thread_ts if entry.kind == "file" else record.thread_ts
                uploads.upload(self._client, self._outbox, entry, record, below)
            case "pin" if record.root_ts:
                self._client.pins_add(channel=record.channel, timestamp=record.root_ts)
            case "unpin" if record.root_ts:
                self._client.pins_remove(channel=record.channel, timestamp=record.root_ts)
            case "pin" | "unpin":
                return
            case "direct":
                self._direct(entry, record)
            case _:
                self._post(entry, record, thread_ts, broadcast=entry.kind == "broadcast")

    def begin(self, record: Record) -> None:
        """Have a worker begin what was recorded without its job, by an earlier version."""
        try:
            if record.phase is Phase.ACCEPTED:
                queues.enqueue(record, self._redis)
        except OperatorError as error:
            self._records.finish(record.id, thread.failure(record, error.message, error.hint))

    def _announce(self, entry: Entry, record: Record) -> None:
        if record.root_ts is None:
            record = record.model_copy(update={"root_ts": self._post(entry, record, record.thread_ts)})
            self._records.update(record.id, root_ts=record.root_ts)
        self.begin(record)
        if not record.permalink:
            self._link(record)

    def _link(self, record: Record) -> None:
        """Keep where the message can be found, for lists; that Slack does not tell is no reason to post it again."""
        try:
            answer = self._client.chat_getPermalink(channel=record.channel, message_ts=str(record.root_ts))
            self._records.update(record.id, permalink=str(answer.get("permalink") or ""))
        except FAILURES as error:
            _log.warning("no link to a thread", error=type(error).__name__)

    def _post(self, entry: Entry, record: Record, thread_ts: str | None, *, broadcast: bool = False) -> str:
        """Post it unless Slack has it already; its ts."""
        there = self._found(entry, record, record.channel, thread_ts) if entry.tried else None
        if there:
            return there
        return self._posted(entry, record, record.channel, thread_ts=thread_ts, reply_broadcast=broadcast)

    def _direct(self, entry: Entry, record: Record) -> None:
        person = entry.to or record.requester
        if entry.tried and self._found(entry, record, self._channel_with(person), None):
            return
        self._posted(entry, record, person)

    def _posted(self, entry: Entry, record: Record, channel: str, **more: Any) -> str:
        # The last form is without anything that could be refused.
        marked = {} if entry.form == forms.ONE_LINE else {"metadata": _marked(entry, record)}
        shown = {"blocks": entry.blocks} if entry.blocks else {}
        about: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False, **marked, **shown, **more}
        return str(self._client.chat_postMessage(channel=channel, text=entry.text, **about)["ts"])

    def _channel_with(self, person: str) -> str | None:
        try:
            opened: Any = self._client.conversations_open(users=person)
        except FAILURES as error:
            _wait_only(error)
            return None
        return str(opened["channel"]["id"])

    def _found(self, entry: Entry, record: Record, channel: str | None, thread_ts: str | None) -> str | None:
        """The ts of the message where an earlier attempt got it to Slack. Raises one of FAILURES where we must wait."""
        if channel is None:
            return None
        try:
            for message in conversation.messages(self._client, channel, thread_ts, record.accepted_at):
                payload = message.get("metadata", {}).get("event_payload", {})
                if payload.get("number") == entry.number and payload.get("id") == record.id:
                    return str(message["ts"])
        except FAILURES as error:
            _wait_only(error)
        return None


def _marked(entry: Entry, record: Record) -> dict[str, Any]:
    payload = {"id": record.id, "number": entry.number}
    if entry.kind in {"root", "edit"}:
        # All that is left of a command that Redis has forgotten (see bot.forgotten).
        about = {"words": shortened(record.words, _WORDS_CHARACTERS), "requester": record.requester}
        payload |= {"target": TARGET, **about}
    return {"event_type": METADATA, "event_payload": payload}


def _wait_only(error: Exception) -> None:
    """Raise it again where Slack lets us look later; where it never will, nothing was found."""
    answer = meaning(error)
    if answer.kind is Kind.WAIT:
        raise error
    _log.warning("not looked whether Slack has it", why=answer.why)
