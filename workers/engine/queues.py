"""The two queues, and jobs that can start one function only.

`quick` is for what reads, `ops` for what changes, each with worker processes of its own. (A worker on two queues takes
jobs with BLPOP and loses the one in its hands when it dies; on one queue Redis moves it to a list where it is found
again.) A job holds one argument, a record's id; it speaks JSON, and the only function that it can name is
`workers.engine.running.run`: anything else in Redis is refused when it is loaded. Nothing is retried by RQ.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import rq.defaults
import structlog
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job
from rq.registry import clean_registries

from workers import registry
from workers.operation import Operation, Risk
from workers.records.keys import PREFIX
from workers.records.record import Phase, Record, Stage
from workers.records.store import SEEN_SECONDS, Records
from workers.records.store import Job as Placed

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.records.message import Message

QUICK, OPS = "quick", "ops"
QUEUES = (QUICK, OPS)
RESULT_SECONDS = 600
FAILURE_SECONDS = 7 * 24 * 3600
GRACE_SECONDS = 120
"""RQ's limit comes so long after the operation's own, which tells the thread."""
STUCK_SECONDS = 30.0
"""From queued to begun takes milliseconds; a job that is nowhere for so long was lost."""
ATTEMPTS = 3


RUN = "workers.engine.running.run"
"""The only function that a job may name."""

_log = structlog.get_logger(__name__)


if f"{PREFIX}rq" != rq.defaults.RQ_KEY_PREFIX:
    # Its jobs would stand where no worker of ours looks.
    raise ImportError("rq was imported before workers: import workers.engine.queues instead of it")


class SealedJob(Job):
    """A job that runs `workers.engine.running.run` and nothing else, whatever its record in Redis names."""

    @property
    def func(self) -> Callable[..., Any]:
        """`run`, found by its name. Raises PermissionError where the job names another function."""
        if self.func_name != RUN or self._instance is not None:
            msg = f"job {self.id} names {self.func_name!r}, which is not a job of ours"
            raise PermissionError(msg)
        found: Callable[..., Any] = super().func
        return found

    success_callback: ClassVar[None] = None
    failure_callback: ClassVar[None] = None
    stopped_callback: ClassVar[None] = None


def queue(name: str, redis: Redis) -> Queue:
    """The queue of that name, JSON only."""
    return Queue(name, connection=redis, job_class=SealedJob, serializer="json")


def clean(redis: Redis) -> None:
    """Have RQ give up the jobs whose workers are gone. From the main thread: RQ's callbacks need its signals."""
    for name in QUEUES:
        clean_registries(queue(name, redis))


def throw_away_garbage(of: Queue, redis: Redis) -> None:
    """Remove what somebody put on a queue that is not even text."""
    for key in (of.key, of.intermediate_queue_key):
        waiting: Any = redis.lrange(key, 0, -1)
        for raw in waiting:
            try:
                raw.decode()
            except UnicodeDecodeError:
                _log.error("thrown away: no job's id", queue=of.name, beginning=raw[:40].hex())
                redis.lrem(key, 0, raw)


def run_fields(operation: str) -> dict[str, Any]:
    """The fields of a record whose plan is made and which is to run. operation: its name."""
    where = QUICK if registry.operations()[operation].urgent else OPS
    return {"stage": Stage.RUN, "queue": where, "queued_at": time.time(), "queued_times": 1}


def look_fields(*, after_seconds: float = STUCK_SECONDS) -> dict[str, Any]:
    """The fields of a record whose run was lost: what it has left is to be looked at; by the sweep, after so long."""
    about = {"queued_at": time.time() + after_seconds - STUCK_SECONDS, "queued_times": 1}
    return {"phase": Phase.QUEUED, "stage": Stage.LOOK, "queue": QUICK, **about}


def handed_over_fields(record: Record) -> dict[str, Any]:
    """The fields of a record that goes from a worker which is being replaced to another."""
    turns = record.handovers + 1
    return {"phase": Phase.QUEUED, "handovers": turns, "queued_at": time.time(), "queued_times": 1}


def accept(  # noqa: PLR0913 - all but the first three by name
    record: Record,
    delivery: str,
    root: Message,
    redis: Redis,
    *,
    remember_seconds: int = SEEN_SECONDS,
    at_most: int = 0,
) -> bool:
    """Record a command with its first message, and put it on its queue, in one step: its work waits for nobody.

    False where this delivery was accepted before. at_most: see Records.accept; where it is given, a read that the same
    person waits for already is told together with that one. Raises TooMany, Merged, and OperatorError where its
    arguments are wrong.
    """
    operation = registry.build(record.operation, record.arguments)
    placed = record.model_copy(update=_first_fields(operation))
    person = at_most and not operation.urgent
    like = _kind(record) if person and operation.risk is Risk.READ and not record.calls else ""
    limits = {"remember_seconds": remember_seconds, "at_most": at_most if person else 0}
    return Records(redis).accept(placed, delivery, root, job=_job(placed, operation, redis), like=like, **limits)


