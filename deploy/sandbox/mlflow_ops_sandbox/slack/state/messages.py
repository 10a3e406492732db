"""Posting, changing and deleting messages: the one place where a message comes into being.

Whoever posts (the Web API, a response_url, an acknowledgement, a person in the page) goes through here,
so that pings are recorded and open pages are told whatever the way in was.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state import pings

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.blocks.content import Content
    from mlflow_ops_sandbox.slack.state.installation import Installation

_TS = re.compile(r"^\d{10}\.\d{6}$")


def authored_by_bot(slack: Installation) -> Json:
    """Return the fields that say that the app wrote a message."""
    bot, team = slack.workspace.bot, slack.workspace.team
    return {
        "user": bot.user_id,
        "bot_id": bot.bot_id,
        "app_id": bot.app_id,
        "team": team.id,
        "bot_profile": {
            "id": bot.bot_id,
            "app_id": bot.app_id,
            "user_id": bot.user_id,
            "name": bot.display,
            "icons": {},
            "deleted": False,
            "updated": 0,
            "team_id": team.id,
        },
    }


def authored_by(slack: Installation, user: str) -> Json:
    """Return the fields that say that a person wrote a message."""
    return {
        "user": user,
        "team": slack.workspace.team.id,
        "client_msg_id": secrets.token_hex(16),
    }


def post(  # noqa: PLR0913 - a message has many parts
    slack: Installation,
    channel: str,
    author: Json,
    content: Content,
    *,
    thread_ts: str | None = None,
    broadcast: bool = False,
    files: list[Json] | None = None,
) -> Json:
    """Store a new message and tell everybody; raise SlackError where it cannot be posted."""
    if content.empty() and not files:
        raise SlackError("no_text")
    parent = thread_root(slack, channel, thread_ts)
    message: Json = {"type": "message", "ts": slack.store.next_ts(), **author}
    message["text"] = content.text or ""
    for name, value in (
        ("blocks", content.blocks),
        ("attachments", content.attachments),
        ("metadata", content.metadata),
        ("files", files),
    ):
        if value:
            message[name] = value
    if parent:
        message |= {"thread_ts": parent["ts"], "parent_user_id": parent.get("user")}
        if broadcast:
            message["subtype"] = "thread_broadcast"
    slack.store.put_message(channel, message)
    _record_pings(slack, channel, message, via="post", link_names=content.link_names)
    tell(slack, channel, message["ts"])
    if parent:
        tell(slack, channel, parent["ts"])
    return message


def update(  # noqa: PLR0913 - a message has many parts
    slack: Installation, channel: str, ts: str, content: Content, *, editor: str, files: bool = True
) -> Json:
    """Change a message; what `content` leaves out stays, but text alone takes the blocks away.

    `editor` must be who wrote it.
    """
    message = existing(slack, channel, ts)
    if message.get("user") != editor or message.get("subtype") == "tombstone":
        raise SlackError("cant_update_message")
    for name, value in (
        ("text", content.text),
        ("blocks", content.blocks),
        ("attachments", content.attachments),
        ("metadata", content.metadata),
    ):
        if value is not None:
            message[name] = value
    if content.text is not None and content.blocks is None:
        message.pop("blocks", None)
    if not message.get("metadata"):
        message.pop("metadata", None)
    if not files:
        message.pop("files", None)
    if not (message.get("text") or message.get("blocks") or message.get("attachments")):
        raise SlackError("no_text")
    message["edited"] = {"user": editor, "ts": f"{int(slack.clock())}.000000"}
    slack.store.put_message(channel, _bare(message))
    _record_pings(slack, channel, message, via="update", link_names=content.link_names)
    tell(slack, channel, ts)
    return message


def delete(slack: Installation, channel: str, ts: str, *, editor: str) -> None:
    """Delete a message; where it has replies a tombstone stays, as in Slack."""
    message = existing(slack, channel, ts)
    if message.get("user") != editor:
        raise SlackError("cant_delete_message")
    parent = message.get("thread_ts")
    slack.store.delete_message(channel, ts)
    if message.get("reply_count"):
        tombstone = {
            "type": "message",
            "subtype": "tombstone",
            "ts": ts,
            "user": "USLACKBOT",
            "hidden": True,
            "text": "This message was deleted.",
        }
        slack.store.put_message(channel, tombstone)
        tell(slack, channel, ts)
        return
    slack.live.tell({"type": "message_deleted", "channel": channel, "ts": ts})
    if parent and parent != ts:
        tell(slack, channel, parent)


def post_ephemeral(  # noqa: PLR0913 - a message has many parts
    slack: Installation,
    channel: str,
    user: str,
    content: Content,
    *,
    thread_ts: str | None = None,
    replaces: str | None = None,
    author: Json | None = None,
) -> str:
    """Show a message to one person, in place of one shown before if `replaces` names it; return its ts."""
    if content.empty():
        raise SlackError("no_text")
    message: Json = {
        "type": "message",
        "ts": replaces or slack.store.next_ts(),
        "channel": channel,
        "is_ephemeral": True,
        **(author or authored_by_bot(slack)),
        "text": content.text or "",
    }
    if content.blocks:
        message["blocks"] = content.blocks
    if content.attachments:
        message["attachments"] = content.attachments
    if thread_ts:
        message["thread_ts"] = thread_ts
    slack.ephemerals.put(user, message)
    _record_pings(slack, channel, message, via="ephemeral", link_names=content.link_names)
    slack.live.tell({"type": "ephemeral", "channel": channel, "message": message}, only=user)
    return str(message["ts"])


def delete_ephemeral(slack: Installation, channel: str, user: str, ts: str) -> None:
    """Take an ephemeral message away."""
    slack.ephemerals.remove(user, ts)
    slack.live.tell({"type": "ephemeral_deleted", "channel": channel, "ts": ts}, only=user)


def existing(slack: Installation, channel: str, ts: str) -> Json:
    """Return a message; raise `message_not_found` where there is none."""
    message = slack.store.message(channel, ts)
    if message is None:
        raise SlackError("message_not_found")
    return message


def tell(slack: Installation, channel: str, ts: str) -> None:
    """Tell open pages what a message looks like now."""
    if message := slack.store.message(channel, ts):
        slack.live.tell({"type": "message", "channel": channel, "message": message})


def _bare(message: Json) -> Json:
    """Take off what the store computes anew at each reading."""
    computed = "reply_count reply_users_count latest_reply reply_users is_locked subscribed reactions pinned_to"
    bare = {key: value for key, value in message.items() if key not in computed.split()}
    if bare.get("thread_ts") == bare["ts"]:
        del bare["thread_ts"]
    return bare


def thread_root(slack: Installation, channel: str, thread_ts: str | None) -> Json | None:
    """Return the message that a reply belongs to, None where it is no reply; raise SlackError where there is none."""
    if not thread_ts:
        return None
    if not _TS.match(thread_ts):
        raise SlackError("invalid_thread_ts")
    parent = slack.store.message(channel, thread_ts)
    if parent is None:
        raise SlackError("thread_not_found")
    root = parent.get("thread_ts")
    return parent if not root or root == thread_ts else existing(slack, channel, root)


def _record_pings(slack: Installation, channel: str, message: Json, *, via: str, link_names: bool) -> None:
    for kind, target in pings.in_message(message, link_names=link_names):
        slack.store.add_ping(
            {
                "channel": channel,
                "ts": message["ts"],
                "by": message.get("user"),
                "via": via,
                "kind": kind,
                "target": target,
            }
        )
