"""An operation is carried out in this process: for a record, or in a terminal, which needs no Slack."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

from workers import registry
from workers.engine import locks
from workers.engine.lease import alive
from workers.errors import AlreadySo, OperatorError
from workers.operation import Caller, Cancelled, Later, Risk, planned_with
from workers.records.record import TERMINAL, Ending, Phase, Record, new_id
from workers.records.requester import BY_TERMINAL
from workers.records.store import Records
from workers.rendering import dry_run
from workers.report import Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Operation, Plan, Progress
    from workers.systems import Systems


LOOK_SECONDS = 0.5
"""How often a terminal that waits is asked whether it is to stop."""


def perform(operation: Operation, systems: Systems, progress: Progress) -> Report:
    """Run an operation and stamp its report with the time it took. The one way for Slack and the terminal."""
    began = time.monotonic()
    report = operation.run(systems, progress)
    return report.model_copy(update={"took_seconds": time.monotonic() - began})


def already(operation: Operation, so: AlreadySo) -> Report:
    """The report on what is so already: that is well, and nothing was done."""
    return Report(title=operation.title, status=Status.OK, summary=str(so))


def in_place_of(operation: Operation, plan: Plan, caller: Caller) -> Operation:
    """What is run of a plan: the operation itself, or what its plan names instead. Raises OperatorError."""
    if plan.instead is None:
        return operation
    return registry.build(plan.instead.operation, plan.instead.arguments).asked_by(caller)


def perform_here(  # noqa: PLR0913 - all but the last as `run` needs them
    operation: Operation,
    words: str,
    name: str | None,
    systems: Systems,
    progress: Progress,
    *,
    begins: Callable[[Plan], None] = lambda _: None,
) -> Report:
    """Run an operation in this process, without Slack. What changes something is done in somebody's `name` only, else
    its plan is reported; it takes its locks in Redis as any other, and keeps them. begins: told of a plan that is about
    to be carried out. Raises OperatorError and Cancelled.
    """
    try:
        return _performed(operation, words, name, systems, progress, begins=begins)
    except AlreadySo as so:
        return already(operation, so)


def _performed(  # noqa: PLR0913 - as above
    operation: Operation,
    words: str,
    name: str | None,
    systems: Systems,
    progress: Progress,
    *,
    begins: Callable[[Plan], None],
) -> Report:
    requester = f"{BY_TERMINAL}{name or ''}"
    caller = Caller(record_id=new_id(), requester=requester, channel=TERMINAL)
    operation = operation.asked_by(caller)
    if operation.risk is Risk.READ:
        return perform(operation, systems, progress)
    with planned_with(progress):
        plan = operation.plan(systems)
    if name is None:
        return dry_run.report(plan, do=f"mlflow-ops run {shlex.quote(words)} --yes-by NAME")
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
    ending = Ending(Phase.FAILED, "it broke off")
    try:
        with alive(records, record) as signs:
            with locks.held(systems.redis, record, operation.touches) as taken:
                signs.beside(taken.renew)
                begins(plan)
                carried_out = in_place_of(operation, plan, caller.model_copy(update={"words": words}))
                found = _once(carried_out, systems, progress)
            report = _to_its_end(found, systems, progress)
        ending = Ending(Phase.FAILED if report.status is Status.FAIL else Phase.DONE, report.summary)
    except AlreadySo as so:
        ending = Ending(Phase.DONE, so.message)
        raise
    except OperatorError as error:
        ending = Ending(Phase.FAILED, error.message)
        raise
    except Cancelled as cancelled:
        ending = Ending(Phase.CANCELLED, f"stopped at a safe point. {cancelled.left}".rstrip())
        raise
    finally:
        records.finish(record.id, ending)
    return report


def _once(operation: Operation, systems: Systems, progress: Progress) -> Report | Later:
    try:
        return perform(operation, systems, progress)
    except Later as later:
        return later


def _to_its_end(found: Report | Later, systems: Systems, progress: Progress) -> Report:
    """A terminal waits itself for what is decided outside; without locks."""
    while isinstance(found, Later):
        progress.step(found.step, found.of)
        until = time.monotonic() + found.seconds
        while time.monotonic() < until:
            progress.checkpoint()
            time.sleep(min(LOOK_SECONDS, found.seconds))
        found = _once(registry.build(found.then.operation, found.then.arguments), systems, progress)
    return found
