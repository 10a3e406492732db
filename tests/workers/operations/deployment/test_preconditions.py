"""What would undo or refuse a change of the Deployment, known from its plan: quotas, autoscalers, owners, a pause."""

import pytest

from commands.grammar import parse
from tests.workers.operations.deployment.deployments import (
    DONE,
    REFUSED,
    STUCK,
    Answers,
    deployment,
    pod,
    replica_set,
    systems,
    template,
)
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.deployment import autoscaling, demand, failed_before, ownership, preconditions, quota, scale
from workers.operations.deployment.scale import Scale

HALF = template(requests={"cpu": "500m", "memory": "1Gi"}, limits={"memory": "2Gi"})
WHOLE = template(requests={"cpu": "1", "memory": "1Gi"}, limits={"memory": "2Gi"})
FIXED = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
SWAPPED = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}


def resource_quota(hard, used, **spec):
    return {"metadata": {"name": "team"}, "spec": {"hard": hard, **spec}, "status": {"hard": hard, "used": used}}


def of_two(quotas, *, states=("ready", "ready"), **given):
    pods = [pod(f"mlflow-{n}", state=state, spec=HALF["spec"]) for n, state in enumerate(states)]
    return Answers(deployment(of=HALF, **given), sets=[replica_set("new", HALF)], pods=pods, quotas=quotas)


def rolled(cluster, tmp_path, new=None):
    spec = new["spec"] if new else None
    return quota.require_room_for_rollout(systems(cluster, tmp_path), cluster.deployments[0], spec)


def test_a_pod_asks_for_its_sidecars_too_or_for_what_comes_first():
    def container(cpu, **more):
        return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}

    spec = {"containers": [container("1"), container("500m")]}
    native = {**spec, "initContainers": [container("250m", restartPolicy="Always"), container("1")]}
    heavy = {**spec, "initContainers": [container("250m", restartPolicy="Always"), container("3")]}
    found = [demand.of_pod(each)["requests.cpu"] for each in (spec, native, heavy)]
    assert [float(each) for each in found] == [1.5, 1.75, 3.25]


def test_a_namespace_has_defaults_for_what_a_container_leaves_out():
    ranges = [{"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "default": {"memory": "1Gi"}}]}}]
    found = demand.of_pod({"containers": [{"name": "c"}]}, ranges)
    assert {key: float(value) for key, value in found.items()} == {
        "requests.cpu": 2,
        "limits.cpu": 2,
        "requests.memory": 2**30,
        "limits.memory": 2**30,
        "pods": 1,
    }
    assert demand.unstated({"containers": [{"name": "c"}]}, "limits.cpu", ranges) == []
    assert demand.unstated({"containers": [{"name": "c"}]}, "limits.cpu") == ["c"]


@pytest.mark.parametrize(
    ("hard", "used", "given", "said"),
    [
        ({"pods": "2"}, {"pods": "2"}, FIXED, "allows 2 of pods in all, 2 is used, and 3 would be needed"),
        ({"count/pods": "2"}, {"count/pods": "2"}, FIXED, "no room for the first new pod beside the old ones"),
        ({"pods": "2"}, {"pods": "2"}, SWAPPED, ""),
        ({"pods": "2"}, {"pods": "2"}, {"strategy": {"type": "Recreate"}}, ""),
        ({"pods": "3"}, {"pods": "2"}, FIXED, ""),
        ({"cpu": "1200m"}, {"cpu": "1"}, FIXED, "allows 1200m of cpu in all, 1 is used, and 1500m would be needed"),
        ({"limits.memory": "4Gi"}, {"limits.memory": "4Gi"}, FIXED, "4.0 GiB is used, and 6.0 GiB would be needed"),
        ({"limits.cpu": "8"}, {"limits.cpu": "0"}, FIXED, "requires limits.cpu of every container, and mlflow doesn't"),
        ({"requests.nvidia.com/gpu": "0"}, {}, FIXED, ""),
        ({"services": "0"}, {}, FIXED, ""),
        ({"pods": "0"}, {"pods": "0"}, {"replicas": 0, **FIXED}, ""),
    ],
)
def test_a_rollout_counts_its_surge(tmp_path, hard, used, given, said):
    cluster = of_two([resource_quota(hard, used)], **given)
    if not said:
        assert rolled(cluster, tmp_path) == ()
        return
    with pytest.raises(OperatorError, match=said):
        rolled(cluster, tmp_path)


def test_more_than_fits_at_the_end_is_refused_and_a_slow_rollout_is_told(tmp_path):
    cluster = of_two([resource_quota({"cpu": "1500m"}, {"cpu": "1"})], **SWAPPED)
    with pytest.raises(OperatorError, match="2 would be needed: 2 pods with these resources are beyond it"):
        rolled(cluster, tmp_path, WHOLE)
    both = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}}
    (told,) = rolled(of_two([resource_quota({"pods": "2"}, {"pods": "2"})], **both), tmp_path)
    assert "3 would be needed to replace 2 pods at once: the rollout replaces fewer at a time" in told


