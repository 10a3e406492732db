"""What the person who started the sandbox sees: a line per part as it gets ready; a moving one only on a terminal."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_CLEAR = "\r\x1b[2K"
_WIDTH = 100


class Terminal:
    """Lines, and below them what is being waited for."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to `stream`, standard output where none is given."""
        self._stream = stream or sys.stdout
        self._moves = self._stream.isatty()
        self._began = time.monotonic()

    def say(self, text: str) -> None:
        """Print lines."""
        self._write(f"{_CLEAR if self._moves else ''}{text}\n")

    def ready(self, name: str, what: str, address: str, seconds: float) -> None:
        """Print that a part is ready."""
        place = f"{what}, {address}" if address else what
        self.say(f"  {name:<13} {place:<58} ready in {seconds:4.1f} s")

    async def spin(self, waiting: Callable[[], Iterable[str]]) -> None:
        """Show what is waited for, until cancelled. Nothing where the output is not a terminal."""
        if not self._moves:
            return
        try:
            for frame in itertools.cycle(_FRAMES):
                seconds = time.monotonic() - self._began
                line = f"{frame} {seconds:3.0f} s, waiting for {', '.join(waiting())}"
                self._write(f"{_CLEAR}{line[:_WIDTH]}")
                await asyncio.sleep(0.1)
        finally:
            self._write(_CLEAR)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # Nobody reads any more (`| head`), or the terminal was closed: the sandbox ends in order.
            self._moves = False
