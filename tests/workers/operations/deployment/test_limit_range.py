"""What a LimitRange would refuse is known from the plan, whatever the command: by every container and the whole pod."""

import copy

import pytest

from commands.grammar import parse
from tests.workers.operations.deployment.deployments import Answers, deployment, replica_set, systems, template
from workers.errors import OperatorError
from workers.operations.deployment import job, limit_range

GIVEN = template(requests={"cpu": "500m", "memory": "1Gi"}, limits={"memory": "2Gi"})


def bounds(kind="Container", **limit):
    return {"metadata": {"name": "bounds"}, "spec": {"limits": [{"type": kind, **limit}]}}


def with_more(*, sidecar=None, first=None):
    spec = copy.deepcopy(GIVEN["spec"])
    if sidecar:
        spec["containers"].append({"name": "proxy", "resources": sidecar})
    if first:
        spec["initContainers"] = [{"name": "wait", "resources": first}]
    return spec


LARGE, SMALL = {"requests": {"memory": "4Gi"}, "limits": {"memory": "4Gi"}}, {"requests": {"memory": "8Mi"}}


OF_MLFLOW, OF_PROXY, OF_WAIT = (f"the container {name}" for name in ("mlflow", "proxy", "wait"))


@pytest.mark.parametrize(
    ("spec", "limit", "said"),
    [
        (GIVEN["spec"], bounds(max={"memory": "2Gi"}), []),
        (GIVEN["spec"], bounds(max={"memory": "1Gi"}), [f"1Gi of memory at most, not 2.0 GiB ({OF_MLFLOW}, limit)"]),
        (
            with_more(sidecar=LARGE),
            bounds(max={"memory": "2Gi"}),
            [f"2Gi of memory at most, not 4.0 GiB ({OF_PROXY}, {side})" for side in ("request", "limit")],
        ),
        (
            with_more(first=LARGE),
            bounds(max={"memory": "3Gi"}),
            [f"not 4.0 GiB ({OF_WAIT}, {side})" for side in ("request", "limit")],
        ),
        (
            with_more(sidecar=SMALL),
            bounds(min={"memory": "16Mi"}),
            [f"16Mi of memory at least, not 8.0 MiB ({OF_PROXY}, request)"],
        ),
        # What nobody states has the LimitRange's own defaults: a maximum alone is the limit.
        (GIVEN["spec"], bounds(max={"cpu": "1"}), []),
        (GIVEN["spec"], bounds("Pod", max={"cpu": "1"}), ["1 of cpu at most, and a pod has no limit"]),
        (
            with_more(sidecar=LARGE),
            bounds("Pod", max={"memory": "5Gi"}),
            ["5Gi of memory at most, not 6.0 GiB (a pod, limit)"],
        ),
        (
            GIVEN["spec"],
            bounds("Pod", min={"example.com/gpu": "1"}),
            ["1 of example.com/gpu at least, and a pod requests"],
        ),
        (
            GIVEN["spec"],
            bounds(maxLimitRequestRatio={"memory": "1"}),
            ["memory limit of 1 times its request at most, not 2.0 GiB"],
        ),
        (
            GIVEN["spec"],
            bounds(maxLimitRequestRatio={"cpu": "2"}),
            [f"2 times its request at most, and {OF_MLFLOW} has no limit"],
        ),
        (GIVEN["spec"], bounds("PersistentVolumeClaim", max={"storage": "1Gi"}), []),
    ],
)
def test_each_bound_is_held_by_every_container_and_by_the_pod(spec, limit, said):
    found = list(limit_range.refusals(spec, [limit]))
    assert len(found) == len(said), found
    for sentence, part in zip(found, said, strict=True):
        assert sentence.startswith("LimitRange bounds "), sentence
        assert part in sentence


COMMANDS = ("scale 3", "restart", "update v3.18.0", "resources --cpu 300m:", "rollback")


@pytest.mark.parametrize("command", COMMANDS)
def test_whatever_makes_pods_is_refused_in_the_plan(tmp_path, command):
    older = template("mlflow:v0")
    sets = [replica_set("new", GIVEN, revision=2), replica_set("old", older, there=0, wanted=0, revision=1)]
    refusing = bounds(max={"memory": "1Gi"})
    older["spec"]["containers"][0]["resources"] = {"limits": {"memory": "4Gi"}}
    cluster = Answers(deployment(of=GIVEN), sets=sets, ranges=[refusing])
    with pytest.raises(OperatorError, match="LimitRange bounds allows 1Gi of memory at most, not") as refused:
        parse(command).plan(systems(cluster, tmp_path))
    assert refused.value.hint == limit_range.HINT


def test_fewer_pods_are_never_refused(tmp_path):
    cluster = Answers(deployment(of=GIVEN), ranges=[bounds(max={"memory": "1Gi"})])
    assert parse("scale 1").plan(systems(cluster, tmp_path)).summary == "from 2 to 1 replica"


def test_a_job_is_a_pod_too(tmp_path):
    cluster = Answers(deployment(of=GIVEN), ranges=[bounds(max={"memory": "1Gi"})])
    once = job.JobSpec("mlflow:v2", ("true",), "look", 5)
    with pytest.raises(OperatorError, match="LimitRange bounds"):
        job.require_room(systems(cluster, tmp_path), once)
