"""From an HTTP request to a method of the Web API: token, faults, limits, arguments, answer.

The order is Slack's: an unknown method is told before the token is looked at; the limit counts before
the arguments are read. Every call is counted by method, whatever becomes of it.
"""

from __future__ import annotations

import json
import logging
import secrets
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mlflow_ops_sandbox.slack.disturbed import limited, served
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import METHODS, Call, Registered

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation

log = logging.getLogger(__name__)

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "im:write",
    "pins:write",
    "usergroups:read",
    "users:read",
)


def routes(slack: Installation) -> list[web.RouteDef]:
    """Return the routes of the Web API."""

    async def serve(request: web.Request) -> web.StreamResponse:
        return await served(slack, request, request.match_info["method"], _answer)

    return [web.post("/api/{method}", serve), web.get("/api/{method}", serve)]


async def _answer(slack: Installation, request: web.Request) -> web.Response:
    name = request.match_info["method"]
    known = METHODS.get(name)
    try:
        args = await arguments(request)
        if known is None:
            raise SlackError("unknown_method", req_method=name)  # noqa: TRY301 - one way out
        _authenticate(slack, request, args, known)
        wait = slack.faults.limits.wait(name, known.tier, str(args.get("channel", "")))
        if wait is not None:
            return limited(wait)
        slack.faults.refuse(name, args)
        body: Json = {"ok": True, **known.run(Call(slack, args))}
    except SlackError as error:
        body = error.body()
    body.setdefault("response_metadata", {})
    if not body["response_metadata"]:
        del body["response_metadata"]
    return web.json_response(body, headers=_headers(slack, known))


def _headers(slack: Installation, known: Registered | None) -> dict[str, str]:
    headers = {
        "x-oauth-scopes": ",".join(slack.workspace.scopes or SCOPES),
        "x-slack-req-id": secrets.token_hex(16),
        "Cache-Control": "private, no-cache, no-store, must-revalidate",
    }
    if known and known.scope:
        headers["x-accepted-oauth-scopes"] = known.scope
    return headers


async def arguments(request: web.Request) -> dict[str, Any]:
    """Read a call's arguments from its query and its body; raise SlackError where that cannot be read."""
    args: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        raw = await request.read()
        try:
            body = json.loads(raw or b"{}")
        except ValueError as error:
            raise SlackError("invalid_json") from error
        if not isinstance(body, dict):
            raise SlackError("json_not_object")
        args |= body
    elif request.can_read_body:
        args |= dict(await request.post())
    return args


def token_of(request: web.Request, args: dict[str, Any]) -> str:
    """Return the token that a request bears, or an empty string."""
    kind, _, bearer = request.headers.get("Authorization", "").partition(" ")
    return bearer.strip() if kind.lower() == "bearer" else str(args.get("token") or "")


def _authenticate(slack: Installation, request: web.Request, args: dict[str, Any], known: Registered) -> None:
    if known.by == "none":
        return
    token, tokens = token_of(request, args), slack.workspace.tokens
    if not token:
        raise SlackError("not_authed")
    kinds = {tokens.bot: "bot", tokens.app: "app"}
    kind = kinds.get(token)
    if kind is None:
        raise SlackError("invalid_auth")
    if kind != known.by:
        raise SlackError("not_allowed_token_type")
    scopes = slack.workspace.scopes
    if scopes and known.scope and known.scope not in scopes:
        raise SlackError("missing_scope", needed=known.scope, provided=",".join(scopes))
