"""HorizontalPodAutoscalers: what they recommend, within which bounds, when, and what they tell of it."""

from datetime import UTC, datetime, timedelta

import pytest

from mlflow_ops_sandbox.cluster.api.defaulting import default_behavior
from mlflow_ops_sandbox.cluster.api.events import Recorder
from mlflow_ops_sandbox.cluster.api.objects import condition_of
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, EVENTS, HORIZONTAL_POD_AUTOSCALERS, PODS
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.controllers.autoscalers import AutoscalerController
from mlflow_ops_sandbox.cluster.controllers.recommending import NoFigureError, propose
from mlflow_ops_sandbox.cluster.testing import until

SCALERS = "/apis/autoscaling/v2/namespaces/data-platform/horizontalpodautoscalers"
TARGET = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mlflow"}
MERGE = "application/merge-patch+json"


def utilization(percent, resource="cpu"):
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


# What Kubernetes' own tests of its calculator expect (pkg/controller/podautoscaler/replica_calculator_test.go).
NOT_READY = [False, True, True]
THREE_READY = [True, True, True, False, False]
CALCULATED = {
    "up": (3, [300, 500, 700], [1000] * 3, 30, None, 5, 50),
    "up, less for a pod that is not ready": (3, [300, 500, 700], [1000] * 3, 30, NOT_READY, 4, 60),
    "down": (5, [100, 300, 500, 250, 250], [1000] * 5, 50, None, 3, 28),
    "down, and a pod that is not ready": (
        5,
        [100, 300, 500, 250, 250],
        [1000] * 5,
        50,
        [True] * 3 + [False] * 2,
        2,
        30,
    ),
    "within the tolerance": (3, [1010, 1030, 1020], [900, 1000, 1100], 100, None, 3, 102),
    "too few figures": (4, [400, 95], [1000] * 4, 100, None, 3, 24),
    "too few figures, and a pod that is not ready": (3, [100, 450], [1000] * 3, 50, NOT_READY, 3, 45),
}


def worlds(figures, requests, ready):
    pods, measured = [], []
    for index, request in enumerate(requests):
        name = f"pod-{index}"
        is_ready = ready[index] if ready else True
        condition = {"type": "Ready", "status": str(is_ready)}
        resources = {"requests": {"cpu": f"{request}m"}}
        pods.append(
            {
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "main", "resources": resources}]},
                "status": {"phase": "Running", "conditions": [condition]},
            }
        )
    for index, figure in enumerate(figures):
        usage = {"cpu": f"{figure}m", "memory": "1Gi"}
        measured.append({"metadata": {"name": f"pod-{index}"}, "containers": [{"name": "main", "usage": usage}]})
    return pods, measured


@pytest.mark.parametrize("case", CALCULATED.values(), ids=CALCULATED)
def test_recommendations_are_those_of_a_real_controller(case):
    replicas, figures, requests, percent, ready, expected, reached = case
    pods, measured = worlds(figures, requests, ready)
    found = propose(utilization(percent), replicas, pods, measured)
    assert found.replicas == expected
    assert found.current["resource"]["current"]["averageUtilization"] == reached
    assert found.name == "cpu resource utilization (percentage of request)"


def test_a_value_for_each_pod_is_a_target_too():
    pods, measured = worlds([300, 500, 700], [1000] * 3, None)
    target = {"type": "AverageValue", "averageValue": "250m"}
    found = propose({"type": "Resource", "resource": {"name": "cpu", "target": target}}, 3, pods, measured)
    assert (found.replicas, found.current["resource"]["current"]) == (6, {"averageValue": "500m"})


API = "the server could not find the requested resource"
CPU = "failed to get cpu utilization: unable to get metrics for resource cpu: "
NONE = {
    "metrics.k8s.io is not installed": (
        utilization(80),
        None,
        f"{CPU}unable to fetch metrics from resource metrics API: {API} (get pods.metrics.k8s.io)",
    ),
    "nothing is measured": (utilization(80), [], f"{CPU}no metrics returned from resource metrics API"),
    "no pod asks for it": (
        utilization(80, "memory"),
        [300, 500, 700],
        "failed to get memory utilization: missing request for memory in container main of Pod pod-0",
    ),
    "there is no source": (
        {"type": "Pods", "pods": {"metric": {"name": "requests"}, "target": {"type": "AverageValue"}}},
        [300],
        f"unable to get metric requests: unable to fetch metrics from custom metrics API: {API}",
    ),
}


