"""The cluster as programs use it: the official client, real pods behind a real Service, faults and healing."""

import asyncio
import base64
import hashlib
import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
from cryptography import x509
from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import running_cluster, until
from mlflow_ops_sandbox.cluster.wiring import wiring_from

NAMESPACE = "data-platform"
MIB = 1024 * 1024


class Upstream(BaseHTTPRequestHandler):
    """Stands in for the one MLflow server."""

    protocol_version = "HTTP/1.1"
    healthy = True

    def do_GET(self):
        if self.path == "/health":
            self._answer(200 if Upstream.healthy else 500, b"OK")
        elif self.path.startswith("/big/"):
            size = int(self.path.rpartition("/")[2]) * MIB
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for _ in range(size // MIB if self.command == "GET" else 0):
                self.wfile.write(b"x" * MIB)
        elif self.path == "/broken":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n")
            self.close_connection = True
        else:
            seen = {"path": self.path, "host": self.headers["Host"], "hop": self.headers["Keep-Alive"]}
            self._answer(404, json.dumps(seen).encode())

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            data = self.rfile.read(min(left, MIB))
            digest.update(data)
            left -= len(data)
        self._answer(200, digest.hexdigest().encode())

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def upstream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def wiring(tmp_path_factory, upstream):
    directory = tmp_path_factory.mktemp("processes")
    (directory / "pid").write_text(str(os.getpid()))
    (directory / "postgres.log").write_text("LOG:  database system is ready to accept connections\n")
    (directory / "mlflow.log").write_text("")
    body = {
        "mlflow": {
            "upstream": f"http://127.0.0.1:{upstream.server_port}",
            "log": str(directory / "mlflow.log"),
            "pid_file": str(directory / "pid"),
        },
        "postgres": {
            "log": str(directory / "postgres.log"),
            "pid_file": str(directory / "pid"),
            "port": upstream.server_port,
        },
        "minio": {"pid_file": str(directory / "absent"), "port": upstream.server_port},
        "service_ports": {"mlflow": 0},
        "secrets": {"mlflow-backend-secret": {"PASSWORD": "example"}},
    }
    return directory, wiring_from(body)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, wiring):
    with running_cluster(Options(tmp_path_factory.mktemp("cluster"), wiring[1])) as running:
        yield running


@pytest.fixture
def api(cluster):
    """The official client; the cluster is whole before each test and after."""
    Upstream.healthy = True
    break_(cluster, clear=True)
    configuration = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    configuration.retries = False
    found = client.ApiClient(configuration)
    until(lambda: len(ready_pods(found)) == 2)
    yield found
    Upstream.healthy = True
    break_(cluster, clear=True)
    found.close()


