"""The life of one pod on the node: start, probes, failure, restart.

What runs is one asyncio task per pod, and it is replaced when the pod is broken or healed on purpose. The pod's
status in the store is the only record: after a restart of this program a pod goes on with its uid, age and restart
count. A fault does not outlast a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from deploy.sandbox.kubernetes import pod_faults
from deploy.sandbox.kubernetes.backing import Backing
from deploy.sandbox.kubernetes.container_logs import LogDirectory
from deploy.sandbox.kubernetes.events import Happening, Recorder
from deploy.sandbox.kubernetes.objects import Object, containers_of, name_of, namespace_of, uid_of
from deploy.sandbox.kubernetes.pod_status import (
    ContainerState,
    Placement,
    running,
    status_of,
    terminated,
    unschedulable_status,
    waiting,
)
from deploy.sandbox.kubernetes.resources import PODS
from deploy.sandbox.kubernetes.scheduler import schedule
from deploy.sandbox.kubernetes.status import ApiError
from deploy.sandbox.kubernetes.store import Store
from deploy.sandbox.kubernetes.times import Clock, to_rfc3339


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast things go on the node, in seconds; tests shorten them."""

    probe_period: float | None = None
    """Instead of the period that the pod's probe names."""
    start: float = 0.3
    """From creating a container to the first probe."""
    crash_after: float = 1.5
    back_off: float = pod_faults.BACK_OFF_SECONDS


@dataclass(frozen=True, slots=True)
class Node:
    """What every pod on the node shares."""

    name: str
    ip: str
    store: Store
    logs: LogDirectory
    events: Recorder
    clock: Clock
    pace: Pace


class _PodGoneError(Exception):
    """The pod was deleted under our hands; the kubelet is about to end its runner."""


