"""Create, replace, delete and the subresources: what is stored, and what is refused in which words."""

import time

import pytest
import requests
from kubernetes import client, config

from cluster_api import APPS, SPACE, Api, config_map, deployment
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from

POLICY = "/apis/policy/v1/namespaces/data-platform"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    wiring = wiring_from({"service_ports": {"mlflow": 0}})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster") / "data", wiring)) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster):
    return Api(cluster)


def with_container(name, **changes):
    item = deployment(name)
    item["spec"]["template"]["spec"]["containers"][0].update(changes)
    return item


def test_created_objects_get_what_the_server_gives(api):
    made = api.good("POST", f"{SPACE}/configmaps", {"metadata": {"generateName": "made-"}, "data": {"a": "b"}})
    metadata = made["metadata"]
    assert metadata["name"].startswith("made-")
    assert {"uid", "creationTimestamp", "resourceVersion", "managedFields"} <= set(metadata)
    assert metadata["namespace"] == "data-platform"


def test_what_cannot_be_created(api):
    api.good("POST", f"{SPACE}/configmaps", config_map("taken"))
    post = ("POST", f"{SPACE}/configmaps")
    assert api.message(*post, config_map("taken")) == (409, "AlreadyExists", 'configmaps "taken" already exists')
    assert api.message("POST", "/api/v1/namespaces/nowhere/configmaps", config_map("x")) == (
        404, "NotFound", 'namespaces "nowhere" not found',
    )  # fmt: skip
    with_version = {"metadata": {"name": "x", "resourceVersion": "1"}}
    assert api.message(*post, with_version) == (
        400, "BadRequest", "resourceVersion should not be set on objects to be created",
    )  # fmt: skip
    elsewhere = {"metadata": {"name": "x", "namespace": "default"}}
    assert api.message(*post, elsewhere) == (
        400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request",
    )  # fmt: skip
    assert api.message(*post, {})[2] == (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )


def test_bodies_that_are_none(api):
    status, reason, message = api.message("POST", f"{SPACE}/configmaps", "{")
    assert (status, reason) == (400, "BadRequest")
    assert message == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        "unexpected end of JSON input ({)"
    )
    _, _, message = api.message("POST", f"{APPS}/deployments", {**deployment("x"), "kind": "Nothing"})
    assert message.startswith('Nothing in version "v1" cannot be handled as a Deployment: no kind "Nothing" is')
    _, _, message = api.message("POST", f"{APPS}/deployments", deployment("x", replicas="two"))
    assert message == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )
    assert api.message("POST", f"{SPACE}/configmaps", "x", "text/plain")[:2] == (415, "UnsupportedMediaType")


def test_unknown_fields_are_refused_warned_of_or_ignored(api):
    body = {**config_map("unknown"), "nonsense": 1}
    path = f"{SPACE}/configmaps?dryRun=All&fieldValidation="
    assert api.message("POST", f"{path}Strict", body) == (
        400, "BadRequest",
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "nonsense"',
    )  # fmt: skip
    api.good("POST", f"{path}Warn", body)
    assert api.warnings == '299 - "unknown field \\"nonsense\\""'
    api.good("POST", f"{path}Ignore", body)
    assert api.warnings is None


def test_a_dry_run_stores_nothing(api):
    made = api.good("POST", f"{SPACE}/configmaps?dryRun=All", config_map("dry"))
    assert made["metadata"]["uid"]
    assert "resourceVersion" not in made["metadata"]
    assert api.ask("GET", f"{SPACE}/configmaps/dry")[0] == 404
    status, reason, _ = api.message("POST", f"{SPACE}/configmaps?dryRun=Some", config_map("dry"))
    assert (status, reason) == (422, "Invalid")


def test_replacing_needs_the_latest_version(api):
    path = f"{SPACE}/configmaps/replaced"
    made = api.good("POST", f"{SPACE}/configmaps", config_map("replaced", a="1"))
    made["data"] = {"a": "2"}
    new = api.good("PUT", path, made)
    assert new["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert api.message("PUT", path, made) == (
        409, "Conflict",
        ('Operation cannot be fulfilled on configmaps "replaced": the object has been modified; please apply your '
         "changes to the latest version and try again"),
    )  # fmt: skip
    assert api.good("PUT", path, new)["metadata"] == new["metadata"], "nothing changed, so nothing was written"
    stranger = {"metadata": {"name": "replaced", "uid": "1-2"}}
    assert "Precondition failed: UID in precondition: 1-2, UID in object meta:" in api.message("PUT", path, stranger)[2]
    assert api.message("PUT", path, config_map("other"))[2] == (
        "the name of the object (other) does not match the name on the URL (replaced)"
    )


