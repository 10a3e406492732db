"""The policies that hold the workers' account: our own Jobs and changes pass, hostile ones do not, others' always do.

Every object is as the API server makes it (a dry run fills in the defaults), since that is what a policy sees.
"""

import copy
import json
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mlflow_ops_sandbox.cluster.apiserver.schema.decoding import Decoder
from mlflow_ops_sandbox.cluster.apiserver.schema.types import ANY, type_of_kind
from tests.deploy.admission import Policy
from workers import settings
from workers.operation import Unwatched
from workers.operations.deployment.job import JobSpec, run_once
from workers.operations.peek import pod as peek_pod
from workers.operations.peek.state import Asked
from workers.settings import recovery
from workers.systems.cluster.client import Cluster

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")

ROOT = Path(__file__).parents[2]
COMPONENT = ROOT / "deploy" / "kubernetes" / "components" / "admission"
DOCUMENTS = [
    each
    for file in ("jobs.yaml", "deployments.yaml", "bindings.yaml")
    for each in yaml.safe_load_all((COMPONENT / file).read_text())
]
POLICIES = {each["metadata"]["name"]: Policy(each) for each in DOCUMENTS if each["kind"].endswith("Policy")}
JOBS, DEPLOYMENT = POLICIES["mlflow-ops-jobs"], POLICIES["mlflow-ops-deployment"]
NAMESPACE = "data-platform"
IMAGE = "registry.example.com:5000/team/mlflow"

PASSWORD = {"secretKeyRef": {"name": "mlflow-backend-secret", "key": "password"}}
CONFINED = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
RICH = {
    "serviceAccountName": "mlflow",
    "automountServiceAccountToken": False,
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"pool": "apps"},
    "tolerations": [{"key": "apps", "operator": "Exists"}],
    "securityContext": {"runAsUser": 1000, "fsGroup": 1000},
    "volumes": [
        {"name": "ca", "secret": {"secretName": "mlflow-ca"}},
        {"name": "config", "configMap": {"name": "mlflow-config"}},
        {"name": "tmp", "emptyDir": {}},
    ],
    "initContainers": [{"name": "wait", "image": "busybox:1"}],
    "containers": [
        {"name": "proxy", "image": "envoy:1", "ports": [{"containerPort": 80}]},
        {
            "name": "mlflow",
            "image": f"{IMAGE}:v3.1.0",
            "env": [
                {"name": "PASSWORD", "valueFrom": PASSWORD},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "MLFLOW_TRACKING_URI", "value": "http://localhost:5000"},
            ],
            "envFrom": [{"secretRef": {"name": "mlflow-backend-secret"}}],
            "securityContext": CONFINED,
            "volumeMounts": [{"name": "ca", "mountPath": "/ca"}, {"name": "tmp", "mountPath": "/tmp"}],
        },
    ],
}  # fmt: skip


class Sent(Exception):  # noqa: N818 - it is no error
    """A Job was about to be made."""


class Dry:
    """The workers' own client, of one Deployment, whose Jobs the server only completes."""

    def __init__(self, cluster, mlflow):
        self.cluster, self.mlflow = cluster, mlflow

    def deployment(self, _name):
        return self.mlflow

    def resource_quotas(self):
        return []

    def limit_ranges(self):
        return []

    def create_job(self, job):
        raise Sent(self.cluster.create("jobs", job, "apis/batch/v1", dry=True))

    def delete_job(self, name):
        """It was never made."""


@pytest.fixture(scope="module")
def worker(cluster):
    return Cluster.connect(settings.load({"KUBECONFIG": str(cluster.kubeconfig.with_name("kubeconfig-worker"))}))


def completed(kubectl, document):
    done = kubectl("apply", "--dry-run=server", "-o", "json", "-f", "-", given=yaml.safe_dump(document))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["as the runbook has it", "with everything"])
def mlflow(request, kubectl):
    """The Deployment."""
    live = json.loads(kubectl("get", "deployment", "mlflow", "-n", NAMESPACE, "-o", "json").stdout)
    if request.param == "as the runbook has it":
        return live
    metadata = {"name": "mlflow-rich", "namespace": NAMESPACE}
    template = {"metadata": live["spec"]["template"]["metadata"], "spec": copy.deepcopy(RICH)}
    return completed(
        kubectl,
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": live["spec"]["selector"], "template": template},
        },
    )


def asked(username=f"system:serviceaccount:{NAMESPACE}:mlflow-ops-worker", namespace=NAMESPACE):
    return {"namespace": namespace, "userInfo": {"username": username}}


def container(deployment):
    each = deployment["spec"]["template"]["spec"]["containers"]
    return next(one for one in each if one["name"] == "mlflow")


def job(worker, mlflow, **more):
    """The Job that the product makes, as the server completes it."""
    image = container(mlflow)["image"]
    once = JobSpec(**{"image": image, "command": ("python", "-c", "pass"), "purpose": "gc", "seconds": 180.0} | more)
    ops = SimpleNamespace(kubernetes=settings.KubernetesNames())
    systems = SimpleNamespace(cluster=Dry(worker, mlflow), settings=SimpleNamespace(ops=ops))
    with pytest.raises(Sent) as sent:
        run_once(systems, Unwatched(), once)
    return sent.value.args[0]


