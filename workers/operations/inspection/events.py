"""The events of the namespace, as `kubectl get events` lists them: MLflow's first, then the others, the newest on top.

Kubernetes forgets them after an hour unless the API server is told otherwise (kube-apiserver's --event-ttl).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.inspection.finding import is_mlflows
from workers.operations.kubectl import by_hand, kubectl
from workers.report import Report, Status, Table
from workers.systems.cluster import events
from workers.systems.cluster.events import LONG_AGO, Event
from workers.wording import NOTHING, count, duration, thousands

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
            for event in recent(systems)
            if self.about.lower() in event.about
            and (event.warning or not self.warnings)
            and (self.since_seconds is None or (now - event.at).total_seconds() <= self.since_seconds)
        ]
        ours = [event for event in wanted if is_mlflows(settings.ops.kubernetes, event.kind, event.name)]
        others = [event for event in wanted if event not in ours]
        warnings = sum(event.warning for event in wanted)
        within = f" within {duration(self.since_seconds)}" if self.since_seconds else ""
        of = f" of “{self.about}”" if self.about else ""
        what = "warning" if self.warnings else "event"
        summary = f"{count(len(wanted), what)}{of}{within}"
        if ours and others:
            summary += f", {len(ours):,} about MLflow"
        if warnings and not self.warnings:
            summary += f", {count(warnings, 'warning')} among them"
        if len(wanted) > SHOWN:
            summary += f"; {SHOWN} are shown, MLflow's first"
        if not wanted:
            summary += "; Kubernetes forgets them after an hour"
        line = kubectl(settings, "get", "events", "--sort-by=.lastTimestamp")
        if self.warnings:
            line += " --field-selector type=Warning"
        return Report(
            title="Events",
            status=Status.WARN if warnings else Status.OK,
            summary=f"{summary}.",
            sections=(*_tables(ours[:SHOWN], others[: max(0, SHOWN - len(ours))], now), by_hand(line)),
            hints=("logs --level error --since 1h", "status") if warnings else ("status",),
        )


def recent(systems: Systems) -> list[Event]:
    """Every event that the namespace remembers, the newest first."""
    found = (events.read(item) for item in systems.cluster.every("events"))
    return sorted(found, key=lambda event: (event.at, event.name), reverse=True)


def table(found: Iterable[Event], now: datetime, title: str = "") -> tuple[Table, ...]:
    """Events as a table; nothing if there are none."""
    rows = tuple(
        (
            duration((now - event.at).total_seconds()) if event.at > LONG_AGO else NOTHING,
            "warning" if event.warning else "normal",
            event.reason,
            event.about,
            thousands(event.times),
            event.message,
        )
        for event in found
    )
    columns = ("ago", "type", "reason", "object", "times", "message")
    return (Table(title=title, columns=columns, rows=rows, numeric=("times",)),) if rows else ()


def _tables(ours: list[Event], others: list[Event], now: datetime) -> tuple[Table, ...]:
    if not ours or not others:
        return table([*ours, *others], now)
    return (*table(ours, now, "MLflow's"), *table(others, now, "Others in the namespace"))