def test_only_intent_raises_the_generation(api):
    path = f"{APPS}/deployments/counted"
    made = api.good("POST", f"{APPS}/deployments", deployment("counted"))
    assert made["metadata"]["generation"] == 1
    merge = "application/merge-patch+json"
    assert api.good("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, merge)["metadata"]["generation"] == 1
    assert api.good("PATCH", path, {"spec": {"paused": True}}, merge)["metadata"]["generation"] == 2
    status = api.good("PATCH", f"{path}/status", {"status": {"collisionCount": 1}, "spec": {"replicas": 9}}, merge)
    assert (status["metadata"]["generation"], status["spec"]["replicas"]) == (2, 0)


REFUSED = [
    (deployment("d", replicas=-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
    (
        deployment("d", selector={"matchLabels": {"app": "x"}}),
        'spec.template.metadata.labels: Invalid value: {"app":"d"}: `selector` does not match template `labels`',
    ),
    (with_container("d", image=""), "spec.template.spec.containers[0].image: Required value"),
    (
        with_container("d", resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
        (
            'spec.template.spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to '
            "cpu limit of 1"
        ),
    ),
    (
        with_container("d", volumeMounts=[{"name": "no", "mountPath": "/x"}]),
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "no"',
    ),
    (
        deployment("d", strategy={"type": "Other"}),
        'spec.strategy: Unsupported value: {"type":"Other"}: supported values: "Recreate", "RollingUpdate"',
    ),
]


@pytest.mark.parametrize(("item", "sentence"), REFUSED, ids=lambda value: value[:30] if isinstance(value, str) else "")
def test_deployments_that_break_rules(api, item, sentence):
    status, found = api.ask("POST", f"{APPS}/deployments", item)
    assert (status, found["reason"]) == (422, "Invalid")
    assert found["message"] == f'Deployment.apps "d" is invalid: {sentence}'
    (cause,) = found["details"]["causes"]
    assert f"{cause['field']}: {cause['message']}" == sentence


def test_several_causes_stand_in_brackets(api):
    item = deployment("d", replicas=-1)
    item["spec"]["template"]["spec"]["containers"] = []
    _, _, message = api.message("POST", f"{APPS}/deployments", item)
    assert message == (
        'Deployment.apps "d" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, '
        "spec.template.spec.containers: Required value]"
    )


def test_a_selector_stays_as_it_is(api):
    api.good("POST", f"{APPS}/deployments", deployment("fixed"))
    changed = deployment("fixed", selector={"matchLabels": {"app": "fixed", "b": "c"}})
    changed["spec"]["template"]["metadata"]["labels"]["b"] = "c"
    status, _, message = api.message("PUT", f"{APPS}/deployments/fixed", changed)
    assert status == 422
    assert message == (
        'Deployment.apps "fixed" is invalid: spec.selector: Invalid value: '
        '{"matchLabels":{"app":"fixed","b":"c"}}: field is immutable'
    )


def test_immutable_config_maps(api):
    api.good("POST", f"{SPACE}/configmaps", {**config_map("stone", a="1"), "immutable": True})
    merge = "application/merge-patch+json"
    assert api.message("PATCH", f"{SPACE}/configmaps/stone", {"data": {"a": "2"}}, merge)[2] == (
        'ConfigMap "stone" is invalid: data: Forbidden: field is immutable when `immutable` is set'
    )


@pytest.mark.parametrize("name", ["Upper", "under_score", "-dash"])
def test_names_follow_rfc_1123(api, name):
    status, _, message = api.message("POST", f"{SPACE}/configmaps", config_map(name))
    assert status == 422
    assert message.startswith(f'ConfigMap "{name}" is invalid: metadata.name: Invalid value: "{name}": a lowercase RFC')


def test_labels_follow_their_syntax(api):
    item = {"metadata": {"name": "x", "labels": {"a": "not good"}}}
    _, _, message = api.message("POST", f"{SPACE}/configmaps", item)
    assert 'metadata.labels: Invalid value: "not good": a valid label must be' in message


def test_limits_and_quotas_can_be_stored_and_count(api):
    space = "/api/v1/namespaces/narrow"
    api.good("POST", "/api/v1/namespaces", {"metadata": {"name": "narrow"}})
    limits = [{"type": "Container", "default": {"cpu": "1"}}]
    api.good("POST", f"{space}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": limits}})
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}}
    api.good("POST", f"{space}/resourcequotas", quota)
    status, _, message = api.message("POST", f"{space}/configmaps", config_map("more"))
    assert status == 403
    assert message.startswith('configmaps "more" is forbidden: exceeded quota: q, requested: configmaps=1')


