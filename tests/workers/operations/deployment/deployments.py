"""Deployments, ReplicaSets and pods as an API server would tell of them, and a cluster that answers with them."""

from copy import deepcopy
from types import SimpleNamespace

from workers import settings
from workers.systems.errors import ClusterForbidden

IMAGE = "ghcr.io/mlflow/mlflow:v3.17.2"
STUCK = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "message": 'ReplicaSet "mlflow-bad" has timed out progressing.',
    "lastUpdateTime": "2026-11-30T10:00:00Z",
}
DONE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
REFUSED = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "mlflow-7d9c-x" is forbidden: exceeded quota: team, requested: pods=1, limited: pods=4',
    "lastUpdateTime": "2026-11-30T10:00:00Z",
}


def template(image=IMAGE, **resources):
    container = {"name": "mlflow", "image": image}
    if resources:
        container["resources"] = resources
    return {"metadata": {"labels": {"app": "mlflow"}}, "spec": {"containers": [container]}}


def deployment(replicas=2, *, updated=None, there=None, available=None, seen=5, conditions=(DONE,), of=None, **spec):
    """One of generation 5; rolled out, if nothing else is said."""
    updated = replicas if updated is None else updated
    there = updated if there is None else there
    return {
        "kind": "Deployment",
        "metadata": {"name": "mlflow", "uid": "d", "generation": 5, "resourceVersion": "1"},
        "spec": {"replicas": replicas, "template": of or template(), **spec},
        "status": {
            "observedGeneration": seen,
            "replicas": there,
            "updatedReplicas": updated,
            "availableReplicas": there if available is None else available,
            "conditions": list(conditions),
        },
    }


def replica_set(name, of, *, available=0, there=None, wanted=None, revision=1, conditions=(), owner="d"):
    there = available if there is None else there
    labels = {**of["metadata"]["labels"], "pod-template-hash": name}
    return {
        "metadata": {
            "name": f"mlflow-{name}",
            "uid": name,
            "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {
            "replicas": there if wanted is None else wanted,
            "template": {**of, "metadata": {**of["metadata"], "labels": labels}},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": there,
            "availableReplicas": available,
            "conditions": list(conditions),
        },
    }


def pod(name, of="new", *, state="ready", spec=None):
    """of: its ReplicaSet. state: ready, starting, or what its container waits for."""
    waiting = {"starting": "ContainerCreating"}.get(state, state)
    ready = state == "ready"
    container = {"name": "mlflow", "ready": ready, "restartCount": 0}
    container["state"] = {"running": {}} if ready else {"waiting": {"reason": waiting}}
    return {
        "metadata": {"name": name, "ownerReferences": [{"uid": of}], "creationTimestamp": "2026-11-30T10:00:00Z"},
        "spec": spec or {"containers": [{"name": "mlflow"}]},
        "status": {
            "phase": "Running" if ready else "Pending",
            "containerStatuses": [container],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def listed(what):
    if what is None:
        raise ClusterForbidden("Our account may not list that.")
    return list(what)


class Answers:
    """A cluster that answers with what it is given; of a list of deployments with one after the other, the last stays.

    nodes, budgets, claims: None if our account may not list them. replaced: the templates that were put in. patched:
    the patches of the Deployment.
    """

    namespace = "data-platform"

    def __init__(
        self, *deployments, sets=(), pods=(), quotas=(), ranges=(), scalers=(), events=(),
        nodes=None, budgets=(), claims=(),
    ):  # fmt: skip
        self.deployments = list(deployments)
        self.sets, self.all_pods_now = list(sets), list(pods)
        self.quotas, self.ranges, self.scalers, self.events = quotas, ranges, scalers, events
        self.replaced, self.patched = [], []
        self._nodes, self._budgets, self._claims = nodes, budgets, claims

    def nodes(self):
        return listed(self._nodes)

    def all_pods(self):
        return self.pods("")

    def disruption_budgets(self):
        return listed(self._budgets)

    def volume_claims(self):
        return listed(self._claims)

    def patch_deployment(self, name, patch):
        self.patched.append(patch)
        return self.deployment(name)

    def deployment(self, name):
        assert name == "mlflow"
        return deepcopy(self.deployments.pop(0) if len(self.deployments) > 1 else self.deployments[0])

    def replace_template(self, name, template, *, generation):
        self.replaced.append(template)
        return self.deployment(name)

    def replica_sets(self, selector):
        return self.sets

    def pods(self, selector):
        return self.all_pods_now() if callable(self.all_pods_now) else self.all_pods_now

    def log_lines(self, pod, container, **asked):
        return iter([f"last words of {pod}"])

    def resource_quotas(self):
        return list(self.quotas)

    def limit_ranges(self):
        return list(self.ranges)

    def autoscalers(self):
        return list(self.scalers)

    def warnings(self):
        return list(self.events)

    def scale(self, name):
        return {"spec": {"replicas": self.deployments[0]["spec"]["replicas"]}}

    def may(self, *asked):
        return True


class NoDatabase:
    """Nobody has said where it is."""

    def within(self, seconds):
        return self

    def _unknown(self):
        raise settings.SettingsError("MLFLOW_OPS_DATABASE_URL is not set.")

    vitals = schema_revision = _unknown


def systems(cluster, tmp_path, database=None):
    """Systems with this cluster, and a database if one is given."""
    path = tmp_path / "ops.yaml"
    path.write_text("{}")
    told = settings.load({"MLFLOW_OPS_CONFIG": str(path)})
    return SimpleNamespace(cluster=cluster, settings=told, database=database or NoDatabase())
