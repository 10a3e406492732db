"""How many pods an autoscaler wants, from what its pods use: one figure for each metric, or why there is none.

Pods without a figure are taken to use what keeps the answer where it is: all of their request on the way down,
nothing on the way up. Within a tenth of the target nothing is to be done. Of the kinds of metrics only ``Resource``
has a source here; others fail as on a cluster without the API that they need.
Source: pkg/controller/podautoscaler/replica_calculator.go and horizontal.go of Kubernetes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, is_ready, name_of
from mlflow_ops_sandbox.cluster.api.pod_resources import REQUESTS, amounts_of
from mlflow_ops_sandbox.cluster.api.quantities import canonical_quantity, parse_quantity

TOLERANCE = 0.1
_HUNDRED = 100
_OTHERS = {
    "Pods": ("FailedGetPodsMetric", "custom.metrics.k8s.io"),
    "Object": ("FailedGetObjectMetric", "custom.metrics.k8s.io"),
    "External": ("FailedGetExternalMetric", "external.metrics.k8s.io"),
}


class NoFigureError(Exception):
    """A metric gives no figure. reason: the condition's; the message is what went wrong."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Proposal:
    """What one metric asks for."""

    replicas: int
    name: str
    current: Object
    """Its figure, as ``currentMetrics`` holds it."""


def propose(metric: Object, replicas: int, pods: list[Object], measured: list[Object] | None) -> Proposal:
    """Return what a metric of the autoscaler's spec asks for.

    replicas: of the target's spec. pods: those that the target selects, without ended and ending ones. measured:
    their objects of metrics.k8s.io; None where that API is not installed. Raises NoFigureError.
    """
    kind = metric.get("type", "")
    if kind in _OTHERS:
        reason, group = _OTHERS[kind]
        source = metric.get(kind.lower()) or {}
        name = (source.get("metric") or {}).get("name", "")
        sentence = f"unable to get metric {name}: unable to fetch metrics from {group.partition('.')[0]} metrics API"
        raise NoFigureError(reason, f"{sentence}: the server could not find the requested resource")
    source = metric.get("resource") or {}
    resource, target = str(source.get("name", "")), source.get("target") or {}
    values = _values(resource, pods, measured)
    average = target.get("averageValue")
    if average is not None:
        requests = {name_of(pod): parse_quantity(average) for pod in pods}
        name, share = f"{resource} resource", Decimal(1)
    else:
        requests = {name_of(pod): _request(pod, resource) for pod in pods}
        name = f"{resource} resource utilization (percentage of request)"
        share = Decimal(int(target.get("averageUtilization", 0))) / _HUNDRED
    load = _Load(resource, pods, requests, share)
    used, asked = load.sums(values)
    if not asked * share:
        raise NoFigureError("FailedGetResourceMetric", _failed(resource, f"missing request for {resource}"))
    current: Object = {"averageValue": canonical_quantity(f"{int(used * 1000) // len(values)}m")}
    if average is None:
        current["averageUtilization"] = int(used * _HUNDRED / asked)
    shown: Object = {"type": "Resource", "resource": {"name": resource, "current": current}}
    return Proposal(load.replicas(replicas, values), name, shown)


@dataclass(frozen=True, slots=True)
class _Load:
    """What the pods of a target are asked to bear of one resource."""

    resource: str
    pods: list[Object]
    requests: dict[str, Decimal]
    """By the pod's name."""
    share: Decimal
    """How much of its request a pod should use."""

    def sums(self, values: dict[str, Decimal]) -> tuple[Decimal, Decimal]:
        """Return what these pods use together, and what they have asked for."""
        return sum(values.values(), Decimal(0)), sum((self.requests[name] for name in values), Decimal(0))

    def ratio(self, values: dict[str, Decimal]) -> float:
        """Return how much these pods use of what they should."""
        used, asked = self.sums(values)
        return float(used / (asked * self.share))

    def replicas(self, replicas: int, values: dict[str, Decimal]) -> int:
        """Return how many pods are wanted where there should be so many; values: what each uses that has a figure."""
        ratio = self.ratio(values)
        unready = [name_of(pod) for pod in self.pods if not _counts(pod, self.resource)]
        missing = [name_of(pod) for pod in self.pods if name_of(pod) not in {*values, *unready}]
        if not missing and not (unready and ratio > 1):
            return replicas if abs(ratio - 1) <= TOLERANCE else math.ceil(ratio * len(values))
        filled = dict(values)
        if ratio < 1:
            # As if each of them used its target in full, and no less than its request.
            filled |= {name: self.requests[name] * max(Decimal(1), self.share) for name in missing}
        elif ratio > 1:
            filled |= {name: Decimal(0) for name in [*missing, *unready]}
        again = self.ratio(filled)
        if abs(again - 1) <= TOLERANCE or (ratio < 1) != (again < 1):
            return replicas
        count = math.ceil(again * len(filled))
        return max(count, replicas) if again > 1 else min(count, replicas)


def _values(resource: str, pods: list[Object], measured: list[Object] | None) -> dict[str, Decimal]:
    """Return what each pod that counts uses, by its name."""
    api = "resource metrics API"
    if measured is None:
        problem = f"unable to fetch metrics from {api}: the server could not find the requested resource"
        sentence = f"unable to get metrics for resource {resource}: {problem} (get pods.metrics.k8s.io)"
        raise NoFigureError("FailedGetResourceMetric", _failed(resource, sentence))
    if not pods:
        sentence = "no pods returned by selector while calculating replica count"
        raise NoFigureError("FailedGetResourceMetric", _failed(resource, sentence))
    if not measured:
        sentence = f"unable to get metrics for resource {resource}: no metrics returned from {api}"
        raise NoFigureError("FailedGetResourceMetric", _failed(resource, sentence))
    counted = {name_of(pod) for pod in pods if _counts(pod, resource)}
    found: dict[str, Decimal] = {}
    for entry in measured:
        if name_of(entry) in counted:
            figures = (parse_quantity(each["usage"].get(resource, 0)) for each in entry["containers"])
            found[name_of(entry)] = sum(figures, Decimal(0))
    if not found:
        sentence = "did not receive metrics for targeted pods (pods might be unready)"
        raise NoFigureError("FailedGetResourceMetric", _failed(resource, sentence))
    return found


def _counts(pod: Object, resource: str) -> bool:
    """Say whether a pod's figure tells of its load: a start costs processors, so these count once it is ready."""
    return is_ready(pod) if resource == "cpu" else (pod.get("status") or {}).get("phase") != "Pending"


def _request(pod: Object, resource: str) -> Decimal:
    total = Decimal(0)
    for container in containers_of(pod):
        amounts = amounts_of(container, REQUESTS)
        if resource not in amounts:
            sentence = f"missing request for {resource} in container {container['name']} of Pod {name_of(pod)}"
            raise NoFigureError("FailedGetResourceMetric", _failed(resource, sentence))
        total += amounts[resource]
    return total


def _failed(resource: str, sentence: str) -> str:
    return f"failed to get {resource} utilization: {sentence}"
