"""A worker of one queue: it takes jobs one after the other, and each runs in a work-horse of its own."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

from rq import Worker

from workers import registry
from workers.engine import queues, shutdown
from workers.engine.queues import SealedJob, queue
from workers.engine.rescuing import tell_lost
from workers.engine.running import redis_here, systems_here
from workers.records.record import Phase
from workers.records.store import Records
from workers.systems import preload
from workers.systems.redis import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from rq.job import Job


class OperationsWorker(Worker):
    """A worker of one queue that notices and tells when a job's process dies.

    RQ's three detection times are lowered from minutes to seconds, and a work-horse that was killed, for which RQ
    calls no callback, ends its record with a message in its thread. On SIGTERM what it runs hears of it, and it takes
    nothing more.
    """

    job_class = SealedJob

    def __init__(self, queue_name: str, redis: Redis) -> None:
        super().__init__(
            [queue(queue_name, redis)],
            connection=redis,
            job_class=SealedJob,
            serializer="json",
            worker_ttl=30,
            maintenance_interval=10,
            job_monitoring_interval=5,
            work_horse_killed_handler=_tell_killed,
        )

    def handle_warm_shutdown_request(self) -> None:
        """RQ calls this on SIGTERM."""
        shutdown.begin()
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]

    def teardown(self) -> None:
        """RQ calls this before it leaves.

        It leaves by an exception out of the signal's handler, wherever that finds it: the reply to a command that was
        just sent may still be unread, and the next command on that connection would take it for its own.
        """
        self.connection.connection_pool.disconnect(inuse_connections=False)
        super().teardown()  # type: ignore[no-untyped-call]

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **named: Any) -> Any:
        """The next job; what is no job's id, and would end the worker, is thrown away."""
        while True:
            try:
                return super().dequeue_job_and_maintain_ttl(*arguments, **named)
            except UnicodeDecodeError:
                for each in self.queues:
                    queues.throw_away_garbage(each, self.connection)


def work(queue_name: str, ready: Callable[[], None]) -> None:
    """Serve a queue until SIGTERM; `ready` is called once jobs can be taken. Raises SettingsError."""
    loaded = systems_here().settings
    registry.operations()
    preload()
    redis = connect(loaded, patience_seconds=60)
    worker = OperationsWorker(queue_name, redis)
    redis.ping()
    # Who hears that it is ready may end it before RQ listens.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    ready()
    worker.work(logging_level="WARNING")


def _tell_killed(job: Job, _pid: int, status: int, _usage: object) -> None:
    record = Records(redis_here()).get(str(job.args[0]) if job.args else job.id)
    if record is not None and record.phase is Phase.RUNNING:
        tell_lost(record, redis_here(), f"its process was killed (wait status {status})")
