"""The same small call for many runs, several at a time, at a pace that leaves MLflow responsive.

How long MLflow takes is measured on the calls themselves: first with one at a time, then with one more as long as
the answers stay about as quick, and with half as many as soon as they do not. A call that finds MLflow away (it is
being restarted) is made again for a while; that is safe, because each of these calls may be made twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TypeVar

from workers.errors import OperatorError
from workers.operation import Progress
from workers.systems.errors import TrackingBehindProxy, TrackingBusy, TrackingUnavailable, Unreachable

MOST: Final = 8
"""As many calls at once at most; the gateway keeps 16 connections."""
SLOWER: Final = 2.0
WINDOW: Final = 16
PATIENCE_SECONDS: Final = 120.0

SHORT_PAGE: Final = 50
"""Runs asked for at once where others are to be answered meanwhile: MLflow's server does one thing at a time."""
QUIET_PAGE: Final = 500
RESTS: Final = 2.0
QUIET_RESTS: Final = 0.25
"""Of the time that a page took: what only reads, and somebody waits for, rests less."""
LONGEST_REST: Final = 1.0

T = TypeVar("T")


def rested(pages: Iterator[T], times: float = RESTS) -> Iterator[T]:
    """The same pages, with a rest after each of so many times the time that it took."""
    while True:
        began = time.perf_counter()
        try:
            page = next(pages)
        except StopIteration:
            return
        took = time.perf_counter() - began
        yield page
        time.sleep(min(LONGEST_REST, times * took))


class Pace:
    """How many calls may be made at once (`width`), and how long to rest before each (`rest_seconds`)."""

    def __init__(self, most: int = MOST) -> None:
        self.width = 1
        self.rest_seconds = 0.0
        self._most = most
        self._usual: float | None = None
        self._window: list[float] = []

    def took(self, seconds: float) -> None:
        """A call took so long."""
        self._window.append(seconds)
        if len(self._window) < WINDOW:
            return
        now = median(self._window)
        self._window.clear()
        self._usual = now if self._usual is None else min(self._usual, now)
        if now <= SLOWER * self._usual:
            self.width, self.rest_seconds = min(self._most, self.width + 1), 0.0
        elif self.width > 1:
            self.width //= 2
        else:
            self.rest_seconds = now


@dataclass
class Tally:
    """What has been done so far. gone: those that were not there any more, or not as expected."""

    done: int = 0
    gone: list[str] = field(default_factory=list)


class Retrying:
    """Makes a call again while MLflow is away, until `stop` is called."""

    def __init__(self, seconds: float = PATIENCE_SECONDS) -> None:
        self._seconds = seconds
        self._stopping = threading.Event()

    def stop(self) -> None:
        """No call is made again from now on."""
        self._stopping.set()

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns. Raises what it raised last."""
        end = time.monotonic() + self._seconds
        pause = 0.25
        while True:
            try:
                return call()
            except (Unreachable, TrackingUnavailable, TrackingBehindProxy, TrackingBusy):
                if time.monotonic() + pause > end or self._stopping.wait(pause):
                    raise
            pause = min(pause * 2, 5.0)


def over(  # noqa: PLR0913 - what, how, and who is told
    ids: Iterable[str],
    do: Callable[[str, Retrying], bool],
    tally: Tally,
    progress: Progress,
    *,
    total: int,
    pace: Pace | None = None,
) -> None:
    """Do it for each id; True says that it was done, False that there was nothing to do it to.

    tally: kept up to date, so that whoever catches what this raises knows how far it went. Raises the first
    OperatorError of a call, or Cancelled, after the calls under way have ended.
    """
    pace = pace or Pace()
    calls = _Calls(do, pace, tally)
    with ThreadPoolExecutor(MOST, thread_name_prefix="runs") as pool:
        try:
            for each in ids:
                progress.checkpoint()
                while calls.under_way >= pace.width:
                    calls.collect()
                    progress.advance(calls.ended, total, "runs")
                calls.begin(pool, each)
            while calls.under_way:
                calls.collect()
                progress.advance(calls.ended, total, "runs")
        finally:
            calls.finish()


class _Calls:
    """The calls that are under way, and what has come of those that ended."""

    def __init__(self, do: Callable[[str, Retrying], bool], pace: Pace, tally: Tally) -> None:
        self._do = do
        self._pace = pace
        self._tally = tally
        self._patient = Retrying()
        self._running: dict[Future[tuple[bool, float]], str] = {}

    @property
    def under_way(self) -> int:
        return len(self._running)

    @property
    def ended(self) -> int:
        return self._tally.done + len(self._tally.gone)

    def begin(self, pool: ThreadPoolExecutor, each: str) -> None:
        self._running[pool.submit(self._timed, each)] = each

    def collect(self) -> None:
        """Wait for one call or more to end. Raises the first OperatorError of one."""
        problem: OperatorError | None = None
        ended, _ = wait(self._running, return_when=FIRST_COMPLETED)
        for future in ended:
            each = self._running.pop(future)
            try:
                well, seconds = future.result()
            except OperatorError as error:
                problem = problem or error
                continue
            self._pace.took(seconds)
            if well:
                self._tally.done += 1
            else:
                self._tally.gone.append(each)
        if problem:
            raise problem

    def finish(self) -> None:
        """Let those that are under way end, and count them; none is made again."""
        self._patient.stop()
        while self._running:
            with suppress(OperatorError):
                self.collect()

    def _timed(self, each: str) -> tuple[bool, float]:
        if self._pace.rest_seconds:
            time.sleep(self._pace.rest_seconds)
        began = time.monotonic()
        return self._do(each, self._patient), time.monotonic() - began
