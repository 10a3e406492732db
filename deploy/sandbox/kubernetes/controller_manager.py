"""All controllers, in the order in which each relies on the one before."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from deploy.sandbox.kubernetes.cert_manager import CertificateController
from deploy.sandbox.kubernetes.deployments import DeploymentController
from deploy.sandbox.kubernetes.endpoints import EndpointsController
from deploy.sandbox.kubernetes.events import Recorder
from deploy.sandbox.kubernetes.jobs import JobController
from deploy.sandbox.kubernetes.pace import Pace
from deploy.sandbox.kubernetes.quotas import Quotas
from deploy.sandbox.kubernetes.replicasets import ReplicaSetController
from deploy.sandbox.kubernetes.statefulsets import StatefulSetController
from deploy.sandbox.kubernetes.store import Store
from deploy.sandbox.kubernetes.times import Clock
from deploy.sandbox.kubernetes.workloads import DisruptionBudgets

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