@pytest.mark.parametrize(("metric", "figures", "sentence"), NONE.values(), ids=NONE)
def test_without_a_figure_there_is_a_reason(metric, figures, sentence):
    pods, measured = worlds(figures or [], [1000] * 3, None)
    with pytest.raises(NoFigureError) as caught:
        propose(metric, 3, pods, measured if figures is not None else None)
    assert str(caught.value) == sentence


def scaler(world, least=1, most=3, metrics=None, **spec):
    body = {"scaleTargetRef": TARGET, "minReplicas": least, "maxReplicas": most, **spec}
    if metrics:
        body["metrics"] = metrics
    return world.api.good("POST", SCALERS, {"metadata": {"name": "mlflow"}, "spec": body})


def status(world):
    return world.store.get(HORIZONTAL_POD_AUTOSCALERS, "data-platform", "mlflow").get("status") or {}


def said(world, kind):
    condition = condition_of({"status": status(world)}, kind) or {}
    return condition.get("status"), condition.get("reason")


def size(world, replicas):
    world.change(lambda kept: kept["spec"].update(replicas=replicas))


def test_a_number_above_the_maximum_lasts_until_the_next_look(world):
    made = scaler(world)
    assert made["status"] == {"desiredReplicas": 0, "currentMetrics": None}
    size(world, 5)
    generation = world.deployment()["metadata"]["generation"]
    until(lambda: world.deployment()["spec"]["replicas"] == 3)
    deployment = world.deployment()
    assert deployment["metadata"]["generation"] == generation + 1
    (entry,) = deployment["metadata"]["managedFields"]
    assert (entry["manager"], entry["subresource"]) == ("kube-controller-manager", "scale")
    assert status(world)["lastScaleTime"]
    assert world.events("SuccessfulRescale") == [
        "New size: 3; reason: Current number of replicas above Spec.MaxReplicas"
    ]
    world.settle()


def test_a_number_below_the_minimum_is_raised(world):
    scaler(world, least=3, most=4)
    until(lambda: world.deployment()["spec"]["replicas"] == 3)
    assert world.events("SuccessfulRescale") == [
        "New size: 3; reason: Current number of replicas below Spec.MinReplicas"
    ]
    world.settle()


class Steered:
    """A Deployment of pods with half a processor each, an autoscaler at 80 % of that, and a clock by hand."""

    def __init__(self, **spec):
        self.now = datetime(2026, 11, 23, tzinfo=UTC)
        self.store = Store(clock=self.clock)
        self.cores = 0.0
        labels = {"matchLabels": {"app": "mlflow"}}
        template = {"metadata": {"labels": {"app": "mlflow"}}, "spec": {"containers": []}}
        self.create(DEPLOYMENTS, "mlflow", spec={"replicas": 2, "selector": labels, "template": template})
        if "behavior" in spec:
            default_behavior(spec["behavior"])
        steering = {"scaleTargetRef": TARGET, "minReplicas": 1, "maxReplicas": 8, "metrics": [utilization(80)], **spec}
        self.create(HORIZONTAL_POD_AUTOSCALERS, "mlflow", spec=steering)
        events = Recorder(self.store, self.clock, "node")
        self.controller = AutoscalerController(self.store, events, self.clock, self.measure, 15.0, 300.0)
        self.controller.reconcile()

    def clock(self):
        return self.now

    def create(self, resource, name, **parts):
        self.store.create(resource, {"metadata": {"name": name, "namespace": "data-platform"}, **parts})

    @property
    def replicas(self):
        return self.store.get(DEPLOYMENTS, "data-platform", "mlflow")["spec"]["replicas"]

    def measure(self, _namespace, _selector):
        usage = {"cpu": f"{round(self.cores * 1000 / self.replicas)}m"}
        return [{"metadata": pod["metadata"], "containers": [{"usage": usage}]} for pod in self.store.all(PODS)]

    def set(self, replicas):
        edit = lambda kept: kept["spec"].update(replicas=replicas)  # noqa: E731
        self.store.update(DEPLOYMENTS, "data-platform", "mlflow", edit)

    def look(self, cores, times=1):
        """Let so much be used, and the autoscaler look so many times; return the size after that."""
        self.cores = cores
        for _ in range(times):
            for pod in self.store.all(PODS):
                self.store.delete(PODS, "data-platform", pod["metadata"]["name"])
            for pod in worlds([], [500] * self.replicas, None)[0]:
                place = {"namespace": "data-platform", "labels": {"app": "mlflow"}}
                self.store.create(PODS, {**pod, "metadata": {**pod["metadata"], **place}})
            self.now += timedelta(seconds=15)
            self.controller.reconcile()
        return self.replicas

    def said(self, kind):
        found = condition_of(self.store.get(HORIZONTAL_POD_AUTOSCALERS, "data-platform", "mlflow"), kind)
        return found["status"], found["reason"]

    def events(self):
        return [event["message"] for event in self.store.all(EVENTS) if event["reason"] == "SuccessfulRescale"]


