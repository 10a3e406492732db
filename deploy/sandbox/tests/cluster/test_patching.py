"""The four kinds of patches, by themselves and through kubectl's apply."""

import json
import os
import shutil
import subprocess

import pytest

from cluster_api import APPS, SPACE, Api, config_map, deployment
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, SERVICES
from mlflow_ops_sandbox.cluster.apiserver.patches.strategic import StrategicMergeError, strategic_merge
from mlflow_ops_sandbox.cluster.apiserver.schema.types import root_type
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster
from mlflow_ops_sandbox.cluster.wiring import wiring_from

JSON, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
DEPLOYMENT = root_type(DEPLOYMENTS)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    wiring = wiring_from({"service_ports": {"mlflow": 0}})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster") / "data", wiring)) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster):
    return Api(cluster)


def pod(**spec):
    return {"spec": {"template": {"spec": spec}}}


def merged(before, patch, kind=DEPLOYMENT):
    return strategic_merge(before, patch, kind)


STRATEGIC_CASES = {
    "an item is found by its key": (
        {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
        {"containers": [{"name": "a", "image": "2"}]},
        {"containers": [{"name": "a", "image": "2"}, {"name": "b"}]},
    ),
    "a new item comes first": (
        {"containers": [{"name": "a"}]},
        {"containers": [{"name": "b"}]},
        {"containers": [{"name": "b"}, {"name": "a"}]},
    ),
    "an item is deleted": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"containers": [{"name": "a", "$patch": "delete"}]},
        {"containers": [{"name": "b"}]},
    ),
    "a list is replaced": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"containers": [{"$patch": "replace"}, {"name": "c"}]},
        {"containers": [{"name": "c"}]},
    ),
    "variables merge by name": (
        {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}]},
        {"containers": [{"name": "a", "env": [{"name": "Y", "value": "3"}]}]},
        {"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "3"}]}]},
    ),
    "tolerations are replaced whole": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "b"}]},
        {"tolerations": [{"key": "b"}]},
    ),
    "the order is set": (
        {"containers": [{"name": "a"}, {"name": "b"}]},
        {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
        {"containers": [{"name": "b"}, {"name": "a"}]},
    ),
    "a volume changes its source": (
        {"volumes": [{"name": "v", "emptyDir": {}}]},
        {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]},
        {"volumes": [{"name": "v", "configMap": {"name": "c"}}]},
    ),
    "null removes": ({"nodeName": "n", "hostname": "h"}, {"nodeName": None}, {"hostname": "h"}),
}


@pytest.mark.parametrize("name", STRATEGIC_CASES)
def test_strategic_merge(name):
    before, patch, after = STRATEGIC_CASES[name]
    assert merged(pod(**before), pod(**patch)) == pod(**after)


def test_finalizers_are_a_set():
    before = {"metadata": {"finalizers": ["a", "b"]}}
    assert merged(before, {"metadata": {"finalizers": ["c"]}}) == {"metadata": {"finalizers": ["a", "b", "c"]}}
    less = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert merged(before, less) == {"metadata": {"finalizers": ["b"]}}


def test_ports_of_services_merge_by_port():
    before = {"spec": {"ports": [{"port": 80, "name": "http"}]}}
    after = merged(before, {"spec": {"ports": [{"port": 80, "name": "web"}]}}, root_type(SERVICES))
    assert after == {"spec": {"ports": [{"port": 80, "name": "web"}]}}


def test_an_item_without_its_key_is_refused():
    with pytest.raises(StrategicMergeError, match="does not contain declared merge key: name"):
        merged(pod(containers=[{"name": "a"}]), pod(containers=[{"image": "x"}]))


