"""What RQ runs, and the workers that run it.

A record is claimed before it runs, so a job that Redis hands out twice runs once; and it ends together with the words
about it, so whatever kills a process, its thread is told: by itself, by its worker where the work-horse dies, by the
scheduler's sweep where both do. Nothing is retried: only what nobody has begun is queued again, and what may be
taken up where it stopped when its worker is replaced (see workers.engine.shutdown).
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
import uuid
from functools import cache, partial
from math import inf
from typing import TYPE_CHECKING, Any

import structlog
from redis import Redis
from rq import Worker
from rq.job import Job

from workers import registry, settings
from workers.engine import approvals, locks, queues, shutdown, timeouts
from workers.engine.lease import Signs, alive
from workers.engine.queues import SealedJob, queue
from workers.errors import OperatorError
from workers.operation import Caller, Cancelled, Operation, Plan, Risk
from workers.operations.commands import dry_run
from workers.records import counters
from workers.records.outbox import Outbox, draft
from workers.records.record import TERMINAL, Phase, Record, Records, Stage, connect, new_id
from workers.rendering import message as render
from workers.rendering import proposals, thread
from workers.rendering.message import plain, whom
from workers.report import Report, Status
from workers.systems import Systems, preload

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Progress
    from workers.records.outbox import Kind

PATIENCE_SECONDS = 600.0
"""How long the end of a command waits for Redis."""

_log = structlog.get_logger(__name__)


def run(record_id: str) -> str:
    """RQ calls this in the work-horse: claim a stage of the record, and do it. Returns the phase that it led to."""
    records = Records(_redis())
    known = records.get(record_id)
    record = known and records.start(record_id, worker=_worker_name(), stage=known.stage, turn=known.turn)
    if not record:
        _log.warning("not run again: claimed or ended before", operation_id=record_id)
        return "claimed before"
    with (
        structlog.contextvars.bound_contextvars(operation_id=record.id, operation=record.operation),
        alive(records, record) as signs,
    ):
        if record.stage is Stage.PLAN:
            return _plan(record, records).value
        if record.stage is Stage.LOOK:
            return _look(record, records).value
        after: dict[str, Any] = {}

        def carry_out(operation: Operation) -> Report:
            report = _carried_out(operation, record, signs)
            after.update(undo=report.undo, offers=[offer.command for offer in report.offers])
            return report

        try:
            ended = _attempt(record, carry_out)
        except _HandedOver:
            return _hand_over(record, records).value
        return _end(record, records, ended, **after).value


def _plan(record: Record, records: Records) -> Phase:
    """Make the plan; then it waits for its approvers, or, where it needs none, for an `ops` worker."""
    made: list[Plan] = []

    def plan(operation: Operation) -> Report:
        plan = operation.plan(_systems())
        if plan.estimate_seconds is None:
            plan = plan.model_copy(update={"estimate_seconds": counters.usual_seconds(_redis(), operation.name)})
        made.append(plan)
        return Report(title=operation.title, status=Status.OK, summary=plan.summary)

    ended = _attempt(record, plan)
    if not made or ended[0] is not Phase.DONE:
        return _end(record, records, ended)
    phase = Phase.PENDING if record.approvals else Phase.QUEUED
    waits = record.model_copy(update={"phase": phase})
    fields: dict[str, Any] = {"phase": phase, "plan": made[0].model_dump(mode="json"), "digest": made[0].digest}
    if phase is Phase.QUEUED:
        fields |= queues.run_fields(record.operation)
    words = [draft("edit", proposals.proposal(made[0], waits).calling(record.calls))]
    if record.break_glass:
        words.append(draft("broadcast", proposals.alarm(record)))
    if phase is Phase.QUEUED and made[0].warnings:
        words.append(draft("reply", proposals.warned(made[0])))
    words += [draft("file", each) for each in render.files(made[0].title, made[0].attachments)]
    if records.move(record.id, *words, before=Phase.RUNNING, **fields) and phase is Phase.QUEUED:
        queues.enqueue_run(record.id, _redis())
    return phase


def _look(record: Record, records: Records) -> Phase:
    """Tell what the run whose worker died has left."""
    left: list[str] = []

    def look(operation: Operation) -> Report:
        left.append(operation.aftermath(_systems(), Plan.model_validate(record.plan)))
        return Report(title=operation.title, status=Status.FAIL, summary=left[0])

    phase, why, words = _attempt(record, look)
    if left:
        told = f"{record.outcome} {left[0]}"
        return _end(record, records, _failed(record, told, "It can be asked for again at once."))
    if phase is Phase.FAILED:
        unknown = f"{record.outcome} What it has left could not be looked at: {why}"
        return _end(record, records, _failed(record, unknown, "See /mlflow health."))
    return _end(record, records, (phase, why, words))


def _carried_out(operation: Operation, record: Record, signs: Signs) -> Report:
    systems = _systems()
    cancellable = not operation.goes_on
    grace = systems.settings.environment.grace_seconds if cancellable else inf
    progress = thread.SlackThread(
        Outbox(systems.redis),
        record,
        Records(systems.redis),
        cancellable=cancellable,
        should_stop=partial(shutdown.should_stop, resumes=operation.resumes, grace_seconds=grace),
    )
    if operation.risk is Risk.READ:
        return perform(operation, systems, progress)
    with locks.held(_redis(), record, operation.touches) as taken:
        signs.beside(taken.renew)
        difference = Plan.model_validate(record.plan).difference(operation.plan(systems))
        if difference:
            raise Moved(
                f"Nothing was done: things have changed since this was planned. {difference}",
                "Ask again to see the new plan.",
            )
        return perform(operation, systems, progress)


def _attempt(  # noqa: PLR0911 - each way out has its own words
    record: Record, do: Callable[[Operation], Report]
) -> tuple[Phase, str, list[tuple[Kind, str]]]:
    try:
        operation = registry.build(record.operation, record.arguments)
        with timeouts.limit(operation.timeout_seconds):
            report = do(operation)
    except Moved as error:
        _log.info("not done: the world has moved", reason=str(error))
        return Phase.FAILED, error.message, thread.failure(record, error.message, error.hint, again=True)
    except locks.Held as error:
        _log.info("not done: locked", reason=str(error))
        words = thread.failure(record, error.message, error.hint, again=True, holder=error.requester)
        return Phase.FAILED, error.message, words
    except OperatorError as error:
        _log.info("failed", reason=str(error))
        return _failed(record, error.message, error.hint)
    except Cancelled as cancelled:
        return _stopped(record, cancelled.left)
    except timeouts.TimedOut:
        _log.warning("timed out")
        return _failed(record, "It took longer than allowed and was stopped.", "Check /mlflow health.")
    except (Exception, SystemExit):  # noqa: BLE001 - the one place where anything else is caught, logged and told
        incident = uuid.uuid4().hex[:8]
        _log.exception("unexpected error", incident=incident)
        return _failed(
            record,
            f"Something unexpected happened (id {incident}).",
            f"The workers' log has the details under {incident}.",
        )
    # What could not be done, or was put back, is reported as a failure by its status.
    phase = Phase.FAILED if operation.risk is not Risk.READ and report.status is Status.FAIL else Phase.DONE
    return phase, report.summary, thread.success(record, report)


def _end(record: Record, records: Records, ended: tuple[Phase, str, list[tuple[Kind, str]]], **after: Any) -> Phase:
    """after: what buttons ask for from then on."""
    phase, outcome, words = ended
    if not records.finish(record.id, phase, outcome, *words, **after):
        _log.warning("ended by somebody else", phase=phase, outcome=outcome)
    return phase


def _hand_over(record: Record, records: Records) -> Phase:
    """Have another worker take it up where it stopped."""
    step = "Its worker is being replaced: another one goes on with it."
    words = draft("edit", render.under_way(record.words, record.requester, step, ""))
    fields = queues.handed_over_fields(record)
    if records.move(record.id, words, before=Phase.RUNNING, **fields):
        _log.info("handed over", times=fields["handovers"])
        queues.enqueue_run(record.id, _redis())
    return Phase.QUEUED


def _stopped(record: Record, left: str) -> tuple[Phase, str, list[tuple[Kind, str]]]:
    """By a person, or for its worker's sake: then it ends here, or raises _HandedOver."""
    _log.info("stopped", left=left)
    by = Records(_redis()).asked_to_stop(record.id)
    if by is None and shutdown.since() is not None:
        if registry.operations()[record.operation].resumes:
            raise _HandedOver
        message = f"It was stopped at a safe point, because its worker is being replaced. {left}".strip()
        return Phase.FAILED, message, thread.failure(record, message, "Ask again.", again=True)
    message = f"stopped at a safe point, as {whom(by)} asked." if by else "stopped at a safe point."
    if left:
        message += f" {plain(left)}"
    return Phase.CANCELLED, message, thread.cancellation(record, message)


