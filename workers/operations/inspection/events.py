"""The events of the namespace, as `kubectl get events` lists them: the newest first, each with how often and when last.

Kubernetes forgets them after an hour unless the API server is told otherwise (kube-apiserver's --event-ttl).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.inspection.kubectl import by_hand, kubectl
from workers.redaction import one_line
from workers.report import Report, Status, Table
from workers.systems.cluster.fields import Fields
from workers.wording import NOTHING, count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

SHOWN: Final = 30
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


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
            sections=(*table(wanted[:SHOWN], now), by_hand(line)),
            hints=("logs --level error --since 1h", "status") if warnings else ("status",),
        )


@dataclass(frozen=True)
class Event:
    """One event. about: kind and name of the object, as kubectl writes them."""

    at: datetime
    warning: bool
    reason: str
    kind: str
    name: str
    times: int
    message: str

    @property
    def about(self) -> str:
        """pod/mlflow-5d9-x7k2p."""
        return f"{self.kind.lower()}/{self.name}"


def recent(systems: Systems) -> list[Event]:
    """Every event that the namespace remembers, the newest first."""
    found = (_read(item) for item in systems.cluster.every("events"))
    return sorted(found, key=lambda event: (event.at, event.name), reverse=True)


def table(events: Iterable[Event], now: datetime, title: str = "") -> tuple[Table, ...]:
    """Events as a table; nothing where there are none."""
    rows = tuple(
        (
            duration((now - event.at).total_seconds()) if event.at > _LONG_AGO else NOTHING,
            "warning" if event.warning else "normal",
            event.reason,
            event.about,
            f"{event.times:,}",
            event.message,
        )
        for event in events
    )
    columns = ("ago", "type", "reason", "object", "times", "message")
    return (Table(title=title, columns=columns, rows=rows, numeric=("times",)),) if rows else ()


def _read(item: dict[str, Any]) -> Event:
    fields = Fields(item, "event")
    moments = (("series", "lastObservedTime"), ("lastTimestamp",), ("eventTime",), ("metadata", "creationTimestamp"))
    at = next((moment for path in moments if (moment := fields.moment(*path))), _LONG_AGO)
    return Event(
        at=at,
        warning=fields.text("type") == "Warning",
        reason=fields.text("reason"),
        kind=fields.text("involvedObject", "kind"),
        name=fields.text("involvedObject", "name"),
        times=max(1, fields.number("series", "count"), fields.number("count")),
        message=one_line(fields.text("message")),
    )
