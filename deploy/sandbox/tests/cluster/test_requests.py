"""Requests that a real server refuses before it looks at an object: methods, paths, media types, parameters, names.

The sentences are those of apiserver, apimachinery and go-restful; clients and people tell cases apart by them.
"""

import shutil
import subprocess

import pytest
import yaml

from cluster_api import APPS, SPACE, Api, config_map, deployment
from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster
from mlflow_ops_sandbox.cluster.wiring import wiring_from

MERGE = "application/merge-patch+json"
WORKER = "system:serviceaccount:data-platform:mlflow-ops-worker"
MEDIA_TYPES = "application/json, application/yaml, application/vnd.kubernetes.protobuf"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    wiring = wiring_from({"service_ports": {"mlflow": 0}})
    with running_cluster(Options(tmp_path_factory.mktemp("cluster") / "data", wiring)) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster):
    return Api(cluster)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{SPACE}/configmaps/some"),
        ("PUT", f"{SPACE}/configmaps"),
        ("PATCH", f"{APPS}/deployments"),
        ("POST", "/api/v1/configmaps"),
        ("DELETE", "/version"),
        ("PATCH", "/apis"),
    ],
)
def test_a_method_that_a_path_does_not_have(api, method, path):
    assert api.message(method, path, {}, MERGE if method == "PATCH" else "application/json") == (
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource",
    )  # fmt: skip


@pytest.mark.parametrize("path", [f"{APPS}/machines", f"{SPACE}/pods/some/thing", "/api/v1/machines/some"])
def test_a_path_within_a_version_that_there_is_answers_with_a_status(api, path):
    wanted = (404, "NotFound", "the server could not find the requested resource")
    assert api.message("GET", path) == wanted


def test_a_path_in_a_group_that_there_is_not_is_plain_text(api):
    answer = api.session.get(f"{api.server}/apis/nothing.io/v1/machines", timeout=10)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")


def test_media_types(api):
    assert api.message("POST", f"{SPACE}/configmaps", "x", "text/plain") == (
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {MEDIA_TYPES}",
    )
    path = f"{api.server}{SPACE}/configmaps"
    refused = api.session.get(path, headers={"Accept": "application/xml"}, timeout=10)
    assert refused.status_code == 406
    assert refused.json()["message"] == f"only the following media types are accepted: {MEDIA_TYPES}"
    shown = api.session.get(path, headers={"Accept": "application/yaml"}, timeout=10)
    assert shown.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(shown.text)["kind"] == "ConfigMapList"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{bad", "invalid character 'b' looking for beginning of object key string ({bad)"),
        ('{"a" 1}', "invalid character '1' after object key ({\"a\" 1})"),
        ("{} x", "invalid character 'x' after top-level value ({} x)"),
    ],
)
def test_what_is_wrong_with_json_is_said_in_gos_words(api, body, problem):
    assert api.message("POST", f"{SPACE}/configmaps", body)[2].endswith(f"json parse error: {problem}")


@pytest.mark.parametrize(
    ("query", "status", "sentence"),
    [
        ("continue=abc", 400, "invalid continue token: continue key is not valid: invalid character 'i' looking for"),
        ("continue=***", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"),
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422, 'resourceVersionMatch "exact" is forbidden for'),
        ("resourceVersionMatch=Some&resourceVersion=1", 422, 'Unsupported value: "Some": supported values'),
        ("watch=1&resourceVersionMatch=Exact", 422, "is forbidden for watch unless sendInitialEvents is provided"),
    ],
)
def test_parameters_of_lists(api, query, status, sentence):
    got, _, message = api.message("GET", f"{SPACE}/pods?{query}")
    assert got == status
    assert sentence in message


def test_an_object_keeps_its_kind(api):
    api.good("POST", f"{SPACE}/configmaps", config_map("kept"))
    path = f"{SPACE}/configmaps/kept"
    status, reason, message = api.message("PATCH", path, {"kind": "Secret"}, MERGE)
    assert (status, reason) == (422, "Invalid")
    assert message.endswith("converting (v1.Secret) to (core.ConfigMap): unknown conversion")
    apply = "application/apply-patch+yaml"
    wrong = {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "kept"}}
    assert api.message("PATCH", f"{path}?fieldManager=x", wrong, apply)[::2] == (
        400, "incorrect version specified in apply patch. Specified patch version: v2, expected: v1",
    )  # fmt: skip
    nothing = {"apiVersion": "v1", "metadata": {"name": "kept"}}
    assert api.message("PATCH", f"{path}?fieldManager=x", nothing, apply)[0] == 500


def test_a_pod_without_containers_is_refused(api):
    pods = f"{SPACE}/pods"
    wanted = 'Pod "empty" is invalid: spec.containers: Required value'
    assert api.message("POST", pods, {"metadata": {"name": "empty"}, "spec": {}})[::2] == (422, wanted)
    assert api.message("POST", pods, {"metadata": {"name": "empty"}})[::2] == (422, wanted)


def test_a_surge_of_nothing_is_not_a_surge_that_nobody_named(api):
    api.good("POST", f"{APPS}/deployments", deployment("surging"))
    path = f"{APPS}/deployments/surging"
    strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    found = api.good("PATCH", path, {"spec": {"strategy": strategy}}, "application/strategic-merge-patch+json")
    assert found["spec"]["strategy"] == {"type": "RollingUpdate", **strategy}
    strategy["rollingUpdate"]["maxUnavailable"] = 0
    assert api.message("PATCH", path, {"spec": {"strategy": strategy}}, MERGE)[::2] == (
        422,
        (
            'Deployment.apps "surging" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: '
            "may not be 0 when `maxSurge` is 0"
        ),
    )


