"""Pods that are refused as controllers make them: what is told of it where, and that it ends when the reason does."""

import copy
import re
from decimal import Decimal

import pytest

from cluster_api import APPS, SPACE
from cluster_world import container
from mlflow_ops_sandbox.cluster.api.objects import condition_of, name_of
from mlflow_ops_sandbox.cluster.api.pod_resources import LIMITS, REQUESTS, total
from mlflow_ops_sandbox.cluster.api.resources import EVENTS, JOBS, PODS, STATEFUL_SETS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.controllers.pods import PodMaker
from mlflow_ops_sandbox.cluster.testing import until

JOBS_PATH = "/apis/batch/v1/namespaces/data-platform/jobs"
MERGE = "application/merge-patch+json"


def quota(world, name="team", **hard):
    world.api.good("POST", f"{SPACE}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard}})


def bounds(world, **entry):
    limits = [{"type": "Container", **entry}]
    world.api.good("POST", f"{SPACE}/limitranges", {"metadata": {"name": "bounds"}, "spec": {"limits": limits}})


def change_account(world, name):
    world.change(lambda kept: kept["spec"]["template"]["spec"].update(serviceAccountName=name))


def full(world):
    quota(world, pods="4")
    world.restart()
    return lambda: world.api.good("DELETE", f"{SPACE}/resourcequotas/team")


def not_said(world):
    """A quota of what the pods do not state."""
    quota(world, **{"limits.cpu": "8"})
    world.change(lambda kept: container(kept)["resources"].update(limits={"memory": "4Gi"}))
    return lambda: world.api.good("DELETE", f"{SPACE}/resourcequotas/team")


def too_large(world):
    bounds(world, max={"memory": "1Gi"})
    world.restart()
    return lambda: world.api.good("DELETE", f"{SPACE}/limitranges/bounds")


def too_small(world):
    bounds(world, min={"cpu": "600m"})
    world.restart()
    return lambda: world.api.good("DELETE", f"{SPACE}/limitranges/bounds")


def homeless(world):
    change_account(world, "nobody")
    return lambda: world.api.good("POST", f"{SPACE}/serviceaccounts", {"metadata": {"name": "nobody"}})


def unsigned(world):
    world.control(webhook={"name": "policy.example.com", "pattern": "^mlflow-", "message": "images must be signed"})
    world.restart()
    return lambda: world.control(clear=True)


def blank(world):
    world.change(lambda kept: container(kept).update(image=" ghcr.io/mlflow/mlflow:v3.18.0"))
    return lambda: world.image("v3.18.0")


KINDS = {
    full: 'pods "<pod>" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4',
    not_said: 'pods "<pod>" is forbidden: failed quota: team: must specify limits.cpu for: mlflow',
    too_large: 'pods "<pod>" is forbidden: maximum memory usage per Container is 1Gi, but limit is 4Gi',
    too_small: 'pods "<pod>" is forbidden: minimum cpu usage per Container is 600m, but request is 500m',
    homeless: (
        'pods "<set>-" is forbidden: error looking up service account data-platform/nobody: serviceaccount "nobody" '
        "not found"
    ),
    unsigned: 'admission webhook "policy.example.com" denied the request: images must be signed',
    blank: (
        'Pod "<pod>" is invalid: spec.containers[0].image: Invalid value: " ghcr.io/mlflow/mlflow:v3.18.0": must not '
        "have leading or trailing whitespace"
    ),
}


@pytest.mark.parametrize(("bring_about", "sentence"), KINDS.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_refused_pod_is_told_by_replica_set_deployment_and_event_and_no_more_once_it_is_made(
    world, bring_about, sentence
):
    before = {name_of(pod) for pod in world.pods()}
    first = name_of(world.newest())
    undo = bring_about(world)
    failure = until(lambda: world.condition("ReplicaFailure"))
    made = world.newest()
    assert name_of(made) != first
    shown = re.sub(rf"\b{name_of(made)}-\w{{5}}\b", "<pod>", failure["message"]).replace(name_of(made), "<set>")
    assert shown == sentence
    assert {key: failure[key] for key in ("type", "status", "reason")} == {
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
    }  # fmt: skip
    own = condition_of(made, "ReplicaFailure")
    assert own == {key: value for key, value in failure.items() if key != "lastUpdateTime"}
    assert f"Error creating: {failure['message']}" in world.events("FailedCreate")
    status = world.deployment()["status"]
    assert status["observedGeneration"] == world.deployment()["metadata"]["generation"]
    assert (status.get("updatedReplicas", 0), status["availableReplicas"]) == (0, 2)
    assert {name_of(pod) for pod in world.pods()} == before, "the old pods stay"
    undo()
    world.settle()
    assert world.condition("ReplicaFailure") == {}
    assert condition_of(world.newest(), "ReplicaFailure") is None


def test_the_condition_keeps_the_words_of_the_first_refusal(world):
    undo = full(world)
    first = until(lambda: world.condition("ReplicaFailure"))
    world.control(webhook={"name": "policy.example.com", "message": "images must be signed"})
    undo()
    until(lambda: any("signed" in message for message in world.events("FailedCreate")))
    assert world.condition("ReplicaFailure") == first
    world.control(clear=True)
    world.settle()
    assert world.condition("ReplicaFailure") == {}


class Room:
    """Admission with room for so many pods, and whoever records events."""

    def __init__(self, pods):
        self.left, self.asked, self.told = pods, 0, []

    def make_pod(self, pod):
        self.asked += 1
        self.left -= 1
        if self.left < 0:
            raise ApiError(403, "Forbidden", "full")
        return pod

    def controller(self, _about, _resource, _component, happening):
        self.told.append(happening.reason)


@pytest.mark.parametrize(("room", "asked"), [(0, 1), (1, 3), (2, 3), (3, 7), (5, 7), (7, 15), (38, 38)])
def test_pods_are_asked_for_in_batches_that_double_until_one_is_refused(room, asked):
    kept = Room(room)
    owner = {"metadata": {"name": "owner"}, "spec": {"template": {"spec": {"containers": []}}}}
    refusal = PodMaker(kept, kept, "tests", PODS).make(owner, 38, lambda: {"name": "pod"}, {})
    assert (refusal is None) == (room == 38)
    assert kept.asked == asked
    assert kept.told.count("FailedCreate") == max(asked - room, 0)
    assert kept.told.count("SuccessfulCreate") == min(asked, room)


def test_what_there_is_room_for_is_made_and_the_rest_is_told(world):
    quota(world, pods="9")
    world.change(lambda kept: kept["spec"].update(replicas=40))
    until(lambda: world.condition("ReplicaFailure"))
    assert len(world.pods()) == 7
    world.change(lambda kept: kept["spec"].update(replicas=7))
    until(lambda: world.condition("ReplicaFailure") == {})


def test_many_refusals_are_told_as_one_event_that_counts(world):
    full(world)
    combined = "(combined from similar events): Error creating: pods "
    until(lambda: any(message.startswith(combined) for message in world.events("FailedCreate")))
    assert len(world.events("FailedCreate")) == 10

    def count():
        events = [event for event in world.store.all(EVENTS) if event["message"].startswith(combined)]
        return events[0]["count"]

    before = count()
    until(lambda: count() > before)
    assert len(world.events("FailedCreate")) == 10


def test_a_quotas_status_follows_what_there_is(world):
    quota(world, **{"pods": "10", "requests.cpu": "4", "limits.memory": "20Gi", "count/deployments.apps": "5"})
    path = f"{SPACE}/resourcequotas/team"

    def used():
        return world.api.good("GET", path).get("status", {}).get("used")

    until(
        lambda: used() == {"pods": "4", "requests.cpu": "1500m", "limits.memory": "12Gi", "count/deployments.apps": "1"}
    )
    world.change(lambda kept: kept["spec"].update(replicas=3))
    until(lambda: used() == {"pods": "5", "requests.cpu": "2", "limits.memory": "16Gi", "count/deployments.apps": "1"})
    world.change(lambda kept: kept["spec"].update(replicas=1))
    until(lambda: used()["pods"] == "3")


def test_a_refused_replica_set_is_told_by_the_deployment_which_has_then_not_seen_its_spec(world):
    quota(world, **{"count/replicasets.apps": "1"})
    world.restart()
    progressing = until(lambda: world.condition() if world.condition()["status"] == "False" else None)
    assert progressing["reason"] == "ReplicaSetCreateError"
    assert re.fullmatch(
        r'Failed to create new replica set "(mlflow-\w+)": replicasets.apps "\1" is forbidden: exceeded quota: team, '
        r"requested: count/replicasets.apps=1, used: count/replicasets.apps=1, limited: count/replicasets.apps=1",
        progressing["message"],
    )
    assert world.events("ReplicaSetCreateError") == [progressing["message"]]
    deployment = world.deployment()
    assert deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"] - 1
    world.api.good("DELETE", f"{SPACE}/resourcequotas/team")
    world.settle()
    assert world.condition()["reason"] == "NewReplicaSetAvailable"


def test_a_refused_job_is_told_by_its_events_alone(world):
    quota(world, pods="4")
    template = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "once", "image": "busybox:1", "command": ["true"]}]}
    }
    world.api.good("POST", JOBS_PATH, {"metadata": {"name": "once"}, "spec": {"template": template}})
    (message, *_) = until(lambda: world.events("FailedCreate"))
    assert message.startswith('Error creating: pods "once-')
    assert message.endswith("is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4")
    status = world.api.good("GET", f"{JOBS_PATH}/once")["status"]
    assert "conditions" not in status
    assert "failed" not in status
    world.api.good("DELETE", f"{SPACE}/resourcequotas/team")
    until(lambda: condition_of(world.store.get(JOBS, "data-platform", "once"), "Complete"))