def test_patches_that_are_none(api):
    api.good("POST", f"{SPACE}/configmaps", config_map("patched", a="1"))
    path = f"{SPACE}/configmaps/patched"
    assert api.message("PATCH", path, "{", MERGE) == (
        400, "BadRequest", "error decoding patch: unexpected end of JSON input",
    )  # fmt: skip
    assert api.message("PATCH", path, {"a": 1}, "application/json") == (
        415, "UnsupportedMediaType", "415: Unsupported Media Type",
    )  # fmt: skip
    missing = [{"op": "remove", "path": "/data/none"}]
    assert api.message("PATCH", path, missing, JSON)[:2] == (422, "Invalid")
    assert api.message("PATCH", f"{SPACE}/configmaps/none", {}, MERGE)[:2] == (404, "NotFound")


def test_a_patch_with_a_version_needs_the_latest(api):
    api.good("POST", f"{SPACE}/configmaps", config_map("versioned", a="1"))
    patch = {"metadata": {"resourceVersion": "1"}, "data": {"a": "2"}}
    assert api.message("PATCH", f"{SPACE}/configmaps/versioned", patch, MERGE)[:2] == (409, "Conflict")


def test_a_patch_that_changes_nothing_writes_nothing(api):
    made = api.good("POST", f"{SPACE}/configmaps", config_map("same", a="1"))
    found = api.good("PATCH", f"{SPACE}/configmaps/same", {"data": {"a": "1"}}, STRATEGIC)
    assert found["metadata"] == made["metadata"]


def test_a_patch_of_the_wrong_type_is_told_as_the_patch(api):
    api.good("POST", f"{APPS}/deployments", deployment("typed"))
    _, _, message = api.message("PATCH", f"{APPS}/deployments/typed", {"spec": {"replicas": "2"}}, STRATEGIC)
    assert message.startswith(' "" is invalid: patch: Invalid value: "map[spec:map[replicas:2]]": unrecognized type:')


# Server-side apply.


def applied(name, **data):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def apply(api, name, manager, *, force=False, **data):
    path = f"{SPACE}/configmaps/{name}?fieldManager={manager}" + ("&force=true" if force else "")
    return api.ask("PATCH", path, applied(name, **data), APPLY)


def test_apply_creates_and_owns(api):
    status, made = apply(api, "applied", "one", a="1")
    assert status == 201
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("one", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_what_is_no_longer_applied_goes(api):
    apply(api, "less", "one", a="1", b="2")
    apply(api, "less", "two", b="2", c="3")
    _, found = apply(api, "less", "one")
    assert found["data"] == {"b": "2", "c": "3"}


def test_conflicts_name_the_other_manager(api):
    apply(api, "fought", "one", a="1", b="2")
    status, found = apply(api, "fought", "two", a="2")
    assert (status, found["message"]) == (409, 'Apply failed with 1 conflict: conflict with "one": .data.a')
    status, found = apply(api, "fought", "two", a="2", b="3")
    assert found["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'
    status, found = apply(api, "fought", "two", force=True, a="2")
    assert (status, found["data"]) == (200, {"a": "2", "b": "2"})
    assert apply(api, "fought", "one", a="1", b="2")[1]["reason"] == "Conflict"


def test_an_update_takes_fields_over(api):
    apply(api, "updated", "one", a="1")
    api.good("PATCH", f"{SPACE}/configmaps/updated?fieldManager=hand", {"data": {"a": "2"}}, MERGE)
    status, found = apply(api, "updated", "one", a="1")
    assert (status, found["message"]) == (409, 'Apply failed with 1 conflict: conflict with "hand" using v1: .data.a')


def test_apply_again_writes_nothing(api):
    _, first = apply(api, "again", "one", a="1")
    assert apply(api, "again", "one", a="1")[1]["metadata"] == first["metadata"]


def test_apply_needs_a_manager_and_known_fields(api):
    assert api.message("PATCH", f"{SPACE}/configmaps/x", applied("x"), APPLY)[2] == (
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
    )
    body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "nonsense": 1})
    assert api.message("PATCH", f"{SPACE}/configmaps/x?fieldManager=one", body, APPLY)[2] == (
        "failed to create typed patch object (data-platform/x; v1, Kind=ConfigMap): .nonsense: field not declared in "
        "schema"
    )


