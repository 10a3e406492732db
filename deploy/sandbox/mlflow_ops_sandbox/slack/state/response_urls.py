"""The response URLs that were handed out: five uses each, within half an hour, by whoever knows the address."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.slack.errors import SlackError
from mlflow_ops_sandbox.slack.state.handed_out import forget

if TYPE_CHECKING:
    from collections.abc import Callable

USES = 5


@dataclass(slots=True)
class Origin:
    """What was done, where and by whom; `ts` is the message acted on, if there was one."""

    channel: str
    user: str
    ts: str | None = None
    ephemeral: bool = False
    thread_ts: str | None = None
    made: float = 0.0
    uses: int = 0


class ResponseUrls:
    """The response URLs that were handed out, by the secret part of their path, oldest first."""

    def __init__(self, clock: Callable[[], float], lifetime: float) -> None:
        """Let each live for `lifetime` seconds."""
        self._clock = clock
        self._lifetime = lifetime
        self._made: dict[str, Origin] = {}

    def make(self, origin: Origin) -> str:
        """Return the secret part of the path of a new response URL."""
        now = self._clock()
        forget(self._made, before=now - 2 * self._lifetime)
        origin.made = now
        key = f"{secrets.randbelow(10**13)}/{secrets.token_urlsafe(18)}"
        self._made[key] = origin
        return key

    def use(self, key: str) -> Origin:
        """Count a use; raise SlackError where it was used up, is too old or was never made."""
        origin = self._made.get(key)
        if origin is None:
            raise SlackError("invalid_url")
        if self._clock() - origin.made > self._lifetime:
            raise SlackError("expired_url")
        if origin.uses >= USES:
            raise SlackError("used_url")
        origin.uses += 1
        return origin
