"""Trigger ids: the right to open a modal, for 3 seconds, once, after a person did something."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.errors import SlackError
from mlflow_ops_sandbox.slack.state.handed_out import forget

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class _Trigger:
    user: str
    made: float
    used: bool = False


class Triggers:
    """The trigger ids that were handed out, oldest first."""

    def __init__(self, clock: Callable[[], float], lifetime: float) -> None:
        """Let each trigger live for `lifetime` seconds."""
        self._clock = clock
        self._lifetime = lifetime
        self._made: dict[str, _Trigger] = {}

    def make(self, user: str) -> str:
        """Return a trigger id for something that `user` did just now."""
        now = self._clock()
        forget(self._made, before=now - 60 * self._lifetime)
        key = f"{int(now * 1000)}.{secrets.randbelow(10**10)}.{secrets.token_hex(16)}"
        self._made[key] = _Trigger(user, now)
        return key

    def exchange(self, key: str) -> str:
        """Use a trigger id up and return whose it was; raise SlackError where that is not possible."""
        trigger = self._made.get(key)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        if trigger.used:
            raise SlackError("exchanged_trigger_id")
        if self._clock() - trigger.made > self._lifetime:
            raise SlackError("expired_trigger_id")
        trigger.used = True
        return trigger.user
