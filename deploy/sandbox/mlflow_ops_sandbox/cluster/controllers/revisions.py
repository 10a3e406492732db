"""The ReplicaSet of a Deployment's template: found again or made, and numbered with its revision."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_ops_sandbox.cluster.api.identifiers import template_hash
from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of, owner_reference
from mlflow_ops_sandbox.cluster.api.ownership import REVISION, TEMPLATE_HASH, annotation_of, revision_of
from mlflow_ops_sandbox.cluster.api.proportions import is_rolling, surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, REPLICA_SETS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX = "deployment.kubernetes.io/max-replicas"
_HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_PASSED_ON = frozenset({"kubectl.kubernetes.io/last-applied-configuration", REVISION, _HISTORY, DESIRED, MAX})


@dataclass(frozen=True, slots=True)
class Revisions:
    """Finds and makes them."""

    store: Store
    admission: Admission

    def ensure(self, item: Object, newest: Object | None, sets: list[Object]) -> tuple[Object, Object]:
        """Return the Deployment and the ReplicaSet of its template, made if need be, both with their revision.

        Raises ApiError as admission says, if the ReplicaSet is refused.
        """
        revision = max((revision_of(entry) for entry in sets if entry is not newest), default=0) + 1
        if newest is None:
            newest = self._create(item, revision, _first_replicas(item, sets))
        revision = max(revision, revision_of(newest))
        annotations = _annotations(item, revision)
        if annotation_of(newest, REVISION) != str(revision):
            history = [annotation_of(newest, _HISTORY), annotation_of(newest, REVISION)]
            annotations[_HISTORY] = ",".join(entry for entry in history if entry)

        def annotate(copy: Object) -> None:
            before = copy["metadata"].get("annotations") or {}
            kept = {key: value for key, value in annotations.items() if key not in {DESIRED, MAX}}
            copy["metadata"]["annotations"] = {**before, **kept}
            copy["spec"].pop("minReadySeconds", None)
            copy["spec"] |= _patience(item)

        newest = self.store.update(REPLICA_SETS, namespace_of(newest), name_of(newest), annotate)

        def number(copy: Object) -> None:
            copy["metadata"].setdefault("annotations", {})[REVISION] = str(revision)

        return self.store.update(DEPLOYMENTS, namespace_of(item), name_of(item), number), newest

    def _create(self, item: Object, revision: int, replicas: int) -> Object:
        template = item["spec"]["template"]
        digest = template_hash(template)
        name = name_of_template(item)
        if self.store.find(REPLICA_SETS, namespace_of(item), name) is not None:
            # The name is taken by somebody else's ReplicaSet: a real cluster counts collisions up, too.
            digest = template_hash({**template, "collision": revision})
            name = f"{name_of(item)}-{digest}"
        labels = {**((template.get("metadata") or {}).get("labels") or {}), TEMPLATE_HASH: digest}
        selector = item["spec"]["selector"]
        chosen = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), TEMPLATE_HASH: digest}}
        made: Object = {
            "metadata": {
                "name": name,
                "namespace": namespace_of(item),
                "labels": labels,
                "annotations": _annotations(item, revision),
                "ownerReferences": [owner_reference("apps/v1", "Deployment", item)],
            },
            "spec": {
                **_patience(item),
                "replicas": replicas,
                "selector": chosen,
                "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
            },
            "status": {"replicas": 0},
        }
        self.admission.open(REPLICA_SETS, made)
        self.admission.close(REPLICA_SETS, made)
        return self.store.create(REPLICA_SETS, made)


def name_of_template(item: Object) -> str:
    """Return the name that the ReplicaSet of a Deployment's template is given."""
    return f"{name_of(item)}-{template_hash(item['spec']['template'])}"


def find_new_replica_set(item: Object, sets: list[Object]) -> Object | None:
    """Return the ReplicaSet of the Deployment's template, whatever its revision; None where it is yet to come."""
    wanted = _bare(item["spec"]["template"])
    return next((entry for entry in sets if _bare(entry["spec"]["template"]) == wanted), None)


def _bare(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != TEMPLATE_HASH}
    return {"labels": labels, "annotations": metadata.get("annotations") or {}, "spec": template["spec"]}


def _annotations(item: Object, revision: int) -> dict[str, str]:
    surge, _ = surge_and_unavailable(item)
    replicas = int(item["spec"]["replicas"])
    own = item["metadata"].get("annotations") or {}
    passed = {key: str(value) for key, value in own.items() if key not in _NOT_PASSED_ON}
    return {**passed, DESIRED: str(replicas), MAX: str(replicas + surge), REVISION: str(revision)}


def _patience(item: Object) -> Object:
    return {"minReadySeconds": item["spec"]["minReadySeconds"]} if "minReadySeconds" in item["spec"] else {}


def _first_replicas(item: Object, old: list[Object]) -> int:
    wanted = int(item["spec"]["replicas"])
    if not is_rolling(item):
        return wanted
    surge, _ = surge_and_unavailable(item)
    room = wanted + surge - sum(int(entry["spec"].get("replicas", 0)) for entry in old)
    return max(min(room, wanted), 0)
