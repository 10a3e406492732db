"""What Redis has forgotten and Slack still shows as under way is ended in words.

A Redis that is back from an older snapshot, or flushed, may know nothing of a command whose message stands in a
channel. A worker that is still at it writes its record anew; where that was over already, or nobody had begun, only the
message is left, and it would say for ever that the command runs. So once Redis is another than before, the channels
are read a day back. Messages in a thread, as beneath an alert, are not found.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from bot import conversation
from bot.delivering import METADATA
from bot.slack_errors import FAILURES, Kind, meaning
from workers import TARGET
from workers.records import another_server
from workers.records.store import ALIVE_SECONDS, Records
from workers.rendering import message as render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis
    from slack_sdk import WebClient

IDLE_SECONDS: Final = 5.0
SETTLED_SECONDS: Final = 4 * ALIVE_SECONDS
"""Whoever still works has written its record anew by then."""
BACK_SECONDS: Final = 24 * 3600
UNDER_WAY: Final = ":hourglass"

_log = structlog.get_logger(__name__)


def start(client: WebClient, redis: Redis, channels: Iterable[str], stop: threading.Event) -> threading.Thread:
    """Look for it once Redis is found to be another, until `stop` is set. client: without retries of its own."""
    records, every = Records(redis), tuple(channels)

    def serve() -> None:
        while not stop.wait(IDLE_SECONDS):
            try:
                since = another_server.since(redis)
                if since is not None and time.time() - since >= SETTLED_SECONDS:
                    end_all(client, records, every)
                    another_server.settled(redis, since)
            except (RedisError, *FAILURES) as error:
                _log.warning("not looked for what Redis forgot, tried again", why=type(error).__name__)

    thread = threading.Thread(target=serve, name="forgotten", daemon=True)
    thread.start()
    return thread


def end_all(client: WebClient, records: Records, channels: Iterable[str]) -> int:
    """End what these channels show as under way and Redis does not know; how many there were.

    Raises redis.exceptions.RedisError, and one of FAILURES where Slack is to be asked later.
    """
    ended = 0
    for channel in channels:
        try:
            for each in conversation.messages(client, channel, None, time.time() - BACK_SECONDS):
                ended += _end(client, records, channel, each)
        except FAILURES as error:
            if meaning(error).kind is Kind.WAIT:
                raise
            _log.warning("what Redis forgot in a channel is not known", channel=channel, why=meaning(error).why)
    return ended


def _end(client: WebClient, records: Records, channel: str, message: dict[str, Any]) -> bool:
    marked = message.get("metadata") or {}
    payload = marked.get("event_payload") or {}
    if marked.get("event_type") != METADATA or payload.get("target") != TARGET:
        return False
    if UNDER_WAY not in json.dumps(message.get("blocks") or message.get("text")):
        return False
    if records.get(str(payload["id"])) is not None:
        return False
    said = render.failed(str(payload["words"]), str(payload["requester"]), render.FORGOTTEN, render.AFTER_FORGOTTEN, "")
    try:
        client.chat_update(channel=channel, ts=str(message["ts"]), text=said.text, blocks=said.blocks)
    except FAILURES as error:
        if meaning(error).kind is Kind.WAIT:
            raise
        # Somebody else's message that only looks like ours, or one that is not to be changed any more.
        _log.warning("not ended in Slack", operation_id=payload["id"], why=meaning(error).why)
        return False
    _log.error("ended in Slack: Redis has forgotten it", operation_id=payload["id"])
    return True
