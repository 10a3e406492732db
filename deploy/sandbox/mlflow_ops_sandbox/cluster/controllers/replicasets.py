"""The ReplicaSet controller: as many pods as wanted, no more and no fewer, and the figures of its status.

A pod that is refused leaves the condition ReplicaFailure, whose words are those of the first refusal, however many
follow and for whatever reason; it goes once all pods are there.
Source: pkg/controller/replicaset/replica_set.go and replica_set_utils.go of Kubernetes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.label_selectors import matches, selector_of
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    condition_of,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.ownership import begin_deletion, is_active, is_available, owned_pods
from mlflow_ops_sandbox.cluster.api.resources import REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339, to_rfc3339
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.controllers.pods import FAILED, PodMaker
from mlflow_ops_sandbox.cluster.controllers.retries import Retries

FAILURE = "ReplicaFailure"
_COMPONENT = "replicaset-controller"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class ReplicaSetController:
    """Keeps the pods of all ReplicaSets."""

    store: Store
    events: Recorder
    clock: Clock
    admission: Admission
    retries: Retries

    def reconcile(self) -> None:
        """Create and delete pods as needed, then write the statuses."""
        items = self.store.all(REPLICA_SETS)
        for item in items:
            conditions = (item.get("status") or {}).get("conditions") or []
            pods = owned_pods(self.store, item)
            if not is_terminating(item) and self.retries.may_try(item, pods):
                refusal = self._scale(item, pods)
                if refusal is None:
                    self.retries.succeeded(item)
                else:
                    self.retries.failed(item, owned_pods(self.store, item))
                conditions = _conditions(conditions, refusal, self.clock())
            self._write_status(item, conditions)
        self.retries.end_round({uid_of(item) for item in items})

    def _scale(self, item: Object, owned: list[Object]) -> ApiError | None:
        pods = [pod for pod in owned if is_active(pod)]
        missing = int(item["spec"].get("replicas", 1)) - len(pods)
        if missing < 0:
            for pod in sorted(pods, key=_rank)[:-missing]:
                begin_deletion(self.store, pod, self.clock())
                happening = Happening("SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
                self.events.controller(item, REPLICA_SETS, _COMPONENT, happening)
            return None
        metadata: Object = {"generateName": f"{name_of(item)}-", "namespace": namespace_of(item)}
        maker = PodMaker(self.admission, self.events, _COMPONENT, REPLICA_SETS)
        return maker.make(item, missing, lambda: dict(metadata), owner_reference("apps/v1", "ReplicaSet", item))

    def _write_status(self, item: Object, conditions: list[Object]) -> None:
        status = replica_set_status(item, owned_pods(self.store, item), self.clock())
        if conditions:
            status["conditions"] = conditions
        namespace, name = namespace_of(item), name_of(item)
        self.store.update(REPLICA_SETS, namespace, name, lambda copy: copy.update(status=status))


def _conditions(before: list[Object], refusal: ApiError | None, now: datetime) -> list[Object]:
    """Return the conditions after a round in which pods were refused, or none was."""
    if refusal is None:
        return [entry for entry in before if entry["type"] != FAILURE]
    if any(entry["type"] == FAILURE for entry in before):
        return before
    stamp = to_rfc3339(now)
    failure: Object = {"type": FAILURE, "status": "True", "lastTransitionTime": stamp, "reason": FAILED}
    return [*before, {**failure, "message": refusal.message}]


def replica_set_status(item: Object, pods: list[Object], now: datetime) -> Object:
    """Return the status of a ReplicaSet that owns these pods, without its conditions."""
    active = [pod for pod in pods if is_active(pod)]
    labels = selector_of({"matchLabels": (item["spec"]["template"].get("metadata") or {}).get("labels") or {}})
    patience = int(item["spec"].get("minReadySeconds", 0))
    counts = {
        "fullyLabeledReplicas": sum(matches(labels, labels_of(pod)) for pod in active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(is_available(pod, patience, now) for pod in active),
    }
    return {
        "replicas": len(active),
        **{key: count for key, count in counts.items() if count},
        "terminatingReplicas": sum(is_terminating(pod) for pod in pods),
        "observedGeneration": item["metadata"]["generation"],
    }


def _rank(pod: Object) -> tuple[bool, int, bool, float, int, float]:
    """Return the place of a pod in the order of deletion: who serves least, and is youngest, goes first."""
    status = pod.get("status") or {}
    ready = condition_of(pod, "Ready") or {}
    restarts = max((entry["restartCount"] for entry in status.get("containerStatuses") or ()), default=0)
    return (
        bool(pod["spec"].get("nodeName")),
        _PHASES.get(status.get("phase", ""), 0),
        is_ready(pod),
        -from_rfc3339(ready["lastTransitionTime"]).timestamp() if is_ready(pod) else 0.0,
        -restarts,
        -from_rfc3339(pod["metadata"]["creationTimestamp"]).timestamp(),
    )
