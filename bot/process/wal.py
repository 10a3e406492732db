"""The process that keeps the WAL: `mlflow-ops wal`, one at work for a target, as the scheduler is.

Where WAL is missing, or there is no base yet, it asks for a base backup in the clock's name, at most once an hour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import LockError, RedisError

from commands import grammar, policy
from workers.errors import OperatorError
from workers.operation import Cancelled, Operation
from workers.operations.backup.wal import access, archive, receiving, state
from workers.operations.backup.wal import copying as copies_of_wal
from workers.records.keys import PREFIX
from workers.records.requester import BY_CLOCK
from workers.records.store import RECORD_SECONDS, Records
from workers.rendering import message
from workers.settings import Settings, SettingsError
from workers.systems import Systems, temporary
from workers.systems.redis import connect

if TYPE_CHECKING:
    from redis import Redis
    from redis.lock import Lock

    from workers.operations.backup.wal.copying import Copying
    from workers.operations.backup.wal.receiving import Keeping

LOCK_SECONDS: Final = 15.0
EVERY_SECONDS: Final = 1.0
PAUSE_SECONDS: Final = 5.0
"""After something has failed."""
LOOK_FOR_BASE_SECONDS: Final = 60.0
BASE: Final = "backup base --now"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seat:
    """How the seat is held."""

    lock_seconds: float = LOCK_SECONDS
    every_seconds: float = EVERY_SECONDS
    pause_seconds: float = PAUSE_SECONDS


def serve(settings: Settings, stop: threading.Event, ready: Callable[[], None], seat: Seat | None = None) -> None:
    """Keep the WAL, or wait for the seat, until `stop` is set. Raises SettingsError where it is not to be kept."""
    seat = seat or Seat()
    if not settings.ops.recovery.point_in_time:
        msg = "recovery.point_in_time is off in ops.yaml: set it on, or do not start this process."
        raise SettingsError(msg)
    if not settings.ops.recovery.keeps_wal:
        kept_by = settings.ops.recovery.source
        msg = f"recovery.source is {kept_by} in ops.yaml, and that keeps the WAL: do not start this process."
        raise SettingsError(msg)
    redis = connect(settings)
    # Renewed by another thread: to store what has gathered may take longer than the lock.
    lock = redis.lock(PREFIX + "wal", timeout=seat.lock_seconds, blocking=False, thread_local=False)
    ready()
    while not stop.is_set():
        try:
            if lock.acquire():
                _hold(settings, redis, lock, stop, seat)
        except (RedisError, LockError, OSError) as error:
            _log.warning("the WAL's seat pauses", error=type(error).__name__, detail=str(error))
        stop.wait(seat.pause_seconds)
    with suppress(RedisError, LockError):
        if lock.owned():
            lock.release()


def _hold(settings: Settings, redis: Redis, lock: Lock, stop: threading.Event, seat: Seat) -> None:
    """Keep the WAL for as long as the seat is ours. Raises RedisError."""
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(lock, over, seat.lock_seconds / 3), name="seat", daemon=True)
    renewing.start()
    base_due = 0.0
    systems = Systems(settings)
    copying = threading.Thread(target=_copy, args=(systems, stop, over), name="copies", daemon=True)
    if settings.ops.backup.copies:
        copying.start()
    try:
        with (
            temporary.folder("wal") as folder,
            receiving.keeping(systems, folder / "spool") as going,
        ):
            while not stop.is_set() and not over.is_set():
                well = _turn(going, redis)
                if well and time.monotonic() >= base_due:
                    _ask_for_base(systems, going, redis)
                    base_due = time.monotonic() + LOOK_FOR_BASE_SECONDS
                stop.wait(seat.every_seconds if well else seat.pause_seconds)
    finally:
        over.set()
        renewing.join()
        if copying.is_alive():
            copying.join()


def _copy(systems: Systems, stop: threading.Event, over: threading.Event) -> None:
    """Have the WAL in each copy too, until it is `over`: a store that is away holds nothing up."""
    kept: list[Copying] = []

    def checkpoint() -> None:
        if stop.is_set() or over.is_set():
            raise Cancelled

    while not stop.is_set() and not over.wait(systems.settings.ops.recovery.flush_seconds):
        try:
            kept = kept or copies_of_wal.every(systems, access.places(systems))
        except OperatorError as error:
            _log.warning("the WAL is not being copied", why=error.message)
            continue
        for each in kept:
            try:
                each.wal(checkpoint)
            except OperatorError as error:
                _log.warning("the WAL is not being copied", to=each.place, why=error.message)
            except Cancelled:
                return


def _renew(lock: Lock, over: threading.Event, every_seconds: float) -> None:
    """Keep the seat until it is `over`; which it is where another one has it by now."""
    while not over.wait(every_seconds):
        try:
            lock.reacquire()
        except (RedisError, LockError) as error:
            _log.warning("the seat is lost", error=type(error).__name__)
            over.set()


def _turn(going: Keeping, redis: Redis) -> bool:
    try:
        now = going.turn()
    except OperatorError as error:
        _log.warning("the WAL is not being kept", why=error.message, hint=error.hint)
        state.note(redis, receiving.State(problem=f"{error.message} {error.hint}".strip()))
        return False
    state.note(redis, now)
    return True


def _ask_for_base(systems: Systems, going: Keeping, redis: Redis) -> None:
    """Have a base made where there is none, or none since WAL was lost."""
    ops = systems.settings.ops
    try:
        why = _no_base(systems, going)
    except OperatorError as error:
        _log.warning("what is kept could not be looked at", why=error.message)
        return
    if not why:
        return
    _log.error("a base backup is needed", why=why)
    if not ops.channels:
        return
    request = grammar.parse(BASE, program="/mlflow")
    assert isinstance(request, Operation)
    record = policy.record_of(request, BASE, f"{BY_CLOCK}base, {why}", ops.channels[0], ops)
    root = message.calling(message.asked(record.words, record.requester), record.calls)
    delivery = f"wal:base:{datetime.now(UTC):%Y%m%dT%H}"
    if Records(redis).accept(record, delivery, root, remember_seconds=RECORD_SECONDS):
        _log.info("a base backup was asked for", operation_id=record.id)


def _no_base(systems: Systems, going: Keeping) -> str:
    """Why one could not go on from the newest base; empty where one can. Raises OperatorError."""
    there = access.archive(systems)
    last, found = there.point(), there.bases()
    if not found:
        return "there is none yet"
    kept = archive.list_wal(going.transfer, there.bucket, there.where, since=found[-1].first)
    gaps = kept.gaps(found[-1].first, last)
    return f"WAL is missing: {archive.gap_words(gaps[0], there.where.segment_bytes)}" if gaps else ""
