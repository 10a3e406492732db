"""The panel's addresses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from mlflow_ops_sandbox.slack.control import json_route
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow_ops_sandbox.slack.panel.thing import Group


def routes(groups: Sequence[Group]) -> list[web.RouteDef]:
    """Return the routes of the panel for these groups."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response(await _state(groups))

    async def order(body: Json) -> Json:
        group = next((one for one in groups if one.id == body.get("group")), None)
        if group is None:
            raise InvalidArgumentsError(f"group: one of {', '.join(one.id for one in groups)}")
        await group.order(str(body.get("thing")), str(body.get("action")))
        return await _state(groups)

    async def heal(_: Json) -> Json:
        # What is paused may be what others need to be healed: first those who live in this process or its folder.
        failed = []
        for group in sorted(groups, key=lambda one: one.id == "cluster"):
            try:
                await group.heal()
            except SlackError:
                failed.append(group.id)
        return {**await _state(groups), "failed": failed}

    return [
        web.get("/sandbox/panel", show),
        json_route("/sandbox/panel", order),
        json_route("/sandbox/panel/heal", heal),
    ]


async def _state(groups: Sequence[Group]) -> Json:
    found = await asyncio.gather(*(group.things() for group in groups))
    listed = [
        {"id": group.id, "title": group.title, "things": [thing.as_json() for thing in things]}
        for group, things in zip(groups, found, strict=True)
    ]
    broken = sum(thing.state == "broken" for things in found for thing in things)
    return {"ok": True, "groups": listed, "broken": broken}
