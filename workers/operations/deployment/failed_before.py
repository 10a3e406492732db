"""Signs that a revision never came up: its pods that are there now, and what Kubernetes warned of in the last hour.

Kubernetes itself keeps no record of it: a ReplicaSet without pods looks the same whether it once served or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment.judging import is_owned
from workers.operations.health import pods
from workers.systems.cluster import events
from workers.systems.cluster.fields import Fields
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems

Json = dict[str, Any]

_FAILURES: Final = {"Failed", "BackOff", "FailedCreate", "FailedMount", "FailedScheduling"}
_LONGEST: Final = 300
"""A registry's answer says at its end what is wrong."""


def warnings(systems: Systems, number: int, replica_set: Json) -> Iterator[str]:
    """A warning if this revision's pods are there and none is available, or if they failed within the last hour."""
    fields = Fields(replica_set, "ReplicaSet")
    if fields.number("status", "availableReplicas"):
        return
    there = fields.number("status", "replicas")
    if there:
        yield f"Revision {number} has {count(there, 'pod')} now, and none is ready{_why(systems, replica_set)}."
        return
    said = _last_failure(systems, fields.text("metadata", "name"))
    if said:
        yield f"Pods of revision {number} failed within the last hour: {said}."


def _why(systems: Systems, replica_set: Json) -> str:
    now = datetime.now(UTC)
    for pod in systems.cluster.pods(systems.settings.ops.kubernetes.selector):
        state = pods.read(pod, now)
        if is_owned(pod, (replica_set,)) and not state.is_ready:
            return f": {state.name} is in {state.state}"
    return ""


def _last_failure(systems: Systems, name: str) -> str:
    """The last failure that Kubernetes told of a ReplicaSet or its pods, which bear its name; empty if none."""
    try:
        told = [events.read(item) for item in systems.cluster.warnings()]
    except OperatorError:
        return ""
    failed = [
        each for each in told if each.reason in _FAILURES and (each.name == name or each.name.startswith(f"{name}-"))
    ]
    last = max(failed, key=lambda each: each.at, default=None)
    return f"{last.reason}, {last.message[:_LONGEST].strip().rstrip('.')}" if last else ""