def test_a_refused_pod_of_a_stateful_set_is_told_in_its_own_words(world):
    quota(world, pods="4")
    world.api.good("PATCH", f"{APPS}/statefulsets/postgres-shared", {"spec": {"replicas": 2}}, MERGE)
    (message, *_) = until(lambda: world.events("FailedCreate"))
    assert message == (
        'create Pod postgres-shared-1 in StatefulSet postgres-shared failed error: pods "postgres-shared-1" is '
        "forbidden: exceeded quota: team, requested: pods=1, used: pods=4, limited: pods=4"
    )
    assert "conditions" not in world.store.get(STATEFUL_SETS, "data-platform", "postgres-shared")["status"]
    world.api.good("DELETE", f"{SPACE}/resourcequotas/team")
    until(lambda: world.store.find(PODS, "data-platform", "postgres-shared-1"))


def test_a_limit_range_fills_in_pods_and_leaves_templates_alone(world):
    bounds(world, max={"memory": "8Gi"})
    world.change(lambda kept: container(kept)["resources"].clear())
    world.settle()
    assert container(world.deployment())["resources"] == {}
    for pod in world.pods():
        (found,) = pod["spec"]["containers"]
        assert found["resources"] == {"limits": {"memory": "8Gi"}, "requests": {"memory": "8Gi"}}
        assert pod["status"]["qosClass"] == "Burstable"
        assert pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
            "LimitRanger plugin set: memory request for container mlflow; memory limit for container mlflow"
        )
    world.restart()
    world.settle()
    assert len(world.pods()) == 2