def test_a_key_has_one_slash_at_the_most(api):
    _, _, message = api.message("POST", f"{SPACE}/configmaps", {"metadata": {"name": "x", "labels": {"a/b/c": "1"}}})
    assert 'metadata.labels: Invalid value: "a/b/c": a qualified name must consist of alphanumeric' in message
    assert message.endswith("with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")


def test_who_acts_in_the_name_of_somebody_has_only_their_rights(cluster, api):
    def ask(headers, path=f"{SPACE}/secrets", asker=api):
        answer = asker.session.get(asker.server + path, headers=headers, timeout=10)
        return answer.status_code, answer.json().get("message", "")

    assert ask({"Impersonate-User": "nobody"}) == (
        403,
        (
            'secrets is forbidden: User "nobody" cannot list resource "secrets" in API group "" in the namespace '
            '"data-platform"'
        ),
    )
    assert ask({"Impersonate-User": "nobody", "Impersonate-Group": "system:masters"})[0] == 200
    assert ask({"Impersonate-User": WORKER}, f"{APPS}/deployments")[0] == 200
    assert ask({"Impersonate-User": WORKER}, "/api/v1/namespaces/kube-system/secrets")[0] == 403
    assert ask({"Impersonate-Group": "system:masters"})[0] == 500
    worker = Api(cluster, "kubeconfig-worker")
    assert ask({"Impersonate-User": "admin"}, asker=worker) == (
        403,
        (
            f'users "admin" is forbidden: User "{WORKER}" cannot impersonate resource "users" in API group "" at the '
            "cluster scope"
        ),
    )


AUTHORIZATION = "/apis/authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("path", "spec", "status", "sentence"),
    [
        (
            f"{AUTHORIZATION}/selfsubjectaccessreviews",
            {},
            422,
            (
                '.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: null: exactly one of '
                "nonResourceAttributes or resourceAttributes must be specified"
            ),
        ),
        (
            f"{AUTHORIZATION}/subjectaccessreviews",
            {"resourceAttributes": {"verb": "get", "resource": "pods"}},
            422,
            '"" is invalid: spec.user: Invalid value: "": at least one of user or group must be specified',
        ),
        (f"{AUTHORIZATION}/selfsubjectrulesreviews", {}, 400, "no namespace on request"),
        ("/apis/authentication.k8s.io/v1/tokenreviews", {}, 400, "token is required for TokenReview in authentication"),
    ],
)
def test_reviews_that_ask_nothing(api, path, spec, status, sentence):
    got, _, message = api.message("POST", path, {"spec": spec})
    assert got == status
    assert message.endswith(sentence)


def test_what_is_settled_stays(api):
    pod = {"metadata": {"name": "settled"}, "spec": {"containers": [{"name": "a", "image": "busybox:1"}]}}
    api.good("POST", f"{SPACE}/pods", pod)
    status, _, message = api.message("PATCH", f"{SPACE}/pods/settled", {"spec": {"nodeName": "elsewhere"}}, MERGE)
    assert status == 422
    assert "spec: Forbidden: pod updates may not change fields other than" in message
    api.good("POST", f"{SPACE}/services", {"metadata": {"name": "settled"}, "spec": {"ports": [{"port": 80}]}})
    moved = {"spec": {"clusterIPs": ["10.96.9.9"]}}
    assert api.message("PATCH", f"{SPACE}/services/settled", moved, MERGE)[::2] == (
        422,
        (
            'Service "settled" is invalid: spec.clusterIPs: Invalid value: ["10.96.9.9"]: first value must match '
            "`clusterIP`"
        ),
    )


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")
def test_kubectl_asks_what_the_worker_may(cluster):
    def can_i(*asked):
        command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "auth", "can-i", *asked, "--as", WORKER]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()

    assert can_i("list", "pods") == "yes"
    assert can_i("delete", "deployments") == "no"


def field(number, content):
    """A field of protobuf: bytes, or a small whole number."""
    return (
        bytes([number << 3, content]) if isinstance(content, int) else bytes([number << 3 | 2, len(content)]) + content
    )


def options_in_protobuf(*fields):
    """DeleteOptions as client-go sends them where it speaks protobuf: Helm deletes its own records so."""
    kind = field(1, b"v1") + field(2, b"DeleteOptions")
    return b"k8s\0" + field(1, kind) + field(2, b"".join(fields))


def test_what_is_deleted_with_options_in_protobuf_is_gone(api):
    protobuf = "application/vnd.kubernetes.protobuf"
    api.good("POST", f"{SPACE}/configmaps", config_map("in-protobuf"))
    path = f"{SPACE}/configmaps/in-protobuf"
    other = options_in_protobuf(field(2, field(1, b"another-uid")))
    assert api.message("DELETE", path, other, protobuf)[:2] == (409, "Conflict")
    api.good("DELETE", path, options_in_protobuf(field(5, b"All")), protobuf)
    api.good("GET", path)
    assert api.good("DELETE", path, options_in_protobuf(field(4, b"Background")), protobuf)["status"] == "Success"
    assert api.ask("GET", path)[0] == 404
