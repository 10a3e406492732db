"""The page, and what it loads: the workspace, messages, threads, pins, and news over one WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.page.actions import person_named
from mlflow_ops_sandbox.slack.state import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow_ops_sandbox.slack.state.installation import Installation

FILES = Path(__file__).parent / "static"
MESSAGES = 100
_LATEST = "9999999999.999999"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def routes(slack: Installation) -> list[web.RouteDef]:
    """Return the routes of the page."""

    async def index(_: web.Request) -> web.StreamResponse:
        return _file("index.html")

    async def asset(request: web.Request) -> web.StreamResponse:
        return _file(request.match_info["name"])

    async def live(request: web.Request) -> web.StreamResponse:
        return await _live(slack, request)

    return [
        web.get("/", index),
        web.get("/page/{name:[a-z0-9_/-]+\\.(?:css|js|svg|html)}", asset),
        web.get("/sandbox/live", live),
        _read("/sandbox/workspace", lambda request: _workspace(slack, request)),
        _read("/sandbox/messages", lambda request: _messages(slack, request)),
        _read("/sandbox/thread", lambda request: _thread(slack, request)),
        _read("/sandbox/ephemerals", lambda request: _ephemerals(slack, request)),
        _read("/sandbox/pins", lambda request: _pins(slack, request)),
        _read("/sandbox/view", lambda request: _view(slack, request)),
        _read("/sandbox/home", lambda request: _home(slack, request)),
    ]


def _read(path: str, run: Callable[[web.Request], Json]) -> web.RouteDef:
    async def serve(request: web.Request) -> web.Response:
        try:
            return web.json_response(run(request))
        except SlackError as error:
            return web.json_response(error.body(), status=400)

    return web.get(path, serve)


def _file(name: str) -> web.StreamResponse:
    path = (FILES / name).resolve()
    if not path.is_relative_to(FILES) or not path.is_file():
        return web.Response(status=404, text="not found")
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    return web.Response(
        body=path.read_bytes(),
        content_type=kind,
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


def _workspace(slack: Installation, _: web.Request) -> Json:
    space = slack.workspace
    return {
        "team": asdict(space.team),
        "bot": asdict(space.bot),
        "people": [asdict(person) | {"direct": space.direct(person.id)} for person in space.people],
        "channels": [asdict(c) | {"members": slack.members(c.id)} for c in space.channels],
        "usergroups": [asdict(group) for group in space.usergroups],
        "commands": [asdict(command) for command in space.commands],
        "connection": slack.delivery.describe(),
        "panel": slack.panel,
    }


def _messages(slack: Installation, request: web.Request) -> Json:
    channel = slack.find_channel(request.query.get("channel", ""))
    found, more = slack.store.history(
        channel,
        oldest="0",
        latest=request.query.get("before") or _LATEST,
        inclusive=False,
        limit=MESSAGES,
    )
    return {"messages": found[::-1], "more": more}


def _thread(slack: Installation, request: web.Request) -> Json:
    channel = slack.find_channel(request.query.get("channel", ""))
    parent = messages.existing(slack, channel, request.query.get("ts", ""))
    found, more = slack.store.replies(channel, parent["ts"], oldest="0", latest=_LATEST, inclusive=False, limit=5000)
    return {"messages": [parent, *found], "more": more}


def _ephemerals(slack: Installation, request: web.Request) -> Json:
    channel = slack.find_channel(request.query.get("channel", ""))
    person = person_named(slack, request.query.get("user"))
    return {"messages": slack.ephemerals.seen_by(person.id, channel)}


def _pins(slack: Installation, request: web.Request) -> Json:
    channel = slack.find_channel(request.query.get("channel", ""))
    found = [slack.store.message(channel, ts) for ts, _, _ in slack.store.pins(channel)]
    return {"messages": [message for message in found if message]}


def _view(slack: Installation, request: web.Request) -> Json:
    person = person_named(slack, request.query.get("user"))
    return {"view": slack.modals.top(person.id)}


def _home(slack: Installation, request: web.Request) -> Json:
    person = person_named(slack, request.query.get("user"))
    return {"view": slack.store.home(person.id)}


async def _live(slack: Installation, request: web.Request) -> web.StreamResponse:
    try:
        person = person_named(slack, request.query.get("user"))
    except SlackError as error:
        return web.json_response(error.body(), status=400)
    socket = web.WebSocketResponse(heartbeat=20)
    await socket.prepare(request)
    page = slack.live.open(person.id)
    reader = asyncio.create_task(_drain(socket))
    try:
        while not reader.done():
            upcoming = asyncio.ensure_future(page.events.get())
            await asyncio.wait({reader, upcoming}, return_when=asyncio.FIRST_COMPLETED)
            if not upcoming.done():
                upcoming.cancel()
                break
            event = upcoming.result()
            if event is None:
                break
            with contextlib.suppress(ConnectionError):
                await socket.send_json(event)
    finally:
        slack.live.close(page)
        reader.cancel()
        await socket.close()
    return socket


async def _drain(socket: web.WebSocketResponse) -> None:
    async for message in socket:
        if message.type is WSMsgType.ERROR:
            return
