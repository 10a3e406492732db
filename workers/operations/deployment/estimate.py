"""How long a rollout takes, as the pods that run tell: from their creation until they were ready, times the turns."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from workers.systems.cluster.fields import Fields
from workers.systems.cluster.quantities import share

if TYPE_CHECKING:
    from workers.systems import Systems


def startup_seconds(systems: Systems) -> float | None:
    """How long a pod of MLflow takes until it is ready; None where none is."""
    times = []
    for pod in systems.cluster.pods(systems.settings.ops.kubernetes.selector):
        fields = Fields(pod, "pod")
        made = fields.moment("metadata", "creationTimestamp")
        for condition in fields.each("status", "conditions"):
            ready = condition.moment("lastTransitionTime")
            if condition.text("type") == "Ready" and condition.text("status") == "True" and made and ready:
                times.append((ready - made).total_seconds())
    return max(1.0, statistics.median(times)) if times else None


def rollout_seconds(systems: Systems, deployment: dict[str, Any]) -> float | None:
    """How long it takes until every pod is a new one; None where no pod is there to tell."""
    one = startup_seconds(systems)
    fields = Fields(deployment, "Deployment")
    replicas = fields.number("spec", "replicas", default=1)
    if one is None or replicas == 0:
        return one
    surge, gone = allowances(deployment)
    return one * math.ceil(replicas / max(1, min(replicas, surge + gone)))


def allowances(deployment: dict[str, Any]) -> tuple[int, int]:
    """How many pods a rollout may have beside those that are wanted, and how many may be gone meanwhile
    (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment).
    """
    spec = deployment["spec"]
    replicas = Fields(deployment, "Deployment").number("spec", "replicas", default=1)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, replicas
    rolling = strategy.get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), replicas, up=True)
    gone = share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    return surge, gone if surge or gone else 1
