"""Jobs: real processes with real output and exit codes, retried, given up, timed out and cleaned away."""

import shutil
import subprocess
import time
import uuid

import pytest
from kubernetes import client, config

from cluster_world import Inside
from mlflow_ops_sandbox.cluster.api.objects import condition_of, controller_of, name_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import EVENTS, JOBS, PODS
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from

NAMESPACE = "data-platform"
IMAGE = "ghcr.io/mlflow/mlflow:v3.18.0"
SECRET = {"secretRef": {"name": "mlflow-backend-secret"}}
KUBECTL = shutil.which("kubectl")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    wiring = wiring_from(
        {"mlflow": {"upstream": "http://127.0.0.1:9"}, "secrets": {"mlflow-backend-secret": {"PASSWORD": "example"}}}
    )
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring)) as running:
        yield running


class Job:
    """A Job, as somebody has applied it."""

    def __init__(self, cluster, name, *command, policy="Never", image=IMAGE, container=None, **spec):
        self.cluster, self.name = cluster, name
        self.store = Inside(cluster)
        main = {"name": "main", "image": image, "command": list(command), **(container or {})}
        template = {"metadata": {}, "spec": {"restartPolicy": policy, "containers": [main]}}
        self.uid = str(uuid.uuid4())
        selector = {"matchLabels": {"batch.kubernetes.io/controller-uid": self.uid}}
        item = {
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": self.uid},
            "spec": {
                "selector": selector,
                "completions": 1,
                "parallelism": 1,
                "backoffLimit": 6,
                "template": template,
                **spec,
            },
        }

        async def create():
            return cluster.cluster.store.create(JOBS, item)

        cluster.call(create())

    def read(self):
        return self.store.find(JOBS, NAMESPACE, self.name)

    def pods(self):
        found = self.store.all(PODS, NAMESPACE)
        return [pod for pod in found if (controller_of(pod) or {}).get("uid") == self.uid]

    def condition(self, kind):
        return condition_of(self.read(), kind)

    def finish(self, kind):
        return until(lambda: self.condition(kind))

    def log(self, restarts=0):
        (pod,) = self.pods()
        path = self.cluster.cluster.logs.path(pod, "main", restarts)
        return [line.split(" ", 3)[3] for line in path.read_text().splitlines()]

    def ends(self):
        states = (pod["status"]["containerStatuses"][0]["state"] for pod in self.pods())
        return [(state["terminated"]["reason"], state["terminated"]["exitCode"]) for state in states]

    def events(self, reason):
        found = self.store.all(EVENTS, NAMESPACE)
        about = {self.uid, *map(uid_of, self.pods())}
        return [e["message"] for e in found if e["reason"] == reason and e["involvedObject"]["uid"] in about]


def test_a_job_completes(cluster):
    script = 'echo "$PASSWORD" "$GREETING"; echo oops >&2; mlflow --version'
    env = [{"name": "GREETING", "value": "hello"}]
    job = Job(cluster, "done", "sh", "-c", script, container={"env": env, "envFrom": [SECRET]})
    complete = job.finish("Complete")
    assert complete["reason"] == "CompletionsReached"
    assert complete["message"] == "Reached expected number of succeeded pods"
    assert job.condition("SuccessCriteriaMet")["status"] == "True"
    assert job.log() == ["example hello", "oops", "mlflow, version 3.18.0"]
    assert job.ends() == [("Completed", 0)]
    assert job.pods()[0]["status"]["phase"] == "Succeeded"
    status = job.read()["status"]
    assert (status["succeeded"], status["ready"], status.get("active")) == (1, 0, None)
    assert status["completionTime"] >= status["startTime"]
    assert job.events("SuccessfulCreate") == [f"Created pod: {name_of(job.pods()[0])}"]
    assert until(lambda: job.events("Completed")) == ["Job completed"]
    with config.new_client_from_config(str(cluster.kubeconfig)) as api:
        found = client.BatchV1Api(api).read_namespaced_job("done", NAMESPACE)
        assert found.status.succeeded == 1
        answer = client.CoreV1Api(api).read_namespaced_pod_log(name_of(job.pods()[0]), NAMESPACE)
        assert answer.splitlines()[0] == "example hello"


