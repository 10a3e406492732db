"""Starts the parts, keeps them running, ends them.

A part starts once those it needs are ready; whatever does not depend on each other starts at the same time. Until all
are ready, one that ends or misses its deadline fails the whole start. After that, one that ends is started again, with
a pause that doubles up to ten seconds and is forgotten after half a minute of good behaviour. Parts end in the reverse
order, each with what it started.

`sandbox.json` always names the living processes, so that whoever comes after a killed supervisor can find them.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any

import psutil

from mlflow_ops_sandbox.errors import PartError, SandboxError
from mlflow_ops_sandbox.parts import process
from mlflow_ops_sandbox.parts.folder import read_json, write_json
from mlflow_ops_sandbox.patience import stretched

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from mlflow_ops_sandbox.parts.folder import Folder
    from mlflow_ops_sandbox.parts.process import Part, Running
    from mlflow_ops_sandbox.terminal import Terminal

_POLL_SECONDS = 0.1
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_GOOD_BEHAVIOUR = 30.0
_LAST_LINES = 12


class Supervisor:
    """The parts of one sandbox."""

    def __init__(self, folder: Folder, parts: Iterable[Part], terminal: Terminal, ports: Mapping[str, int]) -> None:
        """Take over the parts; nothing is started yet."""
        self._folder = folder
        self._parts = {part.name: part for part in parts}
        self._terminal = terminal
        self._running: dict[str, Running] = {}
        self._states = dict.fromkeys(self._parts, "waiting")
        self._up = {name: asyncio.Event() for name in self._parts}
        self._watchers: list[asyncio.Task[None]] = []
        self._document: dict[str, Any] = {
            **read_json(folder.state),
            "ports": dict(ports),
            "supervisor": {"pid": os.getpid(), "started": psutil.Process().create_time()},
            "ready": False,
        }
        self._remember()

    def waiting(self) -> list[str]:
        """The parts that are not ready yet."""
        return [name for name, state in self._states.items() if state != "ready"]

    def has(self, *names: str) -> bool:
        """Whether all of these parts belong to this sandbox."""
        return all(name in self._parts for name in names)

    async def wait_for(self, *names: str) -> None:
        """Return once these parts are ready."""
        for name in names:
            await self._up[name].wait()

    async def start(self, *afterwards: Callable[[], Awaitable[None]]) -> None:
        """Start all parts and run `afterwards` beside them; return once all is done.

        Raises SandboxError where something fails; the caller is to stop() then.
        """
        async with asyncio.TaskGroup() as group:
            for part in self._parts.values():
                group.create_task(self._bring_up(part))
            for step in afterwards:
                group.create_task(_as_coroutine(step))

    async def watch(self) -> None:
        """Keep all parts running; return never, unless by an error of ours."""
        await asyncio.gather(*self._watchers)

    def declare_ready(self) -> None:
        """Let `sandbox env` answer."""
        self._document["ready"] = True
        self._remember()

    async def stop(self) -> None:
        """End all parts, those that others need last."""
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        self._document["ready"] = False
        for wave in self._waves():
            await asyncio.gather(*(self._end(name) for name in wave))
        self._document["supervisor"] = None
        self._remember()

    def _waves(self) -> list[list[str]]:
        """The parts in groups: each group is needed by none of those that are left after it."""
        left = dict(self._parts)
        waves: list[list[str]] = []
        while left:
            needed = {name for part in left.values() for name in part.after}
            wave = [name for name in left if name not in needed]
            waves.append(wave)
            for name in wave:
                del left[name]
        return waves

    async def _end(self, name: str) -> None:
        running = self._running.get(name)
        if running is not None:
            self._states[name] = "stopping"
            await asyncio.to_thread(process.stop, running, self._folder)
            self._forget(name)

    async def _bring_up(self, part: Part) -> None:
        await self.wait_for(*part.after)
        began = time.monotonic()
        running = await self._launch(part)
        if not await self._becomes_ready(running):
            raise PartError(self._failure(running))
        self._set(part.name, "ready")
        self._terminal.ready(part.name, part.what, part.address, time.monotonic() - began)
        self._up[part.name].set()
        self._watchers.append(asyncio.create_task(self._keep(part), name=part.name))

    async def _launch(self, part: Part) -> Running:
        if part.prepare is not None:
            await asyncio.to_thread(part.prepare)
        running = process.start(part, self._folder)
        self._running[part.name] = running
        self._set(part.name, "starting")
        return running

    async def _becomes_ready(self, running: Running) -> bool:
        """Whether it gets ready before it ends and before its deadline."""
        part = running.part
        began = time.monotonic()
        while running.popen.poll() is None and time.monotonic() - began < stretched(part.deadline):
            if await part.ready():
                if part.settle is not None:
                    await part.settle()
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _keep(self, part: Part) -> None:
        """Start a part again whenever it ends."""
        pause = _FIRST_PAUSE
        while True:
            running = self._running[part.name]
            while running.popen.poll() is None:  # noqa: ASYNC110 - a process is no event
                await asyncio.sleep(_POLL_SECONDS)
            if time.monotonic() - running.since > _GOOD_BEHAVIOUR:
                pause = _FIRST_PAUSE
            self._set(part.name, "restarting")
            how = _how_it_ended(running.popen.returncode)
            log = self._folder.log(part.name)
            self._terminal.say(f"  {part.name:<13} {how}; it is started again in {pause:g} s. Log: {log}")
            # What it had started is of no use to its successor.
            await asyncio.to_thread(process.stop, running, self._folder)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            began = time.monotonic()
            try:
                running = await self._launch(part)
                if await self._becomes_ready(running):
                    self._set(part.name, "ready")
                    self._terminal.ready(part.name, part.what, part.address, time.monotonic() - began)
                    continue
            except (SandboxError, OSError) as error:
                self._terminal.say(f"  {part.name:<13} {error}")
            await asyncio.to_thread(process.stop, running, self._folder)

    def _failure(self, running: Running) -> str:
        part = running.part
        code = running.popen.poll()
        how = f"was not ready after {stretched(part.deadline):.0f} s" if code is None else _how_it_ended(code)
        log = self._folder.log(part.name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        quoted = "".join(f"\n    {line}" for line in lines)
        return f"{part.name} ({part.what}) {how}. Its last lines:{quoted}\n  The whole log: {log}"

    def _set(self, name: str, state: str) -> None:
        self._states[name] = state
        self._remember()

    def _forget(self, name: str) -> None:
        self._running.pop(name, None)
        self._states[name] = "stopped"
        self._remember()

    def _remember(self) -> None:
        self._document["parts"] = {
            name: {
                "pid": running.popen.pid,
                "started": running.started,
                "state": self._states[name],
                "what": running.part.what,
                "port": running.part.port,
            }
            for name, running in self._running.items()
        }
        write_json(self._folder.state, self._document)


async def _as_coroutine(step: Callable[[], Awaitable[None]]) -> None:
    await step()


def _how_it_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
