"""Resource quotas: how much of each a namespace uses, as admission counts it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.quantities import amount_text
from mlflow_ops_sandbox.cluster.api.resources import RESOURCE_QUOTAS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock
from mlflow_ops_sandbox.cluster.apiserver.admission.quotas import used_of


@dataclass(frozen=True, slots=True)
class Quotas:
    """Keeps the statuses of quotas in step with what there is."""

    store: Store
    clock: Clock

    def reconcile(self) -> None:
        """Bring everything in step; writes only what differs."""
        for item in self.store.all(RESOURCE_QUOTAS):
            hard = item["spec"].get("hard") or {}
            used = used_of(self.store, item, list(hard), self.clock())
            status = {"hard": dict(hard), "used": {name: amount_text(name, used[name]) for name in hard}}
            self.store.update(RESOURCE_QUOTAS, namespace_of(item), name_of(item), partial(_set_status, status))


def _set_status(status: Object, item: Object) -> None:
    item["status"] = status
