"""The Kubernetes gateway: plain JSON, timeouts, and errors that are sentences."""

import json
import time
from dataclasses import replace

import pytest
import yaml

from workers.settings import SettingsError
from workers.systems.cluster.client import Cluster
from workers.systems.cluster.requests import LONGEST_LINE
from workers.systems.errors import (
    ClusterError,
    ClusterForbidden,
    ClusterNotFound,
    ClusterNotReady,
    ClusterUnavailable,
    ClusterUnreachable,
    Nonsense,
)

PODS = "/api/v1/namespaces/data-platform/pods"


@pytest.fixture
def connect(tmp_path, configured):
    def connect(url, patience=1.0):
        path = tmp_path / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "c", "cluster": {"server": url}}],
                    "users": [{"name": "u", "user": {"token": "s3cr3t-token"}}],
                    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                    "current-context": "x",
                }
            )
        )
        return Cluster.connect(configured(KUBECONFIG=str(path))).within(patience)

    return connect


def status(code, reason, message):
    return code, json.dumps({"kind": "Status", "status": "Failure", "reason": reason, "message": message}).encode()


def test_lists_are_read_page_by_page_with_the_token(connect, http):
    http.answers[PODS] = (200, b'{"items": [{"a": 1}], "metadata": {"continue": "next+/="}}')
    cluster = connect(http.url)
    second = f"{PODS}?limit=500&labelSelector=app%3Dmlflow&continue=next%2B/%3D"
    http.answers[second] = (200, b'{"items": null, "metadata": {}}')
    assert cluster.pods("app=mlflow") == [{"a": 1}]
    assert [path for path, _ in http.asked] == [f"{PODS}?limit=500&labelSelector=app%3Dmlflow", second]
    assert http.asked[0][1]["Authorization"] == "Bearer s3cr3t-token"


def test_a_refused_connection_is_told_with_the_address(connect, closed):
    with pytest.raises(ClusterUnreachable, match=rf"Kubernetes at 127\.0\.0\.1:{closed} refuses connections\."):
        connect(f"http://127.0.0.1:{closed}").pods("")


def test_a_silent_server_is_asked_once_and_given_up_in_time(connect, silent):
    began = time.monotonic()
    with pytest.raises(ClusterUnreachable, match=r"does not answer within 0\.5 s"):
        connect(f"http://127.0.0.1:{silent}", patience=0.5).deployment("mlflow")
    assert time.monotonic() - began < 5


