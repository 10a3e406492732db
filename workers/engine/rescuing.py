"""What became of commands whose process died: they end with a word about it, or go on to be looked at or begun again.

A work-horse that is killed is noticed by its worker, a worker that is gone by the scheduler's sweep, which asks every
few seconds for those that give no sign of life. What a lost run has left is looked at until somebody could look, with
growing pauses and by whichever worker is there: a server that is away comes back, and what was left may keep people
out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import structlog

from workers.engine import approvals, following, queues
from workers.errors import OperatorError
from workers.records.message import draft
from workers.records.record import Phase, Record, Stage
from workers.records.store import ALIVE_SECONDS, Records
from workers.rendering import message as render
from workers.rendering import thread

if TYPE_CHECKING:
    from redis import Redis

FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
"""Between two looks at what was left: each pause is twice the one before."""
CALL_AFTER = 8
"""Looks in vain, about an hour, after which the thread calls for somebody; it is looked at all the same."""

_log = structlog.get_logger(__name__)


def rescue(redis: Redis) -> None:
    """End every record whose worker is gone or whose time is over, queue again what nobody began, and look at what is
    proposed. What Redis may have lost is looked at before anything is said of it.
    """
    records = Records(redis)
    if records.doubt():
        _log.warning("another Redis than before: what is open is looked at before it goes on")
    for record_id in records.open():
        record = records.get(record_id)
        if record is not None and record.doubted is not None:
            _look_into(record, redis)
        elif record is not None:
            _see_to(record, records, redis)


def _see_to(record: Record, records: Records, redis: Redis) -> None:
    if record.phase is Phase.RUNNING and not records.alive(record.id):
        tell_lost(record, redis, "its worker is gone")
    elif record.phase is Phase.PENDING:
        approvals.expire(redis, record, time.time())
    elif record.phase is Phase.PROPOSED:
        following.look_if_due(record, redis, time.time())
    elif record.phase is Phase.ACCEPTED:
        _begin(record, redis)
    elif record.phase in {Phase.QUEUED, Phase.APPROVED} and queues.is_lost(record, redis):
        if record.queued_times >= queues.ATTEMPTS and record.stage is not Stage.LOOK:
            tell_lost(record, redis, f"its process died {record.queued_times} times before it could begin")
        else:
            queues.enqueue_again(record, redis)


def tell_lost(record: Record, redis: Redis, why: str) -> None:
    """End a record whose process is gone, and say so in its thread."""
    _log.error("lost", operation_id=record.id, why=why)
    message = f"The worker lost this command: {why}."
    if record.stage is Stage.RUN and record.plan is not None:
        if have_it_looked_at(record, message, redis):
            return
    elif record.stage is Stage.LOOK and record.phase is Phase.RUNNING:
        look_again(record, redis, f"{why}.")
        return
    hint = "Ask again; if it repeats, see the workers' log."
    Records(redis).finish(record.id, thread.failure(record, message, hint), before=record.phase, claim=record)


def look_again(record: Record, redis: Redis, why: str) -> bool:
    """Have what a lost run has left looked at once more: the sweep finds it in a while. why: not this time.

    False where somebody else has ended it meanwhile, or looks.
    """
    step = f"{record.outcome} What it has left could not be looked at yet: {why} Trying again."
    words = [draft("edit", render.under_way(record.words, record.requester, step, ""))]
    if record.handovers + 1 == CALL_AFTER:
        words.append(draft("broadcast", render.failed(record.words, record.requester, step, "See /mlflow health.", "")))
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(record.handovers, 10))
    fields = {**queues.look_fields(after_seconds=pause), "handovers": record.handovers + 1}
    return Records(redis).move(record.id, *words, before=Phase.RUNNING, claim=record, **fields)


def have_it_looked_at(record: Record, message: str, redis: Redis) -> bool:
    """Have a worker look at what a run that broke off has left. message: why it did. False where it never began."""
    if record.phase is not Phase.RUNNING:
        return False
    step = f"{message} Looking at what it has left."
    words = draft("edit", render.under_way(record.words, record.requester, step, ""))
    fields = {**queues.look_fields(), "outcome": message}
    job = queues.run_job(record.model_copy(update=fields), redis)
    Records(redis).move(record.id, words, before=Phase.RUNNING, claim=record, job=job, **fields)
    return True


def _look_into(record: Record, redis: Redis) -> None:
    """What Redis may have lost of a record is looked for in the world, once its worker has had time to say that it
    lives. What reads may be read again, and what is proposed is looked at anyway.
    """
    records = Records(redis)
    if time.time() - (record.doubted or 0) < ALIVE_SECONDS:
        return
    waits = record.phase in {Phase.PENDING, Phase.APPROVED, Phase.QUEUED}
    planned = record.phase is Phase.RUNNING and record.stage is Stage.PLAN
    if planned and records.alive(record.id):
        # Whoever plans it says soon how it goes on; it is looked into then.
        return
    reads = record.stage is Stage.RUN and record.plan is None
    if not (waits or planned) or reads or record.stage is Stage.LOOK:
        records.update(record.id, doubted=None)
        return
    resumes: dict[str, Any] | None = None
    message = "Redis may have lost what became of this command."
    if record.plan is None:
        # Planned, and run, and forgotten, or none of it: the world alone doesn't tell.
        message = render.FORGOTTEN
    else:
        resumes = {name: getattr(record, name) for name in ("phase", "stage", "queue", "queued_at", "queued_times")}
    fields = {**queues.look_fields(), "outcome": message, "doubted": None, "resumes": resumes}
    job = queues.run_job(record.model_copy(update=fields), redis)
    records.move(record.id, before=record.phase, claim=record, job=job, **fields)


def _begin(record: Record, redis: Redis) -> None:
    """Queue what was accepted without its job, by an earlier version."""
    if time.time() - record.accepted_at < queues.STUCK_SECONDS:
        return
    try:
        queues.enqueue(record, redis)
    except OperatorError as error:
        Records(redis).finish(record.id, thread.failure(record, error.message, error.hint), before=Phase.ACCEPTED)
