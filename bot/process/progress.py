"""Progress on standard error: a bar with its rate and the time left in a window, plain lines in a pipe or a file.

Standard output has the report alone. A window shows a step at once and a bar once there is something to count; a read
that is quick leaves no line in a file, so that what a cron job mails is what went wrong. Of what is planned, each step
that has ended leaves a line, with what came of it, in a window too; at the end, what failed and what was not begun.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from workers.operation import Plan
    from workers.rendering.walk import Step, Walk

QUIET_SECONDS: Final = 2.0
"""A read that takes no longer says nothing where nobody watches."""
LINE_SECONDS: Final = 10.0
"""How often the same step has a line in a file."""
BAR_SECONDS: Final = 0.4
"""A step that takes no longer has no bar: it would only flicker."""
_CLEAR: Final = "\r\x1b[2K"
_MARKS: Final = {"pending": "-", "complete": "✓", "error": "✗"}


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
        self._walk: Walk | None = None
        self._listed: set[str] = set()

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

    def planned(self, plan: Plan) -> None:
        """This is about to be carried out. One of a single step is told as what has no plan."""
        from workers.rendering.walk import Walk

        if len(plan.steps) > 1:
            self._walk = Walk(plan.steps, monotonic=self._monotonic)

    def over(self, why: str = "") -> None:
        """What was planned is over. why: why it failed; empty if it went well."""
        if self._walk is not None and self._walk.begun:
            self._list(self._walk.end(why).steps)
        self._walk = None

    def step(self, name: str, of: str = "") -> None:
        """See Progress."""
        if self._walk is not None:
            self._walk.begin(name, of)
            self._list([each for each in self._walk.steps() if each.state in {"complete", "error"}])
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
        if self._walk is not None and 0 < total <= done:
            self._walk.said(how_far(done, total, unit))
        figure = f"{how_far(done, total, unit)}{pace(done, total, unit, took)}"
        if not self._watched:
            self._tell(figure)
        elif self._bar is not None or took >= BAR_SECONDS:
            self._draw(figure, done, total)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """See Progress."""
        if self._walk is not None:
            self._walk.ended(said, well=well)

    def checkpoint(self) -> None:
        """See Progress."""
        from workers.operation import Cancelled

        if self._stop and self._stop.is_set():
            raise Cancelled

    def _list(self, steps: Iterable[Step]) -> None:
        """A line for each that has none yet."""
        from workers.rendering.plans import in_words

        for each in steps:
            about = in_words(each)
            line = f"{_MARKS.get(each.state, ' ')} {each.name}{f'  {about}' if about else ''}"
            if each.name in self._listed and each.state == "complete":
                continue
            self._listed.add(each.name)
            if self._bar is not None:
                self._bar.console.print(line, markup=False, highlight=False)
            else:
                self._write(f"{_CLEAR if self._watched else ''}{line}\n")

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
