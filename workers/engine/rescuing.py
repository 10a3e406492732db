"""What became of commands whose process died: they end with a word about it, or go on to be looked at or begun again.

A work-horse that is killed is noticed by its worker, a worker that is gone by the scheduler's sweep, which asks every
few seconds for those that give no sign of life. What a lost run has left is looked at until somebody could look: a
server that is away comes back, and what was left may keep people out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from workers.engine import approvals, following, queues
from workers.records.message import draft
from workers.records.record import Phase, Record, Stage
from workers.records.store import Records
from workers.rendering import message as render
from workers.rendering import thread

if TYPE_CHECKING:
    from redis import Redis

LOOKS = 240
"""As often is looked at what was left, half a minute apart, before somebody else must."""
DEATHS = 5
"""Where whoever looks dies of it."""

_log = structlog.get_logger(__name__)


def rescue(redis: Redis) -> None:
    """End every record whose worker is gone or whose time is over, queue again what nobody began, and look at what is
    proposed.
    """
    records = Records(redis)
    for record_id in records.open():
        record = records.get(record_id)
        if record is None:
            continue
        if record.phase is Phase.RUNNING and not records.alive(record_id):
            tell_lost(record, redis, "its worker is gone")
        elif record.phase is Phase.PENDING:
            approvals.expire(redis, record, time.time())
        elif record.phase is Phase.PROPOSED:
            following.look_if_due(record, redis, time.time())
        elif record.phase in {Phase.QUEUED, Phase.APPROVED} and queues.is_lost(record, redis):
            if record.queued_times >= queues.ATTEMPTS:
                tell_lost(record, redis, f"its process died {record.queued_times} times before it could begin")
            else:
                queues.enqueue_again(record, redis)


def tell_lost(record: Record, redis: Redis, why: str) -> None:
    """End a record whose process is gone, and say so in its thread."""
    _log.error("lost", operation_id=record.id, why=why)
    message = f"The worker lost this command: {why}."
    if record.stage is Stage.RUN and record.plan is not None:
        if _to_be_looked_at(record, message, redis):
            return
    elif record.stage is Stage.LOOK:
        if record.handovers < DEATHS and look_again(record, redis, why):
            return
        message = f"{record.outcome} What it has left could not be looked at: {why}."
    hint = "Ask again; if it repeats, see the workers' log."
    Records(redis).finish(record.id, thread.failure(record, message, hint))


def look_again(record: Record, redis: Redis, why: str) -> bool:
    """Have what a lost run has left looked at once more: the sweep finds it in a while. why: not this time.

    False where it was tried often enough, or the record was ended meanwhile.
    """
    if record.handovers >= LOOKS or record.phase is not Phase.RUNNING:
        return False
    step = f"{record.outcome} What it has left could not be looked at yet: {why} Trying again."
    words = draft("edit", render.under_way(record.words, record.requester, step, ""))
    fields = {**queues.look_fields(), "phase": Phase.QUEUED, "handovers": record.handovers + 1}
    return Records(redis).move(record.id, words, before=Phase.RUNNING, **fields)


def _to_be_looked_at(record: Record, message: str, redis: Redis) -> bool:
    """Have another worker look at what a lost run has left. False where its job could not begin it either."""
    if record.phase is not Phase.RUNNING:
        return False
    step = f"{message} Looking at what it has left."
    words = draft("edit", render.under_way(record.words, record.requester, step, ""))
    fields = {**queues.look_fields(), "phase": Phase.QUEUED, "outcome": message}
    if Records(redis).move(record.id, words, before=Phase.RUNNING, **fields):
        queues.enqueue_run(record.id, redis)
    return True
