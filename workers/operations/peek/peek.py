"""`peek`: open MLflow as it was at a moment, say what is open, and close it again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AwareDatetime, Field
from redis.exceptions import RedisError

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup.wal.archive import moment_of
from workers.operations.kubectl import by_hand, kubectl
from workers.operations.peek import pod, state
from workers.operations.peek.state import Asked, Host
from workers.operations.restore import moment
from workers.report import Facts, Links, Report, Section, Status, Text
from workers.settings import SettingsError
from workers.wording import duration

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems import Systems

LOCK: Final = "peek"
HOST_SECONDS: Final = 2 * 3600.0
"""For the database to be brought back."""
BEGIN_SECONDS: Final = 60.0
"""For the host to say its first word."""
END_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 0.5
_WITHOUT: Final = (
    "Artifacts can't be opened in it: it has no access to their store. Bring them back with restore artifacts --at.",
    "It asks nobody for a password: who reaches it reads all of MLflow as it was.",
)


class Peek(Operation):
    """Open MLflow as it was at a moment, read-only. seconds: for how long."""

    name: ClassVar[str] = "peek"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (LOCK,)
    timeout_seconds: ClassVar[int] = 3 * 3600

    at: AwareDatetime
    seconds: Annotated[float, Field(ge=60, le=24 * 3600)] = 3600

    def plan(self, systems: Systems) -> Plan:
        """From what it would be brought back, and where it would run. Raises OperatorError where it cannot be."""
        _refuse_another(systems)
        chosen = moment.choose(systems, self.at)
        base = moment.of_base(chosen).base
        pod.require_room(systems, self._asked(systems, chosen))
        names = systems.settings.ops.kubernetes
        return Plan(
            title="Peek",
            summary=f"MLflow {chosen.words}, read-only, for {duration(self.seconds)}",
            steps=(
                f"Fetch the base backup of {moment_of(base.finished_at)} into this worker's volume",
                f"Replay the WAL up to {moment_of(chosen.at)} in a private PostgreSQL, which stays in recovery",
                f"Run the image of deployment/{names.deployment} on it, as a Job, and try whether it can write",
                f"Remove both after {duration(self.seconds)}",
            ),
            changes=(Change(what=f"a Job in {names.namespace}", before="none", after=f"for {duration(self.seconds)}"),),
            warnings=_WITHOUT,
            undo="/mlflow peek stop",
            estimate_seconds=chosen.estimate_seconds + 30,
            sections=(Facts(items=chosen.facts(datetime.now(UTC))),),
            facts={"moment": chosen.at.isoformat(), "base": base.name, "seconds": self.seconds},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Open it. Raises OperatorError where it doesn't come to that, and Cancelled: then nothing stays."""
        _refuse_another(systems)
        chosen = moment.choose(systems, self.at)
        wanted = self._asked(systems, chosen, HOST_SECONDS)
        try:
            state.ask(systems.redis, wanted, time.time())
            _start_host(wanted)
            where = _hosted(systems, progress, wanted)
            # Its time begins now.
            wanted = wanted.model_copy(update={"until": time.time() + self.seconds})
            state.ask(systems.redis, wanted, time.time())
            progress.step(f"Starting MLflow on it as job/{wanted.job}", of="Run the image")
            pod.open_on(systems, progress, wanted, where)
        except BaseException:
            state.withdraw(systems.redis)
            systems.cluster.delete_job(wanted.job)
            raise
        state.ask(systems.redis, wanted.model_copy(update={"opened": True}), time.time())
        return Report(
            title="Peek",
            status=Status.OK,
            summary=f"MLflow {chosen.words} is open until {_clock(wanted.until)}, read-only.",
            sections=(*_way(systems.settings, wanted), Text(text=" ".join(_WITHOUT))),
            hints=("peek stop", f"restore database --at {chosen.at:%Y-%m-%dT%H:%M:%SZ} --dry-run"),
            undo="peek stop",
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - it says the same for each plan
        """Close what was half open. Raises AlreadySo where it is open."""
        wanted = state.asked(systems.redis)
        if wanted and wanted.opened:
            raise AlreadySo(f"MLflow as it was at {moment_of(wanted.at)} is open: {_where(systems.settings, wanted)}")
        close(systems)
        return "It wasn't open yet. What was begun is removed."

    def _asked(self, systems: Systems, chosen: moment.Chosen, spare_seconds: float = 0.0) -> Asked:
        url = systems.settings.ops.peek.url
        until = time.time() + self.seconds + spare_seconds
        return Asked(id=chosen.id, at=self.at, until=until, job=pod.name(systems.settings), url=str(url) if url else "")


class PeekList(Operation):
    """What is open."""

    name: ClassVar[str] = "peek-list"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Look at what is asked for, at its host and at its Job. Raises OperatorError."""
        progress.step("Looking for what is open")
        wanted, hosted, jobs = state.asked(systems.redis), state.host(systems.redis), pod.serving(systems)
        if wanted is None:
            return Report(title="Peeks", status=Status.OK, summary="Nothing is open.", hints=("peek --at 10m",))
        lacks = _lacks(wanted, hosted, jobs)
        return Report(
            title="Peeks",
            status=Status.WARN if lacks else Status.OK,
            summary=lacks or f"MLflow as it was at {moment_of(wanted.at)} is open until {_clock(wanted.until)}.",
            sections=_way(systems.settings, wanted),
            hints=("peek stop",),
        )


class PeekStop(Operation):
    """Close what is open, before its time."""

    name: ClassVar[str] = "peek-stop"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (LOCK,)

    def plan(self, systems: Systems) -> Plan:
        """What would be closed. Raises AlreadySo where nothing is open."""
        wanted, jobs = state.asked(systems.redis), pod.running(systems)
        if wanted is None and not jobs and state.host(systems.redis) is None:
            raise AlreadySo("Nothing is open.")
        what = f"MLflow as it was at {moment_of(wanted.at)}" if wanted else "what a peek has left"
        return Plan(
            title="Close the peek",
            summary=what,
            steps=("Remove the Job", "Stop the private PostgreSQL and remove its files"),
            facts={"jobs": list(jobs)},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Close it. Raises OperatorError."""
        progress.step("Closing it", of="Remove the Job")
        close(systems)
        progress.step("Waiting until its private PostgreSQL has ended", of="Stop the private PostgreSQL")
        until = time.monotonic() + END_SECONDS
        while state.host(systems.redis) is not None:
            progress.checkpoint()
            if time.monotonic() > until:
                summary = "The Job is removed; the private PostgreSQL hasn't said that it is gone."
                return Report(title="Close the peek", status=Status.WARN, summary=summary, hints=("peek list",))
            time.sleep(LOOK_SECONDS)
        return Report(title="Close the peek", status=Status.OK, summary="Closed. Nothing of it is left.")


def close(systems: Systems) -> None:
    """Have host and Job end. Raises OperatorError."""
    state.withdraw(systems.redis)
    for each in pod.running(systems):
        systems.cluster.delete_job(each)


def open_now(systems: Systems) -> Asked | None:
    """The peek that is open; None where none is, or Redis can't be asked."""
    try:
        wanted = state.asked(systems.redis)
    except (RedisError, SettingsError):
        return None
    return wanted if wanted and wanted.opened else None


def _refuse_another(systems: Systems) -> None:
    wanted = state.asked(systems.redis)
    if wanted is not None:
        raise OperatorError(
            f"MLflow as it was at {moment_of(wanted.at)} is open until {_clock(wanted.until)}; one can be at a time.",
            "Close it first: /mlflow peek stop.",
        )


def _start_host(wanted: Asked) -> None:
    command = [sys.executable, "-m", "workers.operations.peek.host", wanted.model_dump_json()]
    # In a session of its own: it outlives this command, and the process that carries it out.
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ),
        start_new_session=True,
    )


