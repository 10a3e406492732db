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
from redis.exceptions import LockError, RedisError
from rq.registry import FailedJobRegistry, clean_registries

from workers import engine, queues
from workers.settings import Settings
from workers.state import PREFIX, Records, connect
from workers.systems import Systems

LOCK_SECONDS = 20.0
EVERY_SECONDS = 5.0

_log = structlog.get_logger(__name__)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Hold the seat, or wait for it, until `stop` is set. Raises SettingsError."""
    settings.environment.require("redis_url", "slack_bot_token")
    systems = Systems(settings)
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
            sweep(systems)
        except (RedisError, LockError, OSError) as error:
            _log.warning("the scheduler pauses", error=type(error).__name__, detail=str(error))
        stop.wait(EVERY_SECONDS)
    try:
        if lock.owned():
            lock.release()
    except (RedisError, LockError):
        _log.warning("the seat could not be given back; it lapses by itself")


def sweep(systems: Systems) -> None:
    """End every record whose worker is gone, and say so in its thread."""
    records = Records(systems.redis)
    for name in queues.QUEUES:
        queue = queues.queue(name, systems.redis)
        clean_registries(queue)
        for job_id in FailedJobRegistry(queue=queue).get_job_ids(0, 99):
            record = records.get(job_id)
            if record is not None and not record.phase.ended:
                engine.tell_lost(systems, record, "its worker is gone")
