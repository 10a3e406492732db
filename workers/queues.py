"""The two queues, and jobs that can start one function only.

`quick` is for what reads, `ops` for what changes, each with worker processes of its own. (A worker on two queues takes
jobs with BLPOP and loses the one in its hands when it dies; on one queue Redis moves it to a list where it is found
again.) A job holds one argument, a record's id; it speaks JSON, and the only function that it can name is
`workers.engine.run`: anything else in Redis is refused when it is loaded. Nothing is retried by RQ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import structlog
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job

from workers import registry
from workers.operation import Operation, Risk
from workers.state import Phase, Record, Records

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK, OPS = "quick", "ops"
QUEUES = (QUICK, OPS)
RESULT_SECONDS = 600
FAILURE_SECONDS = 7 * 24 * 3600

RUN = "workers.engine.run"
"""The only function that a job may name."""

_log = structlog.get_logger(__name__)


class SealedJob(Job):
    """A job that runs `workers.engine.run` and nothing else, whatever its record in Redis names."""

    @property
    def func(self) -> Callable[..., Any]:
        """`run`. Raises PermissionError where the job names another function."""
        if self.func_name != RUN or self._instance is not None:
            msg = f"job {self.id} names {self.func_name!r}, which is not a job of ours"
            raise PermissionError(msg)
        from workers.engine import run

        return run

    success_callback: ClassVar[None] = None
    failure_callback: ClassVar[None] = None
    stopped_callback: ClassVar[None] = None


def queue(name: str, redis: Redis) -> Queue:
    """The queue of that name, JSON only."""
    return Queue(name, connection=redis, job_class=SealedJob, serializer="json")


def queue_for(operation: Operation) -> str:
    """Reads are quick; whatever changes something waits for an `ops` worker."""
    return QUICK if operation.risk is Risk.READ else OPS


def enqueue(record: Record, redis: Redis) -> None:
    """Put an accepted and announced record on its queue; a second time is without effect."""
    operation = registry.build(record.operation, record.arguments)
    Records(redis).update(record.id, phase=Phase.QUEUED)
    try:
        queue(queue_for(operation), redis).enqueue(
            RUN,
            record.id,
            job_id=record.id,
            unique=True,
            job_timeout=operation.timeout_seconds,
            result_ttl=RESULT_SECONDS,
            failure_ttl=FAILURE_SECONDS,
            description=f"{record.operation} {record.id}",
        )
    except DuplicateJobError:
        _log.info("already enqueued", operation_id=record.id)