def test_arguments_are_expanded(cluster):
    env = [{"name": "WHO", "value": "world"}]
    job = Job(cluster, "words", "echo", container={"args": ["hello $(WHO)", "$(NOBODY)", "$$(WHO)"], "env": env})
    job.finish("Complete")
    assert job.log() == ["hello world $(NOBODY) $(WHO)"]


def test_a_job_fails_at_its_limit(cluster):
    job = Job(cluster, "failing", "sh", "-c", "echo no; exit 3", backoffLimit=1)
    failed = job.finish("Failed")
    assert failed["reason"] == "BackoffLimitExceeded"
    assert failed["message"] == "Job has reached the specified backoff limit"
    assert job.ends() == [("Error", 3)] * 2
    assert job.read()["status"]["failed"] == 2
    assert until(lambda: job.events("BackoffLimitExceeded")) == ["Job has reached the specified backoff limit"]


def test_a_container_that_is_started_again(cluster):
    job = Job(cluster, "again", "sh", "-c", "test -f ~/done || { touch ~/done; exit 1; }", policy="OnFailure")
    job.finish("Complete")
    (pod,) = job.pods()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1
    job = Job(cluster, "given-up", "false", policy="OnFailure", backoffLimit=1)
    assert job.finish("Failed")["reason"] == "BackoffLimitExceeded"
    until(lambda: not job.pods())


def test_a_job_takes_too_long(cluster):
    job = Job(cluster, "long", "sh", "-c", "echo started; sleep 60", activeDeadlineSeconds=60)
    until(lambda: job.pods() and job.read().get("status", {}).get("ready") == 1)
    assert job.read()["status"]["active"] == 1
    job.store.update(JOBS, NAMESPACE, "long", lambda item: item["spec"].update(activeDeadlineSeconds=1))
    failed = job.finish("Failed")
    assert failed["reason"] == "DeadlineExceeded"
    assert failed["message"] == "Job was active longer than specified deadline"
    assert not job.pods()
    assert job.read()["status"]["failed"] == 1


def test_a_job_is_cleaned_away(cluster):
    job = Job(cluster, "brief", "true", ttlSecondsAfterFinished=1)
    job.finish("Complete")
    until(lambda: job.read() is None and not job.pods())


def test_a_program_that_is_not_there(cluster):
    job = Job(cluster, "wrong", "reboot", backoffLimit=0)
    job.finish("Failed")
    assert job.ends() == [("StartError", 128)]
    (message,) = job.events("Failed")
    assert message.endswith('exec: "reboot": executable file not found in $PATH')


def test_an_image_that_is_not_there_and_one_that_crashes(cluster):
    job = Job(cluster, "no-image", "true", image="registry.example/none:1", activeDeadlineSeconds=1)
    messages = until(lambda: job.events("Failed"))
    assert 'Head "https://registry.example/v2/none/manifests/1": dial tcp: lookup registry.example' in messages[0]
    assert job.finish("Failed")["reason"] == "DeadlineExceeded"
    limits = {"resources": {"limits": {"memory": "16Mi"}}}
    job = Job(cluster, "small", "sh", "-c", "sleep 60", backoffLimit=0, container=limits)
    job.finish("Failed")
    assert job.ends() == [("OOMKilled", 137)]


def test_suspended_and_resumed(cluster):
    job = Job(cluster, "later", "true", suspend=True)
    until(lambda: job.read().get("status") and job.condition("Suspended"))
    assert not job.pods()

    async def resume():
        cluster.cluster.store.update(JOBS, NAMESPACE, "later", lambda item: item["spec"].update(suspend=False))

    cluster.call(resume())
    job.finish("Complete")
    assert job.condition("Suspended")["status"] == "False"


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
def test_kubectl_follows_a_log_to_its_end(cluster):
    job = Job(cluster, "talking", "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done")
    until(lambda: job.pods() and job.read().get("status", {}).get("ready"))
    command = [KUBECTL, "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, "logs", "-f", "job/talking"]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "line 1\nline 2\nline 3\n"
    assert time.monotonic() - began > 0.3
    job.finish("Complete")
    shown = subprocess.run(
        [*command[:5], "get", "job", "talking"], capture_output=True, text=True, timeout=20, check=False
    )
    assert "Complete" in shown.stdout
    assert "1/1" in shown.stdout
