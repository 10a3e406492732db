"""What RQ runs: one stage of one command, from its claim to its end.

A record is claimed before it runs, so a job that Redis hands out twice runs once; and it ends together with the words
about it, so whatever kills a process, its thread is told: by itself, by its worker where the work-horse dies, by the
scheduler's sweep where both do (see workers.engine.rescuing). Nothing is retried: only what nobody has begun is queued
again, and what may be taken up where it stopped when its worker is replaced (see workers.engine.shutdown).

What ends or goes on is written by the claim that holds, and waits for a Redis that is away, full or a replica: what was
done in the world is not told as lost because Redis took no writes for a while.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from math import inf
from typing import TYPE_CHECKING, Any

import structlog
from redis import Redis
from redis.exceptions import RedisError

from workers import registry, settings
from workers.engine import approvals, following, locks, looking, queues, rights, shutdown, timeouts
from workers.engine.lease import Signs, alive, stop_here
from workers.engine.patience import PATIENCE_SECONDS, patiently
from workers.engine.performing import already, in_place_of, perform
from workers.engine.rescuing import have_it_looked_at
from workers.errors import AlreadySo, OperatorError
from workers.operation import Caller, Cancelled, Later, Operation, Plan, Risk, Unwatched, planned_with
from workers.records import counters
from workers.records.message import draft
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Record, Stage
from workers.records.store import NO_JOB, Records
from workers.rendering import message as render
from workers.rendering import proposals, thread
from workers.rendering.blocks import plain, whom
from workers.rendering.walk import Walk
from workers.report import Report, Status
from workers.systems import Systems, fencing
from workers.systems.errors import ClusterNotFound, GatewayError, SilenceMissing, TrackingMissing, Unreachable
from workers.systems.redis import connect, explained

if TYPE_CHECKING:
    from collections.abc import Callable

EXPORT = "audit-export"
EXPORT_SECONDS = 60
NOT_THERE = (ClusterNotFound, TrackingMissing, SilenceMissing)
"""What a system says of a name that somebody got wrong."""
_ENDED = frozenset({Phase.DONE, Phase.FAILED, Phase.CANCELLED})

_log = structlog.get_logger(__name__)


def run(record_id: str) -> str:
    """RQ calls this in the work-horse: claim a stage of the record, and do it. Returns the phase that it led to."""
    records = Records(redis_here())
    records.doubt()
    known = records.get(record_id)
    if known and known.phase is Phase.PROPOSED:
        return _look_outside(known, records).value
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
            phase = looking.look(record, partial(_attempt, record), systems_here(), redis_here(), signs)
            _exported(record, phase)
            return phase.value
        try:
            return _do(record, records, signs).value
        except locks.TakenByItself as earlier:
            _log.warning("not run again: the worker that Redis had lost still runs it", operation_id=record_id)
            records.give_way(record, earlier.token)
            return "claimed before"


def _do(record: Record, records: Records, signs: Signs) -> Phase:
    """What was asked for, to its end or to where somebody else goes on. Raises locks.TakenByItself."""
    after: dict[str, Any] = {}
    walk = Walk((record.plan or {}).get("steps", ()), goes_on=record.continuation is not None)

    def carry_out(operation: Operation) -> Report:
        report = _carried_out(operation, record, signs, walk)
        after.update(undo=report.undo, offers=[offer.command for offer in report.offers])
        return report

    try:
        ending = _attempt(record, carry_out)
    except _HandedOver:
        return _hand_over(record, records)
    except _BrokenOff as broken:
        patiently(partial(have_it_looked_at, record, broken.message, redis_here()))
        return Phase.QUEUED
    except Later as later:
        return patiently(partial(following.begin, record, later, redis_here()))
    ending = replace(ending, messages=(*ending.messages, *thread.walked(record, walk, ending)))
    phase = _end(record, records, ending, **after)
    _exported(record, phase)
    return phase


def _plan(record: Record, records: Records) -> Phase:
    """Make the plan; then it waits for its approvers, or, where it needs none, for an `ops` worker."""
    made: list[Plan] = []

    def plan(operation: Operation) -> Report:
        with planned_with(thread.SlackThread(Outbox(redis_here()), record, records)):
            plan = operation.plan(systems_here())
        if plan.estimate_seconds is None:
            plan = plan.model_copy(update={"estimate_seconds": counters.usual_seconds(redis_here(), operation.name)})
        made.append(plan.model_copy(update={"seen": {"at": datetime.now(UTC).replace(microsecond=0).isoformat()}}))
        return Report(title=operation.title, status=Status.OK, summary=plan.summary)

    ending = _attempt(record, plan)
    if not made or ending.phase is not Phase.DONE:
        return _end(record, records, ending)
    phase = Phase.PENDING if record.approvals else Phase.QUEUED
    waits = record.model_copy(update={"phase": phase})
    fields: dict[str, Any] = {"phase": phase, "plan": made[0].model_dump(mode="json"), "digest": made[0].digest}
    job = NO_JOB
    if phase is Phase.QUEUED:
        fields |= queues.run_fields(record.operation)
        job = queues.run_job(record.model_copy(update=fields), redis_here())
    words = [draft("edit", render.calling(proposals.proposal(made[0], waits), record.calls))]
    if phase is Phase.PENDING:
        words += approvals.requested(made[0], waits)
    if record.break_glass:
        words.append(draft("broadcast", proposals.alarm(record)))
    if phase is Phase.QUEUED and made[0].warnings:
        words.append(draft("reply", proposals.warned(made[0])))
    words += [draft("file", each) for each in render.files(made[0].title, made[0].attachments)]
    _written(record, records, partial(records.move, record.id, *words, before=Phase.RUNNING, job=job, **fields))
    return phase


def _look_outside(record: Record, records: Records) -> Phase:
    """One look at what waits for somebody outside. Nobody claims it; its end is written once."""
    after: dict[str, Any] = {}

    def look(operation: Operation) -> Report:
        report = perform(operation, systems_here(), Unwatched())
        after.update(undo=report.undo, offers=[offer.command for offer in report.offers])
        return report

    with structlog.contextvars.bound_contextvars(operation_id=record.id, operation=record.operation):
        try:
            ending = _attempt(record, look)
        except Later as later:
            return following.go_on(record, later, redis_here())
        if not records.finish(record.id, ending, before=Phase.PROPOSED, **after):
            _log.warning("ended by somebody else", phase=ending.phase, outcome=ending.outcome)
        return ending.phase


def _carried_out(operation: Operation, record: Record, signs: Signs, walk: Walk) -> Report:
    systems = systems_here()
    cancellable = not operation.goes_on
    grace = systems.settings.environment.grace_seconds if cancellable else inf
    progress = thread.SlackThread(
        Outbox(systems.redis),
        record,
        Records(systems.redis),
        walk=walk,
        cancellable=cancellable,
        should_stop=partial(shutdown.should_stop, resumes=operation.resumes, grace_seconds=grace),
        no_longer_ours=stop_here,
    )
    if operation.risk is not Risk.READ and not operation.urgent and record.continuation is None:
        rights.require_at_start(record, systems.settings.ops, redis_here())
    if operation.risk is Risk.READ or record.continuation is not None:
        return perform(operation, systems, progress)
    with locks.held(redis_here(), record, operation.touches) as taken:
        signs.beside(taken.renew)
        with planned_with(progress):
            now = operation.plan(systems)
        difference = Plan.model_validate(record.plan).difference(now)
        if difference:
            raise Moved(
                f"Nothing was done: things have changed since this was planned. {difference}",
                "Ask again to see the new plan.",
            )
        about = {"record_id": record.id, "requester": record.requester, "channel": record.channel}
        caller = Caller(**about, words=record.words, approvers=record.decided_by)
        return perform(in_place_of(operation, now, caller), systems, progress)


def _operation_of(record: Record) -> Operation:
    """What its next stage is about: as it was asked for, or what goes on with it. Raises OperatorError."""
    going_on = record.continuation
    if record.stage is Stage.LOOK and record.plan:
        going_on = record.plan.get("instead")
    if going_on is not None and record.stage is not Stage.PLAN:
        return registry.build(going_on["operation"], going_on["arguments"])
    return registry.build(record.operation, record.arguments)


def _attempt(  # noqa: PLR0911 - each way out has its own words
    record: Record, do: Callable[[Operation], Report]
) -> Ending:
    try:
        operation = _operation_of(record)
        with timeouts.limit(operation.timeout_seconds):
            report = do(operation)
    except locks.TakenByItself:
        raise
    except Moved as error:
        _log.info("not done: the world has moved", reason=str(error))
        return replace(thread.failure(record, error.message, error.hint, again=True), refused=True)
    except locks.Held as error:
        _log.info("not done: locked", reason=str(error))
        ending = thread.failure(record, error.message, error.hint, again=True, holder=error.requester)
        return replace(ending, refused=True)
    except AlreadySo as so:
        return thread.success(record, already(operation, so))
    except OperatorError as error:
        if isinstance(error, Unreachable) and fencing.anything_begun():
            _to_be_looked_at(record, error.message)
        _log.info("failed", reason=str(error))
        refused = record.stage is Stage.PLAN and (not isinstance(error, GatewayError) or isinstance(error, NOT_THERE))
        return replace(thread.failure(record, error.message, error.hint), refused=refused)
    except settings.SettingsError as error:
        _log.warning("a setting is missing or wrong", reason=str(error))
        return thread.failure(record, f"The workers can't do that: {error}", "mlflow-ops check names what is missing.")
    except Cancelled as cancelled:
        return _stopped(record, cancelled.left)
    except (timeouts.TimedOut, Exception, SystemExit) as error:  # noqa: BLE001 - the one place where all else is caught
        message, hint = _broken_off(error)
        _to_be_looked_at(record, message)
        return thread.failure(record, message, hint)
    # What could not be done, or was put back, is reported as a failure by its status.
    failed = operation.risk is not Risk.READ and report.status is Status.FAIL
    return thread.success(record, report, Phase.FAILED if failed else Phase.DONE)


def _to_be_looked_at(record: Record, message: str) -> None:
    """Raises _BrokenOff where this run may have changed something, and nobody knows how far it has come."""
    if record.stage is Stage.RUN and record.plan is not None and record.continuation is None:
        raise _BrokenOff(message) from None


def _broken_off(error: BaseException) -> tuple[str, str]:
    """Why it did not come to an end that it knows of, and what to do; in the log, too."""
    match error:
        case timeouts.TimedOut():
            _log.warning("timed out")
            return "It took longer than allowed and was stopped.", "Check /mlflow health."
        case RedisError():
            why = explained(error, redis_here())
            _log.warning("Redis was of no use while it ran", why=why.message)
            return why.message, why.hint
    incident = uuid.uuid4().hex[:8]
    _log.error("unexpected error", incident=incident, exc_info=error)
    return f"Something unexpected happened (id {incident}).", f"The workers' log has the details under {incident}."


def _end(record: Record, records: Records, ending: Ending, **after: Any) -> Phase:
    """after: what buttons ask for from then on."""
    if not _written(record, records, partial(records.finish, record.id, ending, **after)):
        _log.warning("ended by somebody else", phase=ending.phase, outcome=ending.outcome)
    return ending.phase


def _exported(record: Record, phase: Phase) -> None:
    """Who destroyed what, and who let it, goes at once to where nobody rewrites it; what fails, the schedule does."""
    if phase not in _ENDED or registry.operations()[record.operation].risk is not Risk.DESTRUCTIVE:
        return
    try:
        with timeouts.limit(EXPORT_SECONDS):
            registry.build(EXPORT, {}).run(systems_here(), Unwatched())
    except (OperatorError, settings.SettingsError, RedisError, timeouts.TimedOut) as error:
        _log.warning("the audit record was not exported at its end", why=str(error) or type(error).__name__)


def _hand_over(record: Record, records: Records) -> Phase:
    """Have another worker take it up where it stopped."""
    step = "Its worker is being replaced: another one goes on with it."
    words = draft("edit", render.under_way(record.words, record.requester, step, ""))
    fields = queues.handed_over_fields(record)
    job = queues.run_job(record.model_copy(update=fields), redis_here())
    if _written(record, records, partial(records.move, record.id, words, before=Phase.RUNNING, job=job, **fields)):
        _log.info("handed over", times=fields["handovers"])
    return Phase.QUEUED


def _written(record: Record, records: Records, write: Callable[..., bool]) -> bool:
    """Whether it could be written by this claim; once more where Redis had lost that, and takes it again."""

    def once() -> bool:
        return write(claim=record) or (records.renew(record) and write(claim=record))

    return patiently(once)


def _stopped(record: Record, left: str) -> Ending:
    """By a person, or for its worker's sake: then it ends here, or raises _HandedOver."""
    _log.info("stopped", left=left)
    by = Records(redis_here()).asked_to_stop(record.id)
    if by is None and shutdown.since() is not None:
        if registry.operations()[record.operation].resumes:
            raise _HandedOver
        message = f"It was stopped at a safe point, because its worker is being replaced. {left}".strip()
        return thread.failure(record, message, "Ask again.", again=True)
    message = f"stopped at a safe point, as {whom(by)} asked." if by else "stopped at a safe point."
    if left:
        message += f" {plain(left)}"
    return thread.cancellation(record, message)


class Moved(OperatorError):  # noqa: N818 - its message is a sentence for people
    """What was planned is not what would happen now."""


class _HandedOver(BaseException):
    """It stopped for its worker's sake, and goes on elsewhere."""


class _BrokenOff(BaseException):
    """It ended in a way that no one foresaw: nobody knows how far it has come. message: why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@cache
def systems_here() -> Systems:
    """This process's gateways. A worker's work-horses have them from it."""
    return Systems(settings.load())


@cache
def redis_here() -> Redis:
    """Its patient connection to Redis."""
    return connect(systems_here().settings, patience_seconds=PATIENCE_SECONDS)


def _worker_name() -> str:
    return os.environ.get("RQ_WORKER_ID", "")