CHANGES = {
    "scale": lambda cluster: cluster.set_scale("mlflow", {}),
    "patch": lambda cluster: cluster.patch_deployment("mlflow", {"spec": {}}),
    "template": lambda cluster: cluster.replace_template("mlflow", {}, generation=1),
    "job": lambda cluster: cluster.create_job({"kind": "Job"}),
    "configmap": lambda cluster: cluster.patch_configmap("mlflow", {"data": {}}),
    "delete": lambda cluster: cluster.delete_job("mlflow"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_given_the_servers_own_time_and_may_have_been_made(connect, silent, change):
    cluster = connect(f"http://127.0.0.1:{silent}", patience=0.1)
    assert cluster.requests.change_within_seconds > 60
    hasty = replace(cluster, requests=replace(cluster.requests, change_within_seconds=0.7))
    with pytest.raises(ClusterUnreachable, match=r"does not answer within 0\.7 s") as told:
        CHANGES[change](hasty)
    assert told.value.hint == "It may have been done all the same: look before you ask again."


def test_a_change_that_was_never_sent_was_not_made(connect, closed):
    with pytest.raises(ClusterUnreachable) as told:
        connect(f"http://127.0.0.1:{closed}").set_scale("mlflow", {})
    assert "may have been done" not in told.value.hint


def test_a_change_that_the_server_gave_up_may_have_been_made(connect, http):
    path = "/apis/apps/v1/namespaces/data-platform/deployments/mlflow/scale"
    http.answers[path] = status(504, "Timeout", "request did not complete within the allotted timeout")
    with pytest.raises(ClusterError, match="answers 504: request did not complete") as told:
        connect(http.url).set_scale("mlflow", {})
    assert "may have been done" in told.value.hint


def test_a_question_that_is_posted_has_the_patience_of_a_question(connect, silent):
    with pytest.raises(ClusterUnreachable, match=r"does not answer within 0\.5 s") as told:
        connect(f"http://127.0.0.1:{silent}", patience=0.5).may("get", "", "pods")
    assert "may have been done" not in told.value.hint


def test_a_name_that_does_not_resolve_is_told(connect):
    with pytest.raises(ClusterUnreachable, match="its name does not resolve"):
        connect("http://no-such-host.invalid").pods("")


@pytest.mark.parametrize(
    "body", [b"<html>Welcome to nginx</html>", b'{"items": [{"meta', b"[1, 2]", b'{"items": 3}', b"\xff\xfe"]
)
def test_garbage_is_nonsense(connect, http, body):
    http.answers[PODS] = (200, body)
    with pytest.raises(Nonsense, match=rf"127\.0\.0\.1:{http.port}"):
        connect(http.url).pods("")


def test_an_answer_that_breaks_off_is_told(connect, saying):
    port = saying(b'HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{"items": [')
    with pytest.raises(ClusterUnreachable, match="broke off"):
        connect(f"http://127.0.0.1:{port}").pods("")


def test_forbidden_says_which_verb_on_what_the_account_lacks(connect, http):
    message = (
        'pods is forbidden: User "system:serviceaccount:data-platform:restricted" cannot list resource "pods" '
        'in API group "" in the namespace "data-platform"'
    )
    http.answers[PODS] = status(403, "Forbidden", message)
    with pytest.raises(ClusterForbidden) as caught:
        connect(http.url).pods("")
    assert caught.value.message == (
        'Our account may not list resource "pods" in API group "" in the namespace "data-platform".'
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(404, "NotFound", 'deployments.apps "mlflow" not found'), ClusterNotFound),
        ((404, b"404 page not found\n"), ClusterNotFound),
        (status(503, "ServiceUnavailable", "the server is currently unable to handle the request"), ClusterUnavailable),
        (status(401, "Unauthorized", "Unauthorized"), ClusterError),
        ((500, b"<html>"), ClusterError),
    ],
)
def test_refusals_are_told_apart(connect, http, answer, kind):
    http.default = answer
    with pytest.raises(kind) as caught:
        connect(http.url).deployment("mlflow")
    assert type(caught.value) is kind


def test_logs_come_line_by_line_and_long_lines_are_cut(connect, http):
    long = b"x" * (5 * LONGEST_LINE)
    http.answers[f"{PODS}/mlflow-1/log"] = (200, b"first\n" + long + b"\nlast \xff without newline")
    lines = list(connect(http.url).log_lines("mlflow-1", "mlflow", since_seconds=60, tail_lines=10))
    assert [line[:20] for line in lines] == ["first", "x" * 20, "last \ufffd without newline"[:20]]
    assert max(map(len, lines)) <= LONGEST_LINE
    assert http.asked[0][0] == f"{PODS}/mlflow-1/log?container=mlflow&sinceSeconds=60&tailLines=10&timestamps=true"


def test_a_container_without_a_log_is_told_apart(connect, http):
    http.default = status(400, "BadRequest", 'container "mlflow" in pod "mlflow-1" is waiting to start')
    with pytest.raises(ClusterNotReady):
        list(connect(http.url).log_lines("mlflow-1", "mlflow", since_seconds=60, tail_lines=10))


def test_without_kubeconfig_or_pod_the_variable_is_named(configured):
    with pytest.raises(SettingsError, match="KUBECONFIG is not set"):
        Cluster.connect(configured())


def test_a_kubeconfig_that_cannot_be_used_is_named(configured, tmp_path):
    path = tmp_path / "kubeconfig"
    for text in ("", "{", "apiVersion: v1\nkind: Config\n", "just text"):
        path.write_text(text)
        with pytest.raises(ClusterError, match="kubeconfig"):
            Cluster.connect(configured(KUBECONFIG=str(path)))
    with pytest.raises(ClusterError, match="kubeconfig"):
        Cluster.connect(configured(KUBECONFIG=str(tmp_path / "none" / "kubeconfig")))