def repository(image):
    return re.sub(r"(:[^/:]*)?(@.*)?$", "", image)


def test_the_documents_have_no_field_that_the_api_does_not_know():
    assert len(POLICIES) == 2
    for each in DOCUMENTS:
        kind = type_of_kind(each["kind"], "v1")
        assert kind != ANY
        decoder = Decoder()
        decoder.decode(each, kind)
        assert decoder.unknown == []
    bindings = {each["spec"]["policyName"]: each["spec"] for each in DOCUMENTS if each["kind"].endswith("Binding")}
    assert bindings.keys() == POLICIES.keys()
    assert all("Deny" in each["validationActions"] for each in bindings.values())


def test_every_job_of_the_product_is_made_in_one_place():
    """So that what is tried here is what all of them are."""
    made = [file for file in (ROOT / "workers").rglob("*.py") if "cluster.create_job(" in file.read_text()]
    assert [str(file.relative_to(ROOT)) for file in made] == ["workers/operations/deployment/job.py"]


@pytest.mark.parametrize("ending", [":v9.0.1", "@sha256:" + "0" * 64, ":v9@sha256:" + "0" * 64, "", None])
@pytest.mark.parametrize("environment", [(), (("MLFLOW_TRACKING_URI", "http://mlflow:5000"), ("MORE", "words"))])
@pytest.mark.parametrize(("purpose", "seconds"), [("schema", 180.0), ("db-upgrade", 3600.0), ("gc", 1800.0)])
def test_the_jobs_that_the_product_makes_pass(worker, mlflow, ending, environment, purpose, seconds):
    running = container(mlflow)["image"]
    image = running if ending is None else repository(running) + ending
    made = job(worker, mlflow, image=image, environment=environment, purpose=purpose, seconds=seconds)
    assert JOBS.refusals(asked(), made, params=mlflow) == []


def pod(item):
    return item["spec"]["template"]["spec"]


def first(item):
    return pod(item)["containers"][0]


def volume(item, **source):
    pod(item).setdefault("volumes", []).append({"name": "more", **source})


def variable(item, **source):
    first(item).setdefault("env", []).append({"name": "MORE", "valueFrom": source})


def test_the_job_of_a_peek_passes(worker, mlflow):
    wanted = Asked(id="1a2b3c", at=datetime.now(UTC), until=time.time() + 600, job="mlflow-peek-00000000")
    ops = SimpleNamespace(kubernetes=settings.KubernetesNames(), peek=recovery.Peek())
    systems = SimpleNamespace(cluster=Dry(worker, mlflow), settings=SimpleNamespace(ops=ops))
    with pytest.raises(Sent) as sent:
        peek_pod.open_on(systems, Unwatched(), wanted, "10.0.0.1:5432")
    assert JOBS.refusals(asked(), sent.value.args[0], params=mlflow) == []


HOSTILE_JOBS = {
    "another image": lambda item: first(item).update(image="registry.example.com/evil:1"),
    "an image of a registry with a name like ours": lambda item: first(item).update(
        image=repository(first(item)["image"]) + ":5000/evil"
    ),
    "an image whose name begins like ours": lambda item: first(item).update(
        image=repository(first(item)["image"]) + "-evil:1"
    ),
    "another account": lambda item: pod(item).update(serviceAccountName="argocd-admin"),
    "the node's disk": lambda item: volume(item, hostPath={"path": "/"}),
    "another Secret as a volume": lambda item: volume(item, secret={"secretName": "mlflow-ops-slack"}),
    "another Secret, projected": lambda item: volume(
        item, projected={"sources": [{"secret": {"name": "mlflow-ops-slack"}}]}
    ),
    "another account's token": lambda item: volume(
        item, projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}
    ),
    "the database's own disk": lambda item: volume(item, persistentVolumeClaim={"claimName": "data-postgres-0"}),
    "another Secret as a variable": lambda item: variable(item, secretKeyRef={"name": "mlflow-ops-redis", "key": "a"}),
    "another Secret's variables": lambda item: first(item).update(
        envFrom=[{"secretRef": {"name": "mlflow-ops-worker"}}]
    ),
    "another registry's password": lambda item: pod(item).update(imagePullSecrets=[{"name": "mlflow-ops-slack"}]),
    "privileged": lambda item: first(item).update(securityContext={"privileged": True}),
    "root": lambda item: pod(item).update(securityContext={"runAsUser": 0}),
    "the node's network": lambda item: pod(item).update(hostNetwork=True),
    "the node's processes": lambda item: pod(item).update(hostPID=True),
    "the node's memory": lambda item: pod(item).update(hostIPC=True),
    "another runtime": lambda item: pod(item).update(runtimeClassName="kata-host"),
    "a port of the node": lambda item: first(item).update(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a node of its choice": lambda item: pod(item).update(nodeName="control-plane"),
    "nodes that are kept from others": lambda item: pod(item).update(tolerations=[{"operator": "Exists"}]),
    "before everybody else": lambda item: pod(item).update(priorityClassName="system-node-critical"),
    "a second container": lambda item: pod(item)["containers"].append({"name": "more", "image": "evil:1"}),
    "an init container": lambda item: pod(item).update(initContainers=[{"name": "more", "image": "evil:1"}]),
    "beside a pod of its choice": lambda item: pod(item).update(affinity={"podAffinity": {}}),
    "another choice of nodes": lambda item: pod(item).update(nodeSelector={"pool": "control-plane"}),
    "a disk as it is": lambda item: first(item).update(volumeDevices=[{"name": "tmp", "devicePath": "/dev/sda"}]),
    "again and again": lambda item: item["spec"].update(backoffLimit=100),
    "many at once": lambda item: item["spec"].update(parallelism=1000, completions=1000),
    "for ever": lambda item: item["spec"].pop("activeDeadlineSeconds"),
    "never removed": lambda item: item["spec"].pop("ttlSecondsAfterFinished"),
    "behind PostgreSQL's Service": lambda item: item["spec"]["template"]["metadata"]["labels"].update(app="postgres"),
    "without our label": lambda item: item["metadata"]["labels"].pop("app.kubernetes.io/managed-by"),
}  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE_JOBS)
def test_a_hostile_job_is_refused(worker, mlflow, hostile):
    made = job(worker, mlflow)
    HOSTILE_JOBS[hostile](made)
    assert len(JOBS.refusals(asked(), made, params=mlflow)) == 1
    assert JOBS.refusals(asked("system:serviceaccount:kube-system:job-controller"), made, params=mlflow) == []


