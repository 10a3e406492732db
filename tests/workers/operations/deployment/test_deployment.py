"""Changes of the Deployment on a real cluster: what is known before anybody is asked, and what a killed one leaves."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from commands.grammar import parse
from mlflow_ops_sandbox.cluster.testing import until
from workers.errors import OperatorError
from workers.operation import Plan, Unwatched
from workers.operations.deployment import job, rollout, scale
from workers.report import Status
from workers.systems.cluster.client import Cluster

FIRST_IMAGE = "ghcr.io/mlflow/mlflow:v3.17.2"


@pytest.fixture
def admin(make, monkeypatch):
    """The cluster as its administrator sees it: at rest as it first was, before and after."""
    monkeypatch.setattr(rollout, "HOPELESS_SECONDS", 0.4)
    monkeypatch.setattr(rollout, "LOOK_SECONDS", 0.05)
    cluster = make("kubeconfig").cluster
    until(lambda: at_rest(cluster))
    first = cluster.deployment("mlflow")
    yield cluster
    cluster.replace_template(
        "mlflow", first["spec"]["template"], generation=cluster.deployment("mlflow")["metadata"]["generation"]
    )
    cluster.patch_deployment("mlflow", {"spec": {"replicas": first["spec"]["replicas"]}})
    until(lambda: at_rest(cluster))


@pytest.fixture
def systems(admin, make):
    return make()


def at_rest(cluster, replicas=2):
    deployment = cluster.deployment("mlflow")
    status = deployment.get("status", {})
    counted = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counted == [replicas] * 3 and status["observedGeneration"] == deployment["metadata"]["generation"]


def container(cluster):
    return cluster.deployment("mlflow")["spec"]["template"]["spec"]["containers"][0]


@contextmanager
def there(cluster, plural, name, group="api/v1", **parts):
    """An object that is there meanwhile."""
    path = f"/{group}/namespaces/{cluster.namespace}/{plural}"
    version = group.removeprefix("apis/").removeprefix("api/")
    body = {"apiVersion": version, "metadata": {"name": name}, **parts}
    made = cluster.requests.send(path, "POST", body)
    try:
        yield made
    finally:
        cluster.requests.send(f"{path}/{name}", "DELETE")


def test_every_plan_says_how_long_it_takes(systems):
    for text in ("scale 4", "restart", "update v3.18.0", "resources --cpu 300m:", "config set log_level=debug"):
        plan = parse(text).plan(systems)
        assert plan.estimate_seconds is not None, text
        assert 1 <= plan.estimate_seconds < 60, text


def test_what_steers_or_guards_the_pods_is_told(systems, admin):
    target = {"kind": "Deployment", "name": "mlflow", "apiVersion": "apps/v1"}
    scaler = {"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": target, "maxReplicas": 9}}
    labels = {"matchLabels": {"app": "mlflow"}}

    def warnings(text):
        return " ".join(parse(text).plan(systems).warnings)

    with there(admin, "horizontalpodautoscalers", "steady", "apis/autoscaling/v2", **scaler):
        assert "HorizontalPodAutoscaler steady steers it and will change the number again." in warnings("scale 4")
    assert "HorizontalPodAutoscaler" not in warnings("scale 4")
    for spec, few in (({"minAvailable": 4}, 4), ({"minAvailable": "100%"}, 4), ({"maxUnavailable": 0}, 4)):
        budget = {"kind": "PodDisruptionBudget", "spec": {**spec, "selector": labels}}
        with there(admin, "poddisruptionbudgets", "guard", "apis/policy/v1", **budget):
            assert f"guard wants {few} pods available at all times" in warnings("scale 4"), spec
    with there(
        admin,
        "poddisruptionbudgets",
        "guard",
        "apis/policy/v1",
        kind="PodDisruptionBudget",
        spec={"maxUnavailable": 1, "selector": labels},
    ):
        assert "guard" not in warnings("scale 4")
    assert "The nodes have room for" in warnings("scale 900")


def test_a_quota_is_respected_also_while_old_and_new_pods_stand_beside_each_other(systems, admin):
    before = admin.deployment("mlflow")["metadata"]["generation"]
    held = container(admin)["resources"]["requests"]["cpu"]

    def refused(hard, text):
        with there(admin, "resourcequotas", "small", kind="ResourceQuota", spec={"hard": {"requests.cpu": hard}}):
            until(lambda: admin.named("resourcequotas", "small").get("status", {}).get("used"))
            with pytest.raises(OperatorError) as error:
                parse(text).plan(systems)
        return str(error.value)

    assert held == "500m"
    assert "2 pods with these resources are beyond it" in refused("1200m", "resources --cpu 700m:")
    assert "no room for the first new pod beside the old ones" in refused("1100m", "resources --cpu 200m:")
    assert admin.deployment("mlflow")["metadata"]["generation"] == before


def test_a_volume_of_one_node_is_looked_at_and_told(systems, admin):
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    volume = {"name": "scratch", "persistentVolumeClaim": {"claimName": "scratch"}}
    with there(admin, "persistentvolumeclaims", "scratch", kind="PersistentVolumeClaim", spec=spec):
        admin.patch_deployment("mlflow", {"spec": {"template": {"spec": {"volumes": [volume]}}}})
        for text in ("restart", "scale 3"):
            assert "PersistentVolumeClaim scratch is ReadWriteOnce: " in " ".join(parse(text).plan(systems).warnings)


def test_a_job_is_made_watched_and_removed_by_the_workers_own_account(systems, admin):
    done = job.run_once(systems, Unwatched(), job.JobSpec(FIRST_IMAGE, ("true",), "look", 60.0))
    assert done.well, done.why
    assert not [each for each in admin.jobs("mlflow-ops/purpose=look") if "deletionTimestamp" not in each["metadata"]]


def test_a_limit_range_bounds_how_far_a_limit_is_above_its_request(systems, admin):
    limit = {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}
    with there(admin, "limitranges", "ratio", kind="LimitRange", spec={"limits": [limit]}):
        with pytest.raises(OperatorError, match="LimitRange ratio allows a cpu limit of 2 times its request at most"):
            parse("resources --cpu 100m:1").plan(systems)
        parse("resources --cpu 600m:1").plan(systems)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scale 4", r"may not update deployments/scale \(mlflow\).*verb update"),
        ("restart", r"may not patch deployments \(mlflow\).*verb patch"),
        ("update v3.18.0", r"may not patch deployments \(mlflow\)"),
        ("resources --cpu 300m:", r"may not patch deployments \(mlflow\)"),
    ],
)
def test_the_verb_that_the_role_lacks_is_named_before_anybody_is_asked(systems, admin, text, said):
    path = "/apis/rbac.authorization.k8s.io/v1/namespaces/data-platform/roles/mlflow-ops-worker"
    whole = admin.requests.get(path)["rules"]
    kept = [{**rule, "verbs": [each for each in rule["verbs"] if each not in {"patch", "update"}]} for rule in whole]
    lesser = [rule for rule in kept if rule["verbs"]]

    def grant(rules):
        admin.requests.send(path, "PATCH", {"rules": rules}, content_type="application/merge-patch+json")

    before = admin.deployment("mlflow")["metadata"]["generation"]
    grant(lesser)
    try:
        with pytest.raises(OperatorError, match=said):
            parse(text).plan(systems)
    finally:
        grant(whole)
    assert admin.deployment("mlflow")["metadata"]["generation"] == before


@pytest.mark.parametrize(
    ("text", "theirs"),
    [
        ("update v3.18.0", {"image": "ghcr.io/mlflow/mlflow:v3.16.0"}),
        ("resources --cpu 300m:", {"resources": {"limits": {"memory": "3Gi"}}}),
    ],
)
def test_what_somebody_else_changes_at_the_same_moment_is_theirs(systems, admin, monkeypatch, text, theirs):
    real, waiting = (
        Cluster.patch_deployment,
        [{"spec": {"template": {"spec": {"containers": [{"name": "mlflow", **theirs}]}}}}],
    )

    def patch(self, name, patch):
        if waiting:
            real(admin, name, waiting.pop())
        return real(self, name, patch)

    monkeypatch.setattr(Cluster, "patch_deployment", patch)
    with pytest.raises(OperatorError, match="left as it is: someone else changed it at the same moment"):
        parse(text).run(systems, Unwatched())
    now = container(admin)
    assert now["image"] == theirs.get("image", FIRST_IMAGE)
    assert now["resources"]["requests"]["cpu"] == "500m"


def test_pods_that_find_no_node_are_told_in_the_schedulers_words_and_going_back_is_offered(systems, admin, monkeypatch):
    monkeypatch.setattr(scale, "READY_SECONDS", 3.0)
    report = parse("scale 60").run(systems, Unwatched())
    assert report.status is Status.FAIL
    assert "Insufficient" in report.summary
    assert report.undo == "scale 2"
    parse(report.undo).run(systems, Unwatched())
    until(lambda: at_rest(admin))


@pytest.mark.slow
def test_an_update_whose_version_is_not_that_of_its_tag_is_no_clean_success(systems, admin):
    report = parse("update v3.18.0").run(systems, Unwatched())
    assert report.status is Status.WARN
    assert "MLflow could not be asked for its version" in report.summary


KILLED = """
import json, os, signal, sys
from commands.grammar import parse
from workers import settings
from workers.operations.deployment import rollout
from workers.systems import Systems

