"""ResourceQuotas with scopes: which pods they count, what they refuse, and which scopes are refused themselves."""

import pytest

from cluster_api import SPACE
from mlflow_ops_sandbox.cluster.api.defaulting import quality_of_service
from mlflow_ops_sandbox.cluster.api.quota_scopes import counts
from mlflow_ops_sandbox.cluster.api.resources import CONFIG_MAPS, PODS
from mlflow_ops_sandbox.cluster.testing import until

QUOTAS = f"{SPACE}/resourcequotas"


def containers(*stated, **more):
    return {"containers": [{"name": f"c{index}", "resources": each} for index, each in enumerate(stated)], **more}


ASKS = {"requests": {"cpu": "1"}}
NEAR = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}}
ELSEWHERE = {"topologyKey": "zone", "namespaces": ["other"]}
FAR = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
    {"weight": 1, "podAffinityTerm": {**ELSEWHERE, "namespaces": [], "namespaceSelector": {}}}]}}  # fmt: skip
PODS_BY_NAME = {
    "plain": containers({}),
    "asks": containers(ASKS),
    "asks for nothing": containers({"requests": {"cpu": "0"}}),
    "asks for disk alone": containers({"limits": {"ephemeral-storage": "1Gi"}}),
    "asks in an init container": containers({}, initContainers=[{"name": "first", "resources": ASKS}]),
    "ends": containers(ASKS, activeDeadlineSeconds=60),
    "high": containers(ASKS, priorityClassName="high"),
    "low": containers(ASKS, priorityClassName="low"),
    "near": containers(ASKS, affinity=NEAR),
    "far": containers(ASKS, affinity=FAR),
    "elsewhere": containers(
        ASKS, affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [ELSEWHERE]}}
    ),
}
BEST = {"plain", "asks for nothing", "asks for disk alone"}
EVERY = set(PODS_BY_NAME)


def by_class(operator, *values):
    expression = {"scopeName": "PriorityClass", "operator": operator, **({"values": list(values)} if values else {})}
    return {"scopeSelector": {"matchExpressions": [expression]}}


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({}, EVERY),
        ({"scopes": ["BestEffort"]}, BEST),
        ({"scopes": ["NotBestEffort"]}, EVERY - BEST),
        ({"scopes": ["Terminating"]}, {"ends"}),
        ({"scopes": ["NotTerminating"]}, EVERY - {"ends"}),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, EVERY - BEST - {"ends"}),
        ({"scopes": ["PriorityClass"]}, {"high", "low"}),
        ({"scopes": ["CrossNamespacePodAffinity"]}, {"far", "elsewhere"}),
        (by_class("In", "high"), {"high"}),
        (by_class("NotIn", "high"), EVERY - {"high"}),
        (by_class("Exists"), {"high", "low"}),
        (by_class("DoesNotExist"), EVERY - {"high", "low"}),
        ({"scopes": ["Terminating"], **by_class("Exists")}, set()),
    ],
)
def test_which_pods_are_counted(spec, counted):
    quota = {"spec": spec}
    assert {name for name, pod in PODS_BY_NAME.items() if counts(quota, PODS, {"spec": pod})} == counted
    assert counts(quota, CONFIG_MAPS, {"data": {}}) == (not spec)


@pytest.mark.parametrize(
    ("spec", "quality"),
    [
        (containers({}), "BestEffort"),
        (containers({"limits": {"ephemeral-storage": "1Gi"}}), "BestEffort"),
        (containers(ASKS), "Burstable"),
        (containers({side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")}), "Guaranteed"),
        (
            containers(
                {"requests": {"cpu": "1000m", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1024Mi", "x": "1"}}
            ),
            "Guaranteed",
        ),
        (containers({side: {"cpu": "1", "memory": "1Gi"} for side in ("requests", "limits")}, {}), "Burstable"),
    ],
)
def test_quality_of_service_is_of_processors_and_memory(spec, quality):
    assert quality_of_service(spec) == quality


def test_a_scoped_quota_refuses_what_it_counts_and_shows_that_alone(world):
    high = by_class("In", "high")
    for name, hard, spec in (
        ("for-jobs", {"pods": "0"}, {"scopes": ["Terminating"]}),
        ("high", {"pods": "0"}, high),
        ("all", {"pods": "9", "requests.cpu": "4"}, {"scopes": ["NotBestEffort"]}),
    ):
        world.api.good("POST", QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    world.restart()
    world.settle()

    def used(name):
        return (world.api.good("GET", f"{QUOTAS}/{name}").get("status") or {}).get("used")

    until(lambda: used("all") == {"pods": "4", "requests.cpu": "1500m"})
    assert used("for-jobs") == used("high") == {"pods": "0"}
    world.change(lambda kept: kept["spec"]["template"]["spec"].update(priorityClassName="high"))
    message = until(lambda: world.condition("ReplicaFailure").get("message"))
    assert message.endswith("is forbidden: exceeded quota: high, requested: pods=1, used: pods=0, limited: pods=0")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"scopes": ["Loud"]}, 'spec.scopes: Invalid value: ["Loud"]: unsupported scope'),
        (
            {"scopes": ["BestEffort", "NotBestEffort"], "hard": {"pods": "1"}},
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ),
        (
            {"scopes": ["Terminating"], "hard": {"configmaps": "1"}},
            'spec.scopes: Invalid value: ["Terminating"]: unsupported scope applied to resource',
        ),
        (
            {"scopes": ["BestEffort"], "hard": {"requests.cpu": "1"}},
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            by_class("In"),
            (
                "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when "
                "`operator` is 'In' or 'NotIn' for scope selector"
            ),
        ),
    ],
)
def test_scopes_that_make_no_sense_are_refused(world, spec, sentence):
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}, **spec}}
    status, reason, message = world.api.message("POST", QUOTAS, body)
    assert (status, reason) == (422, "Invalid")
    assert message == f'ResourceQuota "q" is invalid: {sentence}'