def _hosted(systems: Systems, progress: Progress, wanted: Asked) -> str:
    """The address of its database, once that is there. Raises OperatorError, Cancelled."""
    began = heard = time.monotonic()
    last = ""
    while time.monotonic() - began < HOST_SECONDS:
        progress.checkpoint()
        how = state.host(systems.redis)
        if how and how.id == wanted.id:
            heard = time.monotonic()
            if how.problem:
                raise OperatorError(how.problem, how.hint)
            if how.address:
                return how.address
            if how.step != last:
                last = how.step
                progress.step(last, of=how.of)
        elif time.monotonic() - heard > BEGIN_SECONDS:
            break
        time.sleep(LOOK_SECONDS)
    raise OperatorError("The program that hosts the database of that moment is silent.", "See the worker's log.")


def _lacks(wanted: Asked, hosted: Host | None, jobs: list[str]) -> str:
    if not wanted.opened:
        step = hosted.step if hosted else ""
        return f"MLflow as it was at {moment_of(wanted.at)} isn't open yet{f': {step}' if step else ''}."
    if hosted and hosted.problem:
        return f"MLflow as it was at {moment_of(wanted.at)} isn't there: {hosted.problem}"
    lacks = [*(() if hosted else ("its database",)), *(() if wanted.job in jobs else ("its Job",))]
    return f"MLflow as it was at {moment_of(wanted.at)} isn't there: {' and '.join(lacks)} ended." if lacks else ""


def _way(settings: Settings, wanted: Asked) -> tuple[Section, ...]:
    """How people get there."""
    name = f"MLflow as it was at {moment_of(wanted.at)}"
    if wanted.url:
        return (Links(items=((name, wanted.url),)),)
    line = forward(settings, wanted)
    return (by_hand(line), Text(text=f"Then open {local(settings)}; Ctrl-C ends it."))


def _where(settings: Settings, wanted: Asked) -> str:
    return wanted.url or forward(settings, wanted)


def forward(settings: Settings, wanted: Asked) -> str:
    """The line for a shell that leads to its pod."""
    port = settings.ops.peek.port
    return kubectl(settings, "port-forward", f"job/{wanted.job}", f"{port + 1}:{port}")


def local(settings: Settings) -> str:
    """Where that line has it: not where one to the live MLflow would."""
    return f"http://127.0.0.1:{settings.ops.peek.port + 1}"


def _clock(until: float) -> str:
    return f"{datetime.fromtimestamp(until, UTC):%H:%M} UTC"