def test_a_stuck_pod_makes_room_for_the_rollout_that_mends_it(tmp_path):
    quotas = [resource_quota({"pods": "3"}, {"pods": "3"})]
    stuck = {"updated": 1, "there": 3, "available": 2, "conditions": [STUCK], **FIXED}
    assert rolled(of_two(quotas, states=("ready", "ready", "ImagePullBackOff"), **stuck), tmp_path) == ()
    with pytest.raises(OperatorError, match="no room for the first new pod"):
        rolled(of_two([resource_quota({"pods": "2"}, {"pods": "2"})], **FIXED), tmp_path)


@pytest.mark.parametrize(
    ("spec", "counts"),
    [
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
        ({"scopes": ["NotBestEffort"]}, True),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]
                }
            },
            False,
        ),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "NotTerminating", "operator": "Exists"}]}}, True),
    ],
)
def test_a_quota_counts_by_its_scopes(tmp_path, spec, counts):
    cluster = of_two([resource_quota({"pods": "2"}, {"pods": "2"}, **spec)], **FIXED)
    if not counts:
        assert rolled(cluster, tmp_path) == ()
        return
    with pytest.raises(OperatorError, match="ResourceQuota team"):
        rolled(cluster, tmp_path)


def apart(*, preferred=False, **term):
    term = {"topologyKey": "kubernetes.io/hostname", **term}
    if preferred:
        found = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}
    else:
        found = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return {"affinity": {"podAntiAffinity": found}}


@pytest.mark.parametrize(
    ("scope", "spec", "counts"),
    [
        ("CrossNamespacePodAffinity", apart(), False),
        ("CrossNamespacePodAffinity", apart(namespaces=["other"]), True),
        ("CrossNamespacePodAffinity", apart(preferred=True, namespaceSelector={}), True),
        ("BestEffort", {"resources": {"limits": {"ephemeral-storage": "1Gi"}}}, True),
        ("BestEffort", {"resources": {"requests": {"cpu": "0"}}}, True),
        ("NotBestEffort", {"resources": {"limits": {"memory": "1Gi"}}}, True),
    ],
)
def test_a_quota_with_scopes_looks_at_the_pod_as_the_api_server_does(tmp_path, scope, spec, counts):
    container = {"name": "mlflow", "resources": spec.get("resources", {})}
    spec = {key: value for key, value in spec.items() if key != "resources"}
    cluster = of_two([resource_quota({"pods": "2"}, {"pods": "2"}, scopes=[scope])], **FIXED)
    new = {"spec": {"containers": [container], **spec}}
    if not counts:
        assert rolled(cluster, tmp_path, new) == ()
        return
    with pytest.raises(OperatorError, match="ResourceQuota team"):
        rolled(cluster, tmp_path, new)


@pytest.mark.parametrize(
    ("replicas", "given", "said"),
    [
        (4, {}, ""),
        (5, {}, "5 would be needed: there is room for 2 more pods, not for 3"),
        (1, {}, ""),
        # One of the two could not be made, so two more are three.
        (4, {"updated": 1, "conditions": [REFUSED]}, "there is room for 2 more pods, not for 3"),
    ],
)
def test_scaling_counts_the_pods_that_are_missing(tmp_path, replicas, given, said):
    cluster = of_two([resource_quota({"pods": "4"}, {"pods": "2"})], **given)
    if not said:
        quota.require_room_for_more(systems(cluster, tmp_path), cluster.deployments[0], replicas)
        return
    with pytest.raises(OperatorError, match=said):
        quota.require_room_for_more(systems(cluster, tmp_path), cluster.deployments[0], replicas)


