"""All controllers, in the order in which each relies on the one before."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.disruption_budgets import DisruptionBudgets
from mlflow_ops_sandbox.cluster.api.events import Recorder
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.controllers.cert_manager import CertificateController
from mlflow_ops_sandbox.cluster.controllers.deployments import DeploymentController
from mlflow_ops_sandbox.cluster.controllers.endpoints import EndpointsController
from mlflow_ops_sandbox.cluster.controllers.jobs import JobController
from mlflow_ops_sandbox.cluster.controllers.quotas import Quotas
from mlflow_ops_sandbox.cluster.controllers.replicasets import ReplicaSetController
from mlflow_ops_sandbox.cluster.controllers.statefulsets import StatefulSetController
from mlflow_ops_sandbox.cluster.kubelet.pace import Pace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ControllerManager:
    """Runs them, one step each."""

    store: Store
    events: Recorder
    clock: Clock
    pace: Pace

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs. What one controller stumbles over stops no other."""
        told = (self.store, self.events, self.clock)
        steps = (
            DeploymentController(*told).reconcile,
            ReplicaSetController(*told).reconcile,
            JobController(*told, self.pace.job_back_off).reconcile,
            StatefulSetController(*told).reconcile,
            DisruptionBudgets(self.store, self.clock).reconcile,
            Quotas(self.store).reconcile,
            EndpointsController(self.store, self.clock).reconcile,
            CertificateController(*told).reconcile,
        )
        for step in steps:
            try:
                step()
            except Exception:  # noqa: BLE001 - whatever it is, the rest of the cluster goes on
                _log.exception("a controller could not finish its round")
