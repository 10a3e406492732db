"""One sandbox from start to end: what `mlflow-ops sandbox` does.

Order: the folder, the lock, what a killed supervisor left, ports, files that tie the parts together, the parts, the
seed, the first health report; then it watches until it is told to end.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import composition, gitops, leftovers, ports, postgres, recovery, web, wiring
from mlflow_ops_sandbox.parts import credentials as credentials_
from mlflow_ops_sandbox.parts.folder import Folder, Lock, read_json, write_json
from mlflow_ops_sandbox.parts.mlflow import environments, samples, seed
from mlflow_ops_sandbox.supervisor import Supervisor
from mlflow_ops_sandbox.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from mlflow_ops_sandbox.parts.credentials import Credentials

_HEALTH_SECONDS = 90.0
_SERVICE_SECONDS = 15.0
# Without one of these there is nothing to learn from a report.
_REPORTED = ("postgres", "mlflow", "objects", "redis", "kubernetes")


def run(  # noqa: PLR0913 - one for each option
    path: Path,
    *,
    fresh: bool,
    slack_port: int | None,
    without: Iterable[str] = (),
    postgres_major: int | None = None,
    mlflow_versions: tuple[str, ...] = (),
    mode: str | None = None,
    point_in_time: bool = False,
) -> None:
    """Start a sandbox and watch it until SIGINT or SIGTERM. Raises SandboxError where that cannot be.

    postgres_major: the version of PostgreSQL; else that of the data, else the newest. mlflow_versions: that of MLflow,
    and those that it can be updated to besides; else as when the data was made, else this environment's. mode: what the
    bot does with what Git manages; None: as it was begun, at first without Git.
    point_in_time: keep the database's WAL from now on.
    """
    began = time.monotonic()
    folder = Folder(path)
    folder.create()
    lock = Lock(folder)
    if not lock.acquire():
        msg = f"A sandbox already runs on {path}: end it with 'mlflow-ops sandbox stop', or name another --data."
        raise SandboxError(msg)
    try:
        terminal = Terminal()
        count = leftovers.end(folder)
        if count:
            what = "a process" if count == 1 else f"{count} processes"
            terminal.say(f"Ended {what} that a killed sandbox had left.")
        if fresh:
            postgres.forget(folder)
            folder.delete()
            folder.create()
        versions = environments.chosen(folder, mlflow_versions)
        pythons = {version: environments.python(version, terminal.say) for version in versions}
        sandbox = _Sandbox(folder, terminal, pythons, slack_port=slack_port, began=began)
        sandbox.run(frozenset(without), postgres_major, mode, point_in_time=point_in_time)
    finally:
        lock.release()


class _Sandbox:
    """What is known while one runs."""

    def __init__(
        self, folder: Folder, terminal: Terminal, pythons: Mapping[str, Path], *, slack_port: int | None, began: float
    ) -> None:
        remembered = {name: int(port) for name, port in read_json(folder.state).get("ports", {}).items()}
        fixed = {} if slack_port is None else {"slack": slack_port}
        self.ports: Mapping[str, int] = ports.choose(
            (*composition.PORTS, *map(wiring.port_of, list(pythons)[1:])), remembered, fixed
        )
        self.pythons = pythons
        self.credentials: Credentials = credentials_.load(folder / "secrets.json")
        self.folder = folder
        self.terminal = terminal
        self.began = began
        self.told_to_end = asyncio.Event()

    def run(
        self, without: frozenset[str], postgres_major: int | None, mode: str | None, *, point_in_time: bool
    ) -> None:
        wiring.write_ops(self.folder)
        if point_in_time:
            recovery.turn_on(self.folder, self.ports["peek"])
        if mode is not None:
            gitops.turn_on(self.folder, self.ports, mode)
        wiring.write_workspace(self.folder, self.credentials, _suggestions())
        wiring.write_cluster(self.folder, self.ports, self.credentials, self.pythons)
        parts = composition.build(
            self.folder,
            self.ports,
            self.credentials,
            postgres_major=postgres_major,
            mlflow=next(iter(self.pythons.items())),
        )
        built = composition.leave_out(without, parts)
        self.terminal.say(f"Sandbox in {self.folder.path}")
        supervisor = Supervisor(self.folder, built, self.terminal, self.ports)
        asyncio.run(self._run(supervisor))

    async def _run(self, supervisor: Supervisor) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.told_to_end.set)
        told = asyncio.create_task(self.told_to_end.wait())
        work = asyncio.create_task(self._start_and_report(supervisor))
        try:
            await asyncio.wait({told, work}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                _raise_first(work)
        finally:
            work.cancel()
            told.cancel()
            await asyncio.gather(work, told, return_exceptions=True)
            self.terminal.say("Stopping.")
            await supervisor.stop()
            self.terminal.say("Stopped; the data is kept.")

    async def _start_and_report(self, supervisor: Supervisor) -> None:
        async def fill() -> None:
            await supervisor.wait_for("mlflow", "objects")
            began = time.monotonic()
            said = await self._seed()
            self.terminal.ready("seed", said, "", time.monotonic() - began)

        spinner = asyncio.create_task(self.terminal.spin(lambda: supervisor.waiting() or ["seed"]))
        try:
            await supervisor.start(*([fill] if supervisor.has("mlflow", "objects") else []))
            if supervisor.has("mlflow", "kubernetes"):
                await self._service_answers()
        finally:
            spinner.cancel()
            await asyncio.gather(spinner, return_exceptions=True)
        supervisor.declare_ready()
        self.terminal.say(f"Ready after {time.monotonic() - self.began:.1f} s. Slack: {composition.page(self.ports)}\n")
        if supervisor.has(*_REPORTED):
            await self._report_health()
            self.terminal.say("")
        self.terminal.say('Ctrl-C stops it. In another terminal: eval "$(mlflow-ops sandbox env)"')
        await supervisor.watch()

    async def _service_answers(self) -> None:
        """Wait until the cluster has led the first question to MLflow.

        Not for ever: its Deployment may have been left with no replicas.
        """
        end = time.monotonic() + _SERVICE_SECONDS
        while time.monotonic() < end and not await web.answers(self.ports["service"], "/health"):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)

    async def _seed(self) -> str:
        """Fill MLflow, once in the folder's life; what there is, in words.

        What people delete later, or replace by restoring a backup, is therefore never filled in again.
        """
        done = self.folder / "mlflow" / "seeded.json"
        if done.exists():
            return "what MLflow holds is kept as it was"
        # An attempt that was interrupted is taken up with the same clock.
        said = await seed.fill(self.ports["mlflow"], now=self.folder.made_at)
        write_json(done, {"number": samples.NUMBER})
        return said

    async def _report_health(self) -> None:
        environ = composition.base_environment(self.folder)
        environ |= composition.user_environment(self.folder, self.ports, self.credentials)
        command = (sys.executable, "-m", "bot", "run", "health")
        child = await asyncio.create_subprocess_exec(*command, env=environ, stdin=subprocess.DEVNULL)
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                code = await child.wait()
        except TimeoutError:
            self.terminal.say(f"The health report was not there after {_HEALTH_SECONDS:g} s.")
        else:
            if code:
                self.terminal.say(f"The health report ended with exit code {code}.")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def _raise_first(work: asyncio.Task[None]) -> None:
    """Raise what ended the work; of several failures at once, the first."""
    error = work.exception()
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if error is not None:
        raise error


def _suggestions() -> list[tuple[str, str]]:
    """What the page's composer completes: the product says it itself, by an entry point."""
    found = next(iter(entry_points(group="mlflow_ops.sandbox", name="suggestions")), None)
    return found.load()() if found else []
