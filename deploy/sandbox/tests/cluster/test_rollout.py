"""Deployments as the controllers keep them: updates, rollbacks, failures, and a Service that never falters."""

import http.client
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
from kubernetes import client, config

from cluster_world import NAMESPACE, REPOSITORY, Upstream, World, container, statuses
from mlflow_ops_sandbox.cluster.api.objects import condition_of, is_ready, name_of
from mlflow_ops_sandbox.cluster.api.ownership import begin_deletion
from mlflow_ops_sandbox.cluster.api.proportions import surge_and_unavailable
from mlflow_ops_sandbox.cluster.api.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    STATEFUL_SETS,
)
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import QUICK, running_cluster, until

KUBECTL = shutil.which("kubectl")


@contextmanager
def asking(world, *, keep_alive):
    """Ask MLflow every 20 ms; nothing may fail."""
    wrong, asked, over = [], [], threading.Event()
    port = int(world.running.service("mlflow").rpartition(":")[2])

    def ask():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        while not over.is_set():
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                answer.read()
                asked.append(answer.status)
                if answer.status != 200:
                    wrong.append(answer.status)
            except (OSError, http.client.HTTPException) as problem:
                wrong.append(repr(problem))
            if not keep_alive:
                connection.close()
            time.sleep(0.02)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield asked
    finally:
        over.set()
        thread.join()
    assert not wrong
    assert len(asked) > 5


