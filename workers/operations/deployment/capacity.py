"""Is there room for more: on the nodes, and under the namespace's quotas and budgets.

Nodes are the whole cluster's, so looking needs a ClusterRole (deploy/kubernetes/access/clusterrole.yaml); without it
nothing is said about them. Room is counted as the scheduler counts it, by requests and not by use
(https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-requests-are-scheduled).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.deployment import demand
from workers.systems.cluster.quantities import quantity, share
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems.cluster.client import Cluster


@dataclass(frozen=True)
class Need:
    """What one pod asks for: CPUs and bytes."""

    cpu: Decimal
    memory: Decimal

    def __add__(self, other: Need) -> Need:
        """Both together."""
        return Need(self.cpu + other.cpu, self.memory + other.memory)

    def times_in(self, room: Need) -> int:
        """How many such pods fit into a room; a great many where it asks for nothing."""
        fits = [have // want for have, want in ((room.cpu, self.cpu), (room.memory, self.memory)) if want > 0]
        return max(0, int(min(fits, default=Decimal(1_000_000))))


NONE = Need(Decimal(0), Decimal(0))


def need(pod_spec: dict[str, Any]) -> Need:
    """What the scheduler finds room for: the requests of a pod's containers and sidecars."""
    amounts = demand.of_pod(pod_spec)
    return Need(amounts.get("requests.cpu", demand.NOTHING), amounts.get("requests.memory", demand.NOTHING))


def fitting(cluster: Cluster, pod: Need) -> tuple[int, int] | None:
    """How many more such pods fit on the nodes now, and on one that is empty; None where we may not look."""
    try:
        nodes, pods = cluster.nodes(), cluster.all_pods()
    except OperatorError:
        return None
    now, empty = 0, 0
    for node in nodes:
        if (node.get("spec") or {}).get("unschedulable"):
            continue
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        whole = Need(_amount(allocatable.get("cpu")), _amount(allocatable.get("memory")))
        used = NONE
        for each in pods:
            over = (each.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
            if (each.get("spec") or {}).get("nodeName") == node["metadata"]["name"] and not over:
                used += need(each["spec"])
        now += pod.times_in(Need(whole.cpu - used.cpu, whole.memory - used.memory))
        empty = max(empty, pod.times_in(whole))
    return now, empty


def too_few_nodes(cluster: Cluster, pod_spec: dict[str, Any], more: int) -> Iterator[str]:
    """A warning where so many more pods find no place."""
    found = fitting(cluster, need(pod_spec)) if more > 0 else None
    if found is not None and found[0] < more:
        room = f"room for {count(found[0], 'more pod')}" if found[0] else "no room for another pod"
        yield f"The nodes have {room} of these requests, and {more} are to come: the rest would stay Pending."


def broken_budgets(cluster: Cluster, labels: dict[str, str], replicas: int) -> Iterator[str]:
    """A warning for each PodDisruptionBudget over these pods that so few replicas leave no room."""
    try:
        found = cluster.disruption_budgets()
    except OperatorError:
        return
    for budget in found:
        spec = budget.get("spec") or {}
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
        if not selector or any(labels.get(name) != value for name, value in selector.items()):
            continue
        if "minAvailable" in spec:
            least = share(spec["minAvailable"], replicas, up=True)
        else:
            least = replicas - share(spec.get("maxUnavailable", 1), replicas, up=True)
        if replicas <= least:
            named = (
                f"PodDisruptionBudget {budget['metadata']['name']} wants {count(least, 'pod')} available at all times"
            )
            yield f"{named}: with {count(replicas, 'replica')}, no node with one of them can be drained."


def _amount(value: Any) -> Decimal:
    return quantity(str(value)) if value else Decimal(0)
