"""Takes messages out of the outbox and gives them to Slack: in order, once, at the rate that Slack bears.

Any number of senders, in any number of bots, may work at once. What is to be posted is marked before Slack is asked;
where no clear answer comes (a reset, a 500, a time-out, a sender that died), the next attempt looks first whether
Slack has it (bot.delivering). Edits may be made twice, so they are not looked for. What Slack refuses is said in
another way (bot.refusals); nothing is tried for ever but what Slack only can't do now, or not with this app's token.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient

from bot.delivering import Delivery
from bot.refusals import BESIDE, FILES, Refusals
from bot.slack_errors import FAILURES, Answer, Kind, meaning
from commands.policy import Members
from workers.records import counters, lacking
from workers.records.message import Draft, Message, draft
from workers.records.outbox import Entry, Limit, Outbox
from workers.records.record import TERMINAL, Phase, Record
from workers.records.store import Records
from workers.rendering import forms, limits
from workers.rendering.older import any_new
from workers.settings import Ops

THREADS = 4
IDLE_SECONDS = 1.0
REDIS_PAUSE_SECONDS = 1.0
THREAD_PAUSE_SECONDS = 0.25
THREAD_SECONDS = 600.0
UNKNOWN_TRIES = 3
"""Of what Slack refuses in a way that it doesn't document, before it is said in another form."""
PIN_SECONDS = 3.0
"""pins.add is of tier 2: 20 a minute (https://docs.slack.dev/apis/web-api/rate-limits)."""

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
    """One that takes a message at a time. client: without retries of its own. members: of user groups that are told
    something in person.
    """

    def __init__(  # noqa: PLR0913 - what it sends with, from where, and by which rules
        self,
        client: WebClient,
        redis: Redis,
        outbox: Outbox,
        ops: Ops,
        *,
        members: Members = lambda _group: frozenset(),
        patience: Patience | None = None,
    ) -> None:
        self._redis = redis
        self._records = Records(redis)
        self._outbox = outbox
        self._pace = ops.slack
        self._members = members
        self._patience = patience or Patience()
        self._delivery = Delivery(client, redis, self._records, outbox)
        self._refusals = Refusals(self._records, (*ops.roles.admin.users, *ops.roles.admin.groups))

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
        late = time.time() - record.accepted_at > THREAD_SECONDS
        if above is None or (above.root_ts is None and (above.closed or late)):
            return record
        if above.root_ts is None:
            self._outbox.later(entry, THREAD_PAUSE_SECONDS)
            return None
        self._records.update(record.id, thread_ts=above.thread)
        return record.model_copy(update={"thread_ts": above.thread})

    def _in_silence(self, entry: Entry, record: Record) -> None:
        """A command that says nothing unless it fails: it begins without a message. Its end posts one where needed."""
        if entry.kind == "root":
            self._delivery.begin(record)
        self._outbox.done(entry)

    def _handle(self, entry: Entry, record: Record) -> None:
        if entry.kind == "direct" and entry.to.startswith("S"):
            self._outbox.instead(entry, *self._each_of(entry, record))
            return
        if entry.kind in BESIDE and not entry.aside and self._outbox.some_aside(entry):
            # A pin must not come after the end of what it pins.
            self._outbox.put_aside(entry, 0)
            return
        refused = self._unasked(entry, record)
        if refused is not None:
            self._refused(refused, entry, record)
            return
        if not self._admitted(entry, self._limits(entry, record)):
            return
        if not self._outbox.tried(entry, min(entry.tried + 1, 99)):
            self._outbox.later(entry, 0)
            return
        try:
            self._delivery.deliver(entry, record)
        except FAILURES as error:
            self._after(meaning(error), entry, record)
            return
        self._outbox.done(entry)
        counters.slack_called(self._redis, entry.kind, "ok")

    def _admitted(self, entry: Entry, limits: list[Limit]) -> bool:
        """Whether it may be sent now; else it stands in a line, a file or a pin in one of its own."""
        if entry.kind not in BESIDE or entry.aside:
            return self._outbox.admitted(entry, *limits)
        wait = self._outbox.allowance(*limits)
        if wait:
            self._outbox.put_aside(entry, wait)
        return not wait

    def _each_of(self, entry: Entry, record: Record) -> list[Draft]:
        """A message to a user group, as one to each of its members but who asked."""
        message, members = Message(entry.text, entry.blocks), self._members(entry.to)
        if not isinstance(members, frozenset):
            return []
        return [draft("direct", message, to=each, form=entry.form) for each in sorted(members - {record.requester})]

    def _after(self, answer: Answer, entry: Entry, record: Record) -> None:
        counters.slack_called(self._redis, entry.kind, "again" if answer.again else "refused")
        if entry.form == forms.AS_MADE:
            lacking.note(self._redis, answer.lacking(any_new(entry.blocks)))
        if answer.of_the_method and entry.kind in BESIDE:
            # A scope that only files or pins need.
            self._refused(answer, entry, record)
        elif answer.again:
            self._again(answer, entry, record)
        elif answer.kind is Kind.UNKNOWN and (times := self._outbox.refused(entry)) < UNKNOWN_TRIES:
            self._outbox.tried(entry, entry.tried)
            self._outbox.later(entry, self._patience.after(times))
        else:
            self._refused(answer, entry, record)

    def _again(self, answer: Answer, entry: Entry, record: Record) -> None:
        wait = answer.after_seconds or self._patience.after(entry.tried)
        _log.warning("not sent, tried again", why=answer.why, kind=entry.kind, seconds=round(wait, 1))
        if answer.untaken:
            self._outbox.used_up(self._limits(entry, record)[-1], wait)
            self._outbox.tried(entry, entry.tried)
        if entry.kind in BESIDE and not entry.aside:
            self._outbox.put_aside(entry, wait)
        else:
            self._outbox.later(entry, wait)

    def _refused(self, answer: Answer, entry: Entry, record: Record) -> None:
        about = {"why": answer.why, "kind": entry.kind, "as_": answer.kind, "form": entry.form, "told": answer.told}
        _log.warning("Slack refused a message", **about)
        instead = self._refusals.instead(answer, entry, record)
        if entry.kind == "root" and all(each.kind != "root" for each in instead):
            self._delivery.begin(self._records.get(record.id) or record)
        self._outbox.instead(entry, *instead)

    def _unasked(self, entry: Entry, record: Record) -> Answer | None:
        """What Slack would answer, or did before, where it need not be asked; else None."""
        if entry.form == forms.AS_MADE:
            wrong = limits.refused(entry.blocks)
            if wrong:
                return Answer("invalid_blocks", Kind.CONTENT, told=tuple(wrong))
            if lacking.lacks(self._redis, any_new(entry.blocks)):
                return Answer("invalid_blocks", Kind.CONTENT)
        if entry.kind in FILES and record.closed and not record.root_ts:
            # It would stand in the channel, without the words that it belongs to.
            return Answer(record.closed, Kind.CLOSED)
        return None

    def _limits(self, entry: Entry, record: Record) -> list[Limit]:
        pace = self._pace
        if entry.kind == "edit":
            updates = Limit("chat.update", every=60 / pace.updates_per_minute, burst=25)
            return [Limit(f"edit:{entry.record_id}", every=1 / pace.edits_per_second), updates]
        if entry.kind in FILES:
            return [Limit(f"files:{record.channel}", every=1 / pace.posts_per_second, burst=3)]
        if entry.kind in BESIDE:
            return [Limit("pins", every=PIN_SECONDS, burst=5)]
        place = (entry.to or record.requester) if entry.kind == "direct" else record.channel
        return [Limit(f"chat.postMessage:{place}", every=1 / pace.posts_per_second, burst=3)]


def start(
    clients: Iterable[WebClient], redis: Redis, ops: Ops, members: Members, stop: threading.Event
) -> list[threading.Thread]:
    """Start a sender per client."""
    started = []
    for number, client in enumerate(clients):
        sender = Sender(client, redis, Outbox(redis), ops, members=members)
        thread_ = threading.Thread(target=sender.serve, args=(stop,), name=f"sender-{number}", daemon=True)
        thread_.start()
        started.append(thread_)
    return started
