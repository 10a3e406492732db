"""A cluster that a reconciler keeps as a local Git host says, and Systems that propose there."""

import asyncio

import pytest
import requests
import yaml

from mlflow_ops_sandbox.cluster.testing import until
from mlflow_ops_sandbox.git import manifests
from mlflow_ops_sandbox.git.reconciler import Api, Reconciler
from mlflow_ops_sandbox.git.testing import serving
from workers import settings
from workers.systems import Systems

CONTAINER = "spec.template.spec.containers[name=mlflow]"
FIELDS = {
    "replicas": {"file": manifests.DEPLOYMENT, "path": "spec.replicas"},
    "image": {"file": manifests.DEPLOYMENT, "path": f"{CONTAINER}.image"},
    "resources": {"file": manifests.DEPLOYMENT, "path": f"{CONTAINER}.resources"},
    "config": {"file": manifests.CONFIG_MAP, "path": "data"},
}


class Platform:
    """A cluster with what keeps it as Git says."""

    def __init__(self, running, git, tmp_path):
        self.running = running
        self.git = git
        self.tmp_path = tmp_path
        self.reconciler = Reconciler(git.host.store, "main", Api.of(running.kubeconfig))
        self.admin = self.systems(account="kubeconfig").cluster

    def systems(self, mode="propose", account="kubeconfig-worker", token=None, **gitops):
        """What a worker is given; with what is changed under gitops."""
        where = {"url": self.git.api, "repository": self.git.host.name, "fields": FIELDS, **gitops}
        path = self.tmp_path / f"ops-{account}.yaml"
        path.write_text(yaml.safe_dump({"kubernetes": {"gitops": mode}, "gitops": where}))
        environ = {
            "KUBECONFIG": str(self.running.kubeconfig.with_name(account)),
            "MLFLOW_OPS_CONFIG": str(path),
            "MLFLOW_OPS_GIT_TOKEN": self.git.token if token is None else token,
        }
        return Systems(settings.load(environ))

    def reconcile(self):
        """What Argo CD does every few seconds, once; the paths that it has changed."""
        return asyncio.run(self.reconciler.once())

    def press(self, number, button):
        """What a person presses on the page."""
        url = f"{self.git.host.url}/{self.git.host.name}/pull/{number}/{button}"
        answer = requests.post(url, timeout=10, allow_redirects=False)
        assert answer.status_code == 303, answer.text

    def text(self, file=manifests.DEPLOYMENT, ref="main"):
        return self.git.host.store.read(ref, file).content.decode()


@pytest.fixture
def platform(running, tmp_path):
    admin = Systems(
        settings.load({"KUBECONFIG": str(running.kubeconfig), "MLFLOW_OPS_CONFIG": _empty(tmp_path)})
    ).cluster
    until(lambda: at_rest(admin))
    first, config = admin.deployment("mlflow"), admin.configmap("mlflow-config")
    with serving(tmp_path / "git", manifests.files(first, config)) as git:
        made = Platform(running, git, tmp_path)
        made.reconcile()
        assert made.reconcile() == []
        yield made
    admin.patch_deployment("mlflow", {"spec": {"replicas": 2}})
    generation = admin.deployment("mlflow")["metadata"]["generation"]
    admin.replace_template("mlflow", first["spec"]["template"], generation=generation)
    more = admin.configmap("mlflow-config")["data"].keys() - config["data"].keys()
    admin.patch_configmap("mlflow-config", {"data": {**dict.fromkeys(more), **config["data"]}})
    until(lambda: at_rest(admin))


def at_rest(cluster):
    deployment = cluster.deployment("mlflow")
    status = deployment.get("status", {})
    counted = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counted == [2] * 3 and status["observedGeneration"] == deployment["metadata"]["generation"]


def _empty(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("{}")
    return str(path)
