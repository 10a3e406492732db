"""All controllers, in the order in which each relies on the one before."""

from __future__ import annotations

import logging

from mlflow_ops_sandbox.cluster.api.disruption_budgets import DisruptionBudgets
from mlflow_ops_sandbox.cluster.api.events import Recorder
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.controllers.autoscalers import AutoscalerController, Measure
from mlflow_ops_sandbox.cluster.controllers.cert_manager import CertificateController
from mlflow_ops_sandbox.cluster.controllers.deployments import DeploymentController
from mlflow_ops_sandbox.cluster.controllers.endpoints import EndpointsController
from mlflow_ops_sandbox.cluster.controllers.jobs import JobController
from mlflow_ops_sandbox.cluster.controllers.lag import Lag
from mlflow_ops_sandbox.cluster.controllers.quotas import Quotas
from mlflow_ops_sandbox.cluster.controllers.replicasets import ReplicaSetController
from mlflow_ops_sandbox.cluster.controllers.retries import Retries
from mlflow_ops_sandbox.cluster.controllers.statefulsets import StatefulSetController
from mlflow_ops_sandbox.cluster.kubelet.pace import Pace

_log = logging.getLogger(__name__)


class ControllerManager:
    """Runs them, one step each."""

    def __init__(self, events: Recorder, admission: Admission, pace: Pace, measure: Measure) -> None:
        store, clock = admission.store, admission.clock
        told = (store, events, clock)
        self._clock: Clock = clock
        self.usual_lag = pace.sync
        self._lags = tuple(Lag(clock, pace.sync, pace.seed) for _ in range(2))
        self._retries = tuple(Retries(clock, pace.retry) for _ in range(4))
        self._autoscalers = AutoscalerController(*told, measure, pace.autoscale, pace.downscale)
        self._steps = (
            self._autoscalers.reconcile,
            DeploymentController(*told, admission, self._lags[0], self._retries[3]).reconcile,
            ReplicaSetController(*told, admission, self._retries[0]).reconcile,
            JobController(*told, admission, self._retries[1], pace.job_back_off).reconcile,
            StatefulSetController(*told, admission, self._lags[1], self._retries[2]).reconcile,
            DisruptionBudgets(store, clock).reconcile,
            Quotas(store, clock).reconcile,
            EndpointsController(store, clock).reconcile,
            CertificateController(*told).reconcile,
        )

    @property
    def lag(self) -> float:
        """Return how long it takes at most until a changed spec is seen, in seconds."""
        return self._lags[0].seconds

    @lag.setter
    def lag(self, seconds: float) -> None:
        for each in self._lags:
            each.seconds = seconds

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs. What one controller stumbles over stops no other."""
        for step in self._steps:
            try:
                step()
            except Exception:  # noqa: BLE001 - whatever it is, the rest of the cluster goes on
                _log.exception("a controller could not finish its round")

    def seconds_until_due(self) -> float | None:
        """Return how long until something is to be done though nothing is written; None where nothing is.

        What has been due already is none of it: it was looked at in the last round, and was not for now.
        """
        now = self._clock()
        moments = self._autoscalers.moments()
        moments += [moment for lag in self._lags for moment in lag.moments()]
        moments += [moment for retries in self._retries for moment in retries.moments()]
        due = min((moment for moment in moments if moment > now), default=None)
        return None if due is None else (due - now).total_seconds()
