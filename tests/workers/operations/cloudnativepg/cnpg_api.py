"""An API server with CloudNativePG's kinds, as strict as theirs: schema, webhook, and the workers' Role.

What is posted must pass the real CRD's schema, closed, and the rules of the operator's webhook that concern what is
recovered. Whatever the component's Role does not name is refused, and what was used of it is noted.
"""

import base64
import json
import re
import threading
import uuid
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml
from jsonschema import Draft202012Validator

from tests.deploy.chart import closed

ROOT = Path(__file__).parents[4]
ROLE = ROOT / "deploy" / "kubernetes" / "components" / "cloudnativepg" / "role.yaml"
CRDS = ROOT / "tests" / "deploy" / "crds"
NAMESPACE = "data-platform"
PATHS = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/(?P<version>v1)"
    r"(?:/namespaces/(?P<namespace>[^/]+)/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[a-z]+))?)?)?"
)
KINDS = {
    ("postgresql.cnpg.io", "clusters"): "cluster-v1.json",
    ("barmancloud.cnpg.io", "objectstores"): "objectstore-v1.json",
}


class RefusedError(Exception):
    """What the API server answers instead. status: HTTP's."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def validator(file):
    """Of a CRD's schema, which refuses what it doesn't know."""
    return Draft202012Validator(closed(json.loads((CRDS / file).read_text())["schema"]))


def broken(item):
    """What schema and webhook say against a Cluster; empty where nothing."""
    said = [f"{error.json_path}: {error.message}" for error in validator("cluster-v1.json").iter_errors(item)]
    return said or _webhook(item)


def _webhook(item):
    """internal/webhook/v1/cluster_webhook.go, as far as it concerns a recovery."""
    name, spec = item["metadata"]["name"], item["spec"]
    said = []
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name) or len(name) > 50:
        said.append(f"{name}: the maximum length of a cluster name is 50 characters, and it is a DNS label")
    recovery = (spec.get("bootstrap") or {}).get("recovery")
    if recovery is None:
        return said
    origins = {each["name"]: each for each in spec.get("externalClusters", [])}
    if len(origins) != len(spec.get("externalClusters", [])):
        said.append("the list of external clusters contains duplicate values")
    origin = origins.get(recovery.get("source"))
    if origin is None:
        said.append(f"External cluster {recovery.get('source')} not found")
    elif not origin.keys() & {"connectionParameters", "barmanObjectStore", "plugin"}:
        said.append("missing connection parameters, Barman, or CNPG-i configuration")
    if bool(recovery.get("database")) != bool(recovery.get("owner")):
        said.append("You need to specify the database name and its owner user")
    at = (recovery.get("recoveryTarget") or {}).get("targetTime")
    if at is not None and not _is_time(at):
        said.append("The format of TargetTime is invalid")
    if spec.get("imageName") and spec.get("imageCatalogRef"):
        said.append("imageName and imageCatalogRef are mutually exclusive")
    if spec["postgresql"].get("synchronous") and spec["instances"] < 2:
        said.append("invalid synchronous replica configuration: the number must be less than that of instances")
    fixed = {"archive_mode", "archive_command", "listen_addresses", "port", "hot_standby", "recovery_target_time"}
    said += [
        f"{key}: Can't set fixed configuration parameter" for key in fixed & spec["postgresql"]["parameters"].keys()
    ]
    return said


def _is_time(text):
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


class Api:
    """What it holds. Objects by (kind, name); operator: told of what is made and removed."""

    def __init__(self):
        self.objects, self.logs, self.used, self.operator, self.installed = {}, {}, set(), None, True
        self.down = False
        self.lock = threading.RLock()
        self.rules = yaml.safe_load(ROLE.read_text())["rules"]

    def put(self, kind, item, group=""):
        """As an administrator."""
        if (group, kind) in KINDS:
            errors = [error.message for error in validator(KINDS[group, kind]).iter_errors(item)]
            assert errors == []
        item["metadata"] = {"namespace": NAMESPACE, "uid": str(uuid.uuid4()), **item["metadata"]}
        with self.lock:
            self.objects[kind, item["metadata"]["name"]] = item

    def secret(self, name, **data):
        """As an administrator."""
        held = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.put("secrets", {"metadata": {"name": name}, "type": "kubernetes.io/basic-auth", "data": held})

    def get(self, kind, name):
        """As an administrator; None where there is none."""
        return self.objects.get((kind, name))

    def drop(self, kind, name):
        """As an administrator."""
        with self.lock:
            self.objects.pop((kind, name), None)

    def allows(self, verb, group, kind, name=""):
        """Whether the Role does; what it allows is noted as used."""
        for number, rule in enumerate(self.rules):
            fits = verb in rule["verbs"] and group in rule["apiGroups"] and kind in rule["resources"]
            if fits and (not rule.get("resourceNames") or name in rule["resourceNames"]):
                return number
        return None

    def need(self, verb, group, kind, name=""):
        """Raise RefusedError where the Role does not allow it."""
        rule = self.allows(verb, group, kind, name)
        if rule is None:
            raise RefusedError(403, f'{kind} "{name}" is forbidden: User "worker" cannot {verb} resource "{kind}"')
        self.used.add((rule, verb))

    def answer(self, method, path, body):
        """What it answers: an object, or text."""
        parts = urlsplit(path)
        found = PATHS.fullmatch(parts.path)
        if self.down:
            raise RefusedError(503, "the server is currently unable to handle the request")
        if parts.path.endswith("/selfsubjectaccessreviews"):
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(each for each in (asked["resource"], asked.get("subresource")) if each)
            may = self.allows(asked["verb"], asked["group"], resource, asked.get("name", "")) is not None
            return {"status": {"allowed": may}}
        if found is None:
            raise RefusedError(404, "the server could not find the requested resource")
        group, kind, name, sub = (found[each] or "" for each in ("group", "kind", "name", "sub"))
        if group.endswith("cnpg.io") and not self.installed:
            raise RefusedError(404, "the server could not find the requested resource")
        if not kind:
            kinds = [{"name": each} for of, each in KINDS if of == group]
            return {"kind": "APIResourceList", "resources": kinds}
        verb = {"GET": "get" if name else "list", "POST": "create", "DELETE": "delete"}[method]
        self.need(verb, group, f"{kind}/{sub}" if sub else kind, name)
        with self.lock:
            return self._done(verb, (group, kind, name, sub), parse_qs(parts.query), body)

    def _done(self, verb, which, query, body):
        group, kind, name, sub = which
        if sub == "log":
            return self.logs.get(name, "")
        if verb == "list":
            wanted = dict(each.split("=") for each in query.get("labelSelector", [""])[0].split(",") if each)
            items = [each for (of, _), each in self.objects.items() if of == kind]
            fitting = [each for each in items if wanted.items() <= each["metadata"].get("labels", {}).items()]
            return {"kind": "List", "metadata": {}, "items": fitting}
        if verb == "create":
            return self._created(group, kind, body)
        if (kind, name) not in self.objects:
            raise RefusedError(404, f'{kind}.{group} "{name}" not found')
        if verb == "delete":
            assert body["propagationPolicy"] == "Foreground"
            self.objects[kind, name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            self.operator.removed(name)
        return self.objects[kind, name]

    def _created(self, group, kind, body):
        assert (group, kind) == ("postgresql.cnpg.io", "clusters")
        name = body["metadata"]["name"]
        if (kind, name) in self.objects:
            raise RefusedError(409, f'{kind}.{group} "{name}" already exists')
        said = broken(body)
        if said:
            raise RefusedError(422, f'Cluster.{group} "{name}" is invalid: {"; ".join(said)}')
        self.put(kind, body, group)
        self.operator.made(body)
        return body


@contextmanager
def serving(api, folder):
    """It listens; the path of a kubeconfig."""

    class Handler(BaseHTTPRequestHandler):
        def answered(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                status, said = 200, api.answer(self.command, self.path, body)
            except RefusedError as error:
                status, said = error.status, {"kind": "Status", "message": error.message, "code": error.status}
            content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answered  # noqa: N815 - http.server's names

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield path
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