def break_(cluster, **faults):
    request = urllib.request.Request(f"{cluster.control}/faults", json.dumps(faults).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def mlflow_pods(api):
    return client.CoreV1Api(api).list_namespaced_pod(NAMESPACE, label_selector="app=mlflow").items


def ready_pods(api):
    return [
        pod for pod in mlflow_pods(api) for entry in pod.status.conditions or () if entry.type == "Ready"
        and entry.status == "True"
    ]  # fmt: skip


def fetch(cluster, path, *, method="GET", body=None, headers=None):
    address = cluster.service("mlflow").removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


# The official client.


def test_every_kind_reads_as_its_typed_object(api):
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    deployment = apps.read_namespaced_deployment("mlflow", NAMESPACE)
    until(lambda: apps.read_namespaced_deployment("mlflow", NAMESPACE).status.available_replicas == 2)
    assert deployment.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    assert deployment.spec.template.spec.containers[0].resources.limits["memory"] == "4Gi"
    assert apps.read_namespaced_deployment_scale("mlflow", NAMESPACE).spec.replicas == 2
    assert len(apps.list_namespaced_stateful_set(NAMESPACE).items) == 2
    assert core.read_namespaced_config_map("mlflow-config", NAMESPACE).data["gunicorn_workers"] == "4"
    secret = core.read_namespaced_secret("mlflow-backend-secret", NAMESPACE)
    assert base64.b64decode(secret.data["PASSWORD"]) == b"example"
    assert core.list_node().items[0].status.node_info.kubelet_version == "v1.36.2"
    assert client.NetworkingV1Api(api).list_namespaced_ingress(NAMESPACE).items[0].spec.tls
    assert client.PolicyV1Api(api).list_namespaced_pod_disruption_budget(NAMESPACE).items
    assert client.BatchV1Api(api).list_namespaced_job(NAMESPACE).items == []
    assert client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler(NAMESPACE).items == []
    assert client.VersionApi(api).get_code().git_version == "v1.36.2"


def test_refusals_are_exceptions_with_the_real_sentence(api):
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod("nope", NAMESPACE)
    assert refused.value.status == 404
    assert json.loads(refused.value.body)["message"] == 'pods "nope" not found'
    assert refused.value.headers["Audit-Id"]


def test_a_watch_sees_what_changes_after_the_list(api, cluster):
    core = client.CoreV1Api(api)
    version = core.list_namespaced_pod(NAMESPACE).metadata.resource_version
    seen = []

    def follow():
        stream = watch.Watch().stream(
            core.list_namespaced_pod, NAMESPACE, resource_version=version, timeout_seconds=1,
            label_selector="app=mlflow",
        )  # fmt: skip
        seen.extend((event["type"], event["object"].status.phase) for event in stream)

    watching = threading.Thread(target=follow)
    watching.start()
    break_(cluster, pod="mlflow/0", state="Pending")
    watching.join(10)
    assert ("MODIFIED", "Pending") in seen


def test_a_watcher_that_goes_leaves_nothing_behind(api, cluster, caplog):
    core = client.CoreV1Api(api)

    async def tasks():
        return len(asyncio.all_tasks())

    before = cluster.call(tasks())
    for _ in range(5):
        stream = core.list_namespaced_pod(NAMESPACE, watch=True, _preload_content=False)
        stream.readline()
        stream.close()
        stream.release_conn()
    api.rest_client.pool_manager.clear()
    break_(cluster, pod="mlflow/0", state="Pending")
    until(lambda: cluster.call(tasks()) <= before + 2)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_anonymous_may_see_the_version_and_no_more(cluster):
    configuration = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    configuration.api_key = {}
    anonymous = client.ApiClient(configuration)
    assert client.VersionApi(anonymous).get_code().minor == "36"
    with pytest.raises(ApiException) as refused:
        client.CoreV1Api(anonymous).list_namespaced_pod(NAMESPACE)
    assert refused.value.status == 403
    sentence = json.loads(refused.value.body)["message"]
    assert 'User "system:anonymous" cannot list resource "pods"' in sentence


def test_kubeconfigs_are_private(cluster):
    for name in ("kubeconfig", "kubeconfig-worker", "identities.json"):
        assert cluster.kubeconfig.with_name(name).stat().st_mode & 0o777 == 0o600


# Pods are real.


def test_requests_reach_mlflow_through_both_pods(api, cluster):
    for number in range(4):
        status, body = fetch(cluster, f"/ping/{number}?q=%2Fa", headers={"Keep-Alive": "5"})
        assert status == 404
        assert json.loads(body)["path"] == f"/ping/{number}?q=%2Fa"
        assert json.loads(body)["hop"] is None
    logs = [client.CoreV1Api(api).read_namespaced_pod_log(pod.metadata.name, NAMESPACE) for pod in mlflow_pods(api)]
    lines = [line for log in logs for line in log.splitlines() if "/ping/" in line]
    assert len(lines) == 4
    assert all('- "GET /ping/' in line and line.endswith('HTTP/1.1" 404 Not Found') for line in lines)
    assert all("/ping/" in log for log in logs), "in turn"


def test_large_bodies_stream_in_constant_memory(api, cluster):
    del api
    process = psutil.Process()
    before = process.memory_info().rss
    connection = http.client.HTTPConnection(cluster.service("mlflow").removeprefix("http://"), timeout=30)
    connection.request("GET", "/big/192")
    answer, length = connection.getresponse(), 0
    while data := answer.read(MIB):
        length += len(data)
    assert length == 192 * MIB
    digest = hashlib.sha256()
    piece = b"y" * MIB

    def pieces():
        for _ in range(64):
            digest.update(piece)
            yield piece

    status, body = fetch(cluster, "/upload", method="POST", body=pieces(), headers={"Content-Length": str(64 * MIB)})
    assert (status, body.decode()) == (200, digest.hexdigest())
    assert process.memory_info().rss - before < 64 * MIB
    assert fetch(cluster, "/big/64", method="HEAD") == (200, b"")


def test_a_download_that_breaks_off_does_not_look_complete(api, cluster):
    del api
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        fetch(cluster, "/broken")


def test_output_of_mlflow_appears_once_and_without_its_access_lines(api, cluster, wiring):
    fetch(cluster, "/ping")
    with (wiring[0] / "mlflow.log").open("a") as output:
        output.write("Traceback (most recent call last):\n  boom\n")
        output.write('INFO:     127.0.0.1:1 - "GET /ping HTTP/1.1" 404 Not Found\n')
        output.write('2026/11/29 02:40:55 INFO:     127.0.0.1:1 - "GET /ping HTTP/1.1" 404 Not Found\n')
        output.write("2026/11/29 02:40:55 INFO:     Uvicorn running on http://127.0.0.1:1 (Press CTRL+C to quit)\n")
    core = client.CoreV1Api(api)

    def logs():
        return "".join(core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE) for pod in mlflow_pods(api))

    until(lambda: "boom" in logs())
    assert logs().count("Traceback") == 1
    assert "127.0.0.1:1" not in logs()


