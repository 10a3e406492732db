"""conversations.*: direct messages with the app, and what was said in a channel or a thread."""

from __future__ import annotations

import base64
import binascii

from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method
from mlflow_ops_sandbox.slack.web_api.chat import without_metadata

_LATEST = "9999999999.999999"
_MOST = 1000


@method("conversations.open", scope="im:write")
def opening(call: Call) -> Json:
    """Open the direct messages with one person."""
    users = (call.optional("users") or "").split(",")
    channel = call.optional("channel")
    if channel:
        channel_id = call.channel()
    elif len(users) != 1:
        raise SlackError("users_list_not_supplied" if not users else "not_enough_users")
    elif call.slack.workspace.person(users[0]) is None:
        raise SlackError("user_not_found" if users[0] else "users_list_not_supplied")
    else:
        channel_id = call.slack.workspace.direct(users[0])
    return {"channel": {"id": channel_id}}


@method("conversations.history", scope="channels:history")
def history(call: Call) -> Json:
    """Return what was said in a channel, newest first."""
    channel, limit = call.joined_channel(), call.limit()
    found, more = call.slack.store.history(
        channel,
        oldest=call.optional("oldest") or "0",
        latest=_cursor(call) or call.optional("latest") or _LATEST,
        inclusive=call.flag("inclusive") and not call.optional("cursor"),
        limit=limit,
    )
    pins = sum(1 for _ in call.slack.store.pins(channel))
    answer = {"messages": _shown(call, found), "has_more": more, "pin_count": pins}
    return answer | _next(found, more=more)


@method("conversations.replies", scope="channels:history")
def replies(call: Call) -> Json:
    """Return a thread: its parent and the replies, oldest first."""
    channel, ts, limit = call.joined_channel(), call.text("ts"), call.limit(default=_MOST)
    try:
        parent = messages.existing(call.slack, channel, ts)
    except SlackError as error:
        raise SlackError("thread_not_found") from error
    root = parent.get("thread_ts", ts)
    if root != ts:
        return {"messages": _shown(call, [parent]), "has_more": False}
    cursor = _cursor(call)
    inclusive = call.flag("inclusive") and not cursor
    found, more = call.slack.store.replies(
        channel,
        ts,
        oldest=cursor or call.optional("oldest") or "0",
        latest=call.optional("latest") or _LATEST,
        inclusive=inclusive,
        limit=limit,
    )
    shown = found if cursor else [parent, *found]
    return {"messages": _shown(call, shown), "has_more": more} | _next(found, more=more)


def _shown(call: Call, found: list[Json]) -> list[Json]:
    if call.flag("include_all_metadata"):
        return found
    return [without_metadata(message) for message in found]


def _next(found: list[Json], *, more: bool) -> Json:
    if not more:
        return {}
    return {"response_metadata": {"next_cursor": _encoded(found[-1]["ts"])}}


def _encoded(place: str) -> str:
    return base64.b64encode(f"next:{place}".encode()).decode()


def _cursor(call: Call) -> str:
    given = call.optional("cursor")
    if not given:
        return ""
    try:
        place = base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidArgumentsError("invalid cursor") from error
    if not place.startswith("next:"):
        raise SlackError("invalid_cursor")
    return place.removeprefix("next:")
