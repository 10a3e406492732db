"""The scheduler's seat: one process at a time does what nobody asked for by name.

Any number may be started; the one that holds the lock in Redis works, and where it dies another follows when the
lock lapses. For now its work is housekeeping: finding the commands whose worker is gone. RQ does that only between
two jobs of another worker of the same queue, which may be hours; and it must be done on the main thread, because RQ
times its callbacks with signals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError
from rq.registry import clean_registries

from workers import engine, queues
from workers.outbox import PREFIX
from workers.settings import Settings
from workers.state import connect

LOCK_SECONDS = 20.0
EVERY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Hold the seat, or wait for it, until `stop` is set. Raises SettingsError."""
    redis = connect(settings)
    lock = redis.lock(PREFIX + "scheduler", timeout=LOCK_SECONDS, blocking=False)
    ready()
    while not stop.is_set():
        try:
            if lock.owned():
                lock.reacquire()
            elif not lock.acquire():
                stop.wait(EVERY_SECONDS)
                continue
            sweep(redis)
        except (RedisError, LockError, OSError) as error:
            _log.warning("the scheduler pauses", error=type(error).__name__, detail=str(error))
        stop.wait(EVERY_SECONDS)
    try:
        if lock.owned():
            lock.release()
    except (RedisError, LockError):
        _log.warning("the seat could not be given back; it lapses by itself")


def sweep(redis: Redis) -> None:
    """Let RQ find the jobs that died, then end or rescue their records."""
    for name in queues.QUEUES:
        clean_registries(queues.queue(name, redis))
    engine.rescue(redis)
