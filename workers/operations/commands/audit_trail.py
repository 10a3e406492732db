"""Reading the audit record: who asked for what, who decided, on which worker it ran, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.records import audit_log, people
from workers.report import Facts, Report, Status, Table
from workers.wording import NOTHING, count, duration, moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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

    since_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400
    by: str = ""
    command: str = ""

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read and verify it."""
        progress.step("Reading the record")
        oldest = datetime.now(UTC).timestamp() - self.since_seconds
        known = commands_of(audit_log.entries(systems.redis))
        called = people.names(systems.redis, (each for told in known.values() for each in _people(told)))
        found = [(record_id, told) for record_id, told in known.items() if self._wanted(told, oldest, called)]
        progress.step("Verifying it")
        verdict = audit_log.verify(systems.redis)
        table = Table(
            columns=("asked (UTC)", "id", "who", "command", "decided by", "end", "took", "worker", "outcome"),
            rows=tuple(_row(record_id, told, called) for record_id, told in reversed(found[-SHOWN:])),
            numeric=("took",),
            spare=("worker", "took"),
        )
        if verdict.broken:
            summary = f"The record was tampered with: {verdict.broken}."
            return Report(title="Audit", status=Status.FAIL, summary=summary, sections=(table,))
        summary = f"{count(len(found), 'command')}; the record is as it was written ({verdict.sealed} seals)."
        return Report(title="Audit", status=Status.OK, summary=summary, sections=(table,) if found else ())

    def _wanted(self, told: AuditedCommand, oldest: float, called: Callable[[str], str]) -> bool:
        return (
            told.asked_at >= oldest
            and (not self.by or self.by in {said for each in _people(told) for said in (each, called(each))})
            and told.words.startswith(self.command)
        )


class AuditExport(Operation):
    """Write the whole record with its seals to the backup bucket, as JSON Lines."""

    name: ClassVar[str] = "audit-export"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 600

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Verify it, write it, and read it back."""
        progress.step("Verifying the record")
        verdict = audit_log.verify(systems.redis)
        if verdict.broken:
            summary = f"Nothing was exported: the record was tampered with: {verdict.broken}."
            return Report(title="Audit", status=Status.FAIL, summary=summary)
        progress.step("Writing it")
        body = "".join(f"{line}\n" for line in audit_log.lines(systems.redis)).encode()
        bucket = systems.settings.ops.storage.backups_bucket
        key = f"audit/{datetime.now(UTC):%Y%m%dT%H%M%SZ}.jsonl"
        systems.backups.write(bucket, key, body)
        if systems.backups.read(bucket, key, at_most=len(body) + 1) != body:
            summary = f"s3://{bucket}/{key} did not come back as it was written."
            return Report(title="Audit", status=Status.FAIL, summary=summary)
        facts = Facts(
            items=(("file", f"s3://{bucket}/{key}"), ("last seal", verdict.last_seal or NOTHING)),
        )
        summary = f"{count(verdict.entries, 'moment')} written to s3://{bucket}/{key} and read back."
        return Report(title="Audit", status=Status.OK, summary=summary, sections=(facts,))


def commands_of(entries: Iterable[Entry]) -> dict[str, AuditedCommand]:
    """The commands that entries tell of, by their records' ids."""
    found: dict[str, AuditedCommand] = {}
    for entry in entries:
        if entry.event.get("what") in {audit_log.ALERT, audit_log.ALERT_RESOLVED}:
            continue
        at = int(entry.id.partition("-")[0]) / 1000
        told = found.setdefault(str(entry.event.get("id", entry.id)), AuditedCommand(asked_at=at))
        _learn(told, entry.event, at)
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