def test_nothing_fails_during_a_restart(world):
    before = {name_of(pod) for pod in world.pods()}
    with asking(world, keep_alive=False), asking(world, keep_alive=True):
        world.restart()
        world.settle()
    assert before.isdisjoint(name_of(pod) for pod in world.pods())
    assert world.condition() | {"lastUpdateTime": "", "lastTransitionTime": ""} == {
        "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": "",
        "lastTransitionTime": "",
        "message": f'ReplicaSet "{name_of(world.newest())}" has successfully progressed.',
    }  # fmt: skip
    assert world.deployment()["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    old = next(item for item in world.sets().values() if item["spec"]["replicas"] == 0)
    assert world.events("ScalingReplicaSet") == [
        f"Scaled up replica set {name_of(old)} from 0 to 2",
        f"Scaled up replica set {name_of(world.newest())} from 0 to 1",
        f"Scaled down replica set {name_of(old)} from 2 to 1",
        f"Scaled up replica set {name_of(world.newest())} from 1 to 2",
        f"Scaled down replica set {name_of(old)} from 1 to 0",
    ]


def test_a_request_in_flight_is_finished(world):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(world.get("/slow"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    for pod in world.pods():
        world.within(lambda store, pod=pod: begin_deletion(store, pod, store._clock()))
    for thread in threads:
        thread.join()
    assert answers == ["OK"] * 4
    assert set(world.events("Killing")) == {"Stopping container mlflow"}
    world.settle()


def test_an_update_and_its_rollback(world):
    assert world.get("/version") == "3.17.2"
    first = world.newest()
    world.image("v3.18.0")
    world.settle()
    assert world.get("/version") == "3.18.0"
    assert any("Successfully pulled image" in message for message in world.events("Pulled"))
    spec = first["spec"]["template"]["spec"]
    world.change(lambda item: item["spec"]["template"].update(spec=spec))
    world.settle()
    assert world.get("/version") == "3.17.2"
    again = world.newest()
    assert name_of(again) == name_of(first)
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert len(world.sets()) == 2


def test_sizes_and_percentages():
    def item(replicas, surge, unavailable):
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        return {"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}

    assert surge_and_unavailable(item(2, "25%", "25%")) == (1, 0)
    assert surge_and_unavailable(item(10, "25%", "25%")) == (3, 2)
    assert surge_and_unavailable(item(4, 0, 0)) == (0, 1)
    assert surge_and_unavailable(item(3, "100%", 1)) == (3, 1)
    assert surge_and_unavailable({"spec": {"replicas": 3, "strategy": {"type": "Recreate"}}}) == (0, 0)


def test_scaling_up_and_down_and_replacing(world):
    elders = {name_of(pod) for pod in world.pods()}
    time.sleep(1.1)  # ages are whole seconds
    world.change(lambda item: item["spec"].update(replicas=4))
    world.settle()
    assert world.condition()["reason"] == "NewReplicaSetAvailable"
    world.change(lambda item: item["spec"].update(replicas=2))
    world.settle()
    assert {name_of(pod) for pod in world.pods()} == elders
    victim = world.pods()[0]
    world.within(lambda store: begin_deletion(store, victim, store._clock()))
    until(lambda: name_of(victim) not in {name_of(pod) for pod in world.pods()})
    world.settle()
    world.change(lambda item: item["spec"].update(replicas=0))
    until(lambda: not world.pods())
    with pytest.raises(OSError, match=r"refused|reset|closed"):
        world.get("/health")
    world.change(lambda item: item["spec"].update(replicas=1))
    world.settle()


def test_recreate_takes_the_old_down_first(world):
    most = []
    world.change(lambda item: item["spec"].update(strategy={"type": "Recreate"}))
    world.restart()
    until(lambda: most.append(len(world.pods())) or world.is_done())
    assert max(most) == 2
    assert 0 in most or world.newest()["status"]["replicas"] == 2


def test_paused_and_resumed(world):
    world.change(lambda item: item["spec"].update(paused=True))
    world.image("v3.16.0")
    until(lambda: world.condition()["reason"] == "DeploymentPaused")
    time.sleep(0.3)
    assert len(world.sets()) == 1
    world.change(lambda item: item["spec"].update(replicas=3))
    until(lambda: len([pod for pod in world.pods() if is_ready(pod)]) == 3)
    world.change(lambda item: item["spec"].pop("paused"))
    world.settle()
    assert world.get("/version") == "3.16.0"
    assert world.condition()["reason"] == "NewReplicaSetAvailable"


def test_an_unknown_image_runs_into_the_deadline_and_the_old_pods_stay(world):
    world.change(lambda item: item["spec"].update(progressDeadlineSeconds=2))
    with asking(world, keep_alive=False):
        world.image("v9.9.9")
        until(lambda: world.condition().get("reason") == "ProgressDeadlineExceeded")
    progressing = world.condition()
    assert progressing["status"] == "False"
    assert progressing["message"] == f'ReplicaSet "{name_of(world.newest())}" has timed out progressing.'
    assert world.condition("Available")["status"] == "True"
    image = f"{REPOSITORY}:v9.9.9"
    (state,) = world.waiting()
    assert state["reason"] in {"ErrImagePull", "ImagePullBackOff"}
    failure = f'failed to resolve reference "{image}": {image}: not found'
    assert any(failure in message for message in world.events("Failed"))
    assert world.deployment()["status"]["unavailableReplicas"] == 1
    world.image("v3.17.2")
    world.settle()
    assert world.condition()["status"] == "True"


def test_an_image_whose_name_is_none_is_taken_by_the_server_and_refused_by_the_node(world):
    world.image("v3.17 2")
    (state,) = until(world.waiting)
    image = f"{REPOSITORY}:v3.17 2"
    sentence = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"'
    until(lambda: world.waiting() == [
        {"reason": "InvalidImageName", "message": f"{sentence}: invalid reference format"}
    ])  # fmt: skip
    assert state["reason"] in {"ContainerCreating", "InvalidImageName"}
    assert f"{sentence}: invalid reference format" in world.events("InspectFailed")
    assert "Error: InvalidImageName" in world.events("Failed")
    world.image("v3.17.2")
    world.settle()


def test_images_that_crash_or_never_get_ready(world):
    world.image("crash")
    until(lambda: any(state["reason"] == "CrashLoopBackOff" for state in world.waiting()))
    assert any("back-off" in state["message"] for state in world.waiting())
    world.image("slow")
    until(lambda: any("connection refused" in message for message in world.events("Unhealthy")))
    assert world.get("/version") == "3.17.2"
    assert world.condition("Available")["status"] == "True"
    world.image("v3.17.2")
    world.settle()


def test_too_little_memory_and_too_much(world):
    world.change(
        lambda item: container(item)["resources"].update(limits={"memory": "32Mi"}, requests={"memory": "32Mi"})
    )
    terminated = lambda: [  # noqa: E731
        status["lastState"]["terminated"] for pod in world.pods() for status in statuses(pod) if status["lastState"]
    ]
    until(lambda: any(state["reason"] == "OOMKilled" and state["exitCode"] == 137 for state in terminated()))
    world.change(
        lambda item: container(item)["resources"].update(limits={}, requests={"memory": "900Gi", "cpu": "200"})
    )
    (message,) = until(lambda: world.events("FailedScheduling"))
    assert message == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. no new claims to deallocate, preemption: "
        "0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    pending = next(pod for pod in world.pods() if not pod["spec"].get("nodeName"))
    assert pending["status"]["phase"] == "Pending"
    assert condition_of(pending, "PodScheduled")["reason"] == "Unschedulable"
    world.change(lambda item: container(item)["resources"].update(requests={}))
    world.settle()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "absent", "key": "a"}}, 'configmap "absent" not found'),
        ({"secretKeyRef": {"name": "absent", "key": "a"}}, 'secret "absent" not found'),
        (
            {"configMapKeyRef": {"name": "mlflow-config", "key": "absent"}},
            "couldn't find key absent in ConfigMap data-platform/mlflow-config",
        ),
    ],
)
def test_missing_configuration(world, source, words):
    world.change(lambda item: container(item)["env"].append({"name": "NEW", "valueFrom": source}))
    until(world.waiting)
    until(lambda: world.waiting()[0] == {"reason": "CreateContainerConfigError", "message": words})
    assert f"Error: {words}" in world.events("Failed")
    if "absent" in words and "key absent" in words:
        world.within(
            lambda store: store.update(
                CONFIG_MAPS, NAMESPACE, "mlflow-config", lambda item: item["data"].update(absent="1")
            )
        )
        world.settle()