def test_it_follows_a_higher_figure_at_once_and_a_lower_one_after_its_window():
    steered = Steered()
    assert steered.look(0.8) == 2
    assert steered.look(0.9) == 3
    assert steered.events() == ["New size: 3; reason: cpu resource utilization (percentage of request) above target"]
    assert steered.said("ScalingLimited") == ("False", "DesiredWithinRange")
    assert steered.look(0.1, times=19) == 3
    assert steered.said("AbleToScale") == ("True", "ScaleDownStabilized")
    assert steered.look(0.1) == 1
    assert "New size: 1; reason: All metrics below target" in steered.events()
    assert steered.said("AbleToScale") == ("True", "SucceededRescale")
    steered.look(0.1)
    assert steered.said("AbleToScale") == ("True", "ReadyForNewScale")


def test_it_grows_no_faster_than_it_may_and_no_higher():
    steered = Steered()
    assert steered.look(9.0) == 4
    assert steered.said("ScalingLimited") == ("True", "ScaleUpLimit")
    assert steered.look(9.0) == 8
    assert steered.said("ScalingLimited") == ("True", "TooManyReplicas")
    assert steered.look(9.0) == 8


def test_a_number_that_somebody_sets_within_the_bounds_goes_at_the_next_look():
    steered = Steered()
    assert steered.look(0.1, times=25) == 1
    steered.set(5)
    assert steered.look(0.1) == 1


def test_a_window_of_its_own_is_kept():
    steered = Steered(behavior={"scaleDown": {"stabilizationWindowSeconds": 0}})
    assert steered.look(0.1) == 1


PODS_A_MINUTE = {"type": "Pods", "value": 1, "periodSeconds": 60}
HALF = {"type": "Percent", "value": 50, "periodSeconds": 60}
NO_WINDOW = {"stabilizationWindowSeconds": 0}


@pytest.mark.parametrize(
    ("rules", "sizes", "reason"),
    [
        ({"selectPolicy": "Disabled"}, [2, 2, 2, 2, 2, 2], "ScaleUpLimit"),
        ({"policies": [PODS_A_MINUTE]}, [3, 3, 3, 3, 4, 4], "ScaleUpLimit"),
        ({"policies": [PODS_A_MINUTE, {**PODS_A_MINUTE, "value": 3}]}, [5, 5, 5, 5, 8, 8], "TooManyReplicas"),
        (
            {"policies": [PODS_A_MINUTE, {**PODS_A_MINUTE, "value": 3}], "selectPolicy": "Min"},
            [3, 3, 3, 3, 4, 4],
            "ScaleUpLimit",
        ),
        ({"policies": [HALF]}, [3, 3, 3, 3, 5, 5], "ScaleUpLimit"),
        ({}, [6, 8, 8, 8, 8, 8], "TooManyReplicas"),
        ({"stabilizationWindowSeconds": 30}, [2, 2, 6, 8, 8, 8], "TooManyReplicas"),
    ],
)
def test_it_grows_as_fast_as_its_policies_say(rules, sizes, reason):
    steered = Steered(behavior={"scaleUp": rules})
    assert [steered.look(20.0) for _ in sizes] == sizes
    assert steered.said("ScalingLimited") == ("True", reason)


@pytest.mark.parametrize(
    ("rules", "sizes", "reason"),
    [
        ({"selectPolicy": "Disabled"}, [8, 8, 8, 8, 8, 8], ("True", "ScaleDownLimit")),
        ({"policies": [PODS_A_MINUTE]}, [7, 7, 7, 7, 6, 6], ("True", "ScaleDownLimit")),
        ({"policies": [PODS_A_MINUTE, HALF]}, [4, 4, 4, 4, 2, 2], ("True", "ScaleDownLimit")),
        ({"policies": [PODS_A_MINUTE, HALF], "selectPolicy": "Min"}, [7, 7, 7, 7, 6, 6], ("True", "ScaleDownLimit")),
        ({}, [1, 1, 1, 1, 1, 1], ("False", "DesiredWithinRange")),
    ],
)
def test_it_shrinks_as_fast_as_its_policies_say(rules, sizes, reason):
    steered = Steered(behavior={"scaleDown": {**NO_WINDOW, **rules}})
    steered.set(8)
    assert [steered.look(0.1) for _ in sizes] == sizes
    assert steered.said("ScalingLimited") == reason


