"""Which warnings of Kubernetes still say something about the Deployment: those of what is there and has not got well.

Kubernetes keeps a warning for an hour, whatever became of it. After a roll-back the pods and ReplicaSets that were
warned of are gone or empty, and what was warned of while a pod started is over once it is ready; such warnings would
keep the check yellow for an hour about nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from workers.systems.cluster import events
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from workers.systems.cluster.events import Event

Json = dict[str, Any]
Groups = dict[tuple[str, str], int]
"""How often what was warned of: by reason and message."""

WINDOW: Final = timedelta(hours=1)
_CHARACTERS: Final = 160
_OF_OTHERS: Final = frozenset({"Job", "CronJob"})
"""Bear its name, and say nothing about its pods."""


@dataclass(frozen=True)
class There:
    """What there is now. pods, sets: MLflow's pods and ReplicaSets; None if they could not be listed."""

    deployment: Json
    pods: Sequence[Json] | None = None
    sets: Sequence[Json] | None = None


def standing(warnings: Sequence[Json], there: There, now: datetime) -> Groups:
    """The warnings of the last hour that still hold, the most frequent first. warnings: items of an EventList."""
    groups: Counter[tuple[str, str]] = Counter()
    wells = dict(_wells(there, now))
    name = there.deployment["metadata"]["name"]
    for event in map(events.read, warnings):
        if event.kind in _OF_OTHERS or (event.name != name and not event.name.startswith(f"{name}-")):
            continue
        if now - event.at <= WINDOW and _holds(event, there, wells):
            groups[event.reason or "no reason", event.message[:_CHARACTERS]] += event.times
    return dict(groups.most_common())


def _holds(event: Event, there: There, wells: dict[tuple[str, str], datetime | None]) -> bool:
    listed = {"Pod": there.pods, "ReplicaSet": there.sets, "Deployment": [there.deployment]}
    if event.kind not in listed or listed[event.kind] is None:
        return True
    if (event.kind, event.name) not in wells:
        return False
    since = wells[event.kind, event.name]
    return since is None or event.at > since


def _wells(there: There, now: datetime) -> Iterator[tuple[tuple[str, str], datetime | None]]:
    """By kind and name: since when each is well, None if it is not. What has no pods and wants none is left out."""
    for pod in there.pods or ():
        fields = Fields(pod, "pod")
        if not fields.has("metadata", "deletionTimestamp"):
            yield ("Pod", fields.text("metadata", "name")), _condition(fields, "Ready")
    for each in there.sets or ():
        fields = Fields(each, "ReplicaSet")
        wanted = fields.number("spec", "replicas", default=1)
        if wanted or fields.number("status", "replicas"):
            whole = fields.number("status", "availableReplicas") >= wanted
            # It is warned of for want of pods, and has them now.
            yield ("ReplicaSet", fields.text("metadata", "name")), now if whole else None
    yield ("Deployment", there.deployment["metadata"]["name"]), _rolled_out(Fields(there.deployment, "Deployment"))


def _rolled_out(deployment: Fields) -> datetime | None:
    """When its last rollout ended well; None if none has, or pods are missing since."""
    wanted = deployment.number("spec", "replicas", default=1)
    there = [deployment.number("status", each) for each in ("updatedReplicas", "availableReplicas", "replicas")]
    return _condition(deployment, "Progressing", "lastUpdateTime") if set(there) == {wanted} else None


def _condition(fields: Fields, kind: str, moment: str = "lastTransitionTime") -> datetime | None:
    """When that condition became true; None if it is not."""
    for condition in fields.each("status", "conditions"):
        if condition.text("type") == kind and condition.text("status") == "True":
            return condition.moment(moment)
    return None
