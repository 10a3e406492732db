"""`/sandbox/…` for tests and for breaking things: faults, connections, and what was counted.

POST /sandbox/faults takes one of
  {"method": "chat.*", "kind": "ratelimited"|"error"|"reset_before"|"reset_after"|"latency",
   "count": 1 | "probability": 0.2, "seed": 7, "retry_after": 1, "status": 500, "seconds": 1.0}
  {"kind": "away", "on": true}        Slack cannot be reached at all
  {"kind": "tiers", "on": true}       the documented calls per minute
  {"kind": "redeliver", "count": 1}   the next envelopes arrive twice
  {"kind": "swallow", "count": 1}     the app's next acknowledgements are lost
  {"kind": "disconnect", "reason": "refresh_requested"}   as Slack does when it refreshes
  {"kind": "drop"}                    sockets are reset; with "silently": true they just end
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from aiohttp import web

from .errors import InvalidArgumentsError, Json, SlackError
from .httpmode import HttpMode
from .socketmode import SocketMode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .installation import Installation


def json_route(path: str, run: Callable[[Json], Awaitable[Json]]) -> web.RouteDef:
    """Return a POST route whose handler takes and returns JSON; refusals become status 400."""

    async def serve(request: web.Request) -> web.Response:
        # Only JSON: a form on another site could not send it without asking first.
        if request.content_type != "application/json":
            return web.json_response({"ok": False, "error": "json_expected"}, status=415)
        try:
            body = await request.json()
        except json.JSONDecodeError:
            return web.json_response({"ok": False, "error": "invalid_json"}, status=400)
        if not isinstance(body, dict):
            return web.json_response({"ok": False, "error": "json_not_object"}, status=400)
        try:
            return web.json_response(await run(body))
        except SlackError as error:
            return web.json_response(error.body(), status=400)

    return web.post(path, serve)


def routes(slack: Installation) -> list[web.RouteDef]:
    """Return the control routes."""

    async def add(body: Json) -> Json:
        return await _add(slack, body)

    async def faults(_: web.Request) -> web.Response:
        return web.json_response(slack.faults.as_json())

    async def clear(_: web.Request) -> web.Response:
        slack.faults.clear()
        _tell(slack)
        return web.json_response(slack.faults.as_json())

    async def calls(_: web.Request) -> web.Response:
        return web.json_response(dict(sorted(slack.calls.items())))

    async def pings(_: web.Request) -> web.Response:
        return web.json_response({"pings": slack.store.pings()})

    async def connection(_: web.Request) -> web.Response:
        return web.json_response(slack.delivery.describe())

    async def verify(_: Json) -> Json:
        if not isinstance(slack.delivery, HttpMode):
            raise SlackError("not_in_http_mode")
        return {"ok": await slack.delivery.verify()}

    return [
        json_route("/sandbox/faults", add),
        web.get("/sandbox/faults", faults),
        web.delete("/sandbox/faults", clear),
        web.get("/sandbox/calls", calls),
        web.get("/sandbox/pings", pings),
        web.get("/sandbox/connection", connection),
        json_route("/sandbox/verify", verify),
    ]


async def _add(slack: Installation, body: Json) -> Json:
    kind, on = body.get("kind"), bool(body.get("on", True))
    count = int(body.get("count", 1))
    sockets = slack.delivery if isinstance(slack.delivery, SocketMode) else None
    told = 0
    if kind == "away":
        slack.faults.away = on
        if on and sockets:
            told = await sockets.drop()
    elif kind == "tiers":
        slack.faults.tiers = on
    elif kind == "redeliver":
        slack.faults.redeliveries += count
    elif kind == "swallow":
        slack.faults.swallowed_acknowledgements += count
    elif kind in ("disconnect", "drop"):
        if sockets is None:
            raise InvalidArgumentsError("there are no sockets in http mode")
        if kind == "drop":
            told = await sockets.drop(silently=bool(body.get("silently")))
        else:
            told = await sockets.disconnect(str(body.get("reason", "refresh_requested")))
    else:
        slack.faults.add(body)
    _tell(slack)
    return {"ok": True, "sockets": told, **slack.faults.as_json()}


def _tell(slack: Installation) -> None:
    slack.live.tell({"type": "faults", "faults": slack.faults.as_json()})