def scaler(least=2, most=3, target="mlflow", **labels):
    spec = {"minReplicas": least, "maxReplicas": most, "scaleTargetRef": {"kind": "Deployment", "name": target}}
    return {"metadata": {"name": "steady", "labels": labels}, "spec": spec}


@pytest.mark.parametrize(
    ("replicas", "given", "said", "line"),
    [
        (5, {}, r"steady allows at most 3 replicas \(2 to 3\)", 'kubectl patch hpa steady -n .*"maxReplicas":5'),
        (1, {}, r"steady allows at least 2 replicas \(2 to 3\)", '"minReplicas":1'),
        (5, {autoscaling.KEDA: "mlflow-so"}, "at most 3", 'kubectl patch scaledobject mlflow-so .*"maxReplicaCount":5'),
    ],
)
def test_a_number_beyond_an_autoscalers_limits_is_refused(tmp_path, replicas, given, said, line):
    cluster = Answers(deployment(4), scalers=[scaler(**given)])
    with pytest.raises(OperatorError, match=said) as refused:
        Scale(replicas=replicas).plan(systems(cluster, tmp_path))
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(refused.value.hint)


def test_within_its_limits_an_autoscaler_is_told(tmp_path):
    ours = systems(Answers(deployment(), scalers=[scaler(), scaler(target="other")]), tmp_path)
    found = autoscaling.steering(ours)
    assert len(found) == 1
    autoscaling.require_within(found, 3, "ns")
    autoscaling.require_within(found, 0, "ns")
    assert list(autoscaling.warnings(found, 3)) == [
        "HorizontalPodAutoscaler steady steers it and will change the number again."
    ]
    assert "does nothing" in next(autoscaling.warnings(found, 0))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (deployment(3), ""),
        (deployment(2), "HorizontalPodAutoscaler steady has changed that to 2 replicas since"),
        (deployment(3, available=1), "1 pod of them is ready now"),
    ],
)
def test_after_scaling_it_is_read_again_once_the_autoscaler_has_looked(tmp_path, monkeypatch, after, said):
    monkeypatch.setattr(autoscaling, "SYNC_SECONDS", 0.05)
    monkeypatch.setattr(scale, "LOOK_SECONDS", 0.01)
    ours = systems(Answers(deployment(3), after, scalers=[scaler()]), tmp_path)
    assert Scale(replicas=3)._undone(ours, Unwatched()) == said


