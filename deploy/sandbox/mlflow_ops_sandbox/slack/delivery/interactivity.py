"""What a person does, as the app hears of it: a command, a click, a submitted modal, a closed one.

Each function delivers, waits for the acknowledgement and does what its body asks. They return what
Slack's own client would show: nothing, or an error by name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mlflow_ops_sandbox.slack.blocks import inputs
from mlflow_ops_sandbox.slack.delivery.escaping import escaped
from mlflow_ops_sandbox.slack.delivery.places import channel_name, element, place, response_url
from mlflow_ops_sandbox.slack.delivery.responses import answer
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state.response_urls import Origin

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Acknowledgement, Installation
    from mlflow_ops_sandbox.slack.state.workspace import Person

_COMMAND = re.compile(r"^(/\S+)\s*(.*)$", re.DOTALL)


async def command(slack: Installation, person: Person, channel: str, text: str) -> Json:
    """Run a slash command; return `ok`, `error`, the sentence shown, and seconds to acknowledgement."""
    match = _COMMAND.match(text.strip())
    if match is None:
        raise SlackError("invalid_arguments")
    name, rest = match[1], match[2].strip()
    registered = slack.workspace.command(name)
    if registered is None:
        sentence = (
            f"{name} is not a valid command. In Slack, all messages that start with the "
            '"/" character are interpreted as commands.'
        )
        _slackbot(slack, channel, person.id, sentence)
        return {"ok": False, "error": "invalid_command", "message": sentence, "seconds": 0.0}
    origin = Origin(channel=channel, user=person.id)
    payload = {
        "token": "sandbox",
        "team_id": slack.workspace.team.id,
        "team_domain": _domain(slack),
        **({"enterprise_id": slack.workspace.team.enterprise_id} if slack.workspace.team.enterprise_id else {}),
        "channel_id": channel,
        "channel_name": channel_name(slack, channel),
        "user_id": person.id,
        "user_name": person.name,
        "command": name,
        "text": escaped(rest, slack.workspace) if registered.should_escape else rest,
        "api_app_id": slack.workspace.bot.app_id,
        "is_enterprise_install": "false",
        "response_url": response_url(slack, "commands", origin),
        "trigger_id": slack.triggers.make(person.id),
    }
    result = await slack.delivery.deliver("slash_commands", payload)
    error = result.error or _apply(slack, origin, result.body)
    sentence = ""
    if error:
        sentence = f'{name} failed with the error "{error}"'
        _slackbot(slack, channel, person.id, sentence)
    return {
        "ok": error is None,
        "error": error,
        "message": sentence,
        "seconds": round(result.seconds, 4),
    }


async def act(slack: Installation, person: Person, done: Json) -> Json:
    """Deliver a click or a choice in a message, a modal or the home tab."""
    container, blocks, extra = place(slack, person, done)
    block, item = element(blocks, str(done["action_id"]), done.get("block_id"))
    values = dict(done.get("values") or {})
    action: Json = {
        "action_id": item["action_id"],
        "block_id": block["block_id"],
        "type": item["type"],
        "action_ts": slack.store.next_ts(),
    }
    if item["type"] == "button":
        action["text"] = item["text"]
        if "value" in item:
            action["value"] = item["value"]
        if "style" in item:
            action["style"] = item["style"]
    else:
        action |= inputs.filled(item, done.get("value"))
        values[f"{block['block_id']}/{item['action_id']}"] = done.get("value")
    state = inputs.state(blocks, values)
    if "view" in extra:
        extra["view"] = {**extra["view"], "state": state}
    else:
        extra["state"] = state
    payload = {
        "type": "block_actions",
        **_who(slack, person),
        "container": container,
        "trigger_id": slack.triggers.make(person.id),
        **extra,
        "actions": [action],
    }
    return _shown(await slack.delivery.deliver("interactive", payload))


async def suggest(slack: Installation, person: Person, asked: Json) -> Json:
    """Ask the app for the options of an external select; return them with the outcome."""
    container, blocks, extra = place(slack, person, asked)
    extra.pop("response_url", None)
    block, item = element(blocks, str(asked["action_id"]), asked.get("block_id"))
    payload = {
        "type": "block_suggestion",
        **_who(slack, person),
        "container": container,
        **extra,
        "action_id": item["action_id"],
        "block_id": block["block_id"],
        "value": str(asked.get("value") or ""),
    }
    result = await slack.delivery.deliver("interactive", payload)
    body = result.body if isinstance(result.body, dict) else {}
    groups = [group.get("options") or [] for group in body.get("option_groups") or []]
    options = [*(body.get("options") or []), *(option for group in groups for option in group)]
    return {**_shown(result), "options": options[:100]}


async def submit(slack: Installation, person: Person, given: Json) -> Json:
    """Submit the modal that a person sees; return `ok`, or `errors` by block, or the error."""
    view = slack.modals.top(person.id)
    if view is None or (given.get("view_id") or view["id"]) != view["id"]:
        raise SlackError("not_found")
    state = inputs.state(view["blocks"], given.get("values") or {})
    wrong = inputs.missing(view["blocks"], state["values"])
    if wrong:
        return {"ok": False, "error": None, "errors": wrong, "seconds": 0.0}
    payload = {
        "type": "view_submission",
        **_who(slack, person),
        "trigger_id": slack.triggers.make(person.id),
        "view": {**view, "state": state},
        "response_urls": [],
    }
    result = await slack.delivery.deliver("interactive", payload)
    shown = _shown(result)
    if result.error is None:
        try:
            shown["errors"] = _respond(slack, person, view, result.body)
        except SlackError as error:
            return {**shown, "ok": False, "error": error.error, **error.extra}
        shown["ok"] = not shown["errors"]
    return shown


async def close(slack: Installation, person: Person, *, everything: bool = False) -> Json:
    """Close the modal that a person sees, and tell the app where it asked to be told."""
    closed = slack.modals.close(person.id, everything=everything)
    tell_modal(slack, person.id)
    for view in closed:
        if view["notify_on_close"]:
            payload = {
                "type": "view_closed",
                **_who(slack, person),
                "view": view,
                "is_cleared": everything,
            }
            await slack.delivery.deliver("interactive", payload)
    return {"ok": True}


def tell_modal(slack: Installation, user: str) -> None:
    """Tell a person's pages which modal shows now (or none)."""
    slack.live.tell({"type": "modal", "view": slack.modals.top(user)}, only=user)


