"""GitHub's REST API, as far as something asks: one repository, its branches, files and pull requests.

As strict as its documentation (https://docs.github.com/en/rest): a private repository is not there for who has no
token, a wrong token is 401, one that may only read is 403, a file that was changed meanwhile 409, what is invalid 422.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from mlflow_ops_sandbox.git.pulls import Pull, Pulls
from mlflow_ops_sandbox.git.store import Conflict, Missing, Store

Json = dict[str, Any]
_DOCS = "https://docs.github.com/rest"
_REF = re.compile(r"refs/heads/(?!.*(\.\.|//|@\{|\.lock$|/$|[\x00-\x20~^:?*\[\\]))[^/.-].*")


@dataclass(frozen=True)
class Host:
    """What is served. name: OWNER/NAME. tokens: what each may do: read or write. url: of the page."""

    name: str
    branch: str
    store: Store
    pulls: Pulls
    tokens: dict[str, str]
    url: str = ""

    @property
    def owner(self) -> str:
        """Whose repository it is."""
        return self.name.partition("/")[0]

    def page_of(self, pull: Pull) -> str:
        """Where people see a pull request."""
        return f"{self.url}/{self.name}/pull/{pull.number}"


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer of GitHub's that is no success."""

    def __init__(self, status: int, message: str, errors: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: Json = {"message": message, "documentation_url": _DOCS, "status": str(status)}
        if errors is not None:
            self.body["errors"] = errors


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOST: web.AppKey[Host] = web.AppKey("host", Host)


def routes(prefix: str) -> list[web.RouteDef]:
    """Below a prefix, as GitHub Enterprise has /api/v3."""
    repository = f"{prefix}/repos/{{owner}}/{{repo}}"
    return [
        web.get(repository, _answer(_repository)),
        web.get(f"{repository}/branches/{{branch:.+}}", _answer(_branch)),
        web.get(f"{repository}/contents/{{path:.+}}", _answer(_contents)),
        web.put(f"{repository}/contents/{{path:.+}}", _answer(_put_contents)),
        web.post(f"{repository}/git/refs", _answer(_create_ref)),
        web.get(f"{repository}/pulls", _answer(_pulls)),
        web.post(f"{repository}/pulls", _answer(_create_pull)),
        web.get(f"{repository}/pulls/{{number:\\d+}}", _answer(_pull)),
        web.route("*", f"{prefix}/{{rest:.*}}", _answer(_unknown)),
    ]


def _answer(do: Callable[[Host, web.Request, Json], tuple[int, Any]]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        host = request.app[HOST]
        try:
            _let_in(host, request)
            body = await _body(request) if request.method in {"POST", "PUT", "PATCH"} else {}
            status, answer = await asyncio.to_thread(do, host, request, body)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        return web.json_response(answer, status=status)

    return handler


def _let_in(host: Host, request: web.Request) -> None:
    given = request.headers.get("Authorization", "")
    if not given:
        raise Refusal(404, "Not Found")
    kind, _, token = given.partition(" ")
    may = host.tokens.get(token.strip()) if kind.lower() in {"token", "bearer"} else None
    if may is None:
        raise Refusal(401, "Bad credentials")
    name = "/".join((request.match_info.get("owner", ""), request.match_info.get("repo", "")))
    if name.lower() != host.name.lower():
        raise Refusal(404, "Not Found")
    if request.method != "GET" and may != "write":
        raise Refusal(403, "Resource not accessible by personal access token")


async def _body(request: web.Request) -> Json:
    try:
        found = json.loads(await request.text())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "Problems parsing JSON")
    return found


def _text(body: Json, name: str) -> str:
    value = body.get(name)
    if value is None:
        raise Refusal(422, f'Invalid request.\n\n"{name}" wasn\'t supplied.')
    if not isinstance(value, str):
        raise Refusal(422, f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a string.")
    return value


def _repository(host: Host, request: web.Request, _body: Json) -> tuple[int, Any]:
    may = host.tokens[request.headers["Authorization"].partition(" ")[2].strip()]
    write = may == "write"
    return 200, {
        "id": 1,
        "name": host.name.partition("/")[2],
        "full_name": host.name,
        "owner": {"login": host.owner, "id": 1, "type": "Organization"},
        "private": True,
        "archived": False,
        "default_branch": host.branch,
        "html_url": f"{host.url}/{host.name}",
        "url": str(request.url.with_query(None)),
        "permissions": {"admin": False, "maintain": False, "push": write, "triage": write, "pull": True},
    }


def _branch(host: Host, request: web.Request, _body: Json) -> tuple[int, Any]:
    name = request.match_info["branch"]
    if name not in host.store.branches():
        raise Refusal(404, "Branch not found")
    commit = {"sha": host.store.head(name), "url": f"{host.url}/{host.name}/commit/{host.store.head(name)}"}
    return 200, {"name": name, "commit": commit, "protected": False}


def _contents(host: Host, request: web.Request, _body: Json) -> tuple[int, Any]:
    path, ref = request.match_info["path"], request.query.get("ref", host.branch)
    try:
        host.store.commit_of(ref)
    except Missing:
        raise Refusal(404, f"No commit found for the ref {ref}") from None
    try:
        found = host.store.read(ref, path)
    except Missing:
        raise Refusal(404, "Not Found") from None
    encoded = base64.encodebytes(found.content).decode()
    return 200, _file(host, path, found.version, len(found.content)) | {"encoding": "base64", "content": encoded}


def _file(host: Host, path: str, version: str, size: int) -> Json:
    return {
        "type": "file",
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": version,
        "size": size,
        "html_url": f"{host.url}/{host.name}",
        "url": f"{host.url}/api/v3/repos/{host.name}/contents/{path}",
    }


def _put_contents(host: Host, request: web.Request, body: Json) -> tuple[int, Any]:
    path, branch = request.match_info["path"], str(body.get("branch") or host.branch)
    message = _text(body, "message")
    try:
        content = base64.b64decode(_text(body, "content"), validate=True)
    except binascii.Error:
        raise Refusal(422, "content is not valid Base64") from None
    if branch not in host.store.branches():
        raise Refusal(404, f"Branch {branch} not found")
    try:
        now = host.store.read(branch, path).version
    except Missing:
        now = None
    if now is not None and body.get("sha") is None:
        raise Refusal(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
    if body.get("sha") is not None and body["sha"] != now:
        raise Refusal(409, f"{path} does not match {body['sha']}")
    commit = host.store.commit(branch, path, content, message)
    made = host.store.read(branch, path)
    answer = {"sha": commit, "message": message, "html_url": f"{host.url}/{host.name}/commit/{commit}"}
    return 200 if now else 201, {"content": _file(host, path, made.version, len(content)), "commit": answer}


def _create_ref(host: Host, _request: web.Request, body: Json) -> tuple[int, Any]:
    ref, sha = _text(body, "ref"), _text(body, "sha")
    if not ref.startswith("refs/") or ref.count("/") < 2:  # noqa: PLR2004 - refs/heads/name
        raise Refusal(422, "Reference name must start with 'refs/' and contain at least two slashes.")
    if not _REF.fullmatch(ref):
        raise Refusal(422, f"{ref} is not a valid ref name.")
    if not re.fullmatch(r"[0-9a-f]{40}", sha):
        raise Refusal(422, "The sha parameter must be exactly 40 characters and contain only [0-9a-f].")
    if not host.store.is_commit(sha):
        raise Refusal(422, "Object does not exist")
    try:
        host.store.create_branch(ref.removeprefix("refs/heads/"), sha)
    except Conflict:
        raise Refusal(422, "Reference already exists") from None
    return 201, {"ref": ref, "url": f"{host.url}/{ref}", "object": {"type": "commit", "sha": sha}}


def _pulls(host: Host, request: web.Request, _body: Json) -> tuple[int, Any]:
    state, head = request.query.get("state", "open"), request.query.get("head", "")
    found = [each for each in host.pulls.every() if state in {"all", each.state}]
    if head:
        owner, _, branch = head.rpartition(":")
        found = [each for each in found if each.head == branch and owner in {"", host.owner}]
    if request.query.get("direction") == "asc":
        found.reverse()
    size, page = (int(request.query.get(name, default)) for name, default in (("per_page", 30), ("page", 1)))
    return 200, [_shown(host, each) for each in found[size * (page - 1) : size * page]]


def _create_pull(host: Host, _request: web.Request, body: Json) -> tuple[int, Any]:
    title, head, base = (_text(body, name) for name in ("title", "head", "base"))
    head = head.removeprefix(f"{host.owner}:")
    known = host.store.branches()
    for name, field in ((base, "base"), (head, "head")):
        if name not in known:
            raise _invalid({"resource": "PullRequest", "field": field, "code": "invalid"})
    if not host.store.ahead(base, head):
        raise _custom(f"No commits between {base} and {head}")
    try:
        made = host.pulls.open(title, str(body.get("body") or ""), head, base)
    except Conflict:
        raise _custom(f"A pull request already exists for {host.owner}:{head}.") from None
    return 201, _shown(host, made)


def _pull(host: Host, request: web.Request, _body: Json) -> tuple[int, Any]:
    try:
        return 200, _shown(host, host.pulls.get(int(request.match_info["number"])))
    except Missing:
        raise Refusal(404, "Not Found") from None


def _unknown(_host: Host, _request: web.Request, _body: Json) -> tuple[int, Any]:
    raise Refusal(404, "Not Found")


def _invalid(error: Json) -> Refusal:
    return Refusal(422, "Validation Failed", [error])


def _custom(message: str) -> Refusal:
    return _invalid({"resource": "PullRequest", "code": "custom", "message": message})


def _shown(host: Host, pull: Pull) -> Json:
    return {
        "id": pull.number,
        "number": pull.number,
        "url": f"{host.url}/api/v3/repos/{host.name}/pulls/{pull.number}",
        "html_url": host.page_of(pull),
        "state": pull.state,
        "title": pull.title,
        "body": pull.body,
        "user": {"login": "mlflow-ops", "id": 2, "type": "Bot"},
        "created_at": pull.created_at,
        "closed_at": pull.closed_at,
        "merged": pull.merged_at is not None,
        "merged_at": pull.merged_at,
        "merge_commit_sha": pull.commit,
        "head": {"ref": pull.head, "sha": pull.head_sha, "label": f"{host.owner}:{pull.head}"},
        "base": {"ref": pull.base, "sha": pull.base_sha, "label": f"{host.owner}:{pull.base}"},
    }
