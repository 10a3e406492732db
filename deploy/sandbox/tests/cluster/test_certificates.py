"""cert-manager's part of the sandbox's cluster, as kubectl finds it."""

import json
import os
import shutil
import subprocess

import pytest

from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")


@pytest.fixture
def kubectl(tmp_path):
    with running_cluster(Options(tmp_path / "data", wiring_from({}))) as running:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(running.kubeconfig)}

        def kubectl(*arguments, given=None):
            return subprocess.run(
                ["kubectl", *arguments],
                env=environment, input=given, capture_output=True, text=True, timeout=30, check=True,
            ).stdout  # fmt: skip

        yield kubectl


def test_certificates_are_found_through_discovery(kubectl):
    head, row = (line.split() for line in kubectl("get", "certificates").splitlines())
    assert head == ["NAME", "READY", "SECRET", "AGE"]
    assert row[:3] == ["mlflow-tls", "True", "mlflow-tls"]
    assert "selfsigned" in kubectl("get", "cert", "-o", "wide")
    assert "Certificate is up to date and has not expired" in kubectl("describe", "certificate", "mlflow-tls")


def test_the_condition_issuing_gets_a_new_certificate_and_is_cleared(kubectl):
    def secret():
        return kubectl("get", "secret", "mlflow-tls", "-o", "jsonpath={.data.tls\\.crt}")

    before = secret()
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "asked"}
    patch = json.dumps({"status": {"conditions": [issuing]}})
    kubectl("patch", "certificate", "mlflow-tls", "--subresource=status", "--type=merge", "-p", patch)
    until(lambda: secret() != before)
    until(lambda: "Issuing" not in kubectl("get", "certificate", "mlflow-tls", "-o", "jsonpath={.status}"))
    assert kubectl("get", "certificate", "mlflow-tls", "-o", "jsonpath={.status.revision}") == "2"
    assert "successfully issued" in kubectl("get", "events", "--field-selector", "involvedObject.kind=Certificate")


def test_another_certificate_can_be_applied_and_asks_for_its_issuer(kubectl):
    wanted = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "two"},
        "spec": {"secretName": "two", "dnsNames": ["a.example.com"], "issuerRef": {"name": "nobody"}},
    }
    assert "created" in kubectl("apply", "-f", "-", given=json.dumps(wanted))
    assert "unchanged" in kubectl("apply", "-f", "-", given=json.dumps(wanted))