def test_each_start_of_mlflow_begins_its_own_log(api):
    core = client.CoreV1Api(api)
    first = mlflow_pods(api)[0].metadata.name
    core.delete_namespaced_pod(first, NAMESPACE)
    until(lambda: first not in {pod.metadata.name for pod in mlflow_pods(api)} and len(ready_pods(api)) == 2)
    for pod in mlflow_pods(api):
        log = core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE)
        assert re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d INFO:     Started server process \[1\]\n", log)
        assert log.count("Uvicorn running on http://0.0.0.0:5000") == 1


def test_an_unhealthy_mlflow_makes_pods_unready_and_the_service_refuse(api, cluster):
    Upstream.healthy = False
    until(lambda: not ready_pods(api))
    deployment = client.AppsV1Api(api)
    until(lambda: not deployment.read_namespaced_deployment("mlflow", NAMESPACE).status.ready_replicas)
    conditions = deployment.read_namespaced_deployment("mlflow", NAMESPACE).status.conditions
    assert {entry.type: entry.status for entry in conditions}["Available"] == "False"
    with pytest.raises(ConnectionRefusedError):
        fetch(cluster, "/ping")
    slices = client.DiscoveryV1Api(api).list_namespaced_endpoint_slice(
        NAMESPACE, label_selector="kubernetes.io/service-name=mlflow"
    )
    assert [entry.conditions.ready for entry in slices.items[0].endpoints] == [False, False]
    endpoints = client.CoreV1Api(api).read_namespaced_endpoints("mlflow", NAMESPACE)
    assert len(endpoints.subsets[0].not_ready_addresses) == 2
    assert "HTTP probe failed with statuscode: 500" in str(events(api, type="Warning"))
    Upstream.healthy = True
    until(lambda: len(ready_pods(api)) == 2)
    until(lambda: can_connect(cluster))
    assert fetch(cluster, "/health")[0] == 200


def can_connect(cluster):
    host, port = cluster.service("mlflow").removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_pod_whose_process_is_gone_is_not_ready(api):
    pod = client.CoreV1Api(api).read_namespaced_pod("minio-0", NAMESPACE)
    assert not pod.status.container_statuses[0].ready
    assert client.CoreV1Api(api).read_namespaced_pod("postgres-shared-0", NAMESPACE).status.container_statuses[0].ready


def events(api, **fields):
    selector = ",".join(f"{key}={value}" for key, value in fields.items())
    return [
        (event.reason, event.message)
        for event in client.CoreV1Api(api).list_namespaced_event(NAMESPACE, field_selector=selector).items
    ]


# Faults.