def _failed(record: Record, message: str, hint: str) -> tuple[Phase, str, list[tuple[Kind, str]]]:
    return Phase.FAILED, message, thread.failure(record, message, hint)


def perform(operation: Operation, systems: Systems, progress: Progress) -> Report:
    """Run an operation and stamp its report with the time it took. The one way for Slack and the terminal."""
    began = time.monotonic()
    report = operation.run(systems, progress)
    return report.model_copy(update={"took_seconds": time.monotonic() - began})


def perform_here(operation: Operation, words: str, name: str | None, systems: Systems, progress: Progress) -> Report:
    """Run an operation in this process, without Slack. What changes something is done in somebody's `name` only, else
    its plan is reported; it takes its locks in Redis as any other, and keeps them. Raises OperatorError and Cancelled.
    """
    requester = f"{render.BY_TERMINAL}{name or ''}"
    caller = Caller(record_id=new_id(), requester=requester, channel=TERMINAL)
    operation = operation.asked_by(caller)
    if operation.risk is Risk.READ:
        return perform(operation, systems, progress)
    plan = operation.plan(systems)
    if name is None:
        return dry_run.shown(plan, do=f"mlflow-ops run {shlex.quote(words)} --yes-by NAME")
    record = Record(
        id=caller.record_id,
        operation=operation.name,
        arguments=operation.model_dump(mode="json"),
        words=words,
        requester=requester,
        channel=TERMINAL,
        phase=Phase.RUNNING,
        started_at=time.time(),
        worker=TERMINAL,
        digest=plan.digest,
    )
    records = Records(systems.redis)
    records.begin_here(record)
    phase, outcome = Phase.FAILED, "it broke off"
    try:
        with alive(records, record) as signs, locks.held(systems.redis, record, operation.touches) as taken:
            signs.beside(taken.renew)
            report = perform(operation, systems, progress)
        phase = Phase.FAILED if report.status is Status.FAIL else Phase.DONE
        outcome = report.summary
    except OperatorError as error:
        outcome = error.message
        raise
    except Cancelled as cancelled:
        phase, outcome = Phase.CANCELLED, f"stopped at a safe point. {cancelled.left}".rstrip()
        raise
    finally:
        records.finish(record.id, phase, outcome)
    return report


