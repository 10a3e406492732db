"""Progress on standard error: a bar with its rate and the time left in a window, plain lines in a pipe or a file.

Standard output has the report alone. A window shows a step at once and a bar once there is something to count; a read
that is quick leaves no line in a file, so that what a cron job mails is what went wrong.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET_SECONDS: Final = 2.0
"""A read that takes no longer says nothing where nobody watches."""
LINE_SECONDS: Final = 10.0
"""How often the same step has a line in a file."""
BAR_SECONDS: Final = 0.4
"""A step that takes no longer has no bar: it would only flicker."""
_CLEAR: Final = "\r\x1b[2K"


class TerminalProgress:
    """Progress for whoever has typed a command; to be closed before anything else is printed.

    stop: set to have it stopped at the next safe point. quiet_seconds: for so long, a pipe hears nothing.
    """

    def __init__(
        self,
        stop: threading.Event | None = None,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stop = stop
        self._stream = stream or sys.stderr
        self._watched = self._stream.isatty()
        self._monotonic = monotonic
        self._speaks_at = monotonic() + quiet_seconds
        self._step, self._began, self._told_at, self._told = "", monotonic(), 0.0, True
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the line empty, as if nothing had been shown."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None
        elif self._watched:
            self._write(_CLEAR)

    def step(self, name: str) -> None:
        """See Progress."""
        self._step, self._began, self._told = name, self._monotonic(), False
        if not self._watched:
            self._tell("")
        elif self._bar is not None:
            self._begin_task()
        else:
            self._write(f"{_CLEAR}{name} …\r")

    def advance(self, done: int, total: int, unit: str) -> None:
        """See Progress."""
        from workers.operation import how_far, pace

        took = self._monotonic() - self._began
        figure = f"{how_far(done, total, unit)}{pace(done, total, unit, took)}"
        if not self._watched:
            self._tell(figure)
        elif self._bar is not None or took >= BAR_SECONDS:
            self._draw(figure, done, total)

    def checkpoint(self) -> None:
        """See Progress."""
        from workers.operation import Cancelled

        if self._stop and self._stop.is_set():
            raise Cancelled

    def _tell(self, figure: str) -> None:
        now = self._monotonic()
        if now < self._speaks_at or (self._told and now - self._told_at < LINE_SECONDS):
            return
        self._told, self._told_at = True, now
        self._write(f"{self._step}: {figure}\n" if figure else f"{self._step} …\n")

    def _draw(self, figure: str, done: int, total: int) -> None:
        if self._bar is None:
            self._write(_CLEAR)
            self._bar = _bar(self._stream)
            self._bar.start()
        if self._task is None:
            self._begin_task()
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total or None, figure=figure)

    def _begin_task(self) -> None:
        assert self._bar is not None
        if self._task is not None:
            self._bar.refresh()
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(self._step, total=None, figure="")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _bar(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(20), TextColumn("{task.fields[figure]}"))
    return Progress(*columns, console=Console(file=stream, highlight=False), transient=True)
