"""The MLflow servers behind pods whose image is another version than the one that the supervisor runs.

One process a version, however many pods have its image: it is started with the first of them and ended with the last.
It starts as it would in a pod, so it refuses a schema that is not its own, and its pods then never become ready.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from mlflow_ops_sandbox.cluster.wiring import OtherVersion, Wiring

_PR_SET_PDEATHSIG = 1
_END_SECONDS = 10.0
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class MlflowServers:
    """All of them."""

    def __init__(self, wiring: Wiring, logs: Path) -> None:
        self._wiring = wiring
        self._logs = logs
        self._users: dict[str, int] = {}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._lock = asyncio.Lock()

    def upstream(self, version: str) -> str:
        """Return the address of the server of a version: the supervisor's, for versions that have none of their own."""
        other = self._wiring.other_versions.get(version)
        return f"http://127.0.0.1:{other.port}" if other else self._wiring.upstream

    async def use(self, version: str) -> None:
        """Have it running, for one more pod; one that has ended is started anew."""
        other = self._wiring.other_versions.get(version)
        if other is None:
            return
        async with self._lock:
            self._users[version] = self._users.get(version, 0) + 1
            running = self._running.get(version)
            if running is None or running.returncode is not None:
                self._running[version] = await self._start(version, other)

    async def leave(self, version: str) -> None:
        """One pod less; with the last one it ends."""
        async with self._lock:
            if version not in self._users:
                return
            self._users[version] -= 1
            if not self._users[version]:
                del self._users[version]
                await _end(self._running.pop(version))

    async def stop(self) -> None:
        """End all."""
        self._users.clear()
        while self._running:
            await _end(self._running.popitem()[1])

    async def _start(self, version: str, other: OtherVersion) -> asyncio.subprocess.Process:
        self._logs.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()

        def end_with_parent() -> None:
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(1)

        with (self._logs / f"mlflow-{version}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *other.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **other.environ},
                preexec_fn=end_with_parent,
                start_new_session=True,
            )


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_SECONDS):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
