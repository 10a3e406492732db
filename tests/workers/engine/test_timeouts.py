"""A time limit that nothing swallows."""

import signal
import time

import pytest

from workers.engine import timeouts
from workers.engine.timeouts import TimedOut, limit


def stubborn(catches, times):
    """Work that catches what it can, so many times."""
    caught = 0
    while True:
        try:
            time.sleep(5)
        except catches:
            caught += 1
            if caught > times:
                raise


def limited(seconds, work, *arguments):
    with limit(seconds):
        work(*arguments)


def test_except_exception_does_not_swallow_it():
    began = time.monotonic()
    with pytest.raises(TimedOut):
        limited(0.2, stubborn, Exception, 99)
    assert time.monotonic() - began < 4


def test_a_bare_except_swallows_it_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(timeouts, "AGAIN_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(TimedOut):
        limited(0.1, stubborn, BaseException, 3)
    assert time.monotonic() - began < 4


def test_what_is_in_time_is_left_alone_and_the_timer_before_goes_on():
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with limit(5):
            pass
        time.sleep(0.5)
        assert rang
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
