"""What runs by the clock, and the sweep that finds what was lost: the scheduler's seat.

Any number may be started; the one that holds the lock in Redis works, and where it dies another follows when the lock
lapses. That two might work for a moment does no harm: a tick becomes a command through `Records.accept` with the tick
as its delivery, so each happens once. What fell due while nobody worked is caught up once, late.

The sweep runs here and on the main thread, because RQ times its callbacks with signals.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import LockError, RedisError

from bot.alerts import Alerts
from commands import grammar, policy
from workers.engine import queues, rescuing
from workers.operation import Operation, Risk
from workers.operations.commands import maintenance, schedule
from workers.operations.digest.digest import Digest
from workers.operations.incident import timeline
from workers.records.keys import PREFIX
from workers.records.record import Phase, Record
from workers.records.requester import BY_CLOCK
from workers.records.store import RECORD_SECONDS, Records
from workers.rendering import message
from workers.settings import Ops, ScheduleEntry, Settings, SettingsError, cron
from workers.systems.redis import connect, explained

LOCK_SECONDS = 15.0
EVERY_SECONDS = 5.0
LATE_SECONDS = 120.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seat:
    """How the seat is held. clock: tells the time by which entries fall due."""

    lock_seconds: float = LOCK_SECONDS
    every_seconds: float = EVERY_SECONDS
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None], seat: Seat | None = None) -> None:
    """Hold the seat, or wait for it, until `stop` is set. Raises SettingsError."""
    seat = seat or Seat()
    check(settings.ops)
    redis = connect(settings)
    lock = redis.lock(PREFIX + "scheduler", timeout=seat.lock_seconds, blocking=False)
    ready()
    away = False
    while not stop.is_set():
        try:
            if away:
                # Workers could not give a sign of life either, and need a moment to give one.
                Records(redis).grace()
            away = False
            if lock.owned():
                lock.reacquire()
            elif not lock.acquire():
                stop.wait(seat.every_seconds)
                continue
            fire(settings.ops, redis, seat.clock())
            sweep(redis)
            alerts = Alerts(settings.ops, redis)
            alerts.release()
            alerts.fade()
        except (RedisError, LockError, OSError) as error:
            away = True
            detail = str(explained(error) if isinstance(error, RedisError) else error)
            _log.warning("the scheduler pauses", error=type(error).__name__, detail=detail)
        stop.wait(seat.every_seconds)
    try:
        if lock.owned():
            lock.release()
    except (RedisError, LockError):
        _log.warning("the seat could not be given back; it lapses by itself")


def check(ops: Ops) -> None:  # noqa: C901 - one refusal after the other
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
        if isinstance(request, grammar.BreakGlass) or getattr(request, "unsigned", False):
            msg = f"schedule.{name}.command is wrong: the clock cannot break the glass."
            raise SettingsError(msg)
        if policy.lacks(BY_CLOCK + name, request, ops, _no_groups):
            msg = f"schedule.{name}.role is wrong: {entry.role} may not ask for {entry.command!r}; give a higher role."
            raise SettingsError(msg)
        if entry.retries and request.risk is Risk.DESTRUCTIVE:
            msg = f"schedule.{name}.retries is wrong: what is destructive is never tried again by itself."
            raise SettingsError(msg)
        if entry.channels and request.risk is not Risk.READ:
            msg = f"schedule.{name}.channels is wrong: only what reads may be told in several channels."
            raise SettingsError(msg)
        if entry.channels and entry.retries:
            msg = f"schedule.{name}.retries is wrong: what is told in several channels is not tried again."
            raise SettingsError(msg)
        if isinstance(request, schedule.ScheduleRun):
            msg = f"schedule.{name}.command is wrong: give the command of {request.entry} itself."
            raise SettingsError(msg)
        if entry.channel is None and not entry.channels and not ops.channels:
            msg = f"schedule.{name} has no channel: give it one, or name channels."
            raise SettingsError(msg)


def fire(ops: Ops, redis: Redis, now: datetime) -> list[str]:
    """Accept a command for each entry that has fallen due since it was last looked at; the names of those.

    During maintenance nothing falls due: afterwards each entry that missed a tick comes once. What falls due while an
    entry is paused, or on a holiday of it, is left out.
    """
    fired: list[str] = []
    if maintenance.current(redis):
        return fired
    paused = schedule.paused(redis)
    for name, entry in ops.clock.items():
        if name not in paused:
            fired += _again(name, ops, redis, now)
        known = redis.hget(schedule.LAST, name)
        if known is None:
            # Met for the first time: it begins with the next tick.
            redis.hsetnx(schedule.LAST, name, now.timestamp())
            continue
        due = cron.last(entry.cron, ops.zone, now)
        if due.timestamp() <= float(known):
            continue
        if name in paused or due.astimezone(ops.zone).date() in entry.holidays:
            redis.hset(schedule.LAST, name, str(due.timestamp()))
            continue
        late = (now - due).total_seconds() > LATE_SECONDS
        remark = f", due {due.astimezone(ops.zone):%d %b %H:%M}, late" if late else ""
        tick = _Tick(f"{name}:{int(due.timestamp())}", 0)
        # Every channel, also where the first one had been told before a process died.
        told = [tick.fire(place, f"{name}{remark}", ops, redis) for place in _places(entry)]
        if any(told):
            fired.append(name)
        redis.hset(schedule.LAST, name, str(due.timestamp()))
    return fired


def _places(entry: ScheduleEntry) -> list[ScheduleEntry]:
    """The entry for each channel where it is told."""
    return [entry.model_copy(update={"channel": channel}) for channel in entry.channels] or [entry]


def _again(name: str, ops: Ops, redis: Redis, now: datetime) -> list[str]:
    """Try what failed once more, where its entry says so and its time has come."""
    entry, records = ops.clock[name], Records(redis)
    raw: Any = redis.hget(schedule.RUNS, name)
    if not raw or not entry.retries:
        return []
    record_id, due, tried = json.loads(raw)
    record = records.get(record_id)
    if record is None or record.phase is not Phase.FAILED or tried >= entry.retries:
        return []
    if now.timestamp() < (record.ended_at or 0) + entry.retry_minutes * 60:
        return []
    label = f"{name}, try {tried + 2} of {entry.retries + 1}"
    return [name] if _Tick(due, tried + 1).fire(entry, label, ops, redis) else []


@dataclass(frozen=True)
class _Tick:
    """A tick of an entry ("backup:1767225600"), and how often it was tried before."""

    of: str
    tried: int

    def fire(self, entry: ScheduleEntry, label: str, ops: Ops, redis: Redis) -> bool:
        """Accept the command; False where it was accepted before."""
        record = _command(entry, label, ops, due=float(self.of.rpartition(":")[2]))
        where = f":{entry.channel}" if entry.channels else ""
        delivery = f"schedule:{self.of}{where}{f':{self.tried}' if self.tried else ''}"
        root = message.calling(message.asked(record.words, record.requester), record.calls)
        if not queues.accept(record, delivery, root, redis, remember_seconds=RECORD_SECONDS):
            return False
        redis.hset(schedule.RUNS, self.of.partition(":")[0], json.dumps([record.id, self.of, self.tried]))
        _log.info("fired", tick=self.of, tried=self.tried, operation_id=record.id)
        return True


def _command(entry: ScheduleEntry, label: str, ops: Ops, due: float) -> Record:
    request = grammar.parse(entry.command, program="/mlflow")
    assert isinstance(request, Operation)
    if isinstance(request, Digest):
        request = request.model_copy(update={"due": due})
    requester = BY_CLOCK + label
    record = policy.record_of(request, entry.command, requester, entry.channel or ops.channels[0], ops)
    return record.model_copy(update={"quiet": entry.quiet})


def _no_groups(_group: str) -> frozenset[str]:
    return frozenset()


def sweep(redis: Redis) -> None:
    """Let RQ find the jobs that died, end or rescue their records, and tell what is new of incidents."""
    queues.clean(redis)
    rescuing.rescue(redis)
    maintenance.end(redis, "its time is over", only_over=True)
    timeline.follow(redis)
