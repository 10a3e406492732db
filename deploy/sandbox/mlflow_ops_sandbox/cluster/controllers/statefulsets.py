"""The StatefulSet controller: numbered pods, started in their order, ended and updated from the last to the first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.identifiers import template_hash
from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    is_ready,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.ownership import begin_deletion, has_ended, is_active, new_pod, owned_pods
from mlflow_ops_sandbox.cluster.api.resources import PODS, STATEFUL_SETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.api.volumes import provision
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.controllers.lag import Lag
from mlflow_ops_sandbox.cluster.controllers.pods import FAILED, is_of_ending_namespace
from mlflow_ops_sandbox.cluster.controllers.retries import Retries

_COMPONENT = "statefulset-controller"
_REVISION = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class StatefulSetController:
    """Keeps the pods of all StatefulSets."""

    store: Store
    events: Recorder
    clock: Clock
    admission: Admission
    lag: Lag
    retries: Retries

    def reconcile(self) -> None:
        """Take the next step of every StatefulSet, then write its status."""
        items = self.store.all(STATEFUL_SETS)
        for item in items:
            if not self.lag.has_seen(item):
                continue
            if not is_terminating(item):
                self._step(item)
            status = self._status(item)
            namespace, name = namespace_of(item), name_of(item)
            self.store.update(STATEFUL_SETS, namespace, name, partial(_set_status, status))
        uids = {uid_of(item) for item in items}
        self.lag.end_round(uids)
        self.retries.end_round(uids)

    def _step(self, item: Object) -> None:
        pods = {_ordinal(pod): pod for pod in owned_pods(self.store, item)}
        in_order = item["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        replicas = int(item["spec"].get("replicas", 1))
        for ordinal in range(replicas):
            pod = pods.get(ordinal)
            if pod is None:
                self._create(item, ordinal)
            elif has_ended(pod):
                self._delete(item, pod)
            if in_order and (pod is None or not _serves(pod)):
                return
        surplus = [pods[ordinal] for ordinal in sorted(pods, reverse=True) if ordinal >= replicas]
        if surplus:
            self._delete(item, surplus[0])
            return
        self._update(item, pods, replicas)

    def _update(self, item: Object, pods: dict[int, Object], replicas: int) -> None:
        """End the last pod that is of an older template; the next only once it serves again."""
        strategy = item["spec"].get("updateStrategy") or {}
        if strategy.get("type", "RollingUpdate") != "RollingUpdate":
            return
        partition = int((strategy.get("rollingUpdate") or {}).get("partition", 0))
        for ordinal in range(replicas - 1, partition - 1, -1):
            pod = pods.get(ordinal)
            if pod is None:
                return
            if labels_of(pod).get(_REVISION) != revision_of(item):
                self._delete(item, pod)
                return
            if not _serves(pod):
                return

    def _create(self, item: Object, ordinal: int) -> None:
        name = f"{name_of(item)}-{ordinal}"
        pods = owned_pods(self.store, item)
        if self.store.find(PODS, namespace_of(item), name) is not None or not self.retries.may_try(item, pods):
            return
        volumes: list[Object] = []
        for template in item["spec"].get("volumeClaimTemplates") or ():
            claim = f"{template['metadata']['name']}-{name}"
            provision(self.store, item, template, claim)
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        labels = {
            "apps.kubernetes.io/pod-index": str(ordinal),
            _REVISION: revision_of(item),
            "statefulset.kubernetes.io/pod-name": name,
        }
        metadata: Object = {
            "name": name,
            "generateName": f"{name_of(item)}-",
            "namespace": namespace_of(item),
            "labels": labels,
        }
        owner = owner_reference("apps/v1", "StatefulSet", item)
        try:
            self.admission.make_pod(new_pod(item["spec"]["template"], metadata, owner, *volumes))
        except ApiError as refusal:
            self.retries.failed(item, pods)
            if not is_of_ending_namespace(refusal):
                message = f"create Pod {name} in StatefulSet {name_of(item)} failed error: {refusal.message}"
                self.events.controller(item, STATEFUL_SETS, _COMPONENT, Happening(FAILED, message, warning=True))
            return
        self.retries.succeeded(item)
        self._tell(item, "SuccessfulCreate", f"create Pod {name} in StatefulSet {name_of(item)} successful")

    def _delete(self, item: Object, pod: Object) -> None:
        if is_terminating(pod):
            return
        begin_deletion(self.store, pod, self.clock())
        message = f"delete Pod {name_of(pod)} in StatefulSet {name_of(item)} successful"
        self._tell(item, "SuccessfulDelete", message)

    def _tell(self, item: Object, reason: str, message: str) -> None:
        self.events.controller(item, STATEFUL_SETS, _COMPONENT, Happening(reason, message))

    def _status(self, item: Object) -> Object:
        pods = [pod for pod in owned_pods(self.store, item) if is_active(pod)]
        newest = revision_of(item)
        ready, updated = (sum(map(is_ready, pods)), sum(labels_of(pod).get(_REVISION) == newest for pod in pods))
        older = [labels_of(pod).get(_REVISION) for pod in pods if labels_of(pod).get(_REVISION) != newest]
        current = older[0] if older else newest
        counts = {
            "readyReplicas": ready,
            "currentReplicas": len(older) if older else updated,
            "updatedReplicas": updated,
        }
        return {
            "observedGeneration": item["metadata"]["generation"],
            "replicas": len(pods),
            **{key: count for key, count in counts.items() if count},
            "currentRevision": current,
            "updateRevision": newest,
            "collisionCount": 0,
            "availableReplicas": ready,
        }


def _set_status(status: Object, item: Object) -> None:
    item["status"] = status


def revision_of(item: Object) -> str:
    """Return the name of the revision that the StatefulSet's template is."""
    return f"{name_of(item)}-{template_hash(item['spec']['template'])}"


def _ordinal(pod: Object) -> int:
    number = name_of(pod).rpartition("-")[2]
    return int(number) if number.isdigit() else -1


def _serves(pod: Object) -> bool:
    return is_ready(pod) and is_active(pod)
