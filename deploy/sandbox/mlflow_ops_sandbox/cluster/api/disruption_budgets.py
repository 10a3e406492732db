"""Disruption budgets: how many pods may be taken away now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from mlflow_ops_sandbox.cluster.api.label_selectors import matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
)
from mlflow_ops_sandbox.cluster.api.proportions import scaled
from mlflow_ops_sandbox.cluster.api.resources import POD_DISRUPTION_BUDGETS, PODS
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
    """Return the status of a PodDisruptionBudget, from the pods as they are now."""
    selector = selector_of(item["spec"].get("selector"))
    pods = [
        pod
        for pod in store.all(PODS, namespace_of(item))
        if matches(selector, labels_of(pod)) and not is_terminating(pod)
    ]
    healthy = sum(is_ready(pod) for pod in pods)
    desired = scaled(item["spec"].get("minAvailable"), len(pods), rounded_up=True)
    if item["spec"].get("maxUnavailable") is not None:
        desired = max(len(pods) - scaled(item["spec"]["maxUnavailable"], len(pods), rounded_up=True), 0)
    allowed = max(healthy - desired, 0)
    reason, value = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
    before = condition_of(item, "DisruptionAllowed") or {}
    since = before["lastTransitionTime"] if before.get("status") == value else to_rfc3339(now)
    generation = item["metadata"]["generation"]
    return {
        "observedGeneration": generation,
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": len(pods),
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
