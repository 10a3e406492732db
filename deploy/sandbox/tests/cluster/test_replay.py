"""What a real API server answered, asked again.

``kubernetes-answers.jsonl`` holds exchanges with Kubernetes 1.36.2. For each one the store is given the objects as the
real cluster had them then, and the answer must be the same, save for what ``DIFFERENT`` names and why.

The lines that have a ``source`` were not recorded: of these a real server's sentence was noted down, or they stand in
Kubernetes' documents or code. They bring the objects that they need; where ``part`` is set, the answer holds more.
"""

import asyncio
import copy
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mlflow_ops_sandbox.cluster.api.features import Features
from mlflow_ops_sandbox.cluster.api.objects import name_of, namespace_of
from mlflow_ops_sandbox.cluster.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    resource_of_kind,
)
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.apiserver import watching
from mlflow_ops_sandbox.cluster.apiserver.access import Authorizer
from mlflow_ops_sandbox.cluster.apiserver.admission.admitting import Admission
from mlflow_ops_sandbox.cluster.apiserver.admission.webhooks import Webhook
from mlflow_ops_sandbox.cluster.apiserver.faults import Faults
from mlflow_ops_sandbox.cluster.apiserver.identity import Identities, admin, service_account
from mlflow_ops_sandbox.cluster.apiserver.reading import Reader
from mlflow_ops_sandbox.cluster.apiserver.reviews import Reviews
from mlflow_ops_sandbox.cluster.apiserver.server import ApiServer
from mlflow_ops_sandbox.cluster.apiserver.watching import Watcher
from mlflow_ops_sandbox.cluster.kubelet.container_logs import LogDirectory
from mlflow_ops_sandbox.cluster.kubelet.exec import Executor
from mlflow_ops_sandbox.cluster.kubelet.images import Images
from mlflow_ops_sandbox.cluster.kubelet.log_requests import LogReader
from mlflow_ops_sandbox.cluster.kubelet.metrics import Metrics, Sampler
from mlflow_ops_sandbox.cluster.kubelet.programs import Programs
from mlflow_ops_sandbox.cluster.seed.access import cluster_role_bindings, cluster_roles
from mlflow_ops_sandbox.cluster.wiring import Wiring

LINES = [json.loads(line) for line in Path(__file__).with_name("kubernetes-answers.jsonl").read_text().splitlines()]
EXCHANGES = {entry["name"]: entry for entry in LINES if "source" not in entry}
SOURCED = {entry["name"]: entry for entry in LINES if "source" in entry}
NOW = datetime(2026, 11, 23, 15, 24, 51, tzinfo=UTC)
RESTRICTED = service_account("data-platform", "restricted")

# What is not the same, and why. Everything else must be, to the last character.
DIFFERENT = {
    "api versions": "the address of the server",
    "api groups": "metrics.k8s.io comes last, because metrics-server is installed here",
    "first page": "the revision within the continue token",
    "second page": "asked with our own token",
    "pods by field": "the revision within the continue token",
    "log, last 2 lines": "the lines are ours",
    "unknown field, strict": "the object within the message: its managedFields are those of the recorded cluster",
}
VOLATILE = ("resourceVersion", "continue")


def answer_of(name):
    return EXCHANGES[name]["answer"]


def ready():
    return {
        DEPLOYMENTS: [answer_of("deployment when ready")],
        PODS: answer_of("pods by label")["items"],
        REPLICA_SETS: answer_of("replicasets")["items"],
    }


def restricted_role():
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]
    subject = {"kind": "ServiceAccount", "name": "restricted", "namespace": "data-platform"}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    metadata = {"name": "reader", "namespace": "data-platform"}
    return {
        ROLES: [{"metadata": metadata, "rules": rules}],
        ROLE_BINDINGS: [{"metadata": metadata, "subjects": [subject], "roleRef": reference}],
        CLUSTER_ROLES: cluster_roles(),
        CLUSTER_ROLE_BINDINGS: cluster_role_bindings(),
    }


