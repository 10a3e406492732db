"""The life of one pod on the node: image, configuration, start, probes, failure, restart, end.

What runs is one asyncio task per pod, and it is replaced when the pod is broken or healed on purpose. The pod's
status in the store is the only record: after a restart of this program a pod goes on with its uid, age and restart
count. A fault does not outlast a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from mlflow_ops_sandbox.cluster.api.objects import Object
from mlflow_ops_sandbox.cluster.api.ownership import has_ended
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.kubelet import images, pod_faults
from mlflow_ops_sandbox.cluster.kubelet.backing import Backing
from mlflow_ops_sandbox.cluster.kubelet.container_process import ContainerProcess, runs_to_completion
from mlflow_ops_sandbox.cluster.kubelet.container_start import ContainerStart
from mlflow_ops_sandbox.cluster.kubelet.pod_record import Node, PodGoneError, PodRecord
from mlflow_ops_sandbox.cluster.kubelet.probing import probe_until_dead
from mlflow_ops_sandbox.cluster.kubelet.programs import ProgramNotFoundError, Programs
from mlflow_ops_sandbox.cluster.kubelet.scheduler import schedule

_STABLE_SECONDS = 600.0
_ENDED_BY_TERM = 143


class PodRunner:
    """Runs one pod."""

    def __init__(self, node: Node, pod: Object, backing: Backing, pod_ip: str, programs: Programs) -> None:
        self.record = PodRecord(node, pod, pod_ip)
        self.backing = backing
        self.fault = "Running"
        self.is_ending = False
        self._pace = node.pace
        self._programs = programs
        self._start = ContainerStart(self.record, programs.images)
        self._process = ContainerProcess(self.record, programs)
        self._to_completion = runs_to_completion(pod)
        self._serving = False
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the pod's name."""
        return self.record.name

    @property
    def uid(self) -> str:
        """Return the pod's uid."""
        return self.record.uid

    @property
    def address(self) -> tuple[str, int] | None:
        """Return where the pod can be reached, None while it does not serve."""
        return self.backing.address() if self._serving else None

    @property
    def pod_ip(self) -> str:
        """Return the address that the cluster believes in."""
        return self.record.placement.pod_ip

    async def begin(self) -> None:
        """Start the pod as it should be; one that ran when the program ended serves again once this returns."""
        if has_ended(self.record.pod()):
            return
        await self._serve_if_running()
        self._enter(self._live)

    async def set_fault(self, state: str) -> None:
        """Break the pod in one of ``pod_faults.STATES``, or heal it with ``Running``."""
        if state == self.fault or self.is_ending:
            return
        self.fault = state
        await self.end()
        if state in pod_faults.CRASHES:
            crash = pod_faults.CRASHES[state]
            self._enter(lambda: self._crash_again_and_again(crash))
        elif state == "ImagePullBackOff":
            failure = pod_faults.pull_failure(self.record.image())
            self._enter(lambda: self._start.fail_to_pull(failure))
        elif state == "Pending":
            self._enter(self._start.stay_pending)
        else:
            self._enter(self._recover)

    async def end(self) -> None:
        """Stop whatever runs."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._stop_serving()

    async def terminate(self, grace: float) -> None:
        """End the pod in order, within ``grace`` seconds: what is being answered is finished; then it is gone."""
        self.is_ending = True
        if "running" in self.record.state.state:
            with contextlib.suppress(PodGoneError):
                self.record.event("Killing", f"Stopping container {self.record.main}")
        await self._process.stop(grace)
        if self._serving:
            await self.backing.drain(min(self._pace.drain, grace), grace)
        await self.end()
        with contextlib.suppress(ApiError, PodGoneError):
            self.record.pod()
            self.record.node.store.delete(PODS, self.record.namespace, self.record.name)

    def forget(self) -> None:
        """Remove what a pod that is gone has left on the node: its logs and its files."""
        record = self.record
        record.node.logs.forget({"metadata": {"namespace": record.namespace, "name": record.name, "uid": record.uid}})
        self._programs.forget(record.name)

    def write(self, *lines: str) -> None:
        """Write lines to the log of the container that runs now."""
        self.record.write(*lines)

    def _enter(self, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.create_task(_until_gone(life()))

    # The lives.

    async def _live(self) -> None:
        runs = "running" in self.record.state.state
        if not runs:
            await self._start.pull()
        if self._to_completion:
            if runs:
                self.record.set_ended("ContainerStatusUnknown", 137, everything=True)
            await self._run_to_completion()
            return
        back_off = 0.0
        loop = asyncio.get_running_loop()
        while True:
            if not runs:
                await self._start.await_config()
                crash = self._start.inherent_crash()
                if crash is not None:
                    await self._crash_again_and_again(crash)
                await self._start_container(serve=not images.is_slow(self.record.image()))
            began = loop.time()
            await probe_until_dead(self.record, self.backing)
            await self._stop_serving()
            self.record.set_ended("Error", _ENDED_BY_TERM)
            back_off = await self._start.back_off(0.0 if loop.time() - began > _STABLE_SECONDS else back_off)
            self._start.restart_image()
            runs = False

    async def _recover(self) -> None:
        pod = self.record.pod()
        if not pod["spec"].get("nodeName"):
            schedule(self.record.node.store, self.record.node.events, pod)
        await self._serve_if_running()
        await self._live()

    async def _serve_if_running(self) -> None:
        """Let a container serve that runs already: after a restart of this program, or healed between two crashes."""
        if "running" in self.record.state.state and not self._to_completion and not images.is_slow(self.record.image()):
            await self._serve()

    async def _crash_again_and_again(self, crash: pod_faults.Crash) -> None:
        if "running" not in self.record.state.state:
            await self._start_container(serve=False)
            await asyncio.sleep(self._pace.crash_after)
        back_off = 0.0
        while True:
            self.record.write(*crash.last_words)
            self.record.set_ended(crash.reason, crash.exit_code)
            back_off = await self._start.back_off(back_off)
            self._start.restart_image()
            await self._start_container(serve=False)
            await asyncio.sleep(min(self._pace.crash_after, back_off) if back_off > self._pace.back_off else 0)

    async def _run_to_completion(self) -> None:
        back_off = 0.0
        while not has_ended(self.record.pod()):
            await self._start.await_config()
            reason, code = await self._run_once()
            policy = self.record.pod()["spec"]["restartPolicy"]
            self.record.set_ended(reason, code, everything=policy == "Never" or not code)
            if policy == "OnFailure" and code:
                back_off = await self._start.back_off(back_off)
                self._start.restart_image()

    async def _run_once(self) -> tuple[str, int]:
        """Run the program once; return the reason of its end and its exit code."""
        crash = self._start.inherent_crash()
        self._start.start()
        if not self.record.container().get("readinessProbe"):
            self.record.set_ready(ready=True)
        if crash is not None:
            await asyncio.sleep(self._pace.crash_after)
            self.record.write(*crash.last_words)
            return crash.reason, crash.exit_code
        try:
            code = await self._process.run()
        except ProgramNotFoundError as problem:
            start = "failed to create containerd task: failed to create shim task: OCI runtime create failed"
            reason = f"runc create failed: unable to start container process: error during container init: {problem}"
            self.record.event("Failed", f"Error: {start}: {reason}", warning=True)
            return "StartError", 128
        return ("Error" if code else "Completed"), code

    # Their parts.

    async def _start_container(self, *, serve: bool) -> None:
        self._start.start()
        if serve:
            await self._serve()
            self.backing.announce()
            await asyncio.sleep(self._pace.start)

    async def _serve(self) -> None:
        await self.backing.start()
        self._serving = True

    async def _stop_serving(self) -> None:
        self._serving = False
        await self.backing.stop()


async def _until_gone(life: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(PodGoneError):
        await life