@pytest.mark.parametrize(
    ("labels", "annotations", "owner"),
    [
        ({}, {}, None),
        ({"app.kubernetes.io/instance": "mlflow"}, {}, None),
        ({"app.kubernetes.io/managed-by": "Helm"}, {"meta.helm.sh/release-name": "ml"}, "Helm, release ml"),
        ({"app.kubernetes.io/managed-by": "Helm"}, {}, "Helm"),
        ({"argocd.argoproj.io/instance": "ml"}, {}, "Argo CD, application ml"),
        (
            {"app.kubernetes.io/managed-by": "Helm"},
            {"argocd.argoproj.io/tracking-id": "ml:apps/Deployment:ns/mlflow"},
            "Argo CD, application ml",
        ),
        (
            {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
            {},
            "Flux, Kustomization flux-system/apps",
        ),
        (
            {"helm.toolkit.fluxcd.io/name": "ml", "app.kubernetes.io/managed-by": "Helm"},
            {"meta.helm.sh/release-name": "ml"},
            "Flux, HelmRelease ml",
        ),
    ],
)
def test_owners_are_known_by_what_they_set(labels, annotations, owner):
    found = ownership.owner_of({"metadata": {"name": "mlflow", "labels": labels, "annotations": annotations}})
    assert (found.name if found else None) == owner


def test_owners_are_known_by_the_name_that_they_write_under():
    item = {"metadata": {"name": "mlflow", "managedFields": [{"manager": "kubectl"}, {"manager": "argocd-controller"}]}}
    assert ownership.owner_of(item).name == "Argo CD"
    off = {"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/reconcile": "disabled"}
    assert "is off" in ownership.owner_of({"metadata": {"name": "mlflow", "labels": off}}).undoes


def test_each_plan_says_who_undoes_it(tmp_path):
    cluster = of_two([])
    cluster.deployments[0]["metadata"]["labels"] = {"argocd.argoproj.io/instance": "ml"}
    owned = systems(cluster, tmp_path)
    said = "deployment/mlflow is managed by Argo CD, application ml: its next sync undoes the change"
    config = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": {"argocd.argoproj.io/instance": "ml"}}}
    both = preconditions.of_template_change(owned, cluster.deployments[0], also=(config,))
    assert "deployment/mlflow and configmap/c are managed by" in both[0]
    assert said in preconditions.of_template_change(owned, cluster.deployments[0])[0]
    assert "keeps the annotation" in preconditions.of_restart(owned, cluster.deployments[0])[0]
    (row,) = ownership.told(cluster.deployments)
    assert row == ("deployment/mlflow", "Argo CD, application ml: " + ownership.owner_of(cluster.deployments[0]).undoes)


@pytest.mark.parametrize("text", ["restart", "resources --cpu 300m:", "rollback"])
def test_a_paused_deployment_is_refused_with_the_line_that_resumes_it(tmp_path, text):
    sets = [replica_set("new", HALF, available=2, revision=2), replica_set("old", WHOLE, revision=1)]
    cluster = Answers(deployment(of=HALF, paused=True), sets=sets)
    with pytest.raises(OperatorError, match="is paused: no pod would take the change") as refused:
        parse(text).plan(systems(cluster, tmp_path))
    assert "kubectl rollout resume deployment/mlflow -n " in refused.value.hint


def test_the_plan_says_what_would_be_put_back(tmp_path):
    old, new = template("mlflow:v1"), template("mlflow:v2")
    sets = [replica_set("old", old, available=2, revision=5), replica_set("new", new, there=1, revision=6)]
    stuck = deployment(updated=1, there=3, available=2, of=new, conditions=[STUCK])
    ours = systems(Answers(stuck, sets=sets), tmp_path)
    assert "revision 5 is put back" in preconditions.of_template_change(ours, stuck)[0]
    assert preconditions.of_template_change(ours, stuck, old) == ()
    plan = parse("rollback").plan(ours)
    assert plan.facts == {"revision": 6, "target": 5}
    crashing = deployment(available=0, of=new)
    told = preconditions.of_template_change(systems(Answers(crashing), tmp_path), crashing)
    assert told[0].startswith("No pod is ready now.")
    assert preconditions.of_template_change(ours, deployment(of=new, conditions=[DONE])) == ()


def test_a_revision_that_never_came_up_is_warned_of(tmp_path):
    bad = template("mlflow:bad")
    there = replica_set("bad", bad, there=1)
    ours = systems(Answers(deployment(), pods=[pod("mlflow-bad-1", "bad", state="ImagePullBackOff")]), tmp_path)
    assert list(failed_before.warnings(ours, 7, there)) == [
        "Revision 7 has 1 pod now, and none is ready: mlflow-bad-1 is in ImagePullBackOff."
    ]
    gone = replica_set("bad", bad)
    about = {"involvedObject": {"name": "mlflow-bad-1"}, "lastTimestamp": "2026-11-30T10:00:00Z"}
    events = [{**about, "reason": "Failed", "message": "Failed to pull image."}, {**about, "reason": "Unhealthy"}]
    ours = systems(Answers(deployment(), events=events), tmp_path)
    assert list(failed_before.warnings(ours, 7, gone)) == [
        "Pods of revision 7 failed within the last hour: Failed, Failed to pull image."
    ]
    assert list(failed_before.warnings(ours, 7, replica_set("good", bad))) == []
    assert list(failed_before.warnings(ours, 7, replica_set("bad", bad, available=1))) == []