class Moved(OperatorError):  # noqa: N818 - its message is a sentence for people
    """What was planned is not what would happen now."""


class _HandedOver(BaseException):
    """It stopped for its worker's sake, and goes on elsewhere."""


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
    loaded = _systems().settings
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
    record = Records(_redis()).get(str(job.args[0]) if job.args else job.id)
    if record is not None and record.phase is Phase.RUNNING:
        tell_lost(record, _redis(), f"its process was killed (wait status {status})")


def rescue(redis: Redis) -> None:
    """End every record whose worker is gone or whose time is over, and queue again what nobody began."""
    records = Records(redis)
    for record_id in records.open():
        record = records.get(record_id)
        if record is None:
            continue
        if record.phase is Phase.RUNNING and not records.alive(record_id):
            tell_lost(record, redis, "its worker is gone")
        elif record.phase is Phase.PENDING:
            approvals.expire(redis, record, time.time())
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
        message = f"{record.outcome} What it has left could not be looked at: {why}."
    phase, outcome, words = _failed(record, message, "Ask again; if it repeats, see the workers' log.")
    Records(redis).finish(record.id, phase, outcome, *words)


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


@cache
def _systems() -> Systems:
    return Systems(settings.load())


@cache
def _redis() -> Redis:
    return connect(_systems().settings, patience_seconds=PATIENCE_SECONDS)


def _worker_name() -> str:
    return os.environ.get("RQ_WORKER_ID", "")