def test_a_limit_without_a_request_is_the_request_of_pods_alone(world):
    world.change(lambda kept: container(kept).update(resources={"limits": {"cpu": "300m"}}))
    world.settle()
    assert container(world.deployment())["resources"] == {"limits": {"cpu": "300m"}}
    assert {pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] for pod in world.pods()} == {"300m"}


def test_webhooks_hear_of_what_people_change_and_of_nothing_else(world):
    world.control(webhook={"name": "hands.off", "kind": "Deployment", "pattern": "^mlflow$", "operations": ["UPDATE"]})
    path = f"{APPS}/deployments/mlflow"
    refused = (403, "Forbidden", 'admission webhook "hands.off" denied the request without explanation')
    assert world.api.message("PATCH", path, {"spec": {"paused": True}}, MERGE) == refused
    assert world.api.message("PATCH", f"{path}?dryRun=All", {"spec": {"paused": True}}, MERGE) == refused
    assert world.api.good("PATCH", f"{path}/scale", {"spec": {"replicas": 3}}, MERGE)["spec"] == {"replicas": 3}
    world.settle()
    world.control(clear=True)
    world.api.good("PATCH", path, {"metadata": {"annotations": {"a": "b"}}}, MERGE)


def containers(*amounts, field=REQUESTS):
    return [{"name": str(index), "resources": {field: {"cpu": amount}}} for index, amount in enumerate(amounts)]


@pytest.mark.parametrize(
    ("main", "init", "sidecars", "expected"),
    [
        (["1", "500m"], [], [], "1.5"),
        (["1"], ["3"], [], "3"),
        (["1"], ["500m", "200m"], [], "1"),
        (["1"], [], ["250m"], "1.25"),
        (["1"], ["2"], ["250m"], "2.25"),
    ],
)
def test_init_containers_count_by_their_highest_and_sidecars_beside_the_others(main, init, sidecars, expected):
    for field in (REQUESTS, LIMITS):
        first = [{**entry, "restartPolicy": "Always"} for entry in containers(*sidecars, field=field)]
        later = copy.deepcopy(containers(*init, field=field))
        pod = {"spec": {"containers": containers(*main, field=field), "initContainers": [*first, *later]}}
        assert total(pod, field) == {"cpu": Decimal(expected)}
