"""Commands within pods: through the official client's WebSocket, and through kubectl where there is one."""

import json
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream

from mlflow_ops_sandbox.cluster.api.objects import is_ready, labels_of, name_of
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from

NAMESPACE = "data-platform"
KUBECTL = shutil.which("kubectl")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    # Nobody answers there: the pods run all the same, they are not ready.
    wiring = wiring_from(
        {
            "mlflow": {"upstream": "http://127.0.0.1:9", "version": "3.16.0"},
            "secrets": {"mlflow-backend-secret": {"PASSWORD": "example"}},
        }
    )
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring)) as running:
        until(lambda: len(pods(running)) == 2)
        yield running


@pytest.fixture
def core(cluster):
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        yield client.CoreV1Api(api)


def pods(cluster, app="mlflow"):
    found = [pod for pod in cluster.cluster.store.all(PODS, NAMESPACE) if labels_of(pod).get("app") == app]
    return [
        name_of(pod)
        for pod in found
        if any("running" in status["state"] for status in pod["status"].get("containerStatuses") or ())
    ]


def run(core, cluster, *command, **options):
    """Run a command; return its output, its errors, and the Status of its end."""
    answer = stream(
        core.connect_get_namespaced_pod_exec, pods(cluster)[0], NAMESPACE, command=list(command),
        **{"stdin": False, "stdout": True, "stderr": True, "tty": False, "_preload_content": False, **options},
    )  # fmt: skip
    if options.get("stdin"):
        return answer
    answer.run_forever(timeout=10)
    out, err = answer.read_stdout(), answer.read_stderr()
    return out, err, json.loads(answer.read_channel(3))


def test_streams_and_codes(core, cluster):
    assert run(core, cluster, "echo", "hello") == ("hello\n", "", {"metadata": {}, "status": "Success"})
    out, err, status = run(core, cluster, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (out, err) == ("out\n", "err\n")
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert status["message"].startswith("command terminated with non-zero exit code")
    out, err, _ = run(core, cluster, "sh", "-c", "echo out; echo err >&2", tty=True)
    assert (out.split(), err) == (["out", "err"], "")


def test_the_environment_and_the_image(core, cluster):
    out, _, _ = run(core, cluster, "env")
    values = dict(line.split("=", 1) for line in out.splitlines())
    assert values["PASSWORD"] == "example"
    assert values["GUNICORN_WORKERS"] == "4"
    assert values["HOSTNAME"] == pods(cluster)[0]
    assert run(core, cluster, "mlflow", "--version")[0] == "mlflow, version 3.16.0\n"
    assert run(core, cluster, "sh", "-c", "mlflow --version")[0] == "mlflow, version 3.16.0\n"
    assert run(core, cluster, "python", "-c", "print(6 * 7)")[0] == "42\n"
    assert run(core, cluster, "/bin/hostname")[0].strip() == pods(cluster)[0]


def test_standard_input(core, cluster):
    answer = run(core, cluster, "head", "-n1", stdin=True)
    answer.write_stdin("a line\n")
    answer.run_forever(timeout=10)
    assert answer.read_stdout() == "a line\n"
    assert answer.returncode == 0


@pytest.mark.parametrize("program", ["reboot", "/usr/bin/reboot", "/srv/sh", "../sh"])
def test_what_is_not_in_the_image(core, cluster, program):
    _, _, status = run(core, cluster, program)
    assert status["reason"] == "InternalError"
    assert f'unable to start container process: exec: "{program}": ' in status["message"]
    assert status["message"].endswith(("executable file not found in $PATH", "no such file or directory"))


def test_refusals(core, cluster):
    def refused(name, **options):
        with pytest.raises(ApiException) as caught:
            stream(core.connect_get_namespaced_pod_exec, name, NAMESPACE, command=["ls"], stdout=True, **options)
        return caught.value

    assert "404" in str(refused("absent"))
    assert "400" in str(refused(pods(cluster)[0], container="absent"))
    with pytest.raises(ApiException) as caught:
        core.connect_get_namespaced_pod_exec(pods(cluster)[0], NAMESPACE, command=["ls"], stdout=True)
    assert caught.value.status == 400
    with pytest.raises(ApiException) as caught:
        core.connect_post_namespaced_pod_exec("absent", NAMESPACE, command=["ls"], stdout=True)
    assert caught.value.status == 404


def test_a_container_that_does_not_run(core, cluster):
    name = pods(cluster)[1]
    fault(cluster, pod=name, state="ImagePullBackOff")
    with pytest.raises(ApiException) as caught:
        core.connect_post_namespaced_pod_exec(name, NAMESPACE, command=["ls"], stdout=True)
    assert caught.value.status == 500
    assert 'unable to upgrade connection: container not found (\\"mlflow\\")' in caught.value.body
    fault(cluster, clear=True)
    until(lambda: len(pods(cluster)) == 2)


def fault(cluster, **body):
    request = urllib.request.Request(f"{cluster.control}/faults", json.dumps(body).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


def test_a_client_that_goes_takes_its_program_along(core, cluster):
    answer = run(core, cluster, "sh", "-c", "echo $$; sleep 60", stdin=True)
    answer.update(timeout=5)
    pid = int(until(lambda: answer.read_stdout(timeout=1)))
    answer.close()

    def gone():
        try:
            return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
        except OSError:
            return True

    until(gone)


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
class TestKubectl:
    def kubectl(self, cluster, *arguments, **options):
        command = [KUBECTL, "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, **options)

    def test_by_deployment(self, cluster):
        done = self.kubectl(cluster, "exec", "deploy/mlflow", "--", "mlflow", "--version")
        assert (done.stdout, done.returncode) == ("mlflow, version 3.16.0\n", 0)

    def test_input_ends(self, cluster):
        done = self.kubectl(cluster, "exec", "-i", pods(cluster)[0], "--", "cat", input="one\ntwo\n")
        assert (done.stdout, done.returncode) == ("one\ntwo\n", 0)

    def test_exit_codes_and_errors(self, cluster):
        done = self.kubectl(cluster, "exec", pods(cluster)[0], "--", "sh", "-c", "exit 7")
        assert done.returncode == 7
        assert "command terminated with exit code 7" in done.stderr
        done = self.kubectl(cluster, "exec", pods(cluster)[0], "--", "reboot")
        assert 'exec: "reboot": executable file not found in $PATH' in done.stderr
        done = self.kubectl(cluster, "exec", pods(cluster)[0], "-c", "absent", "--", "ls")
        assert "container absent is not valid for pod" in done.stderr or "container not found" in done.stderr

    def test_follow_ends_with_the_pod(self, cluster):
        name = pods(cluster)[0]
        command = [KUBECTL, "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, "logs", "-f", name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
            runner = next(runner for runner in cluster.cluster.kubelet.runners() if runner.name == name)

            async def write():
                runner.write("a line that is new")

            cluster.call(write())
            assert "a line that is new\n" in iter(following.stdout.readline, "")
            following.terminate()


def test_the_pods_are_not_ready(cluster):
    assert not any(
        is_ready(pod) for pod in cluster.cluster.store.all(PODS, NAMESPACE) if labels_of(pod)["app"] == "mlflow"
    )
