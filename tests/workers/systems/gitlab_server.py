"""The calls of GitLab's API that python-gitlab makes for us, on the repository and the requests of a local Git host.

As strict as https://docs.gitlab.com/api/: 401 without a token, 404 for what a token may not see, 403 for a token that
may only read, 400 for a branch that is there.
"""

import base64
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, unquote, urlsplit

from mlflow_ops_sandbox.git.store import Missing


class RefusalError(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


def _shown(host, pull):
    state = "merged" if pull.merged_at else {"open": "opened"}.get(pull.state, pull.state)
    return {
        "id": pull.number,
        "iid": pull.number,
        "state": state,
        "title": pull.title,
        "web_url": host.page_of(pull),
        "merge_commit_sha": pull.commit,
        "squash_commit_sha": None,
        "sha": pull.head_sha,
    }


def _project(host, asked):
    level = 40 if host.tokens[asked.token] == "write" else 20
    access = {"project_access": {"access_level": level}, "group_access": None}
    return 200, {"id": 1, "path_with_namespace": host.name, "permissions": access, "archived": False}


def _branch(host, asked, name):
    if name not in host.store.branches():
        raise RefusalError(404, "404 Branch Not Found")
    return 200, {"name": name, "commit": {"id": host.store.head(name)}}


def _file(host, asked, name):
    try:
        blob = host.store.read(asked.query["ref"][0], name)
    except Missing:
        raise RefusalError(404, "404 File Not Found") from None
    content = base64.b64encode(blob.content).decode()
    return 200, {"file_path": name, "encoding": "base64", "content": content, "blob_id": blob.version}


def _commit(host, asked):
    body = asked.body
    if body["branch"] in host.store.branches():
        raise RefusalError(400, f"A branch called '{body['branch']}' already exists.")
    if not host.store.is_commit(body["start_sha"]):
        raise RefusalError(400, "Cannot find start_sha")
    host.store.create_branch(body["branch"], body["start_sha"])
    (action,) = body["actions"]
    host.store.read(body["branch"], action["file_path"])
    made = host.store.commit(body["branch"], action["file_path"], action["content"].encode(), body["commit_message"])
    return 201, {"id": made}


def _requests(host, asked):
    known = [each for each in host.pulls.every() if each.head in asked.query.get("source_branch", [each.head])]
    return 200, [_shown(host, each) for each in known]


def _open(host, asked):
    body = asked.body
    made = host.pulls.open(body["title"], body["description"], body["source_branch"], body["target_branch"])
    return 201, _shown(host, made)


def _one(host, asked, number):
    try:
        return 200, _shown(host, host.pulls.get(int(number)))
    except Missing:
        raise RefusalError(404, "404 Not found") from None


ROUTES = {
    r"GET ": _project,
    r"GET /repository/branches/(.+)": _branch,
    r"GET /repository/files/(.+)": _file,
    r"POST /repository/commits": _commit,
    r"GET /merge_requests": _requests,
    r"POST /merge_requests": _open,
    r"GET /merge_requests/(\d+)": _one,
}


def _answer(host, method, path, asked):
    if asked.token not in host.tokens:
        raise RefusalError(401, "401 Unauthorized")
    found = re.fullmatch(r"/api/v4/projects/([^/]+)(/.*)?", path)
    if not found or unquote(found[1]) != host.name:
        raise RefusalError(404, "404 Project Not Found")
    if method == "POST" and host.tokens[asked.token] != "write":
        raise RefusalError(403, "403 Forbidden")
    for pattern, answer in ROUTES.items():
        if fits := re.fullmatch(pattern, f"{method} {found[2] or ''}"):
            return answer(host, asked, *map(unquote, fits.groups()))
    raise RefusalError(404, "404 Not Found")


@contextmanager
def gitlab_serving(host):
    """Serve it until the block ends; its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self):
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token, query = self.headers.get("PRIVATE-TOKEN", ""), parse_qs(parts.query)
            asked = SimpleNamespace(token=token, query=query, body=json.loads(raw or b"{}"))
            try:
                status, answer = _answer(host, self.command, parts.path, asked)
            except RefusalError as refusal:
                status, answer = refusal.status, {"message": refusal.message}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _do  # noqa: N815 - as http.server calls them

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
