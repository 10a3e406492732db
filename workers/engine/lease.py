"""A worker's sign of life while it runs a command.

Without one for `ALIVE_SECONDS` the command counts as lost and is ended by the scheduler's sweep. A worker that was only
asleep so long (paused, or cut off from Redis) hears of it at its next sign of life, at its next word, or before it
changes anything in the outside world, whichever comes first. Then it stops on the spot, with all the programs that it
started: what was told as lost does not go on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from workers.errors import OperatorError
from workers.records.record import Record
from workers.records.store import ALIVE_SECONDS, Records
from workers.systems import fencing

_log = structlog.get_logger(__name__)


class Signs:
    """What else is to be done with each sign of life: renewing locks."""

    def __init__(self) -> None:
        self._besides: list[Callable[[], None]] = []

    def beside(self, call: Callable[[], None]) -> None:
        """Call this each time from now on. What it raises as an OperatorError means that it is lost."""
        self._besides.append(call)

    def give(self) -> None:
        """Do it."""
        for call in self._besides:
            call()


@contextmanager
def alive(records: Records, record: Record, *, every_seconds: float = ALIVE_SECONDS / 3) -> Iterator[Signs]:
    """Give signs of life within, and change the outside world only while this claim holds."""
    done = threading.Event()
    signs = Signs()

    def renew() -> None:
        while not done.wait(every_seconds):
            try:
                wanted = records.renew(record)
                signs.give()
            except OperatorError:
                wanted = False
            except RedisError as error:
                _log.warning("no sign of life could be given", error=type(error).__name__)
                continue
            if not wanted and not done.is_set():
                stop_here()

    def check() -> None:
        if not records.holds(record):
            stop_here()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        with fencing.checked_by(check):
            yield signs
    finally:
        done.set()


def stop_here() -> None:
    """End this process and all that it started: its command is somebody else's, or has ended."""
    _log.error("stopped: this command was ended while its worker could not be heard")
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
