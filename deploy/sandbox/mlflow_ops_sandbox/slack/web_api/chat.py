"""chat.*: posting, changing, deleting, and the address of a message."""

from __future__ import annotations

from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json, SlackError
from mlflow_ops_sandbox.slack.state import messages
from mlflow_ops_sandbox.slack.web_api.call import Call, method


def without_metadata(message: Json) -> Json:
    """Return a message as methods show it unless metadata was asked for."""
    return {key: value for key, value in message.items() if key != "metadata"}


@method("chat.postMessage", tier="post", scope="chat:write")
def post_message(call: Call) -> Json:
    """Post a message."""
    channel = call.joined_channel()
    said = content.read(call.args, weighed=True, lacking=call.slack.faults.lacking)
    message = messages.post(
        call.slack,
        channel,
        messages.authored_by_bot(call.slack),
        said,
        thread_ts=call.optional("thread_ts"),
        broadcast=call.flag("reply_broadcast"),
    )
    return {"channel": channel, "ts": message["ts"], "message": message}


@method("chat.postEphemeral", tier="4", scope="chat:write")
def post_ephemeral(call: Call) -> Json:
    """Show a message to one person."""
    channel, user = call.joined_channel(), call.text("user")
    if call.slack.workspace.person(user) is None or user not in call.slack.members(channel):
        raise SlackError("user_not_in_channel")
    said = content.read(call.args, lacking=call.slack.faults.lacking)
    thread_ts = call.optional("thread_ts")
    return {"message_ts": messages.post_ephemeral(call.slack, channel, user, said, thread_ts=thread_ts)}


@method("chat.update", scope="chat:write")
def update(call: Call) -> Json:
    """Change a message of the bot's."""
    channel, ts = call.channel(), call.text("ts")
    said = content.read(call.args, updating=True, weighed=True, lacking=call.slack.faults.lacking)
    file_ids = call.json("file_ids")
    message = messages.update(
        call.slack,
        channel,
        ts,
        said,
        editor=call.slack.workspace.bot.user_id,
        files=file_ids != [],
    )
    return {"channel": channel, "ts": ts, "text": message["text"], "message": message}


@method("chat.delete", scope="chat:write")
def delete(call: Call) -> Json:
    """Delete a message of the bot's."""
    channel, ts = call.channel(), call.text("ts")
    messages.delete(call.slack, channel, ts, editor=call.slack.workspace.bot.user_id)
    return {"channel": channel, "ts": ts}


@method("chat.getPermalink", tier="none")
def get_permalink(call: Call) -> Json:
    """Return the address of a message: here, the page with the channel (and thread) open."""
    channel, ts = call.channel(), call.optional("message_ts")
    if not ts:
        raise InvalidArgumentsError("missing required field: message_ts")
    message = messages.existing(call.slack, channel, ts)
    thread = message.get("thread_ts")
    place = f"{channel}/{thread}/{ts}" if thread and thread != ts else f"{channel}/{ts}"
    return {"channel": channel, "permalink": f"{call.slack.base_url}/#{place}"}
