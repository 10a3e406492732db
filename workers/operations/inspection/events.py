"""The events of the namespace, as `kubectl get events` lists them, with what matters first: warnings are counted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.inspection import recent_events
from workers.operations.inspection.kubectl import by_hand, kubectl
from workers.report import Report, Status
from workers.wording import count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

SHOWN: Final = 30


class Events(Operation):
    """Show what has happened in the namespace."""

    name: ClassVar[str] = "events"
    risk: ClassVar[Risk] = Risk.READ

    about: str = ""
    warnings: bool = False
    since_seconds: Annotated[float, Field(gt=0)] | None = None

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them. about: a part of an object's name."""
        progress.step("Reading events")
        settings, now = systems.settings, datetime.now(UTC)
        wanted = [
            event
            for event in recent_events.all_of(systems)
            if self.about.lower() in event.about
            and (event.warning or not self.warnings)
            and (self.since_seconds is None or (now - event.at).total_seconds() <= self.since_seconds)
        ]
        warnings = sum(event.warning for event in wanted)
        within = f" within {duration(self.since_seconds)}" if self.since_seconds else ""
        of = f" of “{self.about}”" if self.about else ""
        what = "warning" if self.warnings else "event"
        summary = f"{count(len(wanted), what)}{of}{within}"
        if warnings and not self.warnings:
            summary += f", {count(warnings, 'warning')} among them"
        if len(wanted) > SHOWN:
            summary += f"; the newest {SHOWN} are shown"
        if not wanted:
            summary += "; Kubernetes forgets them after an hour"
        line = kubectl(settings, "get", "events", "--sort-by=.lastTimestamp")
        if self.warnings:
            line += " --field-selector type=Warning"
        return Report(
            title="Events",
            status=Status.WARN if warnings else Status.OK,
            summary=f"{summary}.",
            sections=(*recent_events.table(wanted[:SHOWN], now), by_hand(line)),
            hints=("logs --level error --since 1h", "status") if warnings else ("status",),
        )
