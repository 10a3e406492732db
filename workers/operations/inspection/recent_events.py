"""What Kubernetes says has happened: events, the newest first, each with how often and when last.

It forgets them after an hour unless the API server is told otherwise (kube-apiserver's --event-ttl).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workers.redaction import one_line
from workers.report import Table
from workers.systems.cluster.fields import Fields
from workers.wording import NOTHING, duration

if TYPE_CHECKING:
    from workers.systems import Systems

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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


def all_of(systems: Systems) -> list[Event]:
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