def test_items_of_lists_have_owners_of_their_own(api):
    item = deployment("shared")
    path = f"{APPS}/deployments/shared?fieldManager="
    body = {"apiVersion": "apps/v1", "kind": "Deployment", **item}
    api.good("PATCH", f"{path}one", json.dumps(body), APPLY)
    side = {"name": "side", "image": "busybox:2"}
    other = {"spec": {"template": {"spec": {"containers": [side]}}}, "metadata": {"name": "shared"}}
    both = api.good("PATCH", f"{path}two", json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", **other}), APPLY)
    assert [entry["name"] for entry in both["spec"]["template"]["spec"]["containers"]] == ["main", "side"]
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:3"
    found = api.good("PATCH", f"{path}one", json.dumps(body), APPLY)
    assert [entry["image"] for entry in found["spec"]["template"]["spec"]["containers"]] == ["busybox:3", "busybox:2"]


# kubectl.

MANIFEST = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment("typed-by-hand")}


@pytest.fixture
def kubectl(cluster, tmp_path):
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    home = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBECONFIG": str(cluster.kubeconfig)}

    def run(*arguments, given=None):
        done = subprocess.run(
            ["kubectl", *arguments], env=home, input=given and json.dumps(given), capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        return (done.stdout + done.stderr).strip()

    return run


def test_kubectl_applies_on_both_sides(kubectl):
    about = "deployment.apps/typed-by-hand"
    assert kubectl("apply", "-f", "-", given=MANIFEST) == f"{about} created"
    assert kubectl("apply", "-f", "-", given=MANIFEST) == f"{about} unchanged"
    changed = json.loads(json.dumps(MANIFEST))
    changed["spec"]["template"]["spec"]["containers"][0] |= {"image": "busybox:2", "env": [{"name": "A", "value": "1"}]}
    assert kubectl("apply", "-f", "-", given=changed) == f"{about} configured"
    assert kubectl("apply", "-f", "-", given=MANIFEST) == f"{about} configured"
    shown = json.loads(kubectl("get", "deployment", "typed-by-hand", "-o", "json"))
    (container,) = shown["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "busybox:1"
    assert "env" not in container
    for manifest in (MANIFEST, changed):
        assert kubectl("apply", "--server-side", "-f", "-", given=manifest) == f"{about} serverside-applied"
    unknown = {**MANIFEST, "spec": {**MANIFEST["spec"], "nonsense": 1}}
    assert 'strict decoding error: unknown field "spec.nonsense"' in kubectl("apply", "-f", "-", given=unknown)


KUBECTL = {
    "create configmap c --from-literal=a=b": "configmap/c created",
    "create secret generic s --from-literal=a=b": "secret/s created",
    "create deployment d --image=busybox --replicas=0": "deployment.apps/d created",
    "label configmap c a=b": "configmap/c labeled",
    "annotate configmap c a=b": "configmap/c annotated",
    "set image deployment/d busybox=busybox:2": "deployment.apps/d image updated",
    "set env deployment/d A=B": "deployment.apps/d env updated",
    "scale deployment d --replicas=0": "deployment.apps/d scaled",
    "rollout restart deployment/d": "deployment.apps/d restarted",
    'patch configmap c --type=json -p [{"op":"add","path":"/data/x","value":"y"}]': "configmap/c patched",
    "auth can-i create pods": "yes",
    "expose deployment d --port=80": "service/d exposed",
    "delete deployment d --cascade=foreground": 'deployment.apps "d" deleted',
    "delete configmap/c secret/s service/d": 'configmap "c" deleted',
}


def test_kubectl_writes(kubectl):
    said = {command: kubectl(*command.split(" ")) for command in KUBECTL}
    assert {command: text.splitlines()[0] for command, text in said.items()} == KUBECTL


def test_kubectl_explains(kubectl):
    assert "FIELD: replicas <integer>" in kubectl("explain", "deployment.spec.replicas")
