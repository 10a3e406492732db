"""The local Slack as one aiohttp application: parts, routes, and who may talk to it.

It listens on the loopback only. That alone does not keep web pages out: a name that resolves to
127.0.0.1 (DNS rebinding) or a script on another site could still reach it through the browser of
whoever runs it. Hence the Host header must name the loopback, and an Origin, if sent, must be our own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from mlflow_ops_sandbox.slack import control, panel, web_api
from mlflow_ops_sandbox.slack.delivery.httpmode import HttpMode
from mlflow_ops_sandbox.slack.delivery.socketmode import SocketMode
from mlflow_ops_sandbox.slack.faults import Faults
from mlflow_ops_sandbox.slack.page import actions, routes
from mlflow_ops_sandbox.slack.state.clock import Clock
from mlflow_ops_sandbox.slack.state.ephemerals import Ephemerals
from mlflow_ops_sandbox.slack.state.installation import Installation, Timings
from mlflow_ops_sandbox.slack.state.live import Live
from mlflow_ops_sandbox.slack.state.modals import Modals
from mlflow_ops_sandbox.slack.state.response_urls import ResponseUrls
from mlflow_ops_sandbox.slack.state.store import Store
from mlflow_ops_sandbox.slack.state.triggers import Triggers
from mlflow_ops_sandbox.slack.web_api import transfer

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow_ops_sandbox.slack.state.workspace import Workspace

INSTALLATION: web.AppKey[Installation] = web.AppKey("installation", Installation)
LARGEST_BODY = 8 * 1024 * 1024
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    workspace: Workspace,
    data: Path,
    *,
    clock: Callable[[], float] = time.time,
    timings: Timings | None = None,
    surroundings: panel.Surroundings | None = None,
) -> web.Application:
    """Return the local Slack for one workspace, with its state under `data`.

    With `surroundings` the page shows the panel that breaks them.
    """
    timings = timings or Timings()
    base, clock = clock, Clock(clock)
    faults = Faults(clock)
    sockets = SocketMode(workspace, timings, faults, clock)
    requests = HttpMode(workspace, timings, faults, base)
    slack = Installation(
        workspace=workspace,
        store=Store(data, clock),
        clock=clock,
        timings=timings,
        live=Live(),
        faults=faults,
        ephemerals=Ephemerals(),
        modals=Modals(workspace, clock, lambda: faults.lacking),
        triggers=Triggers(clock, timings.trigger),
        response_urls=ResponseUrls(clock, timings.response_url),
        delivery=sockets if workspace.mode == "socket" else requests,
    )
    sockets.changed = lambda: slack.live.tell({"type": "connection", "connection": slack.delivery.describe()})
    app = web.Application(middlewares=[_loopback_only, _remember_address], client_max_size=LARGEST_BODY)
    app[INSTALLATION] = slack
    for family in (web_api, transfer, control, actions, routes):
        app.add_routes(family.routes(slack))
    if surroundings is not None:
        slack.panel = True
        app.add_routes(panel.routes(panel.groups(slack, surroundings)))

    async def link(request: web.Request) -> web.StreamResponse:
        return await sockets.connect(request)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    app.add_routes([web.get("/link/", link), web.get("/healthz", healthz)])
    app.on_response_prepare.append(_add_headers)

    async def running(_: web.Application) -> AsyncIterator[None]:
        yield
        await slack.stop()

    async def closing(_: web.Application) -> None:
        slack.live.close_all()
        await sockets.stop()
        await requests.stop()

    app.on_shutdown.append(closing)
    app.cleanup_ctx.append(running)
    return app


def is_loopback(host: str) -> bool:
    """Say whether a Host header names this machine's loopback."""
    return urlsplit(f"//{host}").hostname in LOOPBACK


@web.middleware
async def _loopback_only(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if not is_loopback(request.host):
        return web.Response(status=403, text="this address is for the local machine only")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        return web.Response(status=403, text="requests from other sites are refused")
    return await handler(request)


@web.middleware
async def _remember_address(request: web.Request, handler: _Handler) -> web.StreamResponse:
    slack = request.app[INSTALLATION]
    if not slack.base_url:
        slack.base_url = f"http://{request.host}"
    return await handler(request)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
