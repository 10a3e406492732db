"""What a run has left whose worker died, or whose record Redis may have lost: looked at in the world, and mended.

A worker that is killed leaves what its operation can tell of (`aftermath`), which also puts back what it kept people
out of: under the same locks, so that nothing is put back that another command has just taken away. A record in doubt
may have been run, and ended, in what Redis has lost: if the world is as it was when the plan was made, it goes on as if
nothing had been; else it ends with what is there. Where the plan is lost too, it is mended all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers import registry
from workers.engine import locks, queues
from workers.engine.patience import patiently
from workers.engine.rescuing import look_again
from workers.errors import AlreadySo, OperatorError
from workers.operation import Plan, Risk
from workers.records.record import Phase, Record
from workers.records.store import NO_JOB, Records
from workers.rendering import message, thread
from workers.report import Report, Status
from workers.systems.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from workers.engine.lease import Signs
    from workers.operation import Operation
    from workers.records.record import Ending
    from workers.systems import Systems


_FORGOTTEN = Plan(title="", summary="", steps=())
"""In the place of a plan that Redis has lost: nothing can be compared with it."""


def look(
    record: Record,
    attempt: Callable[[Callable[[Operation], Report]], Ending],
    systems: Systems,
    redis: Redis,
    signs: Signs,
) -> Phase:
    """Look, mend and tell, or look again later; the phase that it led to. attempt: how something is done with it."""
    planned = Plan.model_validate(record.plan) if record.plan else _FORGOTTEN
    left: list[str] = []
    away: list[str] = []
    carried_out: list[str] = []

    def at(operation: Operation) -> Report:
        touches = registry.operations()[record.operation].touches
        try:
            with locks.held(redis, record, touches) as taken:
                signs.beside(taken.renew)
                if record.resumes is not None and _untouched(record, systems, planned):
                    return Report(title=operation.title, status=Status.OK, summary="")
                carried_out.append("" if _another(record, planned) else _carried_out(operation, systems, planned))
                left.append(_aftermath(operation, systems, planned, carried_out))
        except (GatewayError, locks.Held) as error:
            away.append(error.message)
            raise
        return Report(title=operation.title, status=Status.FAIL, summary=left[0])

    ending = attempt(at)
    if left and planned is _FORGOTTEN:
        ending = thread.failure(record, str(record.outcome), message.AFTER_FORGOTTEN, again=True)
    elif left and carried_out[0]:
        said = Report(title=planned.title, status=Status.WARN, summary=f"{record.outcome} {left[0]}")
        ending = thread.success(record, said)
    elif left:
        ending = thread.failure(record, f"{record.outcome} {left[0]}", "It can be asked for again at once.")
    elif away:
        patiently(lambda: look_again(record, redis, away[0]))
        return Phase.QUEUED
    elif ending.phase is Phase.DONE:
        return _go_on(record, redis)
    elif ending.phase is Phase.FAILED:
        unknown = f"{record.outcome} What it has left could not be looked at: {ending.outcome}"
        ending = thread.failure(record, unknown, "See /mlflow health.")
    records = Records(redis)
    patiently(lambda: records.finish(record.id, ending, claim=record))
    return ending.phase


def _untouched(record: Record, systems: Systems, planned: Plan) -> bool:
    """Whether its plan would be the same now: nothing of it was done. Raises GatewayError where nobody knows."""
    try:
        return not planned.difference(registry.build(record.operation, record.arguments).plan(systems))
    except GatewayError:
        raise
    except OperatorError:
        return False


def _aftermath(operation: Operation, systems: Systems, planned: Plan, carried_out: list[str]) -> str:
    """What it has left; that it raises AlreadySo means that nothing was left to do."""
    try:
        return operation.aftermath(systems, planned)
    except AlreadySo as done:
        carried_out[0] = done.message
        return done.message


def _another(record: Record, planned: Plan) -> bool:
    """Whether what was run is told otherwise: what was proposed, by what became of the proposal."""
    return planned is _FORGOTTEN or (planned.instead is not None and planned.instead.operation != record.operation)


def _carried_out(operation: Operation, systems: Systems, planned: Plan) -> str:
    try:
        return operation.carried_out(systems, planned)
    except AlreadySo as done:
        return done.message
    except GatewayError:
        raise
    except OperatorError:
        return ""


def _go_on(record: Record, redis: Redis) -> Phase:
    """As before it was doubted. What is destructive and was to be run is not: nobody knows how far it had come."""
    records, before = Records(redis), Phase((record.resumes or {})["phase"])
    if registry.operations()[record.operation].risk is Risk.DESTRUCTIVE and before is not Phase.PENDING:
        said = f"{record.outcome} Nothing had been changed."
        ending = thread.failure(record, said, "Ask again.", again=True)
        patiently(lambda: records.finish(record.id, ending, claim=record))
        return ending.phase
    turns = record.handovers + 1
    fields = {**(record.resumes or {}), "outcome": None, "resumes": None, "handovers": turns}
    job = NO_JOB
    if before is not Phase.PENDING:
        job = queues.run_job(record.model_copy(update=fields), redis)
    patiently(lambda: records.move(record.id, before=Phase.RUNNING, claim=record, job=job, **fields))
    return before
