"""Writes down what the people are called who type and press: Slack sends the name with each request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import RedisError
from slack_bolt import App

from workers.records import people

_log = structlog.get_logger(__name__)


class People:
    """A middleware of Bolt's. Each name is written once by each process, and again if it changes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._known: dict[str, str] = {}

    def listen(self, app: App) -> None:
        """Register it before all listeners."""
        app.middleware(self.pass_on)

    def pass_on(self, body: dict[str, Any], next_: Callable[[], None]) -> None:
        """Write the name down, and go on whatever comes of it: a list that shows an id is no reason to refuse."""
        user, name = said_by(body)
        if user and name and self._known.get(user) != name:
            try:
                people.remember(self._redis, user, name)
                self._known[user] = name
            except RedisError as error:
                _log.warning("a name was not kept", error=type(error).__name__)
        next_()


def said_by(body: dict[str, Any]) -> tuple[str, str]:
    """The id and the name of who sent it; empty where it does not say.

    Of commands: https://docs.slack.dev/interactivity/implementing-slash-commands; of presses:
    https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    user = body.get("user")
    if isinstance(user, dict):
        return str(user.get("id") or ""), str(user.get("username") or user.get("name") or "")
    return str(body.get("user_id") or ""), str(body.get("user_name") or "")
