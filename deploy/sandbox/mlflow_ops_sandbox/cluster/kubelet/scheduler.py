"""Gives pods their node: there is one, and it takes what fits beside what it has.

A pod that does not fit is told of at once and looked at again whenever something changes; it is told of again when
the reason changes.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    is_terminating,
    name_of,
    namespace_of,
)
from mlflow_ops_sandbox.cluster.api.ownership import has_ended
from mlflow_ops_sandbox.cluster.api.pod_resources import REQUESTS, total
from mlflow_ops_sandbox.cluster.api.quantities import parse_quantity
from mlflow_ops_sandbox.cluster.api.resources import NODES, PODS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.kubelet.pod_status import unschedulable_status

_MEASURED = ("cpu", "memory", "ephemeral-storage")


def schedule_pods(store: Store, events: Recorder, is_held_back: Callable[[Object], bool]) -> None:
    """Assign every pod that has no node and fits, save those that are kept pending on purpose."""
    for pod in store.all(PODS):
        if pod["spec"].get("nodeName") or is_terminating(pod) or is_held_back(pod):
            continue
        problem = _problem(store, events.node, pod)
        if problem:
            _refuse(store, events, pod, problem)
        else:
            schedule(store, events, pod)


def schedule(store: Store, events: Recorder, pod: Object) -> Object:
    """Assign one pod, and tell of it."""
    namespace, name = namespace_of(pod), name_of(pod)
    assigned = store.update(PODS, namespace, name, lambda item: item["spec"].update(nodeName=events.node), intent=False)
    message = f"Successfully assigned {namespace}/{name} to {events.node}"
    events.scheduler(assigned, Happening("Scheduled", message))
    return assigned


def _refuse(store: Store, events: Recorder, pod: Object, problem: str) -> None:
    if (condition_of(pod, "PodScheduled") or {}).get("message") == problem:
        return
    now = events.clock()

    def write(item: Object) -> None:
        item["status"] = unschedulable_status(item, problem, now)

    refused = store.update(PODS, namespace_of(pod), name_of(pod), write, intent=False)
    events.scheduler(refused, Happening("FailedScheduling", problem, warning=True))


def _problem(store: Store, node_name: str, pod: Object) -> str:
    """Return the scheduler's sentence about a pod that does not fit; empty where it does."""
    node = store.find(NODES, "", node_name)
    if node is None:
        return "no nodes available to schedule pods"
    reasons: list[str] = []
    hopeless = False
    wanted_labels = pod["spec"].get("nodeSelector") or {}
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(key) != value for key, value in wanted_labels.items()):
        reasons, hopeless = ["1 node(s) didn't match Pod's node affinity/selector"], True
    elif (node.get("spec") or {}).get("unschedulable"):
        reasons, hopeless = ["1 node(s) were unschedulable"], True
    else:
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        residents = [
            other for other in store.all(PODS) if other["spec"].get("nodeName") == node_name and not has_ended(other)
        ]
        if len(residents) >= int(allocatable.get("pods", 110)):
            reasons.append("1 Too many pods")
        for kind in _MEASURED:
            wanted = _requested(pod, kind)
            total = parse_quantity(allocatable.get(kind, 0))
            if wanted and wanted > total - sum(_requested(other, kind) for other in residents):
                reasons.append(f"1 Insufficient {kind}")
                hopeless = hopeless or wanted > total
    if not reasons:
        return ""
    victims = "Preemption is not helpful for scheduling" if hopeless else "No preemption victims found for incoming pod"
    return (
        f"0/1 nodes are available: {', '.join(reasons)}. no new claims to deallocate, preemption: "
        f"0/1 nodes are available: 1 {victims}."
    )


def _requested(pod: Object, kind: str) -> Decimal:
    return total(pod, REQUESTS).get(kind, Decimal(0))
