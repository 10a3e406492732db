"""`/sandbox/…` for tests and for breaking things: faults, time, connections, and what was counted.

POST /sandbox/faults takes one of
  {"method": "chat.*", "kind": "ratelimited"|"error"|"reset_before"|"latency"|"hang", or, once the call has taken
   effect, "reset_after"|"error_after"|"latency_after",
   "count": 1 | "probability": 0.2, "seed": 7, "skip": 0, "retry_after": 1, "status": 500, "error": "internal_error",
   "html": false, "seconds": 1.0, "name": ""}
  {"kind": "refuse", "method": "chat.postMessage", "error": "is_archived",
   "of": "channel"|"direct"|"top"|"reply"|"broadcast"|"blocks"|"metadata"|"C0OPS", "count": 1, "skip": 0, "name": ""}
                                      as Slack refuses by its settings, until it is removed or counted down
  {"kind": "remove", "name": "…"}     the rules with this name are over
  {"kind": "away", "on": true, "seconds": 600, "how": "reset"|"hang"|"503"}   Slack cannot be reached at all
  {"kind": "tiers", "on": true}       the documented calls per minute
  {"kind": "lacks", "blocks": ["data_table"], "on": true}   types of blocks that this workspace does not have yet
  {"kind": "redeliver", "count": 1}   the next envelopes arrive twice
  {"kind": "redeliver_last", "count": 1}   the last envelopes arrive once more, now
  {"kind": "swallow", "count": 1}     the app's next acknowledgements are lost
  {"kind": "cut_envelope", "count": 1}     the socket is cut while the next envelope is under way
  {"kind": "disconnect", "reason": "warning"|"refresh_requested"|"link_disabled"}   as Slack does some times a day
  {"kind": "socket_mode", "on": true}      switched off by link_disabled, it can be switched on again
  {"kind": "drop"}                    sockets are reset; with "silently": true they just end
POST /sandbox/clock {"advance": 600} moves Slack's time on.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from aiohttp import web

from mlflow_ops_sandbox.slack.delivery.httpmode import HttpMode
from mlflow_ops_sandbox.slack.delivery.socketmode import SocketMode
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlflow_ops_sandbox.slack.state.installation import Installation

_COUNTED = {
    "redeliver": "redeliveries",
    "swallow": "swallowed_acknowledgements",
    "cut_envelope": "cut_envelopes",
}


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


def routes(slack: Installation) -> list[web.RouteDef]:  # noqa: C901 - a table of small handlers
    """Return the control routes."""

    async def add(body: Json) -> Json:
        try:
            told = await arrange(slack, body)
        except (TypeError, ValueError) as error:
            raise InvalidArgumentsError(str(error)) from error
        return {"ok": True, "sockets": told, **slack.faults.as_json()}

    async def clock(body: Json) -> Json:
        slack.clock.advance(float(body.get("advance", 0)))
        _tell(slack)
        return {"ok": True, "now": slack.clock()}

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
        json_route("/sandbox/clock", clock),
        web.get("/sandbox/faults", faults),
        web.delete("/sandbox/faults", clear),
        web.get("/sandbox/calls", calls),
        web.get("/sandbox/pings", pings),
        web.get("/sandbox/connection", connection),
        json_route("/sandbox/verify", verify),
    ]


async def arrange(slack: Installation, body: Json) -> int:
    """Do what an order asks; return how many sockets were told or envelopes sent. Raises SlackError."""
    kind, on, count = body.get("kind"), bool(body.get("on", True)), int(body.get("count", 1))
    faults, sockets = slack.faults, slack.delivery if isinstance(slack.delivery, SocketMode) else None
    told = 0
    if kind == "away" and on:
        faults.leave(float(body.get("seconds", math.inf)), str(body.get("how", "reset")))
        told = await sockets.drop() if sockets else 0
    elif kind == "away":
        faults.come_back()
    elif kind == "tiers":
        faults.limits.on = on
    elif kind == "lacks":
        named = {str(each) for each in body.get("blocks", ())}
        faults.lacking = faults.lacking | named if on else faults.lacking - named
    elif kind in _COUNTED:
        name = _COUNTED[kind]
        setattr(faults, name, getattr(faults, name) + count)
    elif kind == "redeliver_last":
        told = await slack.delivery.redeliver(count)
    elif kind == "remove":
        faults.remove(str(body.get("name")))
    elif kind in ("disconnect", "drop", "socket_mode"):
        told = await _to_sockets(slack, sockets, body)
    else:
        faults.add(body)
    _tell(slack)
    return told


async def _to_sockets(slack: Installation, sockets: SocketMode | None, body: Json) -> int:
    if sockets is None:
        raise InvalidArgumentsError("there are no sockets in http mode")
    if body["kind"] == "drop":
        return await sockets.drop(silently=bool(body.get("silently")))
    if body["kind"] == "disconnect":
        return await sockets.disconnect(str(body.get("reason", "refresh_requested")))
    slack.faults.socket_mode_off = not body.get("on", True)
    return 0


def _tell(slack: Installation) -> None:
    slack.live.tell({"type": "faults", "faults": slack.faults.as_json()})
