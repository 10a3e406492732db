"""A cluster with MLflow's Deployment, and what tests of controllers do with it and see of it."""

import json
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cluster_api import Api
from mlflow_ops_sandbox.cluster.api.identifiers import random_suffix
from mlflow_ops_sandbox.cluster.api.objects import condition_of, is_ready, labels_of, name_of
from mlflow_ops_sandbox.cluster.api.resources import DEPLOYMENTS, EVENTS, PODS, REPLICA_SETS
from mlflow_ops_sandbox.cluster.testing import until

NAMESPACE = "data-platform"
REPOSITORY = "ghcr.io/mlflow/mlflow"
REVISION = "deployment.kubernetes.io/revision"


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    healthy = True

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(0.8)
        body = b"OK"
        self.send_response(200 if Upstream.healthy else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        pass


class Inside:
    """The store, read within the cluster's own thread."""

    def __init__(self, running):
        self._running = running

    def __getattr__(self, name):
        async def call(arguments):
            return getattr(self._running.cluster.store, name)(*arguments)

        return lambda *arguments: self._running.call(call(arguments))


class World:
    """The cluster, and what tests do with its Deployment."""

    def __init__(self, running):
        self.running = running
        self.store = Inside(running)
        self.api = Api(running)

    def within(self, work):
        async def run():
            return work(self.running.cluster.store)

        return self.running.call(run())

    def deployment(self):
        return self.store.get(DEPLOYMENTS, NAMESPACE, "mlflow")

    def change(self, edit):
        self.within(lambda store: store.update(DEPLOYMENTS, NAMESPACE, "mlflow", edit))

    def image(self, tag):
        self.change(lambda item: container(item).update(image=f"{REPOSITORY}:{tag}"))

    def restart(self):
        def edit(item):
            annotations = item["spec"]["template"]["metadata"].setdefault("annotations", {})
            annotations["kubectl.kubernetes.io/restartedAt"] = random_suffix()

        self.change(edit)

    def pods(self):
        return [pod for pod in self.store.all(PODS, NAMESPACE) if labels_of(pod).get("app") == "mlflow"]

    def sets(self):
        return {name_of(item): item for item in self.store.all(REPLICA_SETS, NAMESPACE)}

    def condition(self, kind="Progressing"):
        return condition_of(self.deployment(), kind) or {}

    def is_done(self):
        item = self.deployment()
        status, wanted = item["status"], item["spec"]["replicas"]
        figures = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
        current = status["observedGeneration"] == item["metadata"]["generation"]
        settled = len(self.pods()) == wanted and all(is_ready(pod) for pod in self.pods())
        return current and figures == [wanted] * 4 and settled

    def settle(self):
        until(self.is_done, 30)

    def waiting(self):
        found = (status["state"].get("waiting") for pod in self.pods() for status in statuses(pod))
        return [state for state in found if state]

    def events(self, reason):
        return [event["message"] for event in self.store.all(EVENTS, NAMESPACE) if event["reason"] == reason]

    def history(self, begin):
        """Do something to the Deployment; return a function that tells all its versions from then on."""
        since = self.within(lambda store: store.revision)
        begin()

        def versions():
            changes = self.within(lambda store: list(store.changes_after(since)))
            return [change.after for change in changes if change.resource == DEPLOYMENTS.key]

        return versions

    def control(self, **order):
        address = f"{self.running.control}/faults"
        request = urllib.request.Request(address, json.dumps(order).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.load(answer)

    def newest(self):
        return max(self.sets().values(), key=lambda item: int(item["metadata"]["annotations"][REVISION]))

    def get(self, path):
        with urllib.request.urlopen(self.running.service("mlflow") + path, timeout=5) as answer:
            return answer.read().decode()


def container(item):
    return item["spec"]["template"]["spec"]["containers"][0]


def statuses(pod):
    return pod["status"].get("containerStatuses") or ()