def test_a_failing_liveness_probe_restarts_the_container(tmp_path, wiring):
    Upstream.healthy = True
    pace = replace(QUICK, liveness_period=0.1)
    with running_cluster(Options(tmp_path, wiring, pace=pace)) as running:
        world = World(running)
        world.settle()
        Upstream.healthy = False
        until(lambda: all(status["restartCount"] for pod in world.pods() for status in statuses(pod)))
        assert "Container mlflow failed liveness probe, will be restarted" in world.events("Killing")
        assert "Liveness probe failed: HTTP probe failed with statuscode: 500" in world.events("Unhealthy")
        Upstream.healthy = True
        world.settle()


def test_min_ready_seconds_and_history(world):
    world.change(lambda item: item["spec"].update(minReadySeconds=2, revisionHistoryLimit=1))
    world.settle()
    world.restart()

    def waits():
        status = world.deployment()["status"]
        return (status.get("readyReplicas"), status.get("availableReplicas")) == (3, 2)

    until(waits)
    world.settle()
    world.change(lambda item: item["spec"].pop("minReadySeconds"))
    for _ in range(2):
        world.restart()
        world.settle()
    until(lambda: len(world.sets()) == 2)


def test_the_official_client_sees_it(world):
    with config.new_client_from_config(str(world.running.kubeconfig)) as api:
        status = client.AppsV1Api(api).read_namespaced_deployment("mlflow", NAMESPACE).status
        assert (status.replicas, status.updated_replicas, status.available_replicas) == (2, 2, 2)
        assert status.unavailable_replicas is None
        assert [entry.type for entry in status.conditions] == ["Available", "Progressing"]


def test_a_stateful_set_replaces_and_updates_its_pods(world):
    def pod(name="postgres-shared-0"):
        return world.store.find(PODS, NAMESPACE, name)

    def until_new(uid):
        until(lambda: (pod() or first)["metadata"]["uid"] not in {uid, first["metadata"]["uid"]})

    first = pod()
    world.within(lambda store: begin_deletion(store, first, store._clock()))
    until_new(first["metadata"]["uid"])
    assert pod()["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data-postgres-shared-0"}
    second = pod()["metadata"]["uid"]
    edit = {"restarted": "now"}
    world.within(
        lambda store: store.update(
            STATEFUL_SETS, NAMESPACE, "postgres-shared",
            lambda item: item["spec"]["template"]["metadata"].update(annotations=edit),
        )
    )  # fmt: skip
    until_new(second)
    assert pod()["metadata"]["annotations"] == edit
    world.within(
        lambda store: store.update(
            STATEFUL_SETS, NAMESPACE, "postgres-shared", lambda item: item["spec"].update(replicas=2)
        )
    )
    until(lambda: pod("postgres-shared-1"))
    assert world.store.find(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, "data-postgres-shared-1")["status"]["phase"] == "Bound"


def test_an_update_by_kubectl_over_http(world):
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")

    def kubectl(*arguments):
        command = [KUBECTL, "--kubeconfig", str(world.running.kubeconfig), "-n", NAMESPACE, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    with asking(world, keep_alive=False):
        kubectl("set", "image", "deploy/mlflow", f"mlflow={REPOSITORY}:v3.18.0")
        assert "successfully rolled out" in kubectl("rollout", "status", "deploy/mlflow")
        world.settle()
        assert world.get("/version") == "3.18.0"
        kubectl("rollout", "undo", "deploy/mlflow")
        assert "successfully rolled out" in kubectl("rollout", "status", "deploy/mlflow")
        world.settle()
    assert world.get("/version") == "3.17.2"
    history = kubectl("rollout", "history", "deploy/mlflow").split()
    assert ("2" in history, "3" in history, "1" in history) == (True, True, False)
    assert name_of(world.pods()[0]) in kubectl("delete", "pod", name_of(world.pods()[0]))
    world.settle()
    kubectl("delete", "deploy", "mlflow")
    until(lambda: not world.pods() and not world.sets())


@pytest.mark.parametrize(
    ("spec", "figures"),
    [
        ({"minAvailable": 1}, (1, 1)),
        ({"minAvailable": "50%"}, (1, 1)),
        ({"maxUnavailable": 0}, (2, 0)),
        ({"maxUnavailable": "25%"}, (1, 1)),
    ],
)
def test_a_disruption_budget_counts_the_pods_that_there_should_be(world, spec, figures):
    edit = {"spec": {**spec, "selector": {"matchLabels": {"app": "mlflow"}}}}
    world.within(
        lambda store: store.update(POD_DISRUPTION_BUDGETS, NAMESPACE, "mlflow", lambda kept: kept.update(edit))
    )

    def found():
        return world.store.get(POD_DISRUPTION_BUDGETS, NAMESPACE, "mlflow")["status"]

    until(lambda: (found()["desiredHealthy"], found()["disruptionsAllowed"]) == figures)
    world.image("v9.9.9")
    until(lambda: len(world.pods()) == 3)
    time.sleep(0.3)
    assert (found()["desiredHealthy"], found()["disruptionsAllowed"]) == figures
    assert found()["expectedPods"] == (3 if spec == {"minAvailable": 1} else 2)
