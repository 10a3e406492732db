"""Reading the audit record: who asked for what, who decided, on which worker it ran, and what came of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.audit.files import Export
from workers.records import audit_chain, audit_key, audit_log, people
from workers.records.audit_seals import SealKeys
from workers.report import Report, Status, Table
from workers.settings import SettingsError
from workers.systems.errors import GatewayError
from workers.wording import NOTHING, count, duration, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from workers.records.audit_chain import Verdict
    from workers.records.audit_log import Entry
    from workers.systems import Systems

SHOWN = 200
ENDS = frozenset({"done", "failed", "denied", "expired", "cancelled"})


@dataclass
class AuditedCommand:
    """One command, gathered from its moments. Times are epoch seconds."""

    asked_at: float
    words: str = ""
    requester: str = ""
    break_glass: str = ""
    decided_by: list[str] = field(default_factory=list)
    worker: str = ""
    began_at: float | None = None
    ended_at: float | None = None
    end: str = ""
    outcome: str = ""


class Audit(Operation):
    """Show the record. since_seconds: how far back; by: a user's id or name; command: what the words begin with."""

    name: ClassVar[str] = "audit"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 600

    since_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400
    by: str = ""
    command: str = ""

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read and verify it; what is not in Redis any more is read from the export."""
        progress.step("Reading the record")
        oldest = datetime.now(UTC).timestamp() - self.since_seconds
        matching, found = 0, deque[tuple[str, AuditedCommand]](maxlen=SHOWN)
        called, unread = _names(systems), list[str]()
        for record_id, told in told_one_by_one(_since(systems, oldest, progress, unread)):
            if self._wanted(told, oldest, called):
                matching += 1
                found.append((record_id, told))
        newest_first = sorted(found, key=lambda each: each[1].asked_at, reverse=True)
        progress.step("Verifying it")
        verdict = audit_chain.verify(systems.redis, _keys(systems))
        table = Table(
            columns=("asked (UTC)", "id", "who", "command", "decided by", "end", "took", "worker", "outcome"),
            rows=tuple(_row(record_id, told, called) for record_id, told in newest_first),
            numeric=("took",),
            spare=("worker", "took"),
        )
        if verdict.faults:
            summary = f"The record was tampered with: {verdict.faults[0]}. See /mlflow audit verify."
            return Report(title="Audit", status=Status.FAIL, summary=summary, sections=(table,))
        summary = f"{count(matching, 'command')}; {_standing(verdict)}"
        if matching > SHOWN:
            summary += f" The latest {SHOWN} are listed."
        status = Status.WARN if unread or (verdict.keyless and not verdict.proven) else Status.OK
        return Report(
            title="Audit", status=status, summary="".join((summary, *unread)), sections=(table,) if found else ()
        )

    def _wanted(self, told: AuditedCommand, oldest: float, called: Callable[[str], str]) -> bool:
        return (
            told.asked_at >= oldest
            and (not self.by or self.by in {said for each in _people(told) for said in (each, called(each))})
            and told.words.startswith(self.command)
        )


def _keys(systems: Systems) -> SealKeys:
    """Those that verify; none where their store or KMS does not give them, which is then said of the seals."""
    try:
        return audit_key.keys(systems)
    except GatewayError:
        return SealKeys()


def _standing(verdict: Verdict) -> str:
    if verdict.keyless and not verdict.proven:
        return f"the record is NOT SEALED with a key: {verdict.keyless} seals prove nothing."
    if verdict.unproven:
        return f"the record's {count(verdict.unproven, 'seal')} can't be verified here, without the workers' key."
    return f"the record in Redis is as it was written ({count(verdict.proven, 'seal')})."


def _since(systems: Systems, oldest: float, progress: Progress, unread: list[str]) -> Iterator[Entry]:
    """Every entry since then, the oldest first: from the export what comes before Redis' first.

    unread: gets a sentence where the export cannot be read; what Redis has is there all the same.
    """
    redis = systems.redis
    first = next(audit_log.entries(redis), None)
    if first is None or first.at > oldest:
        try:
            yield from _exported(systems, oldest, first, progress)
        except (OperatorError, SettingsError) as error:
            unread.append(f" What is older than this Redis' record can't be read: {error}")
    yield from audit_log.entries(redis, after=f"{int(oldest * 1000) - 1}-0")


def _exported(systems: Systems, oldest: float, first: Entry | None, progress: Progress) -> Iterator[Entry]:
    """What the export has since then, up to Redis' first. Raises ObjectsError and SettingsError."""
    export, seen = Export(systems), (0, 0)
    for file in export.files(datetime.fromtimestamp(oldest, UTC)):
        progress.checkpoint()
        for entry, _ in export.read(file).entries:
            where = audit_log.order(entry.id)
            if where > seen and (first is None or where < audit_log.order(first.id)):
                seen = where
                yield entry
        if first is not None and seen >= audit_log.order(first.id):
            break


def _names(systems: Systems) -> Callable[[str], str]:
    """What people are called; each is looked up once."""
    return cache(lambda requester: people.names(systems.redis, [requester])(requester))


def told_one_by_one(entries: Iterable[Entry]) -> Iterator[tuple[str, AuditedCommand]]:
    """Each command once it has ended, and those that have not at the end: no more are held than are under way."""
    open_: dict[str, AuditedCommand] = {}
    for entry in entries:
        event = entry.event
        if event.get("what") in audit_log.NO_COMMAND:
            continue
        record_id = str(event.get("id", entry.id))
        told = open_.setdefault(record_id, AuditedCommand(asked_at=entry.at))
        _learn(told, event, entry.at)
        if told.end:
            yield record_id, open_.pop(record_id)
    yield from open_.items()


def commands_of(entries: Iterable[Entry]) -> dict[str, AuditedCommand]:
    """The commands that entries tell of, by their records' ids."""
    found: dict[str, AuditedCommand] = {}
    for entry in entries:
        event = entry.event
        if event.get("what") in audit_log.NO_COMMAND:
            continue
        told = found.setdefault(str(event.get("id", entry.id)), AuditedCommand(asked_at=entry.at))
        _learn(told, event, entry.at)
    return found


def _learn(told: AuditedCommand, event: dict[str, Any], at: float) -> None:
    what = str(event.get("what", ""))
    told.decided_by = list(event.get("decided_by") or told.decided_by)
    if what == "asked":
        told.asked_at, told.words = at, str(event.get("words", ""))
        told.requester, told.break_glass = str(event.get("requester", "")), str(event.get("break_glass", ""))
    elif what == "started":
        told.began_at, told.worker = at, str(event.get("worker", ""))
    elif what in ENDS:
        told.ended_at, told.end = at, what
        told.outcome = str(event.get("reason") or event.get("outcome") or "")


def _people(told: AuditedCommand) -> tuple[str, ...]:
    return (told.requester, *told.decided_by)


def _row(record_id: str, told: AuditedCommand, called: Callable[[str], str]) -> tuple[str, ...]:
    took = duration(told.ended_at - told.began_at) if told.ended_at and told.began_at else NOTHING
    by = ", ".join(map(called, told.decided_by))
    decided = f"break-glass: {told.break_glass}" if told.break_glass else by or NOTHING
    return (
        moment(told.asked_at, "%Y-%m-%d %H:%M:%S"),
        record_id,
        called(told.requester),
        told.words,
        decided,
        told.end or "open",
        took,
        told.worker[:8] or NOTHING,
        told.outcome,
    )
