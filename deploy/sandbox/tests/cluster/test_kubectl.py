"""What a person types: the runbook's kubectl commands against the sandbox's cluster."""

import os
import shutil
import subprocess

import pytest

from mlflow_ops_sandbox.cluster.testing import cluster_alone, until

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    secrets = {"mlflow-backend-secret": {"PASSWORD": "example"}}
    folder = tmp_path_factory.mktemp("cluster")
    with cluster_alone(folder, secrets=secrets, config={"gunicorn_workers": "4"}) as running:
        until(lambda: "2/2" in kubectl(running, "get", "deployment", "mlflow"))
        yield running


def kubectl(cluster, *arguments, kubeconfig="kubeconfig", expected=0):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(cluster.kubeconfig.parent),
        "KUBECONFIG": str(cluster.kubeconfig.with_name(kubeconfig)),
    }
    done = subprocess.run(
        ["kubectl", *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


def rows(text):
    return [line.split() for line in text.splitlines()]


def test_get_pods_wide(cluster):
    head, *pods = rows(kubectl(cluster, "get", "pods", "-l", "app=mlflow", "-o", "wide"))
    assert head[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert [pod[1:4] for pod in pods] == [["1/1", "Running", "0"]] * 2
    assert all(pod[5].startswith("10.244.0.") for pod in pods)


def test_get_all_lists_every_kind_without_complaint(cluster):
    shown = kubectl(cluster, "get", "all")
    for name in ("pod/postgres-shared-0", "service/mlflow", "deployment.apps/mlflow", "statefulset.apps/minio"):
        assert name in shown
    assert "error" not in shown.lower()


def test_get_services_and_ingress(cluster):
    assert "5000/TCP" in kubectl(cluster, "get", "svc", "-n", "data-platform")
    assert rows(kubectl(cluster, "get", "ingress", "mlflow-ingress"))[1][:5] == [
        "mlflow-ingress", "nginx", "mlflow.254carbon.local", "10.244.0.1", "80,",
    ]  # fmt: skip


def test_get_yaml_has_the_spec_with_its_defaults(cluster):
    shown = kubectl(cluster, "get", "deployment", "mlflow", "-o", "yaml")
    assert "image: ghcr.io/mlflow/mlflow:v3.17.2" in shown
    assert "progressDeadlineSeconds: 600" in shown
    assert "managedFields" not in shown


@pytest.mark.parametrize(
    ("about", "says"),
    [
        (["pod", "-l", "app=mlflow"], ["Readiness:", "Successfully assigned", "Started container mlflow"]),
        (["deployment", "mlflow"], ["NewReplicaSetAvailable", "2 desired | 2 updated | 2 total | 2 available"]),
        (["service", "mlflow"], ["5000/TCP", "Endpoints:", "10.244.0."]),
        (["ingress", "mlflow-ingress"], ["mlflow-tls terminates mlflow.254carbon.local", "mlflow:5000 (10.244.0."]),
        (["secret", "mlflow-tls"], ["kubernetes.io/tls", "tls.crt:"]),
        (["configmap", "mlflow-config"], ["gunicorn_workers"]),
        (["pdb", "mlflow"], ["Min available:  1"]),
        (["node"], ["Allocated resources", "KubeletReady"]),
    ],
)
def test_describe(cluster, about, says):
    shown = kubectl(cluster, "describe", *about)
    for sentence in says:
        assert sentence in shown


def test_top_shows_measured_figures(cluster):
    until(lambda: len(rows(kubectl(cluster, "top", "pods"))) == 5)
    pods = rows(kubectl(cluster, "top", "pods", "-l", "app=mlflow"))[1:]
    assert len(pods) == 2
    assert all(pod[1].endswith("m") and int(pod[2].removesuffix("Mi")) > 0 for pod in pods)
    assert rows(kubectl(cluster, "top", "nodes"))[1][0] == "sandbox"


def test_logs_by_label(cluster):
    shown = kubectl(cluster, "logs", "-l", "app=mlflow", "--tail=20", "--all-containers", "--prefix")
    assert "/mlflow] starting" in shown
    stamped = kubectl(cluster, "logs", "postgres-shared-0", "--timestamps", "--tail=1", "--since=1h")
    assert stamped.startswith("20")
    assert stamped.endswith("Z ready\n")


def test_previous_logs_where_there_are_none(cluster):
    said = kubectl(cluster, "logs", "postgres-shared-0", "--previous", expected=1)
    assert 'previous terminated container "postgres" in pod "postgres-shared-0" not found' in said


def test_events(cluster):
    shown = kubectl(cluster, "get", "events", "--sort-by=.metadata.creationTimestamp")
    assert "Scaled up replica set mlflow-" in shown
    assert "default-scheduler" in kubectl(cluster, "get", "events", "-o", "wide")


def test_wait_and_rollout_status(cluster):
    waited = kubectl(cluster, "wait", "--for=condition=Ready", "pod", "-l", "app=mlflow", "--timeout=5s")
    assert waited.count("condition met") == 2
    assert "successfully rolled out" in kubectl(cluster, "rollout", "status", "deployment/mlflow")


def test_discovery(cluster):
    shown = kubectl(cluster, "api-resources")
    assert "deploy" in shown
    assert "metrics.k8s.io/v1beta1" in shown
    assert "v1.36.2" in kubectl(cluster, "version")


def test_can_i(cluster):
    assert kubectl(cluster, "auth", "can-i", "delete", "deployments").startswith("yes")
    refused = kubectl(cluster, "auth", "can-i", "delete", "deployments", kubeconfig="kubeconfig-worker", expected=1)
    assert refused.startswith("no")
    assert "kubernetes-admin" in kubectl(cluster, "auth", "whoami")
    assert "pods/log" in kubectl(cluster, "auth", "can-i", "--list", kubeconfig="kubeconfig-worker")


def test_the_worker_is_kept_to_its_namespace(cluster):
    assert "mlflow-tls" in kubectl(cluster, "get", "secret", "mlflow-tls", kubeconfig="kubeconfig-worker")
    said = kubectl(cluster, "get", "secrets", "-n", "kube-system", kubeconfig="kubeconfig-worker", expected=1)
    assert (
        'secrets is forbidden: User "system:serviceaccount:data-platform:mlflow-ops-worker" cannot list resource '
        '"secrets" in API group "" in the namespace "kube-system"'
    ) in said


@pytest.mark.parametrize(
    "kinds",
    [
        "endpoints,endpointslices,cm,secret,pvc,pdb,sa,roles,rolebindings,hpa,cronjobs,jobs,ingressclasses",
        "namespaces,nodes,storageclasses,clusterroles,clusterrolebindings",
    ],
)
def test_every_table_can_be_printed(cluster, kinds):
    assert "Error" not in kubectl(cluster, "get", kinds, "-o", "wide")
