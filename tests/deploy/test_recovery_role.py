"""The workers' own account puts every kind of object back that a backup holds, by the Role for recovery alone."""

import json
import shutil
from contextlib import suppress

import pytest
import yaml

from workers import settings
from workers.operations.backup.configuration import clean
from workers.operations.restore import cluster_objects
from workers.settings import KubernetesNames
from workers.systems.cluster.client import Cluster
from workers.systems.errors import ClusterConflict

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")

NAMES = KubernetesNames()
THERE = (
    f"configmap/{NAMES.configmap}",
    f"secret/{NAMES.secret}",
    f"secret/{NAMES.tls_secret}",
    f"service/{NAMES.service}",
    f"deployment/{NAMES.deployment}",
    f"ingress/{NAMES.ingress}",
)
BESIDE = """
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: mlflow, namespace: data-platform},
 spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: mlflow}, minReplicas: 2, maxReplicas: 4}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: mlflow-another, namespace: data-platform},
 spec: {minAvailable: 1, selector: {matchLabels: {app: mlflow}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: mlflow-gc, namespace: data-platform},
 spec: {schedule: "0 3 * * *",
 jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: gc, image: "mlflow:1"}]}}}}}}
---
{apiVersion: cert-manager.io/v1, kind: Certificate, metadata: {name: another, namespace: data-platform},
 spec: {secretName: another, dnsNames: [example.com], issuerRef: {name: ours}}}
"""


def applied(worker, item):
    """Applied, while a controller may write its status at the same moment."""
    for _ in range(50):
        with suppress(ClusterConflict):
            return cluster_objects.apply(worker, item)
    pytest.fail(f"somebody else wrote {item['kind']} fifty times")


def test_each_kind_is_made_and_replaced_by_the_workers_account(cluster, kubectl):
    worker = Cluster.connect(settings.load({"KUBECONFIG": str(cluster.kubeconfig.with_name("kubeconfig-worker"))}))
    items = list(yaml.safe_load_all(BESIDE))
    for name in THERE:
        found = kubectl("get", name, "-n", "data-platform", "-o", "json")
        assert found.returncode == 0, found.stderr
        items.append(clean(json.loads(found.stdout)))
        assert kubectl("delete", name, "-n", "data-platform", "--wait=true").returncode == 0
    assert {each["kind"] for each in items} == set(cluster_objects.KINDS)
    for each in items:
        made = applied(worker, each)
        again = applied(worker, each)
        assert made["metadata"]["uid"] == again["metadata"]["uid"], "replaced, not made anew"