def test_crash_loop(api, cluster):
    core = client.CoreV1Api(api)
    name = mlflow_pods(api)[0].metadata.name
    assert break_(cluster, pod="mlflow/0", state="CrashLoopBackOff")["pods"] == {name: "CrashLoopBackOff"}

    def container():
        return core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0]

    def waiting_again():
        found = container()
        return found if found.state.waiting and found.restart_count >= 2 else None

    broken = until(waiting_again)
    assert broken.state.waiting.reason == "CrashLoopBackOff"
    assert broken.state.waiting.message.startswith("back-off ")
    assert (broken.last_state.terminated.reason, broken.last_state.terminated.exit_code) == ("Error", 1)
    assert "Traceback" in core.read_namespaced_pod_log(name, NAMESPACE, previous=True)
    assert any(reason == "BackOff" for reason, _ in events(api, type="Warning"))
    assert len(ready_pods(api)) == 1
    assert fetch(cluster, "/health")[0] == 200
    break_(cluster, pod=name, state="Running")
    until(lambda: len(ready_pods(api)) == 2)
    assert container().restart_count > broken.restart_count
    assert container().last_state.terminated is not None


def test_a_pod_that_is_healed_between_two_crashes_serves(api, cluster):
    name = mlflow_pods(api)[0].metadata.name
    break_(cluster, pod=name, state="CrashLoopBackOff")
    core = client.CoreV1Api(api)

    def runs_for_now():
        container = core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0]
        return container.restart_count > before and container.state.running

    before = core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0].restart_count + 1
    until(runs_for_now, seconds=30)
    break_(cluster, pod=name, state="Running")
    until(lambda: len(ready_pods(api)) == 2, seconds=5)


def test_out_of_memory(api, cluster):
    name = mlflow_pods(api)[1].metadata.name
    break_(cluster, pod="mlflow/1", state="OOMKilled")
    core = client.CoreV1Api(api)

    def last():
        return core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0].last_state.terminated

    until(lambda: last() is not None)
    assert (last().reason, last().exit_code) == ("OOMKilled", 137)


def test_image_that_cannot_be_pulled(api, cluster):
    name = mlflow_pods(api)[0].metadata.name
    break_(cluster, pod=name, state="ImagePullBackOff")
    core = client.CoreV1Api(api)
    waiting = until(lambda: core.read_namespaced_pod(name, NAMESPACE).status.container_statuses[0].state.waiting)
    assert waiting.reason == "ImagePullBackOff"
    assert 'Back-off pulling image "ghcr.io/mlflow/mlflow:' in waiting.message
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod_log(name, NAMESPACE)
    assert "is waiting to start: trying and failing to pull image" in refused.value.body


def test_pending(api, cluster):
    name = mlflow_pods(api)[0].metadata.name
    break_(cluster, pod=name, state="Pending")
    core = client.CoreV1Api(api)
    until(lambda: core.read_namespaced_pod(name, NAMESPACE).status.phase == "Pending")
    pod = core.read_namespaced_pod(name, NAMESPACE)
    assert pod.spec.node_name is None
    assert pod.status.conditions[0].reason == "Unschedulable"
    assert any(reason == "FailedScheduling" for reason, _ in events(api, type="Warning"))
    break_(cluster, clear=True)
    until(lambda: len(ready_pods(api)) == 2)


def test_metrics_are_measured_and_can_be_absent(api, cluster):
    custom = client.CustomObjectsApi(api)

    def metrics():
        return custom.list_namespaced_custom_object(
            "metrics.k8s.io", "v1beta1", NAMESPACE, "pods", label_selector="app=mlflow"
        )["items"]

    until(lambda: len(metrics()) == 2)
    entry = metrics()[0]
    assert entry["containers"][0]["name"] == "mlflow"
    assert int(entry["containers"][0]["usage"]["memory"].removesuffix("Ki")) > 1024
    assert entry["window"].endswith("s")
    break_(cluster, metrics="absent")
    with pytest.raises(ApiException) as refused:
        metrics()
    assert (refused.value.status, refused.value.body) == (404, "404 page not found\n")
    groups = client.ApisApi(api).get_api_versions().groups
    assert "metrics.k8s.io" not in [group.name for group in groups]


@pytest.mark.parametrize(("kind", "reason"), [("429", "TooManyRequests"), ("500", "InternalError"),
                                              ("503", "ServiceUnavailable")])  # fmt: skip