# Which objects there were at each exchange.
WORLDS = {
    "endpoint slices of the service": lambda: {ENDPOINT_SLICES: answer_of("endpoint slices of the service")["items"]},
    "deployment while rolling": lambda: {DEPLOYMENTS: [answer_of("deployment while rolling")]},
    "replicasets while rolling": lambda: {REPLICA_SETS: answer_of("replicasets while rolling")["items"]},
    "deployment past its progress deadline": lambda: {
        DEPLOYMENTS: [answer_of("deployment past its progress deadline")]
    },
    "pods with an image that cannot be pulled": lambda: {
        PODS: answer_of("pods with an image that cannot be pulled")["items"]
    },
    "events of type Warning": lambda: {EVENTS: answer_of("events of type Warning")["items"]},
    "allowed": lambda: {DEPLOYMENTS: [answer_of("allowed")], **restricted_role()},
    "forbidden: scale": restricted_role,
    "forbidden: log": restricted_role,
    "forbidden: secrets of another namespace": restricted_role,
    "self subject access review: get pods": restricted_role,
    "self subject access review: create pods/exec": restricted_role,
}
READING = [name for name, exchange in EXCHANGES.items() if exchange["request"]["method"] == "GET" or name in WORLDS]


class World:
    """An API server over given objects, with nothing that would change them."""

    def __init__(self, directory, objects):
        def clock():
            return NOW

        self.store = Store(clock=clock)
        for resource, items in objects.items():
            for item in items:
                self.store.create(resource, copy.deepcopy(item))
        self.logs = LogDirectory(directory / "logs", clock)
        self.identities = Identities(directory / "identities.json")
        authorizer = Authorizer(self.store)
        self.features = Features()
        self.admission = Admission(self.store, clock)
        self.api = ApiServer(
            address="10.244.0.1:6443",
            identities=self.identities,
            authorizer=authorizer,
            reader=Reader(self.store, clock),
            watcher=Watcher(self.store, clock, asyncio.Event()),
            log_reader=LogReader(self.store, self.logs, clock),
            executor=Executor(self.store, Programs(directory / "programs", Images(Wiring()))),
            metrics=Metrics(self.store, Sampler(Wiring(), clock)),
            reviews=Reviews(authorizer, self.identities),
            faults=Faults(),
            features=self.features,
            admission=self.admission,
        )

    def ask(self, request, token=None):
        return asyncio.run(self._ask(request, token))

    async def _ask(self, request, token):
        if token is None:
            token = self.identities.token_for(RESTRICTED if "as" in request else admin())
        headers = {"Authorization": f"Bearer {token}"}
        headers |= {"Accept": request["accept"]} if "accept" in request else {}
        headers |= {"Content-Type": request["content_type"]} if "content_type" in request else {}
        body = request.get("body")
        # Without the garbage collector: many of these pods have lost their owners.
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.api.handle)
        async with (
            TestClient(TestServer(application)) as client,
            client.request(
                request["method"],
                request["path"],
                headers=headers,
                data=body if isinstance(body, str) else json.dumps(body) if body else None,
            ) as answer,
        ):
            text = await answer.text()
            if "watch=1" in request["path"] and answer.status == 200:
                return answer.status, [json.loads(line) for line in text.splitlines()]
            return answer.status, json.loads(text) if answer.content_type == "application/json" else text


def settled(value):
    """Leave out what differs between any two clusters."""
    if isinstance(value, dict):
        return {key: settled(entry) for key, entry in value.items() if key not in VOLATILE}
    return [settled(entry) for entry in value] if isinstance(value, list) else value


@pytest.fixture
def world(tmp_path, request):
    name = getattr(request, "param", None)
    return World(tmp_path, WORLDS.get(name, ready)())


def exchange_of(name):
    return EXCHANGES[name]["request"], EXCHANGES[name]["status"], EXCHANGES[name]["answer"]


WATCHES = {"watch from a list, with bookmarks", "watch from a version too old"}
PLAIN = [name for name in READING if name not in WATCHES and name not in DIFFERENT and name != "unauthorized"]


@pytest.mark.parametrize(("world", "name"), [(name, name) for name in PLAIN], indirect=["world"])
def test_answers_are_those_of_a_real_server(world, name):
    request, status, answer = exchange_of(name)
    if name == "missing resource type":
        world.features.metrics = False
    found_status, found = world.ask(request)
    assert settled(found) == settled(answer)
    assert found_status == status


def test_an_unknown_token_is_unauthorized(world):
    request, status, answer = exchange_of("unauthorized")
    assert world.ask(request, token="nobody's") == (status, answer)


