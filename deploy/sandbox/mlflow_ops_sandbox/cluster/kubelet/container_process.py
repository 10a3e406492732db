"""A container whose program is a real process that comes to an end: that of a Job, mostly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.kubelet.container_environment import environment_of, expand
from mlflow_ops_sandbox.cluster.kubelet.pod_record import PodRecord
from mlflow_ops_sandbox.cluster.kubelet.programs import Programs, lines_of

_DEFAULT_COMMAND = ["sh"]


class ContainerProcess:
    """Runs the main container's command once at a time."""

    def __init__(self, record: PodRecord, programs: Programs) -> None:
        self._record = record
        self._programs = programs
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Run the command, its output into the log; return the exit code, as a shell would name a signal.

        Raises MissingConfigError, and ProgramNotFoundError where the image has no such program.
        """
        pod, container = self._record.pod(), self._record.container()
        values = environment_of(self._record.node.store, pod, container)
        command = [*(container.get("command") or ()), *(container.get("args") or ())] or _DEFAULT_COMMAND
        command = [expand(str(part), values) for part in command]
        process = await self._programs.start(command, str(container["image"]), values, self._record.name, apart=False)
        self._process = process
        if process.stdin is not None:
            process.stdin.close()
        try:
            while process.stdout is not None and (lines := await lines_of(process.stdout)) is not None:
                self._record.write(*lines)
            code = await process.wait()
        finally:
            kill_group(process)
            self._process = None
        return code if code >= 0 else 128 - code

    async def stop(self, grace: float) -> None:
        """Ask the process to end; it is killed after ``grace`` seconds."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await process.wait()
        kill_group(process)


def kill_group(process: asyncio.subprocess.Process) -> None:
    """Kill a process that leads its own group, and all that it has started."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def runs_to_completion(pod: Object) -> bool:
    """Say whether the pod's program is meant to come to an end."""
    return bool(pod["spec"].get("restartPolicy", "Always") != "Always")
