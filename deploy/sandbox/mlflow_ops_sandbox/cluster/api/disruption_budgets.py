"""Disruption budgets: how many pods may be taken away now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from mlflow_ops_sandbox.cluster.api.label_selectors import matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    controller_of,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.proportions import scaled
from mlflow_ops_sandbox.cluster.api.resources import POD_DISRUPTION_BUDGETS, PODS, resource_of_kind
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339


@dataclass(frozen=True, slots=True)
class DisruptionBudgets:
    """Keeps the statuses of disruption budgets in step with the pods."""

    store: Store
    clock: Clock

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs."""
        for item in self.store.all(POD_DISRUPTION_BUDGETS):
            namespace, name = namespace_of(item), name_of(item)
            status = budget_status(self.store, item, self.clock())
            self.store.update(POD_DISRUPTION_BUDGETS, namespace, name, partial(_set_status, status))


def _set_status(status: Object, item: Object) -> None:
    item["status"] = status


def budget_status(store: Store, item: Object, now: datetime) -> Object:
    """Return the status of a PodDisruptionBudget, from the pods as they are now.

    A share, or a number that may be away, is of the pods that there should be, and not of those that there are: in a
    rollout the new ones beside the old make no more room.
    Source: pkg/controller/disruption/disruption.go of Kubernetes.
    """
    selector = selector_of(item["spec"].get("selector"))
    pods = [pod for pod in store.all(PODS, namespace_of(item)) if matches(selector, labels_of(pod))]
    healthy = sum(is_ready(pod) and not is_terminating(pod) for pod in pods)
    least, most_away = item["spec"].get("minAvailable"), item["spec"].get("maxUnavailable")
    expected = _expected(store, pods) if most_away is not None or isinstance(least, str) else len(pods)
    desired = scaled(least, expected, rounded_up=True)
    if most_away is not None:
        desired = max(expected - scaled(most_away, expected, rounded_up=True), 0)
    allowed = max(healthy - desired, 0) if expected else 0
    reason, value = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
    before = condition_of(item, "DisruptionAllowed") or {}
    since = before["lastTransitionTime"] if before.get("status") == value else to_rfc3339(now)
    generation = item["metadata"]["generation"]
    return {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "conditions": [
            {
                "type": "DisruptionAllowed",
                "status": value,
                "observedGeneration": generation,
                "lastTransitionTime": since,
                "reason": reason,
                "message": "",
            }
        ],
    }


def _expected(store: Store, pods: list[Object]) -> int:
    """Return how many pods the owners of these want; one without an owner counts for itself."""
    wanted: dict[str, int] = {}
    for pod in pods:
        item = pod
        while (owner := _owner(store, item)) is not None:
            item = owner
        wanted[uid_of(item)] = 1 if item is pod else int(item["spec"].get("replicas", 1))
    return sum(wanted.values())


def _owner(store: Store, item: Object) -> Object | None:
    reference = controller_of(item) or {}
    resource = resource_of_kind(str(reference.get("apiVersion", "")).rpartition("/")[0], str(reference.get("kind", "")))
    if resource is None or resource.subresource("scale") is None:
        return None
    found = store.find(resource, namespace_of(item), str(reference["name"]))
    return found if found is not None and uid_of(found) == reference["uid"] else None
