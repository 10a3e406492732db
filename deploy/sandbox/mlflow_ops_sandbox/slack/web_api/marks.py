"""pins.*: what is stuck to a message."""

from __future__ import annotations

import re

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method

PINS = 100
_TS = re.compile(r"^\d{10}\.\d{6}$")


def _message(call: Call) -> tuple[str, str]:
    channel, ts = call.joined_channel(), call.optional("timestamp")
    if not ts:
        raise SlackError("no_item_specified")
    if not _TS.match(ts):
        raise SlackError("bad_timestamp")
    messages.existing(call.slack, channel, ts)
    return channel, ts


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
