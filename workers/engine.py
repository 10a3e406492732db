"""What RQ runs, and the workers that run it.

A record is claimed before it runs, so a job that Redis hands out twice runs once.
"""

from __future__ import annotations

import os
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING

import structlog
from redis import Redis
from rq import Worker
from rq.job import Job
from rq.timeouts import JobTimeoutException

from workers import registry, settings
from workers.operation import Operation, OperatorError, Report
from workers.queues import SealedJob, queue
from workers.state import Phase, Record, Records
from workers.systems import Systems, preload
from workers.thread import SlackThread, web_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Progress

_log = structlog.get_logger(__name__)


def run(record_id: str) -> str:
    """RQ calls this in the work-horse: claim the record, do it, tell its thread. Returns the phase it ended in."""
    systems = _systems()
    records = Records(systems.redis)
    record = records.start(record_id, worker=_worker_name())
    if record is None:
        _log.warning("not run again: claimed before", operation_id=record_id)
        return "claimed before"
    with structlog.contextvars.bound_contextvars(operation_id=record.id, operation=record.operation):
        thread = SlackThread(web_client(systems.settings), record)
        try:
            report = perform(registry.build(record.operation, record.arguments), systems, thread)
        except OperatorError as error:
            _log.info("failed", reason=str(error))
            return tell_failure(records, thread, record, error.message, error.hint)
        except JobTimeoutException:
            _log.warning("timed out")
            return tell_failure(
                records, thread, record, "It took longer than allowed and was stopped.", "Check /mlflow health."
            )
        except Exception:  # noqa: BLE001 - the one place where anything else is caught, logged and told
            incident = uuid.uuid4().hex[:8]
            _log.exception("unexpected error", incident=incident)
            return tell_failure(
                records,
                thread,
                record,
                f"Something unexpected happened (id {incident}).",
                f"The workers' log has the details under {incident}.",
            )
        if records.finish(record.id, Phase.DONE, report.summary):
            thread.finish(report)
        return Phase.DONE.value


def perform(operation: Operation, systems: Systems, progress: Progress) -> Report:
    """Run an operation and stamp its report with the time it took. The one way for Slack and the terminal."""
    began = time.monotonic()
    report = operation.run(systems, progress)
    return report.model_copy(update={"took_seconds": time.monotonic() - began})


def tell_failure(records: Records, thread: SlackThread, record: Record, message: str, hint: str) -> str:
    """End a record as failed and say so in its thread, once. Returns the phase."""
    if records.finish(record.id, Phase.FAILED, message):
        thread.fail(message, hint)
    return Phase.FAILED.value


class OperationsWorker(Worker):
    """A worker of one queue that notices and tells when a job's process dies.

    RQ's three detection times are lowered from minutes to seconds (a dead worker is noticed within 90 s), and a
    work-horse that was killed, for which RQ calls no callback, ends its record and tells the thread.
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


def work(queue_name: str, ready: Callable[[], None]) -> None:
    """Serve a queue until SIGTERM; `ready` is called once jobs can be taken. Raises SettingsError."""
    systems = _systems()
    systems.settings.environment.require("slack_bot_token")
    registry.operations()
    preload()
    worker = OperationsWorker(queue_name, systems.redis)
    systems.redis.ping()
    ready()
    worker.work(logging_level="WARNING")


def _tell_killed(job: Job, _pid: int, status: int, _usage: object) -> None:
    systems = _systems()
    record = Records(systems.redis).get(job.id)
    if record is None:
        return
    tell_lost(systems, record, f"its process was killed (wait status {status})")


def tell_lost(systems: Systems, record: Record, why: str) -> None:
    """End a record whose process is gone, and say so in its thread."""
    _log.error("lost", operation_id=record.id, why=why)
    thread = SlackThread(web_client(systems.settings), record)
    message = f"The worker lost this command: {why}."
    tell_failure(Records(systems.redis), thread, record, message, "Ask again; if it repeats, see the workers' log.")


@cache
def _systems() -> Systems:
    return Systems(settings.load())


def _worker_name() -> str:
    return os.environ.get("RQ_WORKER_ID", "")
