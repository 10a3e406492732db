"""The ReplicaSet controller: as many pods as wanted, no more and no fewer, and the figures of its status."""

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
)
from mlflow_ops_sandbox.cluster.api.ownership import begin_deletion, create_pod, is_active, is_available, owned_pods
from mlflow_ops_sandbox.cluster.api.resources import REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339

_COMPONENT = "replicaset-controller"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class ReplicaSetController:
    """Keeps the pods of all ReplicaSets."""

    store: Store
    events: Recorder
    clock: Clock

    def reconcile(self) -> None:
        """Create and delete pods as needed, then write the statuses."""
        for item in self.store.all(REPLICA_SETS):
            if not is_terminating(item):
                self._scale(item)
            self._write_status(item)

    def _scale(self, item: Object) -> None:
        pods = [pod for pod in owned_pods(self.store, item) if is_active(pod)]
        missing = int(item["spec"].get("replicas", 1)) - len(pods)
        owner = owner_reference("apps/v1", "ReplicaSet", item)
        for _ in range(missing):
            metadata: Object = {"generateName": f"{name_of(item)}-", "namespace": namespace_of(item)}
            pod = create_pod(self.store, item["spec"]["template"], metadata, owner)
            self._tell(item, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        if missing < 0:
            for pod in sorted(pods, key=_rank)[:-missing]:
                begin_deletion(self.store, pod, self.clock())
                self._tell(item, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def _tell(self, item: Object, reason: str, message: str) -> None:
        self.events.controller(item, REPLICA_SETS, _COMPONENT, Happening(reason, message))

    def _write_status(self, item: Object) -> None:
        status = replica_set_status(item, owned_pods(self.store, item), self.clock())
        namespace, name = namespace_of(item), name_of(item)
        self.store.update(REPLICA_SETS, namespace, name, lambda copy: copy.update(status=status))


def replica_set_status(item: Object, pods: list[Object], now: datetime) -> Object:
    """Return the status of a ReplicaSet that owns these pods."""
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