def test_the_api_fails_as_often_as_asked(api, cluster, kind, reason):
    break_(cluster, api={"pattern": "GET .*/configmaps", "kind": kind, "count": 1})
    core = client.CoreV1Api(api)
    with pytest.raises(ApiException) as refused:
        core.list_namespaced_config_map(NAMESPACE)
    assert json.loads(refused.value.body)["reason"] == reason
    assert core.list_namespaced_config_map(NAMESPACE).items


def test_the_api_can_be_slow_and_cut(api, cluster):
    core = client.CoreV1Api(api)
    break_(cluster, api={"pattern": "/nodes", "kind": "latency", "seconds": 0.3})
    began = time.monotonic()
    core.list_node()
    assert time.monotonic() - began > 0.3
    break_(cluster, clear=True, api={"pattern": "/nodes", "kind": "cut"})
    with pytest.raises(Exception, match="Connection"):
        core.list_node()


@pytest.mark.parametrize("days", [3, -1])
def test_the_certificate_can_be_made_to_end(api, cluster, days):
    break_(cluster, certificate_days=days)
    secret = client.CoreV1Api(api).read_namespaced_secret("mlflow-tls", NAMESPACE)
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret.data["tls.crt"]))
    assert abs(certificate.not_valid_after_utc - datetime.now(UTC) - timedelta(days=days)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "body", [{"nonsense": 1}, {"pod": "nope", "state": "Running"}, {"pod": "mlflow/0", "state": "x"},
             {"api": {"kind": "x"}}, {"metrics": "maybe"}]
)  # fmt: skip
def test_nonsense_is_refused_in_a_sentence(cluster, body):
    assert break_(cluster, **body)["error"]


# Logs.


def test_logs_by_lines_bytes_and_time(api):
    core = client.CoreV1Api(api)
    name = "postgres-shared-0"
    until(lambda: "ready to accept" in core.read_namespaced_pod_log(name, NAMESPACE))
    whole = core.read_namespaced_pod_log(name, NAMESPACE)
    assert core.read_namespaced_pod_log(name, NAMESPACE, limit_bytes=5) == whole[:5]
    assert core.read_namespaced_pod_log(name, NAMESPACE, tail_lines=0) == ""
    stamped = core.read_namespaced_pod_log(name, NAMESPACE, timestamps=True, since_seconds=3600)
    assert stamped.split(" ")[0].endswith("Z")
    with pytest.raises(ApiException, match="422"):
        core.read_namespaced_pod_log(name, NAMESPACE, tail_lines=-1)


def test_following_a_log(api, wiring):
    core = client.CoreV1Api(api)
    lines = []

    def follow():
        stream = core.read_namespaced_pod_log(
            "postgres-shared-0", NAMESPACE, follow=True, tail_lines=0, _preload_content=False
        )
        lines.append(stream.readline().decode())
        stream.close()

    with ThreadPoolExecutor() as pool:
        following = pool.submit(follow)
        time.sleep(0.3)
        with (wiring[0] / "postgres.log").open("a") as output:
            output.write("LOG:  checkpoint starting: time\n")
        following.result(10)
    assert lines == ["LOG:  checkpoint starting: time\n"]


# Restart.


def test_a_second_start_finds_its_objects(tmp_path, wiring):
    options = Options(tmp_path, wiring[1])
    with running_cluster(options) as running, config.new_client_from_config(str(running.kubeconfig)) as api:
        until(lambda: len(ready_pods(api)) == 2)
        before = {pod.metadata.name: (pod.metadata.uid, pod.metadata.creation_timestamp) for pod in mlflow_pods(api)}
        token = running.kubeconfig.read_text().partition("token:")[2]
        break_(running, pod="mlflow/0", state="Pending")
    with running_cluster(options) as running, config.new_client_from_config(str(running.kubeconfig)) as api:
        until(lambda: len(ready_pods(api)) == 2)
        after = {pod.metadata.name: (pod.metadata.uid, pod.metadata.creation_timestamp) for pod in mlflow_pods(api)}
        assert running.kubeconfig.read_text().partition("token:")[2] == token
    assert after == before
