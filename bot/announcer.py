"""From accepted to queued: posts the root message of each command, then puts it on its queue.

It runs beside the listeners because Slack allows about one post a second in a channel, and an acknowledgement cannot
wait for that. The stream in Redis holds what is not announced yet, also over a restart; an entry is taken off only
when its command is queued or its sender was told why not.
"""

from __future__ import annotations

import threading

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from workers import queues, render
from workers.operation import OperatorError
from workers.state import Accepted, Phase, Record, Records

WAIT_SECONDS = 2.0
PAUSE_SECONDS = 2.0

_HOPELESS = {"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "no_permission"}

_log = structlog.get_logger(__name__)


def keep_announcing(redis: Redis, client: WebClient, consumer: str, stop: threading.Event) -> None:
    """Announce until `stop` is set; while Redis or Slack is away, try again every few seconds."""
    while not stop.is_set():
        try:
            accepted = Accepted(redis, consumer)
            while not stop.is_set():
                for entry, record_id in accepted.take(wait_seconds=WAIT_SECONDS):
                    announce(record_id, redis, client)
                    accepted.done(entry)
        except (RedisError, SlackApiError, OSError) as error:
            _log.warning("announcing pauses", error=type(error).__name__, detail=str(error))
            stop.wait(PAUSE_SECONDS)


def announce(record_id: str, redis: Redis, client: WebClient) -> None:
    """Post a record's root message and queue it. Done again after a crash, it goes on where it was."""
    records = Records(redis)
    record = records.get(record_id)
    if record is None or record.phase is not Phase.ACCEPTED:
        return
    if record.root_ts is None:
        try:
            record = _post(record, records, client)
        except SlackApiError as error:
            reason = error.response.get("error")
            if reason not in _HOPELESS:
                raise
            _tell_privately(record, reason, client)
            records.finish(record.id, Phase.FAILED, f"Slack refused the message: {reason}")
            return
    try:
        queues.enqueue(record, redis)
    except OperatorError as error:
        records.finish(record.id, Phase.FAILED, error.message)
        message = render.failed(record.words, record.requester, error.message, error.hint)
        client.chat_update(channel=record.channel, ts=record.root_ts or "", text=message.text, blocks=message.blocks)


def _post(record: Record, records: Records, client: WebClient) -> Record:
    message = render.asked(record.words, record.requester)
    posted = client.chat_postMessage(
        channel=record.channel,
        text=message.text,
        blocks=message.blocks,
        metadata={"event_type": "mlflow_ops_command", "event_payload": {"id": record.id}},
    )
    records.update(record.id, root_ts=posted["ts"])
    return record.model_copy(update={"root_ts": posted["ts"]})


def _tell_privately(record: Record, reason: str | None, client: WebClient) -> None:
    """A command whose channel is closed to the bot is answered in a direct message."""
    _log.warning("the channel is closed to the bot", operation_id=record.id, channel=record.channel, reason=reason)
    text = (
        f"Nothing was done for {render.code('/mlflow ' + record.words)}: I cannot post in <#{record.channel}> "
        f"({reason}). Invite me there with /invite and ask again."
    )
    client.chat_postMessage(channel=record.requester, text=text)
