"""conversations.*: channels, direct messages with the app, what was said there and by whom it can be read."""

from __future__ import annotations

import base64
import binascii

from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method
from mlflow_ops_sandbox.slack.web_api.chat import without_metadata

_LATEST = "9999999999.999999"
_MOST = 1000


def described(call: Call, channel_id: str) -> Json:
    """Return a channel as Slack describes it."""
    slack = call.slack
    if person := slack.workspace.direct_with(channel_id):
        return {
            "id": channel_id,
            "created": 1600000000,
            "is_archived": False,
            "is_im": True,
            "is_org_shared": False,
            "user": person.id,
            "is_open": True,
        }
    channel = slack.workspace.channel(channel_id)
    if channel is None:
        raise SlackError("channel_not_found")
    members = slack.members(channel_id)
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": False,
        "is_archived": False,
        "is_general": channel.name == "general",
        "is_member": slack.workspace.bot.user_id in members,
        "created": 1600000000,
        "creator": members[0] if members else "",
        "context_team_id": slack.workspace.team.id,
        "topic": {"value": channel.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "previous_names": [],
        "num_members": len(members),
    }


@method("conversations.info", scope="channels:read")
def info(call: Call) -> Json:
    """Describe a channel."""
    channel = described(call, call.channel())
    if not call.flag("include_num_members"):
        channel.pop("num_members", None)
    return {"channel": channel}


@method("conversations.list", tier="2", scope="channels:read")
def listing(call: Call) -> Json:
    """List channels (and, by `types`, direct messages)."""
    kinds = (call.optional("types") or "public_channel").split(",")
    ids: list[str] = []
    if "public_channel" in kinds:
        ids += [channel.id for channel in call.slack.workspace.channels]
    if "im" in kinds:
        ids += [call.slack.workspace.direct(person.id) for person in call.slack.workspace.people]
    found, more = _page(call, ids)
    return {"channels": [described(call, i) for i in found], **more}


@method("conversations.members", tier="4", scope="channels:read")
def members(call: Call) -> Json:
    """List the members of a channel."""
    found, more = _page(call, call.slack.members(call.channel()))
    return {"members": found, **more}


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
    whole = described(call, channel_id)
    return {"channel": whole if call.flag("return_im") else {"id": channel_id}}


@method("conversations.join", scope="channels:join")
def join(call: Call) -> Json:
    """Make the bot a member of a channel."""
    channel = call.channel()
    call.slack.store.join(channel, call.slack.workspace.bot.user_id)
    return {"channel": described(call, channel)}


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


def _page(call: Call, items: list[str]) -> tuple[list[str], Json]:
    start, limit = int(_cursor(call) or 0), call.limit()
    end = start + limit
    cursor = _encoded(str(end)) if end < len(items) else ""
    return items[start:end], {"response_metadata": {"next_cursor": cursor}}


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
