"""Every state that a Deployment is found in, by every command that changes it: what is said, and what is there then.

With MLFLOW_OPS_TABLE=file the table is written there, as Markdown.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml

from commands.grammar import parse
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import QUICK, running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from workers import settings
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.deployment import autoscaling, rollout, template_change
from workers.report import Status
from workers.systems import Systems

pytestmark = pytest.mark.slow

OLDER, FIRST, GOOD, BAD, UNKNOWN = (
    f"ghcr.io/mlflow/mlflow:{tag}" for tag in ("v3.16.0", "v3.17.2", "v3.18.0", "crash", "v9.9.9")
)
COMMANDS = (
    "scale 3",
    "restart",
    "update v3.18.0",
    "update crash",
    "rollback",
    "resources --cpu 300m:",
    "config set log_level=debug",
)
TABLE: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class World:
    """The cluster as its administrator has it, and as the worker may see it."""

    control: str
    admin: Systems
    systems: Systems

    def fault(self, **order):
        requests.post(f"{self.control}/faults", json=order, timeout=10).raise_for_status()

    @property
    def deployment(self):
        return self.admin.cluster.deployment("mlflow")

    @property
    def image(self):
        return self.deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    def patch(self, **parts):
        return self.admin.cluster.patch_deployment("mlflow", parts)

    def have(self, image):
        self.patch(spec={"template": {"spec": {"containers": [{"name": "mlflow", "image": image}]}}})

    def ready(self):
        return self.deployment.get("status", {}).get("readyReplicas", 0)

    def pods(self):
        return self.admin.cluster.pods("app=mlflow")

    def quota(self):
        found = (each.get("status", {}) for each in self.admin.cluster.every("resourcequotas"))
        return next((each for each in found if "pods" in each.get("hard", {})), {})

    def shown(self):
        """The line of `kubectl get deployment -o wide`."""
        item = self.deployment
        status = item.get("status", {})
        counts = f"{status.get('readyReplicas', 0)}/{item['spec']['replicas']} ready"
        tag = self.image.rpartition(":")[2]
        return f"{counts}, {status.get('updatedReplicas', 0)} up to date, {tag}"

    def at_rest(self):
        item = self.deployment
        status, wanted = item.get("status", {}), item["spec"]["replicas"]
        seen = status.get("observedGeneration") == item["metadata"]["generation"]
        counted = [status.get(each, 0) for each in ("replicas", "updatedReplicas", "availableReplicas")]
        return seen and counted == [wanted] * 3


@pytest.fixture(scope="module")
def world(tmp_path_factory, upstream):
    folder = tmp_path_factory.mktemp("states")
    wiring = wiring_from({"mlflow": {"upstream": upstream}, "secrets": {"mlflow-backend-secret": {"URI": "x"}}})
    with running_cluster(Options(folder / "data", wiring, pace=QUICK)) as running:
        ops = folder / "ops.yaml"
        ops.write_text(yaml.safe_dump({"scaling": {"free_up_to": 9}}))

        def systems(account):
            kubeconfig = str(running.kubeconfig.with_name(account))
            return Systems(settings.load({"KUBECONFIG": kubeconfig, "MLFLOW_OPS_CONFIG": str(ops)}))

        yield World(running.control, systems("kubeconfig"), systems("kubeconfig-worker"))
    if os.environ.get("MLFLOW_OPS_TABLE"):
        Path(os.environ["MLFLOW_OPS_TABLE"]).write_text(_markdown())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.5)
    monkeypatch.setattr(template_change, "READY_SECONDS", 20.0)
    monkeypatch.setattr(autoscaling, "SYNC_SECONDS", 1.0)


@pytest.fixture
def fresh(world):
    """Two pods of FIRST, made after OLDER."""
    world.have(OLDER)
    until(world.at_rest)
    world.have(FIRST)
    until(world.at_rest)
    first = world.deployment
    config = world.admin.cluster.named("configmaps", "mlflow-config")
    yield world
    world.fault(clear=True)
    cluster = world.admin.cluster
    world.patch(spec={"paused": False, "progressDeadlineSeconds": 600, "replicas": 2}, metadata=_nobody())
    with suppress(OperatorError):
        cluster.requests.send(cluster.path("horizontalpodautoscalers", "full", group="apis/autoscaling/v2"), "DELETE")
    current = cluster.named("configmaps", "mlflow-config")
    cluster.requests.send(cluster.path("configmaps", "mlflow-config"), "PUT", {**current, "data": config["data"]})
    cluster.replace_template(
        "mlflow", first["spec"]["template"], generation=cluster.deployment("mlflow")["metadata"]["generation"]
    )
    until(world.at_rest, seconds=30)


def _nobody():
    return {"annotations": {"argocd.argoproj.io/tracking-id": None}}


# The states.


def healthy(world):
    """Nothing is wrong."""


def stuck(world):
    """A rollout that passed its deadline: its image can't be pulled, the pods of before still serve."""
    world.patch(spec={"progressDeadlineSeconds": 1})
    world.have(UNKNOWN)
    until(lambda: "ProgressDeadlineExceeded" in str(world.deployment["status"].get("conditions")), seconds=30)
    # What comes after it has the usual time, however busy the machine is.
    generation = world.patch(spec={"progressDeadlineSeconds": 600})["metadata"]["generation"]
    until(lambda: world.deployment["status"]["observedGeneration"] >= generation)
    assert "ProgressDeadlineExceeded" in str(world.deployment["status"]["conditions"])


