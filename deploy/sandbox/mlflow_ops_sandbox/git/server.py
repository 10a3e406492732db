"""The Git host as one aiohttp application, for this machine only: its Host header must name the loopback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from mlflow_ops_sandbox.git import api, page
from mlflow_ops_sandbox.git.api import HOST, Host

PREFIX = "/api/v3"
"""Where GitHub Enterprise has its API."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def create_app(host: Host) -> web.Application:
    """The API and the page of a repository."""
    app = web.Application(middlewares=[_for_this_machine])
    app[HOST] = host
    app.add_routes([web.get("/healthz", _healthy), *api.routes(PREFIX), *page.routes()])
    return app


@web.middleware
async def _for_this_machine(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    if urlsplit(f"//{request.host}").hostname not in _LOOPBACK:
        raise web.HTTPForbidden(text="This is for this machine only.")
    return await handler(request)


async def _healthy(_request: web.Request) -> web.Response:
    return web.Response(text="ok")