def _respond(slack: Installation, person: Person, view: Json, body: object) -> dict[str, str]:
    answered: dict[str, Any] = body if isinstance(body, dict) else {}
    action = answered.get("response_action")
    if action == "errors":
        known = {block["block_id"] for block in view["blocks"] if block["type"] == "input"}
        errors = {str(k): str(v) for k, v in (answered.get("errors") or {}).items() if k in known}
        if not errors:
            raise SlackError("invalid_response_action")
        return errors
    if action == "update":
        slack.modals.update(answered.get("view"), view_id=view["id"])
    elif action == "push":
        slack.modals.push(person.id, answered.get("view"))
    else:
        slack.modals.close(person.id, everything=action == "clear")
    tell_modal(slack, person.id)
    return {}


def _apply(slack: Installation, origin: Origin, body: Json | str | None) -> str | None:
    """Show what an acknowledgement said; return Slack's error where it cannot be shown."""
    if not body:
        return None
    if isinstance(body, str):
        body = {"text": body}
    if not (body.get("text") or body.get("blocks") or body.get("attachments")):
        return None
    try:
        answer(slack, origin, body)
    except SlackError:
        return "invalid_command_response"
    return None


def _shown(result: Acknowledgement) -> Json:
    return {
        "ok": result.error is None,
        "error": result.error,
        "seconds": round(result.seconds, 4),
    }


def _who(slack: Installation, person: Person) -> Json:
    team = slack.workspace.team
    return {
        "user": {
            "id": person.id,
            "username": person.name,
            "name": person.name,
            # Of an organization's people Slack names the organization here.
            "team_id": team.enterprise_id or person.user.get("team_id") or team.id,
        },
        "api_app_id": slack.workspace.bot.app_id,
        "token": "sandbox",
        "team": {"id": slack.workspace.team.id, "domain": _domain(slack)},
        "enterprise": {"id": slack.workspace.team.enterprise_id} if slack.workspace.team.enterprise_id else None,
        "is_enterprise_install": False,
    }


def _domain(slack: Installation) -> str:
    return re.sub(r"[^a-z0-9]+", "-", slack.workspace.team.name.lower()).strip("-") or "sandbox"


def _slackbot(slack: Installation, channel: str, user: str, sentence: str) -> None:
    message = {
        "type": "message",
        "ts": slack.store.next_ts(),
        "channel": channel,
        "is_ephemeral": True,
        "user": "USLACKBOT",
        "text": sentence,
    }
    slack.ephemerals.put(user, message)
    slack.live.tell({"type": "ephemeral", "channel": channel, "message": message}, only=user)
