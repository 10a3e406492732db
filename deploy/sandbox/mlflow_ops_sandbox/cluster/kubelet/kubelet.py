"""The node: runs a PodRunner for each pod that is assigned to it, and tells where pods can be reached.

It also brings the output of the real MLflow server into the cluster's logs: its lines go to the pod that forwarded
a request last, so that a traceback appears once. Its access lines and those of its start are left out there, because
each pod writes its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Iterator

from mlflow_ops_sandbox.cluster.api.objects import (
    Object,
    containers_of,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.kubelet.backing import Backing, MlflowBacking, NothingBacking, ProcessBacking
from mlflow_ops_sandbox.cluster.kubelet.container_process import runs_to_completion
from mlflow_ops_sandbox.cluster.kubelet.gateway import Gateway
from mlflow_ops_sandbox.cluster.kubelet.mlflow_servers import MlflowServers
from mlflow_ops_sandbox.cluster.kubelet.output import follow_output
from mlflow_ops_sandbox.cluster.kubelet.pod_record import Node
from mlflow_ops_sandbox.cluster.kubelet.pod_runner import PodRunner
from mlflow_ops_sandbox.cluster.kubelet.programs import Programs
from mlflow_ops_sandbox.cluster.kubelet.scheduler import schedule_pods
from mlflow_ops_sandbox.cluster.wiring import Wiring

_log = logging.getLogger(__name__)
_OF_EACH_POD = re.compile(
    r'^(?:\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?INFO:\s+(?:\S+:\d+ - "[A-Z]+ .* HTTP/[\d.]+" \d{3}'
    r"|Started server process |Waiting for application startup|Application startup complete|Uvicorn running on )"
)
_SUBNET = "10.244.0."
_FIRST_ADDRESS, _LAST_ADDRESS = 10, 250


class Kubelet:
    """All pods of the node."""

    def __init__(self, node: Node, wiring: Wiring, programs: Programs) -> None:
        self._node = node
        self._wiring = wiring
        self._programs = programs
        self._servers = MlflowServers(wiring, programs.root.parent / "servers")
        self._endings: set[asyncio.Task[None]] = set()
        self._runners: dict[str, PodRunner] = {}
        self._last_forwarder = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the pods that exist, and keep up with those that come and go."""
        await self._reconcile()
        self._tasks = [asyncio.create_task(self._keep_up())]
        offsets = self._node.logs.root / "offsets"
        for application in ("mlflow", "postgres", "minio"):
            process = self._wiring.process_of(application)
            if process is not None and process.log is not None:
                lines = follow_output(process.log, offsets / application)
                self._tasks.append(asyncio.create_task(self._collect(application, lines)))

    async def stop(self) -> None:
        """Stop everything; the pods stay in the store as they are."""
        for task in [*self._tasks, *self._endings]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for runner in self._runners.values():
            await runner.end()
        await self._servers.stop()

    def runner(self, uid: str) -> PodRunner | None:
        """Return what runs a pod."""
        return self._runners.get(uid)

    def runners(self) -> Iterator[PodRunner]:
        """Yield what runs, in the order of the pods' names."""
        return iter(sorted(self._runners.values(), key=lambda runner: runner.name))

    def address_of(self, uid: str) -> tuple[str, int] | None:
        """Return where a pod can be reached in truth."""
        runner = self._runners.get(uid)
        return runner.address if runner else None

    async def _keep_up(self) -> None:
        while True:
            revision = self._node.store.revision
            try:
                await self._reconcile()
            except Exception:  # noqa: BLE001 - whatever it is, the rest of the cluster goes on
                _log.exception("the node could not finish its round")
            await self._node.store.wait_beyond(revision)

    async def _reconcile(self) -> None:
        schedule_pods(self._node.store, self._node.events, lambda pod: uid_of(pod) in self._runners)
        wanted = {uid_of(pod): pod for pod in self._node.store.all(PODS) if self._is_mine(pod)}
        for uid in [uid for uid in self._runners if uid not in wanted]:
            gone = self._runners.pop(uid)
            await gone.end()
            gone.forget()
        for uid, pod in wanted.items():
            if is_terminating(pod):
                self._terminate(uid, pod)
            elif uid not in self._runners:
                runner = PodRunner(self._node, pod, self._backing(uid, pod), self._pod_ip(pod), self._programs)
                self._runners[uid] = runner
                await runner.begin()

    def _terminate(self, uid: str, pod: Object) -> None:
        runner = self._runners.get(uid)
        if runner is None:
            # Nothing of it runs: it had no node yet, or it was on its way out when the program ended.
            self._node.store.delete(PODS, namespace_of(pod), name_of(pod))
        elif not runner.is_ending:
            runner.is_ending = True
            ending = asyncio.create_task(runner.terminate(float(pod["metadata"].get("deletionGracePeriodSeconds", 30))))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    def _is_mine(self, pod: Object) -> bool:
        # A pod that was made unschedulable on purpose has lost its node, but keeps its runner until it is healed.
        return bool(pod["spec"].get("nodeName")) or uid_of(pod) in self._runners or is_terminating(pod)

    def _pod_ip(self, pod: Object) -> str:
        known = (pod.get("status") or {}).get("podIP")
        if known:
            return str(known)
        used = {(other.get("status") or {}).get("podIP") for other in self._node.store.all(PODS)}
        used |= {runner.pod_ip for runner in self._runners.values()}
        free = (f"{_SUBNET}{last}" for last in range(_FIRST_ADDRESS, _LAST_ADDRESS))
        return next(address for address in free if address not in used)

    def _backing(self, uid: str, pod: Object) -> Backing:
        application = labels_of(pod).get("app", "")
        if runs_to_completion(pod):
            return NothingBacking()
        if application == "mlflow":
            version = self._programs.images.version(str(containers_of(pod)[0]["image"]))
            gateway = Gateway(
                self._servers.upstream(version),
                lambda line: self._write_line(uid, line),
                lambda: self._forwarded(uid),
                version,
            )
            return MlflowBacking(gateway, self._servers, version)
        process = self._wiring.process_of(application)
        if process is None:
            return NothingBacking()
        ports = containers_of(pod)[0].get("ports") or [{"containerPort": process.port}]
        return ProcessBacking(process, int(ports[0]["containerPort"]))

    def _write_line(self, uid: str, line: str) -> None:
        runner = self._runners.get(uid)
        if runner is not None:
            runner.write(f"{self._node.clock():%Y/%m/%d %H:%M:%S} {line}")

    def _forwarded(self, uid: str) -> None:
        self._last_forwarder = uid

    async def _collect(self, application: str, lines: AsyncIterator[list[str]]) -> None:
        async for batch in lines:
            kept = [line for line in batch if application != "mlflow" or not _OF_EACH_POD.match(line)]
            runner = self._listener(application)
            if kept and runner is not None:
                runner.write(*kept)

    def _listener(self, application: str) -> PodRunner | None:
        if application == "mlflow" and self._last_forwarder in self._runners:
            return self._runners[self._last_forwarder]
        for pod in self._node.store.all(PODS):
            if labels_of(pod).get("app") == application and uid_of(pod) in self._runners:
                return self._runners[uid_of(pod)]
        return None