def test_groups_are_those_of_a_real_server_and_metrics(world):
    request, status, answer = exchange_of("api groups")
    found_status, found = world.ask(request)
    assert (found_status, found["groups"][:-1]) == (status, answer["groups"])
    assert found["groups"][-1]["name"] == "metrics.k8s.io"


def test_the_address_is_told(world):
    request, status, answer = exchange_of("api versions")
    assert world.ask(request) == (status, answer)


@pytest.mark.parametrize("name", ["first page", "pods by field"])
def test_pages_are_those_of_a_real_server(world, name):
    request, status, answer = exchange_of(name)
    found_status, found = world.ask(request)
    assert (found_status, settled(found)) == (status, settled(answer))
    assert found["metadata"]["continue"]


def test_the_second_page_follows_the_first(world):
    request, status, answer = exchange_of("second page")
    _, first = world.ask(exchange_of("first page")[0])
    path = request["path"].partition("continue=")[0] + "continue=" + first["metadata"]["continue"]
    found_status, found = world.ask({**request, "path": path})
    assert (found_status, settled(found)) == (status, settled(answer))
    assert found["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_log_is_plain_text_and_cut_to_its_last_lines(world):
    request, status, _ = exchange_of("log, last 2 lines")
    pod = world.store.all(PODS)[0]
    world.logs.append(pod, "mlflow", 0, "one", "two", "three")
    assert world.ask(request) == (status, "two\nthree\n")


def test_a_watch_from_now_is_silent_until_its_timeout(world):
    request, status, _ = exchange_of("watch from a list, with bookmarks")
    path = request["path"].replace("resourceVersion=670", f"resourceVersion={world.store.revision}")
    assert world.ask({**request, "path": path.replace("timeoutSeconds=2", "timeoutSeconds=0.1")}) == (status, [])


def test_a_watch_tells_the_whole_history_as_a_real_one_does(tmp_path):
    request, status, events = exchange_of("watch from a version too old")
    world = World(tmp_path, restricted_role())
    start = world.store.revision
    for event in events:
        write_as(world.store, event)
    path = request["path"].replace("resourceVersion=1&", f"resourceVersion={start}&").replace("=2", "=0.2")
    found_status, found = world.ask({**request, "path": path})
    assert found_status == status
    assert [event["type"] for event in found] == [event["type"] for event in events]
    assert settled(found) == settled(events)


def write_as(store, event):
    item = copy.deepcopy(event["object"])
    item.pop("kind")
    item.pop("apiVersion")
    namespace, name = namespace_of(item), name_of(item)
    if event["type"] == "ADDED":
        store.create(PODS, item)
    elif event["type"] == "MODIFIED":

        def replace(kept):
            kept.clear()
            kept.update(item)

        store.update(PODS, namespace, name, replace, intent=False)
    else:
        store.delete(PODS, namespace, name)


def test_a_watch_from_a_forgotten_version_ends_with_410(tmp_path):
    world = World(tmp_path, ready())
    world.store.compacted = world.store.revision
    path = "/api/v1/namespaces/data-platform/pods?watch=1&resourceVersion=1&timeoutSeconds=2"
    status, (event,) = world.ask({"method": "GET", "path": path})
    assert (status, event["type"]) == (200, "ERROR")
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith("too old resource version: 1 (")


# What writes. The deployment before a write has the specification of an earlier answer, and the rest of its own.

WRITING = [name for name in EXCHANGES if name not in READING]
BY_CHANCE = ("uid", "creationTimestamp", "deletionTimestamp", "managedFields", "clusterIP", "clusterIPs")
SPECIFICATIONS = {
    "strategic: one container by name": "deployment when ready",
    "strategic: add a second container": "merge: null removes",
    "strategic: resources": "merge: null removes",
    "merge: a list is replaced whole": "merge: null removes",
    "merge: null removes": "merge: null removes",
    "json patch": "merge: null removes",
    "restart: annotation on the template": "json patch",
    "image that cannot be pulled": "restart: annotation on the template",
    "back to the old image": "image that cannot be pulled",
}
STANDING = {
    "create deployment again": "create deployment",
    "replace scale": "deployment when ready",
    "replace scale, stale resourceVersion": "deployment when ready",
    "patch scale": "deployment when ready",
    "patch scale, negative": "deployment when ready",
    "strategic: bad quantity": "merge: null removes",
    "strategic: container name that is not there and no image": "merge: null removes",
    "json patch: test fails": "json patch",
    "patch of an unknown kind": "json patch",
    "unknown field, strict": "json patch",
    "replace with stale resourceVersion": "json patch",
    "delete deployment in the background": "back to the old image",
}
FIRST = {
    "apply by another manager: conflict": "apply a configmap",
    "merge patch a configmap": "apply a configmap",
}


def before(name):
    """Return the objects as they stood before a write."""
    if name == "create namespace":
        return {}
    namespaces = {NAMESPACES: [answer_of("create namespace")]}
    if name in SPECIFICATIONS:
        after = answer_of(name)
        item = {**after, "spec": answer_of(SPECIFICATIONS[name])["spec"], "metadata": dict(after["metadata"])}
        item["metadata"]["generation"] -= item["spec"] != after["spec"]
        for annotation in ("note", "example.com/note"):
            if annotation in str(exchange_of(name)[0]["body"]).replace("~1", "/"):
                item["metadata"]["annotations"] = without(item["metadata"]["annotations"], annotation)
        return {**namespaces, DEPLOYMENTS: [item]}
    if name in STANDING:
        return {**namespaces, DEPLOYMENTS: [answer_of(STANDING[name])]}
    if name == "delete pod":
        pod = copy.deepcopy(answer_of(name))
        pod["metadata"] = without(pod["metadata"], "deletionTimestamp", "deletionGracePeriodSeconds")
        pod["metadata"]["generation"] -= 1
        return {**namespaces, PODS: [pod]}
    return namespaces


def without(items, *keys):
    return {key: value for key, value in items.items() if key not in keys}


def told(value):
    """Leave out what chance or time decided, and the object that a message quotes."""
    text = json.dumps(value)
    for uid in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
        text = text.replace(uid, "<uid>")
    return settled(blank(json.loads(text)))


def blank(value):
    if isinstance(value, dict):
        return {key: blank(entry) for key, entry in value.items() if key not in BY_CHANCE}
    if isinstance(value, str):
        return re.sub(r'Invalid value: "\{.*\}": ', "Invalid value: <object>: ", value)
    return [blank(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", WRITING)
def test_writes_are_answered_as_by_a_real_server(tmp_path, name):
    world = World(tmp_path, before(name))
    if name in FIRST:
        world.ask(exchange_of(FIRST[name])[0])
    request, status, answer = exchange_of(name)
    body = request.get("body")
    if isinstance(body, dict) and request["method"] == "PUT" and "stale" not in name:
        version = world.store.all(DEPLOYMENTS)[0]["metadata"]["resourceVersion"]
        request = {**request, "body": {**body, "metadata": {**body["metadata"], "resourceVersion": version}}}
    found_status, found = world.ask(request)
    assert told(found) == told(answer)
    assert found_status == status


def test_every_exchange_is_asked_again():
    assert len(READING) + len(WRITING) == len(EXCHANGES) == 68
    assert len(EXCHANGES) + len(SOURCED) == len(LINES)
    assert all(entry["source"].startswith(("noted: ", "documented: ")) for entry in SOURCED.values())


# What was not recorded, and where it is from.


@pytest.mark.parametrize("name", SOURCED)
def test_what_is_known_from_elsewhere_is_answered_so(tmp_path, name):
    entry = SOURCED[name]
    account = {"metadata": {"name": "default", "namespace": "data-platform"}}
    objects = {NAMESPACES: [answer_of("create namespace")], SERVICE_ACCOUNTS: [account]}
    for item in entry.get("given", ()):
        resource = resource_of_kind(item["apiVersion"].rpartition("/")[0], item["kind"])
        objects.setdefault(resource, []).append(item)
    world = World(tmp_path, objects)
    world.admission.webhooks.active += map(Webhook.from_json, entry.get("webhooks", ()))
    status, found = world.ask(entry["request"])
    answer = entry["answer"]
    assert (within(found, answer) if entry.get("part") else found) == answer
    assert status == entry["status"]


def within(value, wanted):
    """What of an answer is asked for: the same keys, items in their places, and a uid as it is written."""
    if isinstance(wanted, dict):
        return {key: within(value.get(key), entry) for key, entry in wanted.items()}
    if isinstance(wanted, list):
        return [within(*pair) for pair in zip(value, wanted, strict=True)]
    return wanted if wanted == "<uid>" and re.fullmatch(r"[0-9a-f-]{36}", str(value)) else value


# Forms of an answer that were not recorded.

PODS_PATH = "/api/v1/namespaces/data-platform/pods"
META = "v=v1;g=meta.k8s.io"


def test_metadata_only(world):
    accept = f"application/json;as=PartialObjectMetadataList;{META},application/json"
    status, found = world.ask({"method": "GET", "path": PODS_PATH, "accept": accept})
    assert (status, found["kind"], found["apiVersion"]) == (200, "PartialObjectMetadataList", "meta.k8s.io/v1")
    assert set(found["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_a_client_that_takes_protobuf_only_is_told_what_there_is(world):
    request = {"method": "GET", "path": PODS_PATH, "accept": "application/vnd.kubernetes.protobuf"}
    status, found = world.ask(request)
    assert (status, found["reason"]) == (406, "NotAcceptable")


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "Pod")]
)
def test_how_much_of_an_object_stands_beside_a_row(world, include, kind):
    path = f"{PODS_PATH}?includeObject={include}"
    _, found = world.ask({"method": "GET", "path": path, "accept": f"application/json;as=Table;{META}"})
    assert found["rows"][0].get("object", {}).get("kind") == kind


def test_a_watch_without_bookmarks_rests(world, monkeypatch):
    monkeypatch.setattr(watching, "BOOKMARK_SECONDS", 0.01)
    looks = []
    changes_after = world.store.changes_after
    monkeypatch.setattr(world.store, "changes_after", lambda revision: looks.append(0) or changes_after(revision))
    world.ask({"method": "GET", "path": f"{PODS_PATH}?watch=1&resourceVersion=1&timeoutSeconds=0.3"})
    assert len(looks) < 5


def test_a_watch_of_tables_names_the_columns_once(world):
    path = f"{PODS_PATH}?watch=1&timeoutSeconds=0.1"
    _, events = world.ask({"method": "GET", "path": path, "accept": f"application/json;as=Table;{META}"})
    assert [event["object"]["columnDefinitions"] is None for event in events] == [False, True]


def test_a_streamed_list_ends_with_a_bookmark(world):
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=0.1"
    _, events = world.ask({"method": "GET", "path": f"{PODS_PATH}?watch=1&{query}"})
    assert [event["type"] for event in events] == ["ADDED", "ADDED", "BOOKMARK"]
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    ("query", "code", "sentence"),
    [
        ("resourceVersion=999999", 504, "Timeout: Too large resource version: 999999, current: "),
        ("resourceVersion=x", 400, "resourceVersion: Invalid value"),
        ("continue=x", 400, "continue key is not valid: "),
        ("limit=x", 400, "strconv.ParseInt"),
        ("limit=-1", 422, "limit: Invalid value: -1"),
    ],
)
def test_lists_that_cannot_be_given(world, query, code, sentence):
    status, found = world.ask({"method": "GET", "path": f"{PODS_PATH}?{query}"})
    assert (status, found["code"]) == (code, code)
    assert sentence in found["message"]


def test_aggregated_discovery_tells_all_kinds_at_once(world):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    _, found = world.ask({"method": "GET", "path": "/apis", "accept": accept})
    assert found["kind"] == "APIGroupDiscoveryList"
    apps = next(item for item in found["items"] if item["metadata"]["name"] == "apps")
    kinds = {entry["responseKind"]["kind"] for entry in apps["versions"][0]["resources"]}
    assert {"Deployment", "ReplicaSet", "StatefulSet"} <= kinds


def test_a_pod_with_two_containers_needs_a_name(world):
    def second(item):
        item["spec"]["containers"].append({"name": "side", "image": "side"})

    name = world.store.all(PODS)[0]["metadata"]["name"]
    world.store.update(PODS, "data-platform", name, second)
    status, found = world.ask({"method": "GET", "path": f"{PODS_PATH}/{name}/log"})
    expected = f"a container name must be specified for pod {name}, choose one of: [mlflow side]"
    assert (status, found["message"]) == (400, expected)