class PodRunner:
    """Runs one pod."""

    def __init__(self, node: Node, pod: Object, backing: Backing, pod_ip: str) -> None:
        self._node = node
        self._namespace, self._name, self.uid = namespace_of(pod), name_of(pod), uid_of(pod)
        self._main = str(containers_of(pod)[0]["name"])
        self._placement = Placement(node.ip, pod_ip)
        self.backing = backing
        self.fault = "Running"
        self._serving = False
        self._states = _states_of(pod)
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """Return the pod's name."""
        return self._name

    @property
    def address(self) -> tuple[str, int] | None:
        """Return where the pod can be reached, None while it does not serve."""
        return self.backing.address() if self._serving else None

    @property
    def pod_ip(self) -> str:
        """Return the address that the cluster believes in."""
        return self._placement.pod_ip

    @property
    def restarts(self) -> int:
        """Return how often the main container was started again."""
        return self._states[self._main].restarts

    async def begin(self) -> None:
        """Start the pod as it should be; one that ran when the program ended serves again once this returns."""
        if "running" in self._states[self._main].state:
            await self._serve()
        self._enter(self._live)

    async def set_fault(self, state: str) -> None:
        """Break the pod in one of ``pod_faults.STATES``, or heal it with ``Running``."""
        if state == self.fault:
            return
        self.fault = state
        await self.end()
        if state in pod_faults.CRASHES:
            crash = pod_faults.CRASHES[state]
            self._enter(lambda: self._crash_again_and_again(crash))
        elif state == "ImagePullBackOff":
            self._enter(self._fail_to_pull)
        elif state == "Pending":
            self._enter(self._stay_pending)
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

    def write(self, *lines: str) -> None:
        """Write lines to the log of the container that runs now."""
        pod = self._node.store.find(PODS, self._namespace, self._name)
        if pod is not None and uid_of(pod) == self.uid:
            self._node.logs.append(pod, self._main, self.restarts, *lines)

    def _enter(self, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.create_task(_until_gone(life()))

    # The lives.

    async def _live(self) -> None:
        state = self._states[self._main]
        if "running" not in state.state:
            again = bool(state.container_id)
            await self._start_container(restart=again)
        await self._probe_for_ever()

    async def _recover(self) -> None:
        pod = self._pod()
        if not pod["spec"].get("nodeName"):
            schedule(self._node.store, self._node.events, pod)
        await self._start_container(restart=bool(self._states[self._main].container_id))
        await self._probe_for_ever()

    async def _crash_again_and_again(self, crash: pod_faults.Crash) -> None:
        back_off = self._node.pace.back_off
        first = True
        while True:
            self._die(crash)
            if not first:
                self._back_off(back_off)
                await asyncio.sleep(back_off)
                back_off = min(back_off * 2, pod_faults.LONGEST_BACK_OFF_SECONDS)
            await self._start_container(restart=True, serve=False)
            await asyncio.sleep(min(self._node.pace.crash_after, back_off) if not first else 0)
            first = False

    async def _fail_to_pull(self) -> None:
        image = str(self._container()["image"])
        failure = pod_faults.pull_failure(image)
        self._set(ContainerState(waiting("ErrImagePull", failure), restarts=self.restarts))
        back_off = self._node.pace.back_off
        while True:
            self._event("Pulling", f'Pulling image "{image}"')
            self._event("Failed", f'Failed to pull image "{image}": {failure}', warning=True)
            self._event("Failed", "Error: ErrImagePull", warning=True)
            message = f'Back-off pulling image "{image}": ErrImagePull: {failure}'
            self._set(ContainerState(waiting("ImagePullBackOff", message), restarts=self.restarts))
            self._event("BackOff", f'Back-off pulling image "{image}"')
            self._event("Failed", "Error: ImagePullBackOff", warning=True)
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, pod_faults.LONGEST_BACK_OFF_SECONDS)

    async def _stay_pending(self) -> None:
        def unschedule(item: Object) -> None:
            item["spec"].pop("nodeName", None)
            item["status"] = unschedulable_status(item, pod_faults.UNSCHEDULABLE, self._node.clock())

        self._states = {name: ContainerState(waiting("ContainerCreating")) for name in self._states}
        self._update(unschedule)
        pod = self._pod()
        self._node.events.scheduler(pod, Happening("FailedScheduling", pod_faults.UNSCHEDULABLE, warning=True))
        await asyncio.Event().wait()

    # Their parts.

    async def _start_container(self, *, restart: bool, serve: bool = True) -> None:
        image = str(self._container()["image"])
        restarts = self.restarts + 1 if restart else self.restarts
        before = self._states[self._main]
        last = before.state if "terminated" in before.state else before.last_state
        self._event("Pulled", f'Container image "{image}" already present on machine')
        self._event("Created", f"Created container: {self._main}")
        state = ContainerState(
            running(self._node.clock()),
            started=True,
            restarts=restarts,
            last_state=last,
            container_id=f"containerd://{secrets.token_hex(32)}",
            image_id=f"sha256:{_digest(image)}",
        )
        others = {name: replace(state, ready=True, container_id=f"containerd://{secrets.token_hex(32)}")
                  for name, other in self._states.items() if name != self._main and not other.started}  # fmt: skip
        self._states |= others
        self._set(state)
        self._event("Started", f"Started container {self._main}")
        if serve:
            await self._serve()
            await asyncio.sleep(self._node.pace.start)

    async def _serve(self) -> None:
        await self.backing.start()
        self._serving = True

    async def _stop_serving(self) -> None:
        self._serving = False
        await self.backing.stop()

    async def _probe_for_ever(self) -> None:
        probe: Object = self._container().get("readinessProbe") or {}
        period = self._node.pace.probe_period or float(probe.get("periodSeconds", 1))
        failures = successes = 0
        while True:
            problem = await self.backing.probe(probe, self._placement.pod_ip) if probe else ""
            if problem:
                failures, successes = failures + 1, 0
                self._event("Unhealthy", f"Readiness probe failed: {problem}", warning=True)
                if failures >= probe.get("failureThreshold", 3):
                    self._set_ready(ready=False)
            else:
                failures, successes = 0, successes + 1
                if successes >= probe.get("successThreshold", 1):
                    self._set_ready(ready=True)
            await asyncio.sleep(period)

    def _die(self, crash: pod_faults.Crash) -> None:
        if crash.last_words:
            self.write(*crash.last_words)
        state = self._states[self._main]
        began = (state.state.get("running") or {}).get("startedAt") or to_rfc3339(self._node.clock())
        end = terminated(crash.reason, crash.exit_code, began, self._node.clock(), state.container_id)
        self._set(replace(state, state=end, ready=False, started=False))

    def _back_off(self, seconds: float) -> None:
        state = self._states[self._main]
        message = pod_faults.back_off_message(seconds, self._main, self._name, self._namespace, self.uid)
        self._set(replace(state, state=waiting("CrashLoopBackOff", message), last_state=state.state))
        pod = f"{self._name}_{self._namespace}({self.uid})"
        self._event("BackOff", f"Back-off restarting failed container {self._main} in pod {pod}", warning=True)

    def _set_ready(self, *, ready: bool) -> None:
        state = self._states[self._main]
        if state.ready is not ready:
            self._set(replace(state, ready=ready))

    def _set(self, state: ContainerState) -> None:
        self._states[self._main] = state
        now = self._node.clock()

        def write(item: Object) -> None:
            item["status"] = status_of(item, self._states, self._placement, now)

        self._update(write)

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._node.events.kubelet(self._pod(), Happening(reason, message, warning, self._main))

    def _update(self, change: Callable[[Object], None]) -> None:
        try:
            self._node.store.update(PODS, self._namespace, self._name, change, intent=False)
        except ApiError:
            raise _PodGoneError from None

    def _pod(self) -> Object:
        pod = self._node.store.find(PODS, self._namespace, self._name)
        if pod is None or uid_of(pod) != self.uid:
            raise _PodGoneError
        return pod

    def _container(self) -> Object:
        return containers_of(self._pod())[0]


async def _until_gone(life: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(_PodGoneError):
        await life


def _states_of(pod: Object) -> dict[str, ContainerState]:
    """Read the states back from a status that was written before."""
    states = {str(container["name"]): ContainerState(waiting("ContainerCreating")) for container in containers_of(pod)}
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        states[status["name"]] = ContainerState(
            status["state"],
            ready=status["ready"],
            started=status["started"],
            restarts=status["restartCount"],
            last_state=status["lastState"],
            container_id=status.get("containerID", ""),
            image_id=status["imageID"],
        )
    return states


def _digest(image: str) -> str:
    return (image.encode().hex() * 64)[:64]
