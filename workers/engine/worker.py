"""A worker of one queue: it takes jobs one after the other, and each runs in a work-horse of its own.

It outlives its Redis: one that is away, a replica after a failover, full, loading or with another password is named in
the log once and waited for. RQ's own loop ends with a traceback at whatever Redis refuses, and leaves the work-horse
alone; so what it asks of Redis is asked here until it is answered.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError
from rq import Worker
from rq.exceptions import StopRequested

from workers import registry
from workers.engine import queues, sealing, shutdown
from workers.engine.queues import SealedJob, queue
from workers.engine.rescuing import tell_lost
from workers.engine.running import redis_here, systems_here
from workers.records.record import Phase
from workers.records.store import Records
from workers.systems import preload
from workers.systems.redis import connect, explained, refuse_cluster

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis
    from rq.job import Job

PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


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
        self._said = ""

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
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except RedisError as error:
            self._waits(error, 0)

    def dequeue_job_and_maintain_ttl(self, *arguments: Any, **named: Any) -> Any:
        """The next job; what is no job's id, and would end the worker, is thrown away."""

        def take() -> Any:
            while True:
                try:
                    return super(OperationsWorker, self).dequeue_job_and_maintain_ttl(*arguments, **named)
                except UnicodeDecodeError:
                    for each in self.queues:
                        queues.throw_away_garbage(each, self.connection)

        return self._until_answered(take)

    def check_for_suspension(self, *arguments: Any, **named: Any) -> Any:
        """See RQ."""
        return self._until_answered(lambda: super(OperationsWorker, self).check_for_suspension(*arguments, **named))

    def register_birth(self) -> None:
        """See RQ: once Redis takes writes. The name is this process's own: what bears it is of a try that broke off."""

        def register() -> None:
            self.connection.delete(self.key)
            super(OperationsWorker, self).register_birth()  # type: ignore[no-untyped-call]

        self._until_answered(register)

    def subscribe(self) -> None:
        """See RQ: once Redis answers."""
        self._until_answered(super().subscribe)

    def set_state(self, *arguments: Any, **named: Any) -> None:
        """See RQ; it is for those who list workers."""
        self._as_far_as_possible(lambda: super(OperationsWorker, self).set_state(*arguments, **named))

    def heartbeat(self, *arguments: Any, **named: Any) -> Any:
        """See RQ; without one it only looks lost to others for a while."""
        return self._as_far_as_possible(lambda: super(OperationsWorker, self).heartbeat(*arguments, **named))

    def maintain_heartbeats(self, *arguments: Any, **named: Any) -> Any:
        """See RQ: its work-horse goes on, and is waited for."""
        return self._as_far_as_possible(lambda: super(OperationsWorker, self).maintain_heartbeats(*arguments, **named))

    def run_maintenance_tasks(self) -> Any:
        """See RQ; the scheduler's sweep does the same."""
        return self._as_far_as_possible(super().run_maintenance_tasks)

    def execute_job(self, job: Job, queue: Any) -> Any:
        """See RQ. What it could not note of a job, the scheduler's sweep finds."""
        return self._as_far_as_possible(lambda: super(OperationsWorker, self).execute_job(job, queue))

    def _pubsub_exception_handler(self, exc: Exception, *_: Any) -> None:
        if not isinstance(exc, RedisError):
            raise exc
        time.sleep(LONGEST_PAUSE_SECONDS)

    def _until_answered(self, call: Callable[[], Any]) -> Any:
        pause = PAUSE_SECONDS
        while True:
            try:
                found = call()
            except RedisError as error:
                self._waits(error, pause)
                pause = min(LONGEST_PAUSE_SECONDS, 2 * pause)
            else:
                if self._said:
                    _log.info("Redis takes jobs and writes again")
                self._said = ""
                return found

    def _as_far_as_possible(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RedisError as error:
            self._waits(error, PAUSE_SECONDS)
            return None

    def _waits(self, error: RedisError, seconds: float) -> None:
        why = str(explained(error, self.connection))
        if why != self._said:
            _log.error("waiting for Redis", why=why)
        self._said = why
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._stop_requested:
                raise StopRequested
            time.sleep(0.1)


def work(queue_name: str, ready: Callable[[], None]) -> None:
    """Serve a queue until SIGTERM; `ready` is called once jobs can be taken. Raises SettingsError."""
    loaded = systems_here().settings
    registry.operations()
    preload()
    redis = connect(loaded, patience_seconds=60)
    worker = OperationsWorker(queue_name, redis)
    _await(redis)
    refuse_cluster(redis)
    # Who hears that it is ready may end it before RQ listens.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    sealing.begin(loaded)
    ready()
    worker.work(logging_level="WARNING")


def _await(redis: Redis) -> None:
    """Until it answers. A wrong password is said at once, and may be put right while we wait."""
    said = ""
    while True:
        try:
            redis.ping()
        except RedisError as error:
            why = str(explained(error, redis))
            if why != said:
                _log.error("waiting for Redis", why=why)
            said = why
            time.sleep(PAUSE_SECONDS)
        else:
            return


def _tell_killed(job: Job, _pid: int, status: int, _usage: object) -> None:
    try:
        record = Records(redis_here()).get(str(job.args[0]) if job.args else job.id)
        if record is not None and record.phase is Phase.RUNNING:
            tell_lost(record, redis_here(), f"its process was killed (wait status {status})")
    except RedisError as error:
        # The scheduler's sweep finds it.
        _log.warning("a lost command could not be told", why=str(explained(error)))