def test_what_is_beyond_its_bounds_is_taken_back_at_once_whatever_its_policies_say():
    steered = Steered(behavior={side: {"selectPolicy": "Disabled"} for side in ("scaleUp", "scaleDown")}, minReplicas=2)
    steered.set(12)
    assert steered.look(0.1) == 8
    steered.set(1)
    assert steered.look(0.1) == 2


def test_behavior_has_defaults_and_is_checked(world):
    made = scaler(world, behavior={"scaleUp": {"selectPolicy": "Min"}})["spec"]["behavior"]
    hundred = {"type": "Percent", "value": 100, "periodSeconds": 15}
    assert made == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Min",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, hundred],
        },
        "scaleDown": {"selectPolicy": "Max", "policies": [hundred]},
    }
    wrong = {"selectPolicy": "Loud", "stabilizationWindowSeconds": 4000, "policies": [{**hundred, "value": 0}]}
    patch = {"spec": {"behavior": {"scaleDown": wrong}}}
    status, reason, message = world.api.message("PATCH", f"{SCALERS}/mlflow", patch, MERGE)
    assert (status, reason) == (422, "Invalid")
    here = "spec.behavior.scaleDown"
    for sentence in (
        f"{here}.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
        f'{here}.selectPolicy: Unsupported value: "Loud": supported values: "Disabled", "Max", "Min"',
        f"{here}.policies[0].value: Invalid value: 0: must be greater than zero",
    ):
        assert sentence in message


def test_where_nothing_is_measured_it_stays_and_says_so(world):
    world.control(metrics="absent")
    scaler(world, most=8)
    until(lambda: said(world, "ScalingActive") == ("False", "FailedGetResourceMetric"))
    size(world, 4)
    until(lambda: status(world)["currentReplicas"] == 4)
    (message,) = world.events("FailedComputeMetricsReplicas")
    assert message.startswith("invalid metrics (1 invalid out of 1), first error is: failed to get cpu utilization: ")
    assert world.deployment()["spec"]["replicas"] == 4


def test_no_replicas_switch_it_off(world):
    scaler(world)
    size(world, 0)
    until(lambda: said(world, "ScalingActive") == ("False", "ScalingDisabled"))
    assert world.deployment()["spec"]["replicas"] == 0


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ({**TARGET, "name": "gone"}, 'deployments.apps "gone" not found'),
        ({**TARGET, "kind": "Nothing"}, 'no matches for kind "Nothing" in group "apps"'),
        (
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "mlflow-config"},
            "the server could not find the requested resource",
        ),
    ],
)
def test_a_target_that_is_not_there(world, target, sentence):
    scaler(world, scaleTargetRef=target)
    until(lambda: said(world, "AbleToScale") == ("False", "FailedGetScale"))
    until(lambda: world.events("FailedGetScale") == [sentence])


def test_it_is_patched_watched_printed_and_deleted_like_any_kind(world):
    scaler(world, most=3)
    assert world.api.good("PATCH", f"{SCALERS}/mlflow", {"spec": {"maxReplicas": 2}}, MERGE)["spec"]["maxReplicas"] == 2
    refused = world.api.message("PATCH", f"{SCALERS}/mlflow", {"spec": {"maxReplicas": 0}}, MERGE)
    assert refused[:2] == (422, "Invalid")
    world.api.session.headers["Accept"] = "application/json;as=Table;v=v1;g=meta.k8s.io"
    until(lambda: world.api.good("GET", SCALERS)["rows"][0]["cells"][5] == 2)
    table = world.api.good("GET", SCALERS)
    assert [column["name"] for column in table["columnDefinitions"]][:6] == [
        "Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas",
    ]  # fmt: skip
    cells = table["rows"][0]["cells"]
    assert (cells[0], cells[1], cells[3], cells[4]) == ("mlflow", "Deployment/mlflow", "1", 2)
    del world.api.session.headers["Accept"]
    world.api.good("DELETE", f"{SCALERS}/mlflow")
    assert world.api.ask("GET", f"{SCALERS}/mlflow")[0] == 404
