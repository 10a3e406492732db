"""Where somebody did something: the message, modal or home tab, as payloads name it, and the element in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks.blocks import interactive
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.state.response_urls import Origin

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation
    from mlflow_ops_sandbox.slack.state.workspace import Person


def place(slack: Installation, person: Person, done: Json) -> tuple[Json, list[Json], Json]:
    """Return the container, the blocks and the further fields of where something was done."""
    if view_id := done.get("view_id"):
        known = [*slack.modals.stack(person.id), slack.store.home(person.id)]
        view = next((v for v in known if v and v["id"] == view_id), None)
        if view is None:
            raise SlackError("not_found")
        return {"type": "view", "view_id": view_id}, view["blocks"], {"view": view}
    channel, ts = slack.find_channel(str(done.get("channel"))), str(done.get("ts"))
    hidden = slack.ephemerals.find(person.id, ts)
    message = hidden or messages.existing(slack, channel, ts)
    thread_ts = message.get("thread_ts")
    container: Json = {
        "type": "message",
        "message_ts": ts,
        "channel_id": channel,
        "is_ephemeral": hidden is not None,
    }
    if thread_ts:
        container["thread_ts"] = thread_ts
    origin = Origin(channel=channel, user=person.id, ts=ts, ephemeral=hidden is not None, thread_ts=thread_ts)
    extra: Json = {
        "channel": {"id": channel, "name": channel_name(slack, channel)},
        "response_url": response_url(slack, "actions", origin),
    }
    if hidden is None:
        extra["message"] = message
    attached = [b for a in message.get("attachments") or [] for b in a.get("blocks") or []]
    return container, [*(message.get("blocks") or []), *attached], extra


def element(blocks: list[Json], action_id: str, block_id: object) -> tuple[Json, Json]:
    """Return the block and the element that an act names; raise `action_not_found` where there is none."""
    for block in blocks:
        if block_id and block["block_id"] != block_id:
            continue
        for item in interactive(block):
            if item["action_id"] == action_id:
                return block, item
    raise SlackError("action_not_found")


def response_url(slack: Installation, kind: str, origin: Origin) -> str:
    """Return a new response_url for an act at this place."""
    key = slack.response_urls.make(origin)
    return f"{slack.base_url}/{kind}/{slack.workspace.team.id}/{key}"


def channel_name(slack: Installation, channel: str) -> str:
    """Return a channel's name as payloads give it."""
    known = slack.workspace.channel(channel)
    return known.name if known else "directmessage"
