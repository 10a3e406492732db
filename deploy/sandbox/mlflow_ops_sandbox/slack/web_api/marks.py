"""reactions.* and pins.*: what is stuck to a message."""

from __future__ import annotations

import re

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method
from mlflow_ops_sandbox.slack.web_api.chat import without_metadata

PINS = 100
# Slack documents that there are such limits, not where they lie.
DISTINCT_REACTIONS = 50
REACTIONS_OF_ONE = 23
_TS = re.compile(r"^\d{10}\.\d{6}$")
_NAME = re.compile(r"^[a-z0-9_+'\-]+(::skin-tone-[2-6])?$")


def _place(call: Call) -> tuple[str, str, str]:
    name = (call.optional("name") or "").strip(":")
    if not _NAME.match(name):
        raise SlackError("invalid_name")
    channel, ts = _message(call)
    return channel, ts, name


def _message(call: Call) -> tuple[str, str]:
    channel, ts = call.joined_channel(), call.optional("timestamp")
    if not ts:
        raise SlackError("no_item_specified")
    if not _TS.match(ts):
        raise SlackError("bad_timestamp")
    messages.existing(call.slack, channel, ts)
    return channel, ts


@method("reactions.add", scope="reactions:write")
def add(call: Call) -> Json:
    """React to a message."""
    channel, ts, name = _place(call)
    bot = call.slack.workspace.bot.user_id
    there = call.slack.store.reactions(channel, ts)
    mine = [reaction["name"] for reaction in there if bot in reaction["users"]]
    if name in mine:
        raise SlackError("already_reacted")
    if len(there) >= DISTINCT_REACTIONS and name not in [reaction["name"] for reaction in there]:
        raise SlackError("too_many_emoji")
    if len(mine) >= REACTIONS_OF_ONE:
        raise SlackError("too_many_reactions")
    call.slack.store.add_reaction(channel, ts, name, bot)
    messages.tell(call.slack, channel, ts)
    return {}


@method("reactions.remove", tier="2", scope="reactions:write")
def remove(call: Call) -> Json:
    """Take a reaction back."""
    channel, ts, name = _place(call)
    if not call.slack.store.remove_reaction(channel, ts, name, call.slack.workspace.bot.user_id):
        raise SlackError("no_reaction")
    messages.tell(call.slack, channel, ts)
    return {}


@method("reactions.get", scope="reactions:read")
def get(call: Call) -> Json:
    """Return a message with its reactions."""
    channel, ts = _message(call)
    message = without_metadata(messages.existing(call.slack, channel, ts))
    return {"type": "message", "channel": channel, "message": message}


@method("pins.add", tier="2", scope="pins:write")
def pin(call: Call) -> Json:
    """Pin a message."""
    channel, ts = _message(call)
    pinned = [there for there, _, _ in call.slack.store.pins(channel)]
    if messages.existing(call.slack, channel, ts).get("subtype") == "tombstone":
        raise SlackError("not_pinnable")
    if len(pinned) >= PINS and ts not in pinned:
        raise SlackError("too_many_pins")
    if not call.slack.store.add_pin(channel, ts, call.slack.workspace.bot.user_id):
        raise SlackError("already_pinned")
    messages.tell(call.slack, channel, ts)
    return {}


@method("pins.remove", tier="2", scope="pins:write")
def unpin(call: Call) -> Json:
    """Unpin a message."""
    channel, ts = _message(call)
    if not call.slack.store.remove_pin(channel, ts):
        raise SlackError("no_pin")
    messages.tell(call.slack, channel, ts)
    return {}


@method("pins.list", tier="2", scope="pins:read")
def pins(call: Call) -> Json:
    """List what is pinned in a channel."""
    channel = call.joined_channel()
    items = [
        {
            "type": "message",
            "created": created,
            "created_by": user,
            "channel": channel,
            "message": without_metadata(messages.existing(call.slack, channel, ts)),
        }
        for ts, user, created in call.slack.store.pins(channel)
    ]
    return {"items": items}
