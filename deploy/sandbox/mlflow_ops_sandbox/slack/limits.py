"""How often a method may be called, by the tier that Slack documents for it.

Tiers are counted by method over a sliding minute. Posting is counted by channel: one message a second, and a few at
once; beside it the whole workspace takes some hundreds a minute. Slack tolerates bursts above its tiers without
saying how large, so what passes here passes there; see https://docs.slack.dev/apis/web-api/rate-limits.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MINUTE = 60.0
# Tier 1 is "1+ a minute"; a reconnecting app needs more than one, and Slack lets it.
TIERS = {"1": 5, "2": 20, "3": 50, "4": 100}
POST = "post"
POSTS_AT_ONCE = 10
POSTS_A_MINUTE = 300


@dataclass(slots=True)
class _Bucket:
    """Room for some posts at once, which grows by one a second."""

    room: float
    at: float

    def take(self, now: float) -> float:
        """Take one; return the seconds until there is room where there is none."""
        self.room = min(POSTS_AT_ONCE, self.room + now - self.at)
        self.at = now
        if self.room < 1:
            return 1 - self.room
        self.room -= 1
        return 0.0


class Limits:
    """What was called lately, and whether one more call is too many."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Count nothing until switched on."""
        self._clock = clock
        self._windows: dict[str, deque[float]] = defaultdict(deque)
        self._channels: dict[str, _Bucket] = {}
        self.on = False

    def clear(self) -> None:
        """Switch off and forget."""
        self.on = False
        self._windows.clear()
        self._channels.clear()

    def wait(self, method: str, tier: str, channel: str) -> int | None:
        """Count a call; return the whole seconds of Retry-After where it was one too many."""
        if not self.on:
            return None
        now = self._clock()
        if tier == POST:
            bucket = self._channels.setdefault(channel, _Bucket(POSTS_AT_ONCE, now))
            seconds = bucket.take(now) or self._window(method, POSTS_A_MINUTE, now)
        elif tier in TIERS:
            seconds = self._window(method, TIERS[tier], now)
        else:
            return None
        return max(1, math.ceil(seconds)) if seconds else None

    def _window(self, method: str, allowed: int, now: float) -> float:
        window = self._windows[method]
        while window and window[0] <= now - MINUTE:
            window.popleft()
        if len(window) >= allowed:
            return window[0] + MINUTE - now
        window.append(now)
        return 0.0
