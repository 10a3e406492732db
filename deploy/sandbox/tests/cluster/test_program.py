"""The program as the supervisor runs it."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import yaml
from kubernetes import client, config

from mlflow_ops_sandbox.cluster.testing import until
from mlflow_ops_sandbox.parts import ports


@pytest.fixture
def program(tmp_path):
    port, control, service = ports.choose(["port", "control", "service"], {}, {}).values()
    wiring = {"namespace": "data-platform", "service_ports": {"mlflow": service}}
    (tmp_path / "wiring.json").write_text(json.dumps(wiring))
    arguments = ["--port", str(port), "--control-port", str(control), "--data", str(tmp_path / "data")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow_ops_sandbox.cluster", *arguments, "--wiring", str(tmp_path / "wiring.json")],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process, port, control, tmp_path / "data"
    process.kill()
    process.wait()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_keeps_the_contract(program):
    process, port, control, data = program
    until(lambda: answers(control))
    entry = yaml.safe_load((data / "kubeconfig").read_text())
    assert entry["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{port}"
    assert entry["contexts"][0]["context"]["namespace"] == "data-platform"
    for name in ("kubeconfig", "kubeconfig-worker", "cluster.db"):
        assert (data / name).stat().st_mode & 0o777 == 0o600
    with urllib.request.urlopen(f"http://127.0.0.1:{control}/healthz", timeout=5) as answer:
        assert json.load(answer)["ok"] is True
    with config.new_client_from_config(str(data / "kubeconfig-worker")) as api:
        # MLflow is not there: both pods exist, and neither is ready.
        pods = client.CoreV1Api(api).list_namespaced_pod("data-platform", label_selector="app=mlflow").items
        assert [pod.status.container_statuses[0].ready for pod in pods] == [False, False]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "Traceback" not in process.stderr.read()


def test_a_missing_wiring_is_said_in_a_sentence(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mlflow_ops_sandbox.cluster"),
            *("--port", "0", "--data", str(tmp_path), "--wiring", "none"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "--wiring none: " in done.stderr
