"""An answer by response_url: without a token, to whoever did something.

The same rules shape the body of an acknowledgement (`answer`), which Slack treats like a first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.state import messages

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.state.installation import Installation
    from mlflow_ops_sandbox.slack.state.response_urls import Origin


def answer(slack: Installation, origin: Origin, body: Json) -> None:
    """Do what an answer asks: show, post, replace or delete."""
    if body.get("delete_original"):
        _delete(slack, origin)
        return
    said = content.read(body)
    thread_ts = body.get("thread_ts") or None
    if body.get("replace_original") and origin.ts:
        if origin.ephemeral:
            messages.post_ephemeral(
                slack,
                origin.channel,
                origin.user,
                said,
                replaces=origin.ts,
                thread_ts=thread_ts or origin.thread_ts,
            )
            return
        bot = slack.workspace.bot.user_id
        messages.update(slack, origin.channel, origin.ts, said, editor=bot)
        return
    if body.get("response_type") == "in_channel":
        author = messages.authored_by_bot(slack)
        messages.post(slack, origin.channel, author, said, thread_ts=thread_ts)
        return
    messages.post_ephemeral(slack, origin.channel, origin.user, said, thread_ts=thread_ts)


def _delete(slack: Installation, origin: Origin) -> None:
    if origin.ts is None:
        raise SlackError("no_original")
    if origin.ephemeral:
        messages.delete_ephemeral(slack, origin.channel, origin.user, origin.ts)
    else:
        bot = slack.workspace.bot.user_id
        messages.delete(slack, origin.channel, origin.ts, editor=bot)
