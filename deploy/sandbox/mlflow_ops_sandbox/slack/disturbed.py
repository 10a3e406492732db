"""A call of the app's, as it goes on the day: served, or disturbed as the faults in force demand.

The Web API, uploads and response_urls all go through `served`. What a fault does before the call takes effect and
what it does afterwards are kept apart, because only the caller's ignorance is the same.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mlflow_ops_sandbox.slack.faults import MethodFault
    from mlflow_ops_sandbox.slack.state.installation import Installation

    _Run = Callable[[Installation, web.Request], Awaitable[web.StreamResponse]]

LONGEST_HANG = 600.0
_POLL = 0.05
# What stands in front of a Slack that is down answers with a page, not with JSON.
_PAGE = "<!DOCTYPE html><html><head><title>Server Error | Slack</title></head><body>Oops!</body></html>"


async def served(slack: Installation, request: web.Request, name: str, run: _Run) -> web.StreamResponse:
    """Count a call by its method's name and answer it, unless a fault is in the way."""
    slack.calls[name] += 1
    if slack.faults.away:
        return await _absent(slack, request)
    fault = slack.faults.strike(name)
    if fault is None:
        return await run(slack, request)
    early = await _before(fault, request)
    if early is not None:
        return early
    return await _after(fault, request, await run(slack, request))


def limited(retry_after: int) -> web.Response:
    """Answer 429 with the seconds to wait."""
    body = {"ok": False, "error": "ratelimited"}
    return web.json_response(body, status=429, headers={"Retry-After": str(retry_after)})


def cut(request: web.Request, *, silently: bool = False) -> None:
    """Cut a connection: with a reset, or silently, as when the other end just stops.

    slack_sdk's Socket Mode client notices a reset at its next look (its ping interval, 10 s), but a silent end only
    after five failed pings.
    """
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None and not silently:
        # Lingering for no time makes the kernel send RST rather than FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _absent(slack: Installation, request: web.Request) -> web.Response:
    if slack.faults.absence == "503":
        return web.Response(status=503, text=_PAGE, content_type="text/html")
    if slack.faults.absence == "hang":
        await _hang(request)
    return _reset(request)


async def _before(fault: MethodFault, request: web.Request) -> web.Response | None:
    if fault.kind == "ratelimited":
        return limited(fault.retry_after)
    if fault.kind == "error":
        return _error(fault)
    if fault.kind == "reset_before":
        return _reset(request)
    if fault.kind == "hang":
        await _hang(request)
        return _reset(request)
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
    return None


async def _after(fault: MethodFault, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if fault.kind == "reset_after":
        return _reset(request)
    if fault.kind == "error_after":
        return _error(fault)
    if fault.kind == "latency_after":
        await asyncio.sleep(fault.seconds)
    return response


def _error(fault: MethodFault) -> web.Response:
    if fault.html:
        return web.Response(status=fault.status, text=_PAGE, content_type="text/html")
    return web.json_response({"ok": False, "error": fault.error}, status=fault.status)


def _reset(request: web.Request) -> web.Response:
    cut(request)
    return web.Response(status=500)


async def _hang(request: web.Request) -> None:
    """Return once the caller has given up, or after ten minutes."""
    loop = asyncio.get_running_loop()
    end = loop.time() + LONGEST_HANG
    while request.transport is not None and not request.transport.is_closing() and loop.time() < end:  # noqa: ASYNC110 - a closed connection is no event
        await asyncio.sleep(_POLL)
