"""`/sandbox/…` for people: everything that somebody can do in the page, as JSON for page and client.

Each body names its `user`; the page lets you be any of the people, so there is nothing to log in to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.control import json_route
from mlflow_ops_sandbox.slack.delivery import events, interactivity
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state import messages

if TYPE_CHECKING:
    from aiohttp import web

    from mlflow_ops_sandbox.slack.state.installation import Installation
    from mlflow_ops_sandbox.slack.state.workspace import Person


def routes(slack: Installation) -> list[web.RouteDef]:  # noqa: C901 - a table of small handlers
    """Return the routes of what people do."""

    async def command(body: Json) -> Json:
        person, channel = _who_where(slack, body)
        return await interactivity.command(slack, person, channel, str(body.get("text", "")))

    async def post(body: Json) -> Json:
        return _post(slack, body)

    async def edit(body: Json) -> Json:
        person, channel = _who_where(slack, body)
        said = content.read({"text": body.get("text")})
        message = messages.update(slack, channel, str(body.get("ts")), said, editor=person.id)
        return {"ok": True, "message": message}

    async def delete(body: Json) -> Json:
        person, channel = _who_where(slack, body)
        messages.delete(slack, channel, str(body.get("ts")), editor=person.id)
        return {"ok": True}

    async def dismiss(body: Json) -> Json:
        person, channel = _who_where(slack, body)
        messages.delete_ephemeral(slack, channel, person.id, str(body.get("ts")))
        return {"ok": True}

    async def react(body: Json) -> Json:
        return _react(slack, body)

    async def action(body: Json) -> Json:
        if not body.get("action_id"):
            raise InvalidArgumentsError("missing required field: action_id")
        return await interactivity.act(slack, _who(slack, body), body)

    async def suggest(body: Json) -> Json:
        if not body.get("action_id"):
            raise InvalidArgumentsError("missing required field: action_id")
        return await interactivity.suggest(slack, _who(slack, body), body)

    async def submit(body: Json) -> Json:
        return await interactivity.submit(slack, _who(slack, body), body)

    async def close(body: Json) -> Json:
        everything = bool(body.get("everything"))
        return await interactivity.close(slack, _who(slack, body), everything=everything)

    async def home(body: Json) -> Json:
        return _open_home(slack, _who(slack, body))

    return [
        json_route("/sandbox/command", command),
        json_route("/sandbox/post", post),
        json_route("/sandbox/edit", edit),
        json_route("/sandbox/delete", delete),
        json_route("/sandbox/dismiss", dismiss),
        json_route("/sandbox/react", react),
        json_route("/sandbox/action", action),
        json_route("/sandbox/options", suggest),
        json_route("/sandbox/view/submit", submit),
        json_route("/sandbox/view/close", close),
        json_route("/sandbox/home/open", home),
    ]


def person_named(slack: Installation, user: object) -> Person:
    """Return the person with this id; raise `user_not_found` where there is none."""
    person = slack.workspace.person(str(user))
    if person is None:
        raise SlackError("user_not_found")
    return person


def _who(slack: Installation, body: Json) -> Person:
    return person_named(slack, body.get("user"))


def _who_where(slack: Installation, body: Json) -> tuple[Person, str]:
    person = _who(slack, body)
    channel = slack.find_channel(str(body.get("channel", "")))
    if slack.workspace.bot.user_id == body.get("channel"):
        channel = slack.workspace.direct(person.id)
    return person, channel


def _post(slack: Installation, body: Json) -> Json:
    person, channel = _who_where(slack, body)
    said = content.read({"text": body.get("text"), "link_names": "1"})
    message = messages.post(
        slack,
        channel,
        messages.authored_by(slack, person.id),
        said,
        thread_ts=body.get("thread_ts") or None,
        broadcast=bool(body.get("broadcast")),
    )
    direct = channel.startswith("D")
    event = {**message, "channel": channel, "channel_type": "im" if direct else "channel"}
    events.emit(slack, event, subscription="message.im" if direct else "message.channels")
    if f"<@{slack.workspace.bot.user_id}>" in message["text"] and not direct:
        events.emit(slack, {**message, "type": "app_mention", "channel": channel})
    return {"ok": True, "message": message}


def _react(slack: Installation, body: Json) -> Json:
    person, channel = _who_where(slack, body)
    ts, name = str(body.get("ts")), str(body.get("name", "")).strip(":")
    message = messages.existing(slack, channel, ts)
    mine = (channel, ts, name, person.id)
    added = slack.store.add_reaction(*mine)
    if not added:
        slack.store.remove_reaction(*mine)
    messages.tell(slack, channel, ts)
    kind = "reaction_added" if added else "reaction_removed"
    item = {"type": "message", "channel": channel, "ts": ts}
    event = {"type": kind, "user": person.id, "reaction": name, "item": item}
    events.emit(slack, {**event, "item_user": message.get("user")})
    return {"ok": True, "added": added}


def _open_home(slack: Installation, person: Person) -> Json:
    view = slack.store.home(person.id)
    event: Json = {
        "type": "app_home_opened",
        "user": person.id,
        "channel": slack.workspace.direct(person.id),
        "tab": "home",
    }
    if view:
        event["view"] = view
    events.emit(slack, event)
    return {"ok": True, "view": view}
