"""What people and the clock asked for lately, and what came of it; and what still waits for an approver."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from workers import registry
from workers.operation import Risk
from workers.operations.audit.trail import commands_of
from workers.records import audit_log, people
from workers.records.record import Phase, Record
from workers.records.requester import BY_ALERT, BY_CLOCK
from workers.records.store import Records
from workers.report import Lead, Offer, Section, Table
from workers.wording import NOTHING, count, moment

if TYPE_CHECKING:
    from redis import Redis

    from workers.operations.audit.trail import AuditedCommand

LINES: Final = 6
_ROWS: Final = 40
_WORDS: Final = 60
_BAD: Final = frozenset({"failed", "expired"})
_REFUSED: Final = "refused"
"""It could not be done as it was asked for: a person's mistake, and no failure of anything."""


@dataclass(frozen=True)
class Commands:
    """Changes that were asked for since a moment, oldest first, and how often the clock did something."""

    changes: tuple[AuditedCommand, ...]
    reads: int
    by_clock: int
    clock_failed: tuple[AuditedCommand, ...]

    @property
    def failed(self) -> tuple[AuditedCommand, ...]:
        """What did not end well."""
        return (*(told for told in self.changes if told.end in _BAD), *self.clock_failed)

    def in_short(self) -> str:
        """One line: how many, and whether they came to a good end."""
        if not self.changes and not self.clock_failed:
            return "no changes" + (f" ({count(self.reads, 'read-only command')})" if self.reads else "")
        if not self.failed:
            ends = {told.end or "open" for told in self.changes}
            how = "all done" if ends == {"done"} else "none failed"
            return f"{count(len(self.changes), 'command')}, {how}"
        of = len(self.changes) + len(self.clock_failed)
        return f"{len(self.failed)} of {count(of, 'command')} failed"

    def people(self) -> tuple[str, ...]:
        """Who asked."""
        return tuple(dict.fromkeys(told.requester for told in self.changes))

    def leads(self) -> list[Lead]:
        """A line each, what failed first."""
        ranked = [*self.failed, *(told for told in self.changes if told.end not in _BAD)]
        lines = [Lead(text=f"• {_short(told.words)}: {_end(told)}", by=(told.requester,)) for told in ranked[:LINES]]
        left = len(ranked) - LINES
        return [*lines, Lead(text=f"• and {left} more; the thread has them")] if left > 0 else lines

    def table(self, redis: Redis) -> tuple[Section, ...]:
        """All of them, with people's names. Raises redis.exceptions.RedisError."""
        called = people.names(redis, (told.requester for told in (*self.changes, *self.clock_failed)))
        rows = tuple(
            (
                moment(told.asked_at, "%d %b %H:%M"),
                called(told.requester),
                _short(told.words),
                told.end or "open",
                told.outcome or NOTHING,
            )
            for told in sorted((*self.changes, *self.clock_failed), key=lambda each: each.asked_at)[-_ROWS:]
        )
        columns = ("asked (UTC)", "who", "command", "end", "outcome")
        return (Table(title="Commands", columns=columns, rows=rows),) if rows else ()


def commands(redis: Redis, since: datetime) -> Commands:
    """From the audit record; what only looked is told from what changes by the records, which are kept for 30 days."""
    records, kinds = Records(redis), registry.operations()
    changes, clock_failed = [], []
    reads = by_clock = 0
    start = f"{int(since.timestamp() * 1000)}-0"
    for record_id, told in commands_of(audit_log.entries(redis, after=start)).items():
        # Asked before, ended since: its beginning is not among these.
        if not told.words:
            continue
        if told.requester.startswith((BY_CLOCK, BY_ALERT)):
            by_clock += 1
            if told.end in _BAD:
                clock_failed.append(told)
            continue
        record = records.get(record_id)
        kind = kinds.get(record.operation) if record else None
        if kind is not None and kind.risk is Risk.READ:
            reads += 1
        else:
            refused = record is not None and record.refused
            changes.append(replace(told, end=_REFUSED) if refused else told)
    return Commands(tuple(changes), reads, by_clock, tuple(clock_failed))


def waiting(redis: Redis) -> list[Record]:
    """What waits for an approver, the oldest first."""
    records = Records(redis)
    found = (records.get(each) for each in records.open())
    return [record for record in found if record is not None and record.phase is Phase.PENDING]


def approval(record: Record) -> Offer:
    """A link to what waits: it is decided there, where its plan stands."""
    sentence = f"“{_short(record.words)}” waits for approval."
    if record.permalink:
        return Offer(sentence=sentence, label="Open it", url=record.permalink)
    return Offer(sentence=sentence, label="Show jobs", command="jobs")


def _end(told: AuditedCommand) -> str:
    return f"{told.end}, {told.outcome}" if told.end in _BAD and told.outcome else (told.end or "open")


def _short(words: str) -> str:
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"