def test_services_are_given_addresses_and_ports(api):
    ports = [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]
    item = {"metadata": {"name": "open"}, "spec": {"type": "NodePort", "ports": ports}}
    made = api.good("POST", f"{SPACE}/services", item)
    assert made["spec"]["clusterIP"].startswith("10.96.")
    assert [port["nodePort"] for port in made["spec"]["ports"]] == [30000, 30001]
    assert api.message("POST", f"{SPACE}/services", {"metadata": {"name": "none"}, "spec": {}})[2] == (
        'Service "none" is invalid: spec.ports: Required value'
    )


def test_owners_are_named_in_full(api):
    item = {"metadata": {"name": "x", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "y"}]}}
    assert api.message("POST", f"{SPACE}/configmaps", item)[2] == (
        'ConfigMap "x" is invalid: metadata.ownerReferences.uid: Invalid value: "": must not be empty'
    )


# Deletion.


def test_deleting_answers_with_a_status(api):
    made = api.good("POST", f"{SPACE}/configmaps", config_map("gone"))
    path = f"{SPACE}/configmaps/gone"
    wrong = {"preconditions": {"uid": "1-2"}}
    assert api.message("DELETE", path, wrong)[:2] == (409, "Conflict")
    found = api.good("DELETE", path)
    assert found["status"] == "Success"
    assert found["details"] == {"name": "gone", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert api.message("DELETE", path) == (404, "NotFound", 'configmaps "gone" not found')


def test_finalizers_hold_an_object(api):
    item = {"metadata": {"name": "held", "finalizers": ["example.com/hold"]}}
    path = f"{SPACE}/configmaps/held"
    api.good("POST", f"{SPACE}/configmaps", item)
    assert "deletionTimestamp" in api.good("DELETE", path)["metadata"]
    assert api.ask("GET", path)[0] == 200
    api.good("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    assert api.ask("GET", path)[0] == 404


def owned_by(owner, name):
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "blockOwnerDeletion": True}
    reference["uid"] = owner["metadata"]["uid"]
    return {"metadata": {"name": name, "ownerReferences": [reference]}}


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_is_owned_goes_with_its_owner(api, policy):
    owner = api.good("POST", f"{SPACE}/configmaps", config_map(f"owner-{policy.lower()}"))
    name = f"owned-{policy.lower()}"
    api.good("POST", f"{SPACE}/configmaps", owned_by(owner, name))
    api.good("DELETE", f"{SPACE}/configmaps/{owner['metadata']['name']}", {"propagationPolicy": policy})
    until(lambda: api.ask("GET", f"{SPACE}/configmaps/{name}")[0] == 404)
    until(lambda: api.ask("GET", f"{SPACE}/configmaps/{owner['metadata']['name']}")[0] == 404)


def test_orphans_stay(api):
    owner = api.good("POST", f"{SPACE}/configmaps", config_map("parent"))
    api.good("POST", f"{SPACE}/configmaps", owned_by(owner, "orphan"))
    api.good("DELETE", f"{SPACE}/configmaps/parent", {"propagationPolicy": "Orphan"})
    until(lambda: api.ask("GET", f"{SPACE}/configmaps/parent")[0] == 404)
    assert "ownerReferences" not in api.good("GET", f"{SPACE}/configmaps/orphan")["metadata"]


def test_a_selection_is_deleted_at_once(api):
    for name in ("one", "two"):
        api.good("POST", f"{SPACE}/configmaps", {"metadata": {"name": name, "labels": {"set": "s"}}})
    found = api.good("DELETE", f"{SPACE}/configmaps?labelSelector=set%3Ds")
    assert [item["metadata"]["name"] for item in found["items"]] == ["one", "two"]
    assert api.good("GET", f"{SPACE}/configmaps?labelSelector=set%3Ds")["items"] == []


def test_a_namespace_goes_with_all_that_is_in_it(api):
    api.good("POST", "/api/v1/namespaces", {"metadata": {"name": "brief"}})
    api.good("POST", "/api/v1/namespaces/brief/configmaps", config_map("inside"))
    assert api.good("DELETE", "/api/v1/namespaces/brief")["status"]["phase"] == "Terminating"
    until(lambda: api.ask("GET", "/api/v1/namespaces/brief")[0] == 404)
    assert api.ask("GET", "/api/v1/namespaces/brief/configmaps/inside")[0] == 404


def test_a_pod_that_runs_is_given_its_grace_period(api):
    pods = api.good("GET", f"{SPACE}/pods?labelSelector=app%3Dmlflow")["items"]
    name = pods[0]["metadata"]["name"]
    found = api.good("DELETE", f"{SPACE}/pods/{name}", {"gracePeriodSeconds": 1})
    assert found["kind"] == "Pod"
    assert found["metadata"]["deletionGracePeriodSeconds"] == 1
    until(lambda: api.ask("GET", f"{SPACE}/pods/{name}")[0] == 404)


# Subresources, access, clients.


def test_eviction_respects_the_budget(api):
    api.good("POST", f"{APPS}/deployments", deployment("guarded", replicas=1))
    budget = {
        "metadata": {"name": "guard"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "guarded"}}},
    }
    api.good("POST", f"{POLICY}/poddisruptionbudgets", budget)
    find = f"{SPACE}/pods?labelSelector=app%3Dguarded"
    pod = until(lambda: [item for item in api.good("GET", find)["items"] if item["status"]["phase"] == "Running"])[0]
    name = pod["metadata"]["name"]
    status, found = api.ask("POST", f"{SPACE}/pods/{name}/eviction", {"metadata": {"name": name}})
    assert status == 429
    assert found["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert found["details"]["causes"][0]["message"].startswith("The disruption budget guard needs 1 healthy pods")


def test_scale_has_the_version_of_its_owner(api):
    api.good("POST", f"{APPS}/deployments", deployment("scaled"))
    path = f"{APPS}/deployments/scaled/scale"

    def scaled_down():
        """The controller may write a status between the two."""
        scale = api.good("GET", path)
        scale["spec"]["replicas"] = 0
        status, answer = api.ask("PUT", path, scale)
        return scale if status == 200 and answer["spec"]["replicas"] == 0 else None

    scale = until(scaled_down)
    scale["metadata"]["resourceVersion"] = "1"
    assert api.message("PUT", path, scale)[:2] == (409, "Conflict")


def test_the_worker_may_write_only_what_its_role_says(cluster):
    worker = Api(cluster, "kubeconfig-worker")
    status, reason, message = worker.message("POST", f"{SPACE}/serviceaccounts", {"metadata": {"name": "x"}})
    assert (status, reason) == (403, "Forbidden")
    assert message.endswith('cannot create resource "serviceaccounts" in API group "" in the namespace "data-platform"')


def test_the_official_client_writes(cluster):
    core = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="official"), data={"a": "b"})
    made = core.create_namespaced_config_map("data-platform", body)
    made.data["a"] = "c"
    assert core.replace_namespaced_config_map("official", "data-platform", made).data == {"a": "c"}
    gone = core.delete_namespaced_config_map("official", "data-platform")
    assert gone["status"] == "Success"  # this version of the client leaves the answer of a deletion as it is


@pytest.mark.parametrize(("kind", "stored"), [("cut", 404), ("cut-after", 200)])
def test_a_connection_is_cut_before_or_after_the_write(cluster, api, kind, stored):
    fault = {"pattern": f"POST .*fieldManager={kind}$", "kind": kind, "count": 1}
    requests.post(f"{cluster.control}/faults", json={"api": fault}, timeout=5).raise_for_status()
    with pytest.raises(requests.ConnectionError):
        api.ask("POST", f"{SPACE}/configmaps?fieldManager={kind}", config_map(kind))
    time.sleep(0.05)
    assert api.ask("GET", f"{SPACE}/configmaps/{kind}")[0] == stored
