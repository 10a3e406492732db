"""Trouble in the cluster's objects, as somebody would have brought it about: a rollout that is stuck, a full quota.

Nothing is remembered here: what is broken is read from the objects, so it outlives a restart, and it is healed as well
where somebody else healed it. A rollout that was stuck and is another by now is left alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, labels_of, namespace_of
from mlflow_ops_sandbox.cluster.api.ownership import TEMPLATE_HASH, replica_sets_of
from mlflow_ops_sandbox.cluster.api.quantities import amount_text
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, RESOURCE_QUOTAS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.admission.quotas import used_of

DEPLOYMENT = "mlflow"
QUOTA = "team"
_MARK = "sandbox-trouble"
STUCK_IMAGE = "ghcr.io/mlflow/mlflow:v0.0.0-missing"
_DEADLINE = "progressDeadlineSeconds"
_STUCK_SECONDS, _USUAL_SECONDS = 5, 600


@dataclass(frozen=True, slots=True)
class Troubles:
    """Makes and heals them in one namespace."""

    store: Store
    clock: Clock
    namespace: str

    def is_stuck(self) -> bool:
        """Say whether MLflow's Deployment is on its way to an image that nobody has."""
        item = self.store.find(DEPLOYMENTS, self.namespace, DEPLOYMENT)
        return item is not None and _image(item) == STUCK_IMAGE

    def stick(self) -> None:
        """Begin a rollout that can only run into its deadline, and soon. Raises ApiError 404."""

        def change(item: Object) -> None:
            containers_of(item["spec"]["template"])[0]["image"] = STUCK_IMAGE
            item["spec"][_DEADLINE] = _STUCK_SECONDS

        self.store.update(DEPLOYMENTS, self.namespace, DEPLOYMENT, change)

    def unstick(self) -> None:
        """Go back to the last template with another image, and to the usual deadline."""
        item = self.store.find(DEPLOYMENTS, self.namespace, DEPLOYMENT)
        if item is None or (_image(item) != STUCK_IMAGE and item["spec"].get(_DEADLINE) != _STUCK_SECONDS):
            return
        others = [entry for entry in replica_sets_of(self.store, item) if _image(entry) != STUCK_IMAGE]

        def change(kept: Object) -> None:
            kept["spec"][_DEADLINE] = _USUAL_SECONDS
            if _image(kept) == STUCK_IMAGE and others:
                kept["spec"]["template"] = _template(others[-1])

        self.store.update(DEPLOYMENTS, namespace_of(item), DEPLOYMENT, change)

    def is_full(self) -> bool:
        """Say whether the quota is there that ``fill`` makes."""
        item = self.store.find(RESOURCE_QUOTAS, self.namespace, QUOTA)
        return item is not None and _MARK in labels_of(item)

    def fill(self) -> None:
        """Make a quota that allows exactly the pods that there are. Raises ApiError 409 where one has its name."""
        if self.is_full():
            return
        metadata = {"name": QUOTA, "namespace": self.namespace, "labels": {_MARK: "full"}}
        quota: Object = {"metadata": metadata, "spec": {}, "status": {}}
        used = used_of(self.store, quota, ["pods"], self.clock())
        quota["spec"]["hard"] = {"pods": amount_text("pods", used["pods"])}
        self.store.create(RESOURCE_QUOTAS, quota)

    def free(self) -> None:
        """Take the quota away."""
        if self.is_full():
            self.store.delete(RESOURCE_QUOTAS, self.namespace, QUOTA)


def _image(item: Object) -> str:
    return str(containers_of(item["spec"]["template"])[0]["image"])


def _template(replica_set: Object) -> Object:
    template: Object = copy.deepcopy(replica_set["spec"]["template"])
    template["metadata"]["labels"].pop(TEMPLATE_HASH, None)
    return template
