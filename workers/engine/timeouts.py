"""A time limit that nothing swallows.

RQ's own limit raises an Exception, so `except Exception` in any library eats it and the job runs on; this one raises a
BaseException, and again each second until the operation has ended.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 1.0


class TimedOut(BaseException):
    """Raised in the main thread when the time is over."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TimedOut within after so many seconds. Main thread only; takes SIGALRM's timer over and gives it back."""

    def over(_signal: int, _frame: FrameType | None) -> None:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, over)
    rest, interval = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if rest:
            signal.setitimer(signal.ITIMER_REAL, rest, interval)
