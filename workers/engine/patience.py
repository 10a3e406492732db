"""Waiting for a Redis that takes no writes: away, full, a replica after a failover, still loading, with a new password.

The client itself tries a lost connection again; what Redis refuses it does not, and that passes as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
from redis.exceptions import RedisError

from workers.systems.redis import explained

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS: Final = 600.0
"""How long the end of a command waits for Redis."""
FIRST_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 5.0

_Found = TypeVar("_Found")

_log = structlog.get_logger(__name__)


def patiently(
    call: Callable[[], _Found],
    *,
    seconds: float = PATIENCE_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Found:
    """What it returns, tried until Redis takes it. Raises RedisError where it does not for so long."""
    until, pause, said = monotonic() + seconds, FIRST_SECONDS, ""
    while True:
        try:
            return call()
        except RedisError as error:
            if monotonic() >= until:
                raise
            why = str(explained(error))
            if why != said:
                _log.warning("waiting for Redis", why=why)
            said = why
        sleep(pause)
        pause = min(LONGEST_SECONDS, 2 * pause)