def test_every_rule_has_an_example_that_breaks_it(worker, mlflow):
    broken = set()
    for damage in HOSTILE_JOBS.values():
        made = job(worker, mlflow)
        damage(made)
        broken |= set(JOBS.refusals(asked(), made, params=mlflow))
    assert broken == set(JOBS.messages)


def test_a_job_has_the_accounts_token_only_if_mlflow_has(worker, mlflow):
    made = job(worker, mlflow)
    theirs = pod(mlflow).get("automountServiceAccountToken", True)
    assert pod(made).get("automountServiceAccountToken", True) == theirs
    pod(made)["automountServiceAccountToken"] = True
    assert (JOBS.refusals(asked(), made, params=mlflow) == []) == theirs


def test_only_our_account_in_its_own_namespace_is_looked_at():
    for policy in POLICIES.values():
        assert policy.concerns(asked())
        assert not policy.concerns(asked("system:serviceaccount:another:mlflow-ops-worker"))
        assert not policy.concerns(asked("kubernetes-admin"))
        assert policy.concerns(asked("system:serviceaccount:another:mlflow-ops-worker", namespace="another"))


def annotated(item):
    annotations = item["spec"]["template"]["metadata"].setdefault("annotations", {})
    annotations["kubectl.kubernetes.io/restartedAt"] = "2026-01-01T00:00:00Z"


CHANGES = {
    "scale": lambda item: item["spec"].update(replicas=7),
    "restart": annotated,
    "update": lambda item: container(item).update(image=repository(container(item)["image"]) + ":v9.9.9"),
    "resources": lambda item: container(item).update(resources={"limits": {"memory": "8Gi"}}),
    "rollback to other arguments": lambda item: container(item).update(args=["--workers", "8"]),
    "rollback to another ConfigMap": lambda item: volume(item, configMap={"name": "mlflow-config-7f9"}),
    "rollback to fewer Secrets": lambda item: [container(item).pop("envFrom", None), pod(item).pop("volumes", None)],
    "rollback to fewer containers": lambda item: pod(item).update(containers=[container(item)]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_the_commands_change_passes(mlflow, change):
    wanted = copy.deepcopy(mlflow)
    CHANGES[change](wanted)
    assert wanted != mlflow or change.startswith("rollback to fewer")
    assert DEPLOYMENT.refusals(asked(), wanted, before=mlflow) == []


OF_BOTH = {
    "another image", "an image of a registry with a name like ours", "an image whose name begins like ours",
    "another account", "the node's disk", "another Secret as a volume", "another Secret, projected",
    "another account's token", "the database's own disk", "another Secret as a variable", "another Secret's variables",
    "another registry's password", "privileged", "root", "the node's network", "the node's processes",
    "the node's memory", "another runtime", "a disk as it is", "a port of the node", "a node of its choice",
    "nodes that are kept from others", "before everybody else",
}  # fmt: skip


@pytest.mark.parametrize("hostile", sorted(OF_BOTH))
def test_a_hostile_change_of_the_deployment_is_refused(mlflow, hostile):
    wanted = copy.deepcopy(mlflow)
    HOSTILE_JOBS[hostile](wanted)
    assert len(DEPLOYMENT.refusals(asked(), wanted, before=mlflow)) == 1


def test_a_container_more_is_refused(mlflow):
    wanted = copy.deepcopy(mlflow)
    pod(wanted)["containers"].append({"name": "more", "image": container(mlflow)["image"]})
    assert "It may add no container." in DEPLOYMENT.refusals(asked(), wanted, before=mlflow)
