"""Events of the cluster: what happened to which object, how often, and when last.

The trap: an event has its time in one of four places. The kubelet and the controllers count an event again
(lastTimestamp, count), newer reporters write eventTime and a series
(https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from workers.redaction import one_line
from workers.systems.cluster.fields import Fields

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENTS: Final = (
    ("series", "lastObservedTime"),
    ("lastTimestamp",),
    ("eventTime",),
    ("metadata", "creationTimestamp"),
)


@dataclass(frozen=True)
class Event:
    """One event. at: when it last happened, LONG_AGO if it does not say. times: how often it happened."""

    at: datetime
    warning: bool
    reason: str
    kind: str
    name: str
    times: int
    message: str

    @property
    def about(self) -> str:
        """The object as kubectl writes it: pod/mlflow-5d9-x7k2p."""
        return f"{self.kind.lower()}/{self.name}"


def read(item: dict[str, Any]) -> Event:
    """An item of an EventList; its message on one line, without secrets. Raises Nonsense."""
    fields = Fields(item, "event")
    return Event(
        at=next((moment for path in _MOMENTS if (moment := fields.moment(*path))), LONG_AGO),
        warning=fields.text("type") == "Warning",
        reason=fields.text("reason"),
        kind=fields.text("involvedObject", "kind"),
        name=fields.text("involvedObject", "name"),
        times=max(1, fields.number("series", "count"), fields.number("count")),
        message=one_line(fields.text("message")),
    )