rollout.HOPELESS_SECONDS, rollout.LOOK_SECONDS = 0.4, 0.05
left = [int(sys.argv[2])]

class Dies:
    def step(self, name, of=""):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def advance(self, done, total, unit):
        # The step has had its effect; the next one has not begun.
        if left[0] == 1 and "--inside" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
    def ended(self, said="", *, well=True):
        pass
    def checkpoint(self):
        pass

parse(sys.argv[1]).run(Systems(settings.load()), Dies())
print("came to its end")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "step", "inside"),
    [
        ("update v9.9.9", 1, ()),
        ("update v9.9.9", 2, ("--inside",)),
        ("update v9.9.9", 2, ()),
        ("resources --memory :3Gi", 2, ("--inside",)),
        ("config set gunicorn_workers=many", 2, ()),
        ("config set gunicorn_workers=many", 3, ("--inside",)),
        ("config set gunicorn_workers=many", 3, ()),
    ],
)
def test_killed_in_any_step_the_old_state_or_the_new_is_left_and_named(systems, admin, tmp_path, text, step, inside):
    operation = parse(text)
    held = admin.configmap("mlflow-config")["data"]
    planned = Plan.model_validate_json(operation.plan(systems).model_dump_json())
    old = (container(admin)["image"], container(admin)["resources"], held)
    environ = systems.settings.environment
    env = {"KUBECONFIG": str(environ.kubeconfig), "MLFLOW_OPS_CONFIG": str(tmp_path / "ops.yaml"), "PATH": ""}
    run = subprocess.run(
        [sys.executable, "-c", KILLED, text, str(step), *inside], env=env, capture_output=True, text=True, check=False
    )
    if run.returncode == 0:
        assert "came to its end" in run.stdout
    else:
        assert run.returncode == -9, run.stderr
    left = operation.aftermath(systems, planned)
    now = (container(admin)["image"], container(admin)["resources"], admin.configmap("mlflow-config")["data"])
    if now == old:
        assert left.startswith("Nothing had been changed."), left
    else:
        assert left.startswith("It had been carried out:"), left
    if now != old:
        assert parse(planned.undo.removeprefix("/mlflow ")).run(systems, Unwatched()).status is not Status.FAIL
    until(lambda: at_rest(admin))
    assert (container(admin)["image"], container(admin)["resources"], admin.configmap("mlflow-config")["data"]) == old
