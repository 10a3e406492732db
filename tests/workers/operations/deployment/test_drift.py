"""What differs from what was applied: by the annotation of client-side apply, by managed fields, or by Git."""

import json
from copy import deepcopy
from datetime import UTC, datetime

import pytest

from workers.operations.deployment import drift, gitops, ownership

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MANIFEST = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "mlflow"},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {
                        "name": "mlflow",
                        "image": "mlflow:v1",
                        "args": ["--port", "5000"],
                        "ports": [{"containerPort": 5000}],
                        "env": [{"name": "LEVEL", "value": "info"}, {"name": "API_TOKEN", "value": "hunter22"}],
                        "resources": {"limits": {"memory": "1Gi", "cpu": 1}},
                    }
                ]
            }
        },
    },
}
REPLICAS = {"f:spec": {"f:replicas": {}}}
IMAGE = {
    "f:spec": {
        "f:template": {"f:spec": {"f:containers": {'k:{"name":"mlflow"}': {".": {}, "f:name": {}, "f:image": {}}}}}
    }
}


def entry(manager, fields, time="2026-11-30T09:00:00Z", **more):
    return {"manager": manager, "operation": "Update", "time": time, "fieldsV1": fields, **more}


def live(*entries, annotated=True, labels=None, replicas=2, **container):
    """As the server has it: defaults filled in, and what was changed."""
    item = deepcopy(MANIFEST)
    item["spec"]["replicas"] = replicas
    item["spec"]["revisionHistoryLimit"] = 10
    item["spec"]["template"]["metadata"] = {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}
    first = item["spec"]["template"]["spec"]["containers"][0]
    first["ports"][0]["protocol"] = "TCP"
    first["resources"]["limits"] = {"memory": "1024Mi", "cpu": "1"}
    first.update(container)
    notes = {drift.LAST_APPLIED: json.dumps(MANIFEST)} if annotated else {}
    item["metadata"] = {
        "name": "mlflow",
        "annotations": notes,
        "labels": labels or {},
        "managedFields": list(entries),
    }
    return item


ARGO = {"argocd.argoproj.io/instance": "ml"}
ONLY_IMAGE = entry("argocd-controller", IMAGE)


def told(item, git=None):
    return [each.told(NOW) for each in drift.of(item, git)]


def test_defaults_restarts_and_equal_amounts_are_no_drift():
    assert told(live()) == []
    assert told({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}) == []


def test_what_was_changed_since_is_named_with_who_and_when():
    item = live(
        entry("argocd-controller", REPLICAS),
        entry("kubectl-scale", REPLICAS, subresource="scale"),
        entry("mlflow-ops", IMAGE, time="2026-11-30T11:59:30Z"),
        replicas=4,
        image="mlflow:v2",
        labels=ARGO,
    )
    item["metadata"]["managedFields"][0]["time"] = "2026-11-30T08:00:00Z"
    assert told(item) == [
        "replicas: 4, Git says 2 (changed by kubectl-scale 3 h ago)",
        "containers[mlflow].image: mlflow:v2, Git says mlflow:v1 (changed by mlflow-ops 30 s ago)",
    ]


def test_what_was_taken_away_and_what_is_secret():
    env = [{"name": "LEVEL", "value": "debug"}, {"name": "API_TOKEN", "value": "hunter33"}]
    item = live(env=env)
    del item["spec"]["template"]["spec"]["containers"][0]["args"]
    lines = told(item)
    assert 'containers[mlflow].args: not set, the last apply says ["--port", "5000"]' in lines
    assert "containers[mlflow].env[LEVEL].value: debug, the last apply says info" in lines
    assert "containers[mlflow].env[API_TOKEN].value: (hidden), the last apply says (hidden)" in lines
    assert "hunter" not in " ".join(lines)


def test_with_server_side_apply_a_field_that_somebody_took_over_is_named():
    owned = entry("argocd-controller", IMAGE, operation="Apply")
    item = live(owned, entry("kubectl-scale", REPLICAS), annotated=False, replicas=4, labels=ARGO)
    assert told(item) == ["replicas: 4, set by kubectl-scale 3 h ago and not by Argo CD, application ml"]
    by_autoscaler = live(owned, entry("kube-controller-manager", REPLICAS), annotated=False, replicas=4, labels=ARGO)
    assert told(by_autoscaler) == []
    nobody = live(entry("kubectl-scale", REPLICAS), annotated=False, replicas=4)
    assert told(nobody) == []


def test_what_git_says_counts_for_more():
    item = live(entry("argocd-controller", IMAGE), annotated=False, replicas=4, labels=ARGO)
    assert told(item, {drift.REPLICAS: 2}) == ["replicas: 4, Git says 2"]
    assert told(item, {drift.REPLICAS: 4}) == []
    config = {"kind": "ConfigMap", "metadata": {"name": "c", "labels": ARGO}, "data": {"level": "debug"}}
    assert told(config, {("data", "level"): "info", ("data", "new"): "1"}) == [
        "level: debug, Git says info",
        "new: not set, Git says 1",
    ]


@pytest.mark.parametrize(
    ("item", "sets"),
    [
        (live(labels=ARGO), True),
        (live(annotated=False, labels=ARGO), True),
        (live(entry("argocd-controller", REPLICAS), annotated=False, labels=ARGO), True),
        (live(entry("argocd-controller", IMAGE), annotated=False, labels=ARGO), False),
        (
            live(
                entry("argocd-controller", IMAGE),
                entry("kube-controller-manager", REPLICAS),
                annotated=False,
                labels=ARGO,
            ),
            False,
        ),
        (live(entry("argocd-controller", IMAGE), entry("kubectl-scale", REPLICAS), annotated=False, labels=ARGO), True),
    ],
)
def test_an_owner_that_sets_no_replicas_leaves_them_alone(item, sets):
    assert drift.sets_replicas(item) is sets
    assert bool(gitops.of_replicas(item)) is sets
    assert bool(list(gitops.left_alone(item))) is not sets


def test_who_changed_it_is_called_by_the_owners_name():
    mine = live(entry("argocd-controller", REPLICAS), labels=ARGO)
    assert gitops.scaled_by(mine) == ownership.owner_of(mine).name == "Argo CD, application ml"
    assert gitops.scaled_by(live(entry("kubectl-scale", REPLICAS))) == "kubectl-scale"
    assert gitops.scaled_by(live()) == "somebody else"


def test_an_annotation_that_is_no_json_is_nothing():
    item = live()
    item["metadata"]["annotations"][drift.LAST_APPLIED] = "{"
    assert told(item) == []
