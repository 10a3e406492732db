"""Before anything is changed in the outside world: is the command on whose behalf it is done still this process's?

A process that slept, or was cut off from Redis, may have been given up for lost meanwhile, and another one may have
looked at what it left. So the gateways ask here before they patch, switch or rename, and a process whose command is no
longer its own is stopped by what is asked. The world's own preconditions (resourceVersions, names) guard the moment
between the answer and the change.

Where Redis is away nobody else can have been given the command since it last answered, but for longer than a sign of
life lasts nobody knows: then nothing new is begun. What puts back what was taken away is done all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from workers.systems.errors import Unreachable

KNOWN_SECONDS: Final = 10.0
"""How long an answer counts while Redis is away; shorter than a sign of life."""

_checks: list[Callable[[], None]] = []
"""A process carries out one command at a time, in as many threads as it likes."""
_answered: list[float] = [float("-inf")]
_putting_back: list[bool] = []
_begun: list[bool] = []
"""Not empty once a change was let through."""


@contextmanager
def checked_by(check: Callable[[], None]) -> Iterator[None]:
    """Within, `check` is asked before each change; it does not return where the command is not ours any more."""
    _checks.append(check)
    _begun.clear()
    _answered[0] = time.monotonic()
    try:
        yield
    finally:
        _checks.remove(check)


@contextmanager
def putting_back() -> Iterator[None]:
    """Within, what changes is what this process had taken away: it is asked, and done also where Redis is away."""
    _putting_back.append(True)
    try:
        yield
    finally:
        _putting_back.pop()


def anything_begun() -> bool:
    """Whether something in the outside world was to be changed since the command was this process's."""
    return bool(_begun)


def before_changing() -> None:
    """Ask. Raises Unreachable where Redis has been away for longer than anybody knows."""
    from redis.exceptions import RedisError

    for check in tuple(_checks):
        try:
            check()
        except RedisError:
            if not _putting_back and time.monotonic() - _answered[0] > KNOWN_SECONDS:
                raise Unreachable(
                    "Redis doesn't say whether this command is still mine, so nothing more was changed.",
                    "Check Redis; then ask again.",
                ) from None
        else:
            _answered[0] = time.monotonic()
    _begun[:] = [True]
