"""Slack's time: the machine's, or a test's, and as far ahead of it as somebody moved it.

What Slack waits for (the next attempt to deliver an event, the end of an absence) is over once Slack's time has
come, so a test that moves it on by ten minutes waits none. Only signatures keep the machine's time: the app, whose
clock nobody moved, refuses what is more than five minutes off.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """Seconds since 1970, as Slack counts them."""

    def __init__(self, base: Callable[[], float]) -> None:
        """Go with `base`."""
        self.base = base
        self._ahead = 0.0
        self._waiting: set[asyncio.Event] = set()

    def __call__(self) -> float:
        """Return Slack's time now."""
        return self.base() + self._ahead

    def advance(self, seconds: float) -> None:
        """Move Slack's time on, never back."""
        self._ahead += max(0.0, seconds)
        for moved in self._waiting:
            moved.set()

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` of Slack's time have passed, the skipped ones included."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._ahead + seconds
        moved = asyncio.Event()
        self._waiting.add(moved)
        try:
            while (left := end - loop.time() - self._ahead) > 0:
                moved.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await moved.wait()
        finally:
            self._waiting.discard(moved)
