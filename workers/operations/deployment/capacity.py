"""Is there room for more pods on the nodes that may take them, and do disruption budgets leave room to drain one.

Nodes are the whole cluster's, so looking needs a ClusterRole (deploy/kubernetes/access/clusterrole.yaml); without it
nothing is said about them. Room is counted as the scheduler counts it, by requests and not by use, on the nodes that it
would not filter out (`placement`)
(https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#how-pods-with-resource-requests-are-scheduled).
A cluster that adds nodes by itself may have room later, so too little is a warning.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.deployment import demand, placement
from workers.operations.deployment.estimate import allowances
from workers.operations.deployment.judging import figures
from workers.operations.deployment.label_selectors import fits
from workers.systems.cluster.quantities import quantity, share
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems.cluster.client import Cluster

Json = dict[str, Any]

_ENDED = frozenset({"Succeeded", "Failed"})
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class Need:
    """What one pod asks for: CPUs and bytes."""

    cpu: Decimal
    memory: Decimal

    def __add__(self, other: Need) -> Need:
        """Both together."""
        return Need(self.cpu + other.cpu, self.memory + other.memory)

    def times_in(self, room: Need) -> int:
        """How many such pods fit into a room; a great many if it asks for nothing."""
        fit = [have // want for have, want in ((room.cpu, self.cpu), (room.memory, self.memory)) if want > 0]
        return max(0, int(min(fit, default=Decimal(_NO_LIMIT))))


NONE = Need(Decimal(0), Decimal(0))


@dataclass(frozen=True)
class Room:
    """How many such pods fit now, and how many on the largest node if it were empty.

    ruled_out: nodes that may not take one at all, by why.
    """

    now: int
    largest: int
    ruled_out: Counter[str] = field(default_factory=Counter)

    @property
    def why(self) -> str:
        """Which nodes don't count, for a sentence; empty if all do."""
        told = [
            f"{count(number, 'node')} {'is' if number == 1 else 'are'} {why}" for why, number in self.ruled_out.items()
        ]
        return f" ({', '.join(told)})" if told else ""


def need(pod_spec: Json) -> Need:
    """What the scheduler finds room for: the requests of a pod's containers and sidecars."""
    amounts = demand.of_pod(pod_spec)
    return Need(amounts.get("requests.cpu", demand.NOTHING), amounts.get("requests.memory", demand.NOTHING))


def room_for(cluster: Cluster, template: Json, leaving: Sequence[str] = ()) -> Room | None:
    """The room for pods of this template; None if we may not look. leaving: pods that make room first, by name."""
    try:
        nodes, pods = cluster.nodes(), cluster.all_pods()
    except OperatorError:
        return None
    spec, labels = template["spec"], (template.get("metadata") or {}).get("labels") or {}
    one, most = need(spec), placement.places_of_one_node(spec, labels)
    now, largest, out = 0, 0, Counter[str]()
    for node in nodes:
        there = [pod for pod in pods if _is_on(pod, node) and not _leaves(pod, cluster.namespace, leaving)]
        ours = [pod for pod in there if pod["metadata"].get("namespace") in {None, cluster.namespace}]
        why = placement.ruled_out(spec, node, ours)
        if why:
            out[why] += 1
            continue
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        whole = Need(_amount(allocatable.get("cpu")), _amount(allocatable.get("memory")))
        used = NONE
        for pod in there:
            used += need(pod["spec"])
        places = int(_amount(allocatable["pods"])) - len(there) if "pods" in allocatable else _NO_LIMIT
        bounds = [places, *(() if most is None else (most,))]
        now += max(0, min(one.times_in(Need(whole.cpu - used.cpu, whole.memory - used.memory)), *bounds))
        largest = max(largest, one.times_in(whole))
    return Room(now, largest, out)


def too_few_nodes(cluster: Cluster, template: Json, more: int) -> Iterator[str]:
    """A warning if so many more pods find no place."""
    found = room_for(cluster, template) if more > 0 else None
    if found is not None and found.now < more:
        room = f"room for {count(found.now, 'more pod')}" if found.now else "no room for another pod"
        told = f"The nodes have {room} of these requests{found.why}, and {more} are to come"
        yield f"{told}: the rest would stay Pending."


def no_place_to_roll(cluster: Cluster, deployment: Json, template: Json, there: Sequence[str]) -> Iterator[str]:
    """A warning if a rollout finds no node for its first new pod. there: the Deployment's pods, by name."""
    surge, gone = allowances(deployment)
    if not figures(deployment)[0]:
        return
    found = room_for(cluster, template) if surge or not there else Room(0, 0)
    if found is None or found.now:
        return
    # Without surge, or with no room for it, an old pod goes first, if it may: then its place is free.
    leave = [there] if gone >= len(there) else [(name,) for name in there]
    after = [room_for(cluster, template, leaving=each) for each in leave] if gone else []
    if any(room is None or room.now for room in after):
        return
    reason = "no node has room for the first new pod"
    why = next((room.why for room in (found, *after) if room is not None and room.why), "")
    if gone:
        when, end = "Even once an old pod has gone,", "the rollout stops there"
    else:
        when, end = "With maxUnavailable 0 no old pod goes first, and", "the rollout can't begin"
    yield f"{when} {reason}{why}: unless a node is added, {end}."


def broken_budgets(cluster: Cluster, labels: dict[str, str], replicas: int) -> Iterator[str]:
    """A warning for each PodDisruptionBudget over these pods that so few replicas leave no room."""
    for name, least in _budgets(cluster, labels, replicas):
        if replicas <= least:
            named = f"PodDisruptionBudget {name} wants {count(least, 'pod')} available at all times"
            yield f"{named}: with {count(replicas, 'replica')}, no node with one of them can be drained."


def budgets_in_a_rollout(cluster: Cluster, deployment: Json, template: Json) -> Iterator[str]:
    """A warning for each PodDisruptionBudget that the rollout itself goes below: it binds evictions, not rollouts."""
    replicas = figures(deployment)[0]
    left = replicas - min(replicas, allowances(deployment)[1])
    labels = (template.get("metadata") or {}).get("labels") or {}
    for name, least in _budgets(cluster, labels, replicas) if replicas else ():
        if left < least:
            yield (
                f"PodDisruptionBudget {name} wants {count(least, 'pod')} available, and the rollout leaves {left} at "
                "times: a budget holds evictions back, not rollouts. No node can be drained meanwhile."
            )


def _budgets(cluster: Cluster, labels: dict[str, str], replicas: int) -> Iterator[tuple[str, int]]:
    """The budgets over such pods, and how many of so many they want available."""
    try:
        found = cluster.disruption_budgets()
    except OperatorError:
        return
    for budget in found:
        spec = budget.get("spec") or {}
        if not fits(spec.get("selector"), labels):
            continue
        if "minAvailable" in spec:
            least = share(spec["minAvailable"], replicas, up=True)
        else:
            least = replicas - share(spec.get("maxUnavailable", 1), replicas, up=True)
        yield str(budget["metadata"]["name"]), least


def _is_on(pod: Json, node: Json) -> bool:
    on_it = (pod.get("spec") or {}).get("nodeName") == node["metadata"]["name"]
    return on_it and (pod.get("status") or {}).get("phase") not in _ENDED


def _leaves(pod: Json, namespace: str, leaving: Sequence[str]) -> bool:
    return pod["metadata"].get("name") in leaving and pod["metadata"].get("namespace") in {None, namespace}


def _amount(value: Any) -> Decimal:
    return quantity(str(value)) if value else Decimal(0)