def _kind(record: Record) -> str:
    """The same for what has the same answer in the same place."""
    about = json.dumps([record.operation, record.arguments, record.channel], sort_keys=True)
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def enqueue(record: Record, redis: Redis) -> None:
    """Put a record that was accepted without its job on its queue; a second time is without effect.

    What reads is run; what changes something is planned first, on the quick queue. Raises OperatorError.
    """
    operation = registry.build(record.operation, record.arguments)
    if record.phase is Phase.ACCEPTED:
        fields = _first_fields(operation)
        Records(redis).update(record.id, **fields)
        record = record.model_copy(update=fields)
    _put(record, operation, redis)


def run_job(record: Record, redis: Redis) -> Placed:
    """What puts a record that goes on on its queue; record: as it will be."""
    return _job(record, registry.build(record.operation, record.arguments), redis)


def enqueue_run(record_id: str, redis: Redis) -> None:
    """Put a record that was planned, and approved where it must be, on its queue."""
    record = Records(redis).get(record_id)
    if record is not None:
        _put(record, registry.build(record.operation, record.arguments), redis)


def _first_fields(operation: Operation) -> dict[str, Any]:
    stage = Stage.RUN if operation.risk is Risk.READ else Stage.PLAN
    where = OPS if operation.long and stage is Stage.RUN else QUICK
    return {"phase": Phase.QUEUED, "stage": stage, "queue": where, "queued_at": time.time(), "queued_times": 1}


def _about(record: Record) -> dict[str, Any]:
    return {
        "result_ttl": RESULT_SECONDS,
        "failure_ttl": FAILURE_SECONDS,
        "description": f"{record.operation} {record.id}",
        "job_id": job_id(record),
    }


def _job(record: Record, operation: Operation, redis: Redis) -> Placed:
    """RQ's job as its own `enqueue` would write it (rq/scripts.py: UNIQUE_ENQUEUE_SCRIPT); what is urgent, in front."""
    assert record.queue is not None
    on = queue(record.queue, redis)
    limit = operation.timeout_seconds + GRACE_SECONDS
    job = on.create_job(RUN, args=(record.id,), timeout=limit, **_about(record))
    job.origin, job.enqueued_at = on.name, datetime.now(UTC)
    fields = [part for pair in job.to_dict().items() for part in pair]
    side = "L" if operation.urgent else "R"
    return Placed((Queue.redis_queues_keys, on.key, job.key, job.id, side, *fields))


def _put(record: Record, operation: Operation, redis: Redis) -> None:
    assert record.queue is not None
    try:
        queue(record.queue, redis).enqueue(
            RUN,
            record.id,
            unique=True,
            at_front=operation.urgent,
            job_timeout=operation.timeout_seconds + GRACE_SECONDS,
            **_about(record),
        )
    except DuplicateJobError:
        _log.info("already enqueued", operation_id=record.id)


def enqueue_look(record: Record, redis: Redis) -> None:
    """Queue a look at what waits for somebody outside; the same one a second time is without effect."""
    with suppress(DuplicateJobError):
        queue(QUICK, redis).enqueue(
            RUN,
            record.id,
            job_id=f"{record.id}-proposed-{record.looks}",
            unique=True,
            job_timeout=GRACE_SECONDS,
            result_ttl=RESULT_SECONDS,
            failure_ttl=RESULT_SECONDS,
            description=f"look at {record.operation} {record.id}",
        )


def job_id(record: Record) -> str:
    """The id of the job that does a record's stage, this time."""
    return record.id if record.turn == Stage.RUN else f"{record.id}-{record.turn}"


def is_lost(record: Record, redis: Redis) -> bool:
    """Whether a queued record is on no queue although nobody has begun it: its worker died with it in its hands."""
    if record.queue is None or time.time() - (record.queued_at or 0) < STUCK_SECONDS:
        return False
    waits = redis.lpos(queue(record.queue, redis).key, job_id(record)) is not None
    return not waits and not Records(redis).claimed(record)


def enqueue_again(record: Record, redis: Redis) -> None:
    """Queue a lost record once more. It is claimed before it runs, so that it cannot run twice."""
    _log.warning("queued again", operation_id=record.id, times=record.queued_times + 1)
    Records(redis).update(record.id, queued_at=time.time(), queued_times=record.queued_times + 1)
    with suppress(NoSuchJobError):
        SealedJob.fetch(job_id(record), connection=redis, serializer="json").delete()
    _put(record, registry.build(record.operation, record.arguments), redis)
