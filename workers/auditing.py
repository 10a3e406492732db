"""Reading the audit record: who did what, when, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers import audit
from workers.health.amounts import count
from workers.operation import Operation, Progress, Report, Risk, Status, Table

if TYPE_CHECKING:
    from workers.audit import Entry
    from workers.systems import Systems

_WORDS = 60
SHOWN = 200


class Audit(Operation):
    """Show the record. since_seconds: how far back; by: a user id; command: what the words begin with."""

    name: ClassVar[str] = "audit"
    risk: ClassVar[Risk] = Risk.READ

    since_seconds: Annotated[float, Field(gt=0)] = 7 * 86_400
    by: str = ""
    command: str = ""

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read and verify it."""
        progress.step("Reading the record")
        oldest = datetime.now(UTC).timestamp() - self.since_seconds
        found = [entry for entry in audit.entries(systems.redis) if self._wanted(entry, oldest)][-SHOWN:]
        progress.step("Verifying it")
        verdict = audit.verify(systems.redis)
        table = Table(
            columns=("time (UTC)", "id", "what", "who", "command"),
            rows=tuple(_row(entry) for entry in reversed(found)),
        )
        if verdict.broken:
            summary = f"The record was tampered with: {verdict.broken}."
            return Report(title="Audit", status=Status.FAIL, summary=summary, sections=(table,))
        summary = f"{count(len(found), 'moment')}; the record is as it was written ({verdict.sealed} seals)."
        return Report(title="Audit", status=Status.OK, summary=summary, sections=(table,) if found else ())

    def _wanted(self, entry: Entry, oldest: float) -> bool:
        event = entry.event
        at = int(entry.id.partition("-")[0]) / 1000
        return (
            at >= oldest
            and (not self.by or self.by in {event.get("by"), event.get("requester")})
            and str(event.get("words", "")).startswith(self.command)
        )


def _row(entry: Entry) -> tuple[str, ...]:
    event = entry.event
    at = datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, UTC)
    words = str(event.get("words", ""))
    return (
        f"{at:%Y-%m-%d %H:%M:%S}",
        str(event.get("id", "")),
        str(event.get("what", "")),
        str(event.get("by") or event.get("requester") or ""),
        words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…",
    )
