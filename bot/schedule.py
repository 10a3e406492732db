"""What runs by the clock, and the sweep that finds what was lost: the scheduler's seat.

Any number may be started; the one that holds the lock in Redis works, and where it dies another follows when the lock
lapses. That two might work for a moment does no harm: a tick becomes a command through `Records.accept` with the tick
as its delivery, so each happens once. What fell due while nobody worked is caught up once, late.

The sweep runs here and on the main thread, because RQ times its callbacks with signals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError
from rq.registry import clean_registries

from bot import ticks
from commands import grammar, policy
from workers import audit, engine, queues, render
from workers.operation import Risk
from workers.outbox import PREFIX
from workers.settings import Ops, ScheduleEntry, Settings, SettingsError
from workers.state import RECORD_SECONDS, Phase, Record, Records, connect

LOCK_SECONDS = 15.0
EVERY_SECONDS = 5.0
LATE_SECONDS = 120.0

_LAST = PREFIX + "schedule"

_log = structlog.get_logger(__name__)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None]) -> None:
    """Hold the seat, or wait for it, until `stop` is set. Raises SettingsError."""
    check(settings.ops)
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
            fire(settings.ops, redis, datetime.now(UTC))
            sweep(redis)
        except (RedisError, LockError, OSError) as error:
            _log.warning("the scheduler pauses", error=type(error).__name__, detail=str(error))
        stop.wait(EVERY_SECONDS)
    try:
        if lock.owned():
            lock.release()
    except (RedisError, LockError):
        _log.warning("the seat could not be given back; it lapses by itself")


def check(ops: Ops) -> None:
    """Raises SettingsError where an entry's command cannot run by the clock."""
    for name, entry in ops.clock.items():
        try:
            request = grammar.parse(entry.command, program="/mlflow")
        except grammar.UsageError as error:
            msg = f"schedule.{name}.command is wrong: {error}"
            raise SettingsError(msg) from None
        if isinstance(request, grammar.Help):
            msg = f"schedule.{name}.command is wrong: {entry.command!r} only shows help."
            raise SettingsError(msg)
        if entry.retries and request.risk is Risk.DESTRUCTIVE:
            msg = f"schedule.{name}.retries is wrong: what is destructive is never tried again by itself."
            raise SettingsError(msg)
        if entry.channel is None and not ops.channels:
            msg = f"schedule.{name} has no channel: give it one, or name channels."
            raise SettingsError(msg)


def fire(ops: Ops, redis: Redis, now: datetime) -> list[str]:
    """Accept a command for each entry that has fallen due since it was last looked at; the names of those."""
    fired = []
    records = Records(redis)
    for name, entry in ops.clock.items():
        known = redis.hget(_LAST, name)
        if known is None:
            # Met for the first time: it begins with the next tick.
            redis.hsetnx(_LAST, name, now.timestamp())
            continue
        due = ticks.last(entry.cron, ops.zone, now)
        if due.timestamp() <= float(known):
            again = _again(records, name, entry, due, now)
            if again and records.accept(*_command(name, entry, ops, due, now, again), remember_seconds=RECORD_SECONDS):
                _log.info("tried again", entry=name, due=due.isoformat(), attempt=again)
                fired.append(name)
            continue
        if records.accept(*_command(name, entry, ops, due, now), remember_seconds=RECORD_SECONDS):
            _log.info("fired", entry=name, due=due.isoformat())
            fired.append(name)
        redis.hset(_LAST, name, str(due.timestamp()))
    return fired


def _again(records: Records, name: str, entry: ScheduleEntry, due: datetime, now: datetime) -> int:
    """Which attempt is due after the one that failed; 0 where none is."""
    for attempt in range(1, entry.retries + 1):
        before = records.accepted_by(_delivery(name, due, attempt - 1))
        ended = records.get(before) if before else None
        if ended is None or ended.phase is not Phase.FAILED:
            return 0
        if records.accepted_by(_delivery(name, due, attempt)) is None:
            waited = now.timestamp() - (ended.ended_at or now.timestamp())
            return attempt if waited >= entry.retry_minutes * 60 else 0
    return 0


def _delivery(name: str, due: datetime, attempt: int) -> str:
    """What makes an attempt of a tick one that happens once."""
    return f"schedule:{name}:{int(due.timestamp())}" + (f":again{attempt}" if attempt else "")


def _command(  # noqa: PLR0913, PLR0917 - whose tick, and when
    name: str, entry: ScheduleEntry, ops: Ops, due: datetime, now: datetime, attempt: int = 0
) -> tuple[Record, str, render.Message]:
    request = grammar.parse(entry.command, program="/mlflow")
    assert not isinstance(request, grammar.Help)
    requester = render.BY_CLOCK + name
    late = (now - due).total_seconds() > LATE_SECONDS
    why = f"attempt {attempt + 1}" if attempt else "late"
    words = f"{entry.command} (due {due.astimezone(ops.zone):%d %b %H:%M}, {why})" if late else entry.command
    record = policy.record_of(request, words, requester, entry.channel or ops.channels[0], ops)
    return record, _delivery(name, due, attempt), render.asked(words, requester)


def sweep(redis: Redis) -> None:
    """Let RQ find the jobs that died, end or rescue their records, and seal the audit record."""
    for name in queues.QUEUES:
        clean_registries(queues.queue(name, redis))
    engine.rescue(redis)
    audit.seal(redis)
