"""What the namespace's quotas say about pods that a command would make, with the figures.

A rollout has pods beside each other: new ones come while old ones still count, as far as maxSurge and maxUnavailable
go. What would not fit at the end, or not even for the first new pod, is refused; what fits a pod at a time is told.
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment import demand, placement
from workers.operations.deployment.estimate import allowances
from workers.operations.deployment.judging import figures, is_owned, owned
from workers.systems.cluster.fields import Fields
from workers.systems.cluster.quantities import quantity
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.systems import Systems

Json = dict[str, Any]

HINT: Final = "Ask for less, or have that changed first."
_COMPUTE: Final = {"requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}
_JOBS: Final = "count/jobs.batch"
_SHORT: Final = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}
"""Other names that a quota may use for the same."""


@dataclass(frozen=True)
class Limit:
    """One line of a quota: how much it allows of what, and how much of that is used."""

    quota: str
    said: str
    key: str
    hard: Decimal
    used: Decimal

    def of_all(self, needed: Decimal) -> str:
        """The figures: what would be used, and what is."""
        allows = f"ResourceQuota {self.quota} allows {demand.written(self.key, self.hard)} of {self.said} in all"
        used, wanted = (demand.written(self.key, each) for each in (self.used, needed))
        return f"{allows}, {used} is used, and {wanted} would be needed"


@dataclass(frozen=True)
class Rollout:
    """The pods of a Deployment while it changes from what is there to a new template.

    there: what each of its pods takes now, those that stay longest first. new: what one new pod takes.
    """

    there: tuple[demand.Amounts, ...]
    new: demand.Amounts
    replicas: int
    surge: int
    gone: int

    def at_the_end(self, limit: Limit) -> Decimal:
        """What is used once every pod is a new one."""
        return limit.used - _sum(self.there, limit.key) + self.replicas * self.new.get(limit.key, demand.NOTHING)

    def beside(self, limit: Limit, pods: int) -> Decimal:
        """What is used while so many new pods stand beside the old ones that have to stay for them."""
        free = self.there[max(0, self.replicas - self.gone) :]
        return limit.used - _sum(free, limit.key) + pods * self.new.get(limit.key, demand.NOTHING)


def require_room_for_more(systems: Systems, deployment: Json, replicas: int) -> None:
    """Raise OperatorError if a quota has no room for so many replicas."""
    wanted, _, there, _ = figures(deployment)
    more = replicas - min(wanted, there)
    if more <= 0:
        return
    spec = deployment["spec"]["template"]["spec"]
    ranges = _allowed(systems.cluster.limit_ranges)
    one = demand.of_pod(spec, ranges)
    for limit in _limits(systems, spec, ranges):
        needed = limit.used + more * one.get(limit.key, demand.NOTHING)
        if needed > limit.hard and one.get(limit.key):
            fits = int(max(demand.NOTHING, limit.hard - limit.used) // one[limit.key])
            told = f"{limit.of_all(needed)}: there is room for {count(fits, 'more pod')}, not for {more}."
            raise OperatorError(told, HINT)


def require_room_for_rollout(systems: Systems, deployment: Json, pod_spec: Json | None = None) -> tuple[str, ...]:
    """Warnings about a rollout that fits with little room. pod_spec: of the new template; the same as now if None.

    Raises OperatorError if a quota would not bear it once every pod is a new one, or not even the first new pod.
    """
    spec = deployment["spec"]["template"]["spec"] if pod_spec is None else pod_spec
    ranges = _allowed(systems.cluster.limit_ranges)
    limits = list(_limits(systems, spec, ranges))
    if not limits or figures(deployment)[0] == 0:
        return ()
    rollout = _rollout(systems, deployment, demand.of_pod(spec, ranges))
    warnings = []
    for limit in (each for each in limits if rollout.new.get(each.key)):
        end, first = rollout.at_the_end(limit), rollout.beside(limit, 1)
        if end > limit.hard and end > limit.used:
            verb = "is" if rollout.replicas == 1 else "are"
            told = f"{limit.of_all(end)}: {count(rollout.replicas, 'pod')} with these resources {verb} beyond it."
            raise OperatorError(told, HINT)
        if first > limit.hard:
            told = f"{limit.of_all(first)}: there is no room for the first new pod beside the old ones."
            raise OperatorError(told, HINT)
        at_once = min(rollout.replicas, rollout.surge + rollout.gone)
        if at_once > 1 and rollout.beside(limit, at_once) > limit.hard:
            told = f"{limit.of_all(rollout.beside(limit, at_once))} to replace {at_once} pods at once"
            warnings.append(f"{told}: the rollout replaces fewer at a time.")
    return tuple(warnings)


def require_room_for_job(systems: Systems, job: Json) -> None:
    """Raise OperatorError if a quota would not let a Job be made, or its pod.

    A Job's deadline is not its pod's, so the pod counts as one that doesn't terminate.
    """
    spec = job["spec"]["template"]["spec"]
    ranges = _allowed(systems.cluster.limit_ranges)
    one = {**demand.of_pod(spec, ranges), _JOBS: Decimal(1)}
    for limit in _limits(systems, spec, ranges):
        needed = limit.used + one.get(limit.key, demand.NOTHING)
        if one.get(limit.key) and needed > limit.hard:
            raise OperatorError(f"{limit.of_all(needed)}: there is no room for the Job.", HINT)


def _rollout(systems: Systems, deployment: Json, new: demand.Amounts) -> Rollout:
    names = systems.settings.ops.kubernetes
    sets = owned(deployment, systems.cluster.replica_sets(names.selector))
    there = []
    for pod in systems.cluster.pods(names.selector):
        fields = Fields(pod, "pod")
        if is_owned(pod, sets) and fields.text("status", "phase") not in {"Succeeded", "Failed"}:
            there.append((_goes_first(fields), demand.of_pod(pod["spec"])))
    surge, gone = allowances(deployment)
    ordered = [amounts for _, amounts in sorted(there, key=lambda each: each[0])]
    return Rollout(tuple(ordered), new, figures(deployment)[0], surge, gone)


def _goes_first(pod: Fields) -> int:
    """Pods that are on their way out go first, then those that don't serve."""
    if pod.has("metadata", "deletionTimestamp"):
        return 2
    conditions = pod.each("status", "conditions")
    return int(not any(each.text("type") == "Ready" and each.text("status") == "True" for each in conditions))


