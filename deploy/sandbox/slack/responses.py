"""response_url: five answers within half an hour, without a token, to whoever did something.

The same rules shape the body of an acknowledgement (`answer`), which Slack treats like a first use.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import content, messages
from .errors import Json, SlackError
from .handed_out import forget

if TYPE_CHECKING:
    from collections.abc import Callable

    from .installation import Installation

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