def crash_looping(world):
    """Every pod crash-loops, with the template that served well."""
    for index in (0, 1):
        world.fault(pod=f"mlflow/{index}", state="CrashLoopBackOff")
    until(lambda: world.ready() == 0)


def quota_full(world):
    """There is no room for one pod more."""
    until(lambda: len(world.pods()) == 2, seconds=30)
    world.fault(quota="full")
    until(lambda: world.quota().get("used"))


def quota_tight(world):
    """There is room for one pod more, and a pod that ends keeps its place until it is gone."""
    quota_full(world)
    cluster = world.admin.cluster
    quota = next(each for each in cluster.every("resourcequotas") if each["spec"]["hard"].get("pods"))
    path = cluster.path("resourcequotas", quota["metadata"]["name"])
    hard = {"pods": str(int(quota["spec"]["hard"]["pods"]) + 1)}
    cluster.requests.send(path, "PUT", {**quota, "spec": {"hard": hard}})
    until(lambda: world.quota().get("hard") == hard)


def autoscaled(world):
    """An autoscaler that has reached its maximum."""
    cluster = world.admin.cluster
    target = {"kind": "Deployment", "name": "mlflow", "apiVersion": "apps/v1"}
    half = {"type": "Utilization", "averageUtilization": 50}
    body = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "full"},
        "spec": {
            "scaleTargetRef": target,
            "minReplicas": 2,
            "maxReplicas": 2,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": half}}],
        },
    }
    cluster.requests.send(cluster.path("horizontalpodautoscalers", group="apis/autoscaling/v2"), "POST", body)


def paused(world):
    """`kubectl rollout pause`."""
    world.patch(spec={"paused": True})


def argo(world):
    """Argo CD owns it."""
    world.patch(metadata={"annotations": {"argocd.argoproj.io/tracking-id": "mlflow:apps/Deployment:x/mlflow"}})


STATES = (healthy, stuck, crash_looping, quota_full, quota_tight, autoscaled, paused, argo)
DONE, REFUSED, FAILED, BACK, LEFT = "done", "refused", "failed", "put back", "left"
EXPECTED = {
    **{(state.__name__, command): DONE for state in STATES for command in COMMANDS},
    **{(state.__name__, "update crash"): BACK for state in STATES},
    **{(quota_full.__name__, command): REFUSED for command in COMMANDS},
    **{(paused.__name__, command): REFUSED for command in COMMANDS[1:]},
    (autoscaled.__name__, "scale 3"): REFUSED,
    (crash_looping.__name__, "scale 3"): FAILED,
    (crash_looping.__name__, "update crash"): LEFT,
    # What changes the template of a rollout that cannot come up does not make it come up.
    (stuck.__name__, "restart"): FAILED,
    (stuck.__name__, "resources --cpu 300m:"): BACK,
    (stuck.__name__, "config set log_level=debug"): BACK,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STATES, ids=lambda each: each.__name__)
def test_what_is_said_is_what_is_there(fresh, state, command):
    world = fresh
    state(world)
    before, ready = world.deployment, world.ready()
    operation = parse(command)
    warned = ()
    try:
        plan = operation.plan(world.systems)
        warned = plan.warnings
        report = operation.run(world.systems, Unwatched())
    except OperatorError as error:
        outcome, said = REFUSED, error.message
        assert world.deployment["spec"] == before["spec"], "refused, and yet something was changed"
    else:
        said = report.summary
        if report.status is not Status.FAIL:
            outcome = DONE
        else:
            outcome = (
                LEFT if "left in place" in said else BACK if " is back" in said or " as it was" in said else FAILED
            )
    TABLE[state.__name__, command] = f"**{outcome}**: {said}" + "".join(f" ⚠ {each}" for each in warned)
    TABLE[state.__name__, command] += f" → {world.shown()}"
    if outcome is DONE:
        assert world.ready() == world.deployment["spec"]["replicas"], said
        assert world.image == {"update v3.18.0": GOOD, "update crash": BAD}.get(command, world.image)
    if outcome is BACK:
        until(lambda: world.ready() >= min(ready, 2))
        assert world.image != BAD
        if "every pod is ready" in said:
            assert world.at_rest()
    if ready:
        until(lambda: world.ready() >= min(ready, world.deployment["spec"]["replicas"]))
    assert outcome == EXPECTED[state.__name__, command], said


def _markdown():
    head = "| | " + " | ".join(COMMANDS) + " |\n|---|" + "---|" * len(COMMANDS)
    rows = [
        f"| {state.__name__.replace('_', ' ')} | "
        + " | ".join(TABLE.get((state.__name__, command), "").replace("|", "/") for command in COMMANDS)
        + " |"
        for state in STATES
    ]
    return "\n".join([head, *rows]) + "\n"
