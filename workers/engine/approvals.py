"""From a plan to a decision: approved by enough people, denied, withdrawn or expired; exactly one of these.

A record that waits is in the phase `pending`, and each decision is one script in Redis that only a pending record
takes: of twenty people who press at once, one decides. What is approved is looked up here by the record's id,
whatever a button's payload holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from workers.engine import queues, rights
from workers.operation import Plan
from workers.records.keys import PREFIX
from workers.records.message import draft
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Record
from workers.records.store import RECORD_SECONDS, Records
from workers.rendering import proposals

if TYPE_CHECKING:
    from redis import Redis

    from workers.records.message import Draft, Message


REMINDERS: Final = 3
"""One after each of so many parts of the time, but the last."""


class Answer(StrEnum):
    """What became of a press."""

    APPROVED = "approved"
    COUNTED = "counted"
    TOO_LATE = "too late"
    NOT_ANY_MORE = "not any more"
    """Who asked for it may not ask for it any more: it has ended."""


Still = Callable[[Record], rights.Standing]
"""Of a record with all who approved it: who may not any more. Asked at the last press, by the rights of that moment."""


def approve(record: Record, user: str, redis: Redis, still: Still = lambda _: rights.Standing()) -> Answer:
    """Count an approval; with the last one that is needed the record is queued for its run.

    Before that, who asked and all who approved are looked at once more: an approval of somebody who may not approve any
    more counts no longer, and a command whose requester may not ask for it any more ends.
    """
    records = Records(redis)
    if record.phase is not Phase.PENDING or (record.expires_at or 0) <= time.time():
        return Answer.TOO_LATE
    key = f"{PREFIX}record:{record.id}:approvers"
    redis.sadd(key, user)
    redis.expire(key, RECORD_SECONDS)
    members: Any = redis.smembers(key)
    approvers = tuple(sorted(member.decode() for member in members))
    plan = Plan.model_validate(record.plan)
    if len(approvers) >= record.approvals:
        standing = still(record.model_copy(update={"decided_by": approvers}))
        if standing.requester:
            ended = refuse(record, Phase.DENIED, "", redis, standing.requester)
            return Answer.NOT_ANY_MORE if ended else Answer.TOO_LATE
        if standing.gone:
            redis.srem(key, *standing.gone)
            Outbox(redis).push(record.id, draft("reply", proposals.counts_no_more(standing.gone)))
            approvers = tuple(each for each in approvers if each not in standing.gone)
    if len(approvers) < record.approvals:
        counted = record.model_copy(update={"decided_by": approvers})
        words = draft("edit", proposals.proposal(plan, counted))
        # One step with the look whether it still waits: the buttons must not come back to what somebody has decided.
        moved = records.move(record.id, words, before=Phase.PENDING, phase=Phase.PENDING, decided_by=approvers)
        return Answer.COUNTED if moved else Answer.TOO_LATE
    decided = {"decided_by": approvers, "decided_at": time.time()}
    fields = {"phase": Phase.APPROVED, **decided, **queues.run_fields(record.operation)}
    approved = record.model_copy(update=fields)
    words = draft("edit", proposals.proposal(plan, approved))
    job = queues.run_job(approved, redis)
    moved = records.move(record.id, words, before=Phase.PENDING, job=job, **fields)
    return Answer.APPROVED if moved else Answer.TOO_LATE


def requested(plan: Plan, record: Record) -> list[Draft]:
    """The words that ask the approvers: beneath the plan, and in person where ops.yaml says so."""
    return _to_approvers(record, proposals.request(plan, record))


def _to_approvers(record: Record, message: Message) -> list[Draft]:
    directly = proposals.in_person(record, message)
    return [draft("reply", message), *(draft("direct", directly, to=each) for each in record.asks_in_person)]


def refuse(record: Record, phase: Phase, user: str, redis: Redis, reason: str = "") -> bool:
    """Deny, withdraw (cancelled) or expire what waits; False where it had been decided. user: "" for the clock."""
    by: dict[str, Any] = {"decided_by": (user,) if user else (), "decided_at": time.time(), "reason": reason}
    decided = record.model_copy(update={"phase": phase, **by})
    plan = Plan.model_validate(record.plan)
    words = draft("edit", proposals.proposal(plan, decided))
    # An edit notifies nobody: who asked is told by a reply, unless they took it back themselves.
    told = (draft("reply", proposals.outcome(decided)),) if phase in {Phase.DENIED, Phase.EXPIRED} else ()
    outcome = f"{phase} by {user}" if user else str(phase)
    return Records(redis).finish(record.id, Ending(phase, outcome, (words, *told)), before=Phase.PENDING, **by)


def expire(redis: Redis, record: Record, now: float) -> None:
    """End what no one decided in time; remind of it after a third and two thirds. For the scheduler's sweep."""
    if record.phase is not Phase.PENDING or record.expires_at is None:
        return
    if record.expires_at <= now:
        refuse(record, Phase.EXPIRED, "", redis)
        return
    passed = int(REMINDERS * (now - record.accepted_at) / (record.expires_at - record.accepted_at))
    if passed >= 1 and redis.set(f"{PREFIX}record:{record.id}:reminded:{passed}", "1", nx=True, ex=RECORD_SECONDS):
        Outbox(redis).push(record.id, *_to_approvers(record, proposals.reminder(record)))