def _limits(systems: Systems, pod_spec: Json, ranges: Sequence[Json]) -> Iterator[Limit]:
    """The lines of the quotas that count such a pod. Raises OperatorError if it leaves out what one requires."""
    for found in _allowed(systems.cluster.resource_quotas):
        if not _counts(found.get("spec") or {}, pod_spec, ranges):
            continue
        name, status = str(found["metadata"]["name"]), found.get("status") or {}
        for said, hard in (status.get("hard") or (found.get("spec") or {}).get("hard") or {}).items():
            key = _SHORT.get(said, said)
            if key not in {"pods", _JOBS} and key.partition(".")[0] not in demand.KINDS:
                continue
            silent = demand.unstated(pod_spec, key, ranges) if key in _COMPUTE else []
            if silent:
                told = (
                    f"ResourceQuota {name} requires {said} of every container, and {listed(silent)} doesn't state it."
                )
                raise OperatorError(told, "State it first: /mlflow resources, or a LimitRange with a default.")
            yield Limit(name, said, key, quantity(str(hard)), quantity(str((status.get("used") or {}).get(said, "0"))))


def _counts(spec: Json, pod_spec: Json, ranges: Sequence[Json]) -> bool:
    """Whether a quota counts such a pod, by its scopes."""
    # By processors and memory alone: https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
    asked = any(value for key, value in demand.of_pod(pod_spec, ranges).items() if key in _COMPUTE)
    holds = {
        "BestEffort": not asked,
        "NotBestEffort": asked,
        "Terminating": "activeDeadlineSeconds" in pod_spec,
        "NotTerminating": "activeDeadlineSeconds" not in pod_spec,
        "PriorityClass": bool(pod_spec.get("priorityClassName")),
        "CrossNamespacePodAffinity": placement.looks_into_other_namespaces(pod_spec),
    }
    if any(not holds.get(str(scope), True) for scope in spec.get("scopes") or ()):
        return False
    for each in (spec.get("scopeSelector") or {}).get("matchExpressions") or ():
        scope, operator, values = each.get("scopeName"), each.get("operator"), each.get("values") or ()
        if scope == "PriorityClass" and operator in {"In", "NotIn"}:
            if (pod_spec.get("priorityClassName") in values) != (operator == "In"):
                return False
        elif holds.get(str(scope), True) != (operator != "DoesNotExist"):
            return False
    return True


def _sum(each: Sequence[demand.Amounts], key: str) -> Decimal:
    return sum((amounts.get(key, demand.NOTHING) for amounts in each), demand.NOTHING)


def _allowed(ask: Any) -> list[Json]:
    try:
        found: list[Json] = ask()
    except OperatorError:
        return []
    return found
