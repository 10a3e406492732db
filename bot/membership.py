"""Who is in which user group, as Slack says now: for the last press, and for workers, which ask for it in Redis."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from workers.engine import rights

if TYPE_CHECKING:
    from redis import Redis

    from bot.directory import Directory
    from commands.policy import Members

IDLE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def members_now(directory: Directory, redis: Redis) -> Members:
    """The members of every group, asked of Slack now, and told to the workers. Raises RedisError."""
    directory.refresh()
    rights.tell(redis, directory.known())
    return directory.members


def start(directory: Directory, redis: Redis, stop: threading.Event) -> threading.Thread:
    """Tell the workers who is in which group, and anew as soon as one of them asks, until `stop` is set."""

    def serve() -> None:
        while not stop.is_set():
            try:
                if rights.wait_until_wanted(redis, IDLE_SECONDS):
                    members_now(directory, redis)
            except RedisError as error:
                _log.warning("groups are not told: Redis is away", error=type(error).__name__)
                stop.wait(IDLE_SECONDS)

    thread = threading.Thread(target=serve, name="membership", daemon=True)
    thread.start()
    return thread
