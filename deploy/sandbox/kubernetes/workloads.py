"""The status of what owns pods: Deployments, ReplicaSets, StatefulSets, disruption budgets.

Counts come from the pods, conditions from the counts; a condition keeps its times while it does not change.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploy.sandbox.kubernetes.identifiers import template_hash
from deploy.sandbox.kubernetes.label_selectors import matches, selector_of
from deploy.sandbox.kubernetes.objects import (
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
from deploy.sandbox.kubernetes.resources import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from deploy.sandbox.kubernetes.store import Store
from deploy.sandbox.kubernetes.times import Clock, to_rfc3339


@dataclass(frozen=True, slots=True)
class Counts:
    """How many pods are in which state."""

    replicas: int
    ready: int
    terminating: int


@dataclass(frozen=True, slots=True)
class WorkloadStatus:
    """Keeps these statuses in step with the pods."""

    store: Store
    clock: Clock

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs."""
        for item in self.store.all(REPLICA_SETS):
            self._write(REPLICA_SETS, item, self._replica_set(item))
        for item in self.store.all(DEPLOYMENTS):
            self._write(DEPLOYMENTS, item, self._deployment(item))
        for item in self.store.all(STATEFUL_SETS):
            self._write(STATEFUL_SETS, item, self._stateful_set(item))
        for item in self.store.all(POD_DISRUPTION_BUDGETS):
            self._write(POD_DISRUPTION_BUDGETS, item, self._disruption_budget(item))

    def owned_pods(self, owner: Object) -> list[Object]:
        """Return the pods whose controller this is."""
        return [
            pod
            for pod in self.store.all(PODS, namespace_of(owner))
            if (controller_of(pod) or {}).get("uid") == uid_of(owner)
        ]

    def replica_sets_of(self, deployment: Object) -> list[Object]:
        """Return the ReplicaSets whose controller this is, the newest revision last."""
        owned = [
            item
            for item in self.store.all(REPLICA_SETS, namespace_of(deployment))
            if (controller_of(item) or {}).get("uid") == uid_of(deployment)
        ]
        return sorted(owned, key=lambda item: int(_annotation(item, "deployment.kubernetes.io/revision") or 0))

    def _counts(self, owner: Object) -> Counts:
        pods = self.owned_pods(owner)
        alive = [pod for pod in pods if not is_terminating(pod)]
        return Counts(len(alive), sum(is_ready(pod) for pod in alive), len(pods) - len(alive))

    def _write(self, resource: Resource, item: Object, status: Object) -> None:
        self.store.update(resource, namespace_of(item), name_of(item), lambda copy: copy.update(status=status))

    def _replica_set(self, item: Object) -> Object:
        counts = self._counts(item)
        status: Object = {"replicas": counts.replicas}
        status |= _unless_zero(
            fullyLabeledReplicas=counts.replicas, readyReplicas=counts.ready, availableReplicas=counts.ready
        )
        return {
            **status,
            "terminatingReplicas": counts.terminating,
            "observedGeneration": item["metadata"]["generation"],
        }

    def _deployment(self, item: Object) -> Object:
        sets = self.replica_sets_of(item)
        counts = [self._counts(entry) for entry in sets]
        replicas = sum(entry.replicas for entry in counts)
        ready = sum(entry.ready for entry in counts)
        updated = counts[-1].replicas if counts else 0
        wanted = item["spec"]["replicas"]
        status: Object = {"observedGeneration": item["metadata"]["generation"]}
        status |= _unless_zero(
            replicas=replicas,
            updatedReplicas=updated,
            readyReplicas=ready,
            availableReplicas=ready,
            unavailableReplicas=max(max(replicas, wanted) - ready, 0),
        )
        status["terminatingReplicas"] = sum(entry.terminating for entry in counts)
        complete = bool(sets) and updated == replicas == ready == wanted
        status["conditions"] = [self._available(item, ready), self._progressing(item, sets, complete=complete)]
        return status

    def _available(self, item: Object, ready: int) -> Object:
        least = item["spec"]["replicas"] - _unavailable_allowed(item)
        if ready >= least:
            message = "Deployment has minimum availability."
            return self._condition(item, "Available", "True", "MinimumReplicasAvailable", message)
        message = "Deployment does not have minimum availability."
        return self._condition(item, "Available", "False", "MinimumReplicasUnavailable", message)

    def _progressing(self, item: Object, sets: list[Object], *, complete: bool) -> Object:
        newest = name_of(sets[-1]) if sets else ""
        done = f'ReplicaSet "{newest}" has successfully progressed.'
        # A rollout that has completed stays so, whatever becomes of its pods later.
        if complete or (condition_of(item, "Progressing") or {}).get("message") == done:
            return self._condition(item, "Progressing", "True", "NewReplicaSetAvailable", done)
        message = f'ReplicaSet "{newest}" is progressing.'
        return self._condition(item, "Progressing", "True", "ReplicaSetUpdated", message)

    def _condition(self, item: Object, kind: str, value: str, reason: str, message: str) -> Object:
        before = condition_of(item, kind) or {}
        now = to_rfc3339(self.clock())
        if (before.get("status"), before.get("reason"), before.get("message")) == (value, reason, message):
            return before
        changed = before.get("status") != value
        return {
            "type": kind,
            "status": value,
            "lastUpdateTime": now,
            "lastTransitionTime": now if changed else before["lastTransitionTime"],
            "reason": reason,
            "message": message,
        }

    def _stateful_set(self, item: Object) -> Object:
        counts = self._counts(item)
        revision = f"{name_of(item)}-{template_hash(item['spec']['template'])}"
        status: Object = {"observedGeneration": item["metadata"]["generation"], "replicas": counts.replicas}
        status |= _unless_zero(
            readyReplicas=counts.ready, currentReplicas=counts.replicas, updatedReplicas=counts.replicas
        )
        status |= {"currentRevision": revision, "updateRevision": revision, "collisionCount": 0}
        return {**status, "availableReplicas": counts.ready}

    def _disruption_budget(self, item: Object) -> Object:
        selector = selector_of(item["spec"].get("selector"))
        pods = [
            pod
            for pod in self.store.all(PODS, namespace_of(item))
            if matches(selector, labels_of(pod)) and not is_terminating(pod)
        ]
        healthy = sum(is_ready(pod) for pod in pods)
        desired = _scaled(item["spec"].get("minAvailable"), len(pods), rounded_up=True)
        if item["spec"].get("maxUnavailable") is not None:
            desired = max(len(pods) - _scaled(item["spec"]["maxUnavailable"], len(pods), rounded_up=True), 0)
        allowed = max(healthy - desired, 0)
        reason, value = ("SufficientPods", "True") if allowed else ("InsufficientPods", "False")
        before = condition_of(item, "DisruptionAllowed") or {}
        since = before["lastTransitionTime"] if before.get("status") == value else to_rfc3339(self.clock())
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


def _unless_zero(**counts: int) -> Object:
    return {name: count for name, count in counts.items() if count}


def _annotation(item: Object, key: str) -> str:
    return str((item["metadata"].get("annotations") or {}).get(key, ""))


def _scaled(value: int | str | None, total: int, *, rounded_up: bool) -> int:
    """Return a number of pods that may be written as a percentage."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * total / 100
    return math.ceil(exact) if rounded_up else math.floor(exact)


def _unavailable_allowed(deployment: Object) -> int:
    """Return maxUnavailable in pods; where both it and maxSurge come to 0, it is 1."""
    spec = deployment["spec"]
    rolling = spec["strategy"].get("rollingUpdate")
    if not rolling:
        return 0
    replicas = int(spec["replicas"])
    unavailable = _scaled(rolling.get("maxUnavailable"), replicas, rounded_up=False)
    surge = _scaled(rolling.get("maxSurge"), replicas, rounded_up=True)
    return max(unavailable, 0 if surge else 1)
