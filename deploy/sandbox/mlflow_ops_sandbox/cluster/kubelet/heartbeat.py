"""The sign of life of the node: its lease, and the times of its conditions."""

from __future__ import annotations

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.resources import LEASES, NODES
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_micro_time, to_rfc3339

LEASE_NAMESPACE = "kube-node-lease"
RENEW_SECONDS = 10.0
STATUS_SECONDS = 300.0
_LEASE_SECONDS = 40


class Heartbeat:
    """Renews the lease often, and the conditions' times seldom, as a kubelet does."""

    def __init__(self, store: Store, clock: Clock, node: str) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._since_status = STATUS_SECONDS

    def beat(self) -> None:
        """Give one sign of life; to be called every RENEW_SECONDS."""
        now = self._clock()
        spec: Object = {
            "holderIdentity": self._node,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": to_micro_time(now),
        }
        if self._store.find(LEASES, LEASE_NAMESPACE, self._node) is None:
            metadata = {"name": self._node, "namespace": LEASE_NAMESPACE}
            self._store.create(LEASES, {"metadata": metadata, "spec": spec})
        else:
            self._store.update(LEASES, LEASE_NAMESPACE, self._node, lambda item: item.update(spec=spec))
        self._since_status += RENEW_SECONDS
        if self._since_status < STATUS_SECONDS or self._store.find(NODES, "", self._node) is None:
            return
        self._since_status = 0.0

        def refresh(item: Object) -> None:
            for condition in item["status"]["conditions"]:
                condition["lastHeartbeatTime"] = to_rfc3339(now)

        self._store.update(NODES, "", self._node, refresh)
