"""What the node knows of one pod, and how it writes that down: the status in the store, events, the log."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mlflow_ops_sandbox.cluster.api.events import Happening, Recorder
from mlflow_ops_sandbox.cluster.api.objects import Object, containers_of, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.resources import PODS
from mlflow_ops_sandbox.cluster.api.status import ApiError
from mlflow_ops_sandbox.cluster.api.store import Store
from mlflow_ops_sandbox.cluster.api.times import Clock, to_rfc3339
from mlflow_ops_sandbox.cluster.kubelet.container_logs import LogDirectory
from mlflow_ops_sandbox.cluster.kubelet.pace import Pace
from mlflow_ops_sandbox.cluster.kubelet.pod_status import (
    ContainerState,
    Placement,
    running,
    status_of,
    terminated,
    waiting,
)


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
    present_images: set[str] = field(default_factory=set)


class PodGoneError(Exception):
    """The pod was deleted under our hands; the kubelet is about to end its runner."""


class PodRecord:
    """The record of one pod. Whatever reads the pod raises PodGoneError once it is deleted."""

    def __init__(self, node: Node, pod: Object, pod_ip: str) -> None:
        self.node = node
        self.namespace, self.name, self.uid = namespace_of(pod), name_of(pod), uid_of(pod)
        self.main = str(containers_of(pod)[0]["name"])
        self.placement = Placement(node.ip, pod_ip)
        self.states = _states_of(pod)

    @property
    def state(self) -> ContainerState:
        """Return what the main container is doing."""
        return self.states[self.main]

    @property
    def restarts(self) -> int:
        """Return how often the main container was started again."""
        return self.state.restarts

    @property
    def has_run(self) -> bool:
        """Say whether the main container was ever started."""
        return bool(self.state.container_id)

    def pod(self) -> Object:
        """Return the pod as it is now."""
        pod = self.node.store.find(PODS, self.namespace, self.name)
        if pod is None or uid_of(pod) != self.uid:
            raise PodGoneError
        return pod

    def container(self) -> Object:
        """Return the main container's spec."""
        return containers_of(self.pod())[0]

    def image(self) -> str:
        """Return the main container's image."""
        return str(self.container()["image"])

    def set(self, state: ContainerState) -> None:
        """Write what the main container is doing."""
        self.states[self.main] = state
        now = self.node.clock()

        def write(item: Object) -> None:
            item["status"] = status_of(item, self.states, self.placement, now)

        self.update(write)

    def set_waiting(self, reason: str, message: str) -> None:
        """Write that the main container waits, after what it did last if it ever ran."""
        last = self.state.state if "terminated" in self.state.state else self.state.last_state
        self.set(replace(self.state, state=waiting(reason, message), ready=False, started=False, last_state=last))

    def set_ready(self, *, ready: bool) -> None:
        """Write whether the main container is ready."""
        if self.state.ready is not ready:
            self.set(replace(self.state, ready=ready))

    def set_started(self) -> None:
        """Write that the main container runs, and the others with it; a restart is counted."""
        image = self.image()
        last = self.state.state if "terminated" in self.state.state else self.state.last_state
        state = ContainerState(
            running(self.node.clock()),
            started=True,
            restarts=self.restarts + 1 if self.has_run else self.restarts,
            last_state=last,
            container_id=_container_id(),
            image_id=f"sha256:{(image.encode().hex() * 64)[:64]}",
        )
        for name, other in self.states.items():
            if name != self.main and not other.started:
                self.states[name] = replace(state, ready=True, restarts=0, last_state={}, container_id=_container_id())
        self.set(state)

    def set_ended(self, reason: str, exit_code: int, *, everything: bool = False) -> None:
        """Write that the main container has ended, or all of them."""
        now = self.node.clock()
        if everything:
            for name, other in self.states.items():
                if name != self.main:
                    end = terminated("Completed", 0, to_rfc3339(now), now, other.container_id)
                    self.states[name] = replace(other, state=end, ready=False, started=False)
        began = (self.state.state.get("running") or {}).get("startedAt") or to_rfc3339(now)
        end = terminated(reason, exit_code, began, now, self.state.container_id)
        self.set(replace(self.state, state=end, ready=False, started=False))

    def write(self, *lines: str) -> None:
        """Write lines to the log of the container that runs now; nothing where the pod is gone."""
        pod = self.node.store.find(PODS, self.namespace, self.name)
        if pod is not None and uid_of(pod) == self.uid:
            self.node.logs.append(pod, self.main, self.restarts, *lines)

    def event(self, reason: str, message: str, *, warning: bool = False) -> None:
        """Tell of the main container."""
        self.node.events.kubelet(self.pod(), Happening(reason, message, warning, self.main))

    def update(self, change: Callable[[Object], None]) -> None:
        """Let ``change`` edit the pod in the store."""
        self.pod()
        try:
            self.node.store.update(PODS, self.namespace, self.name, change, intent=False)
        except ApiError:
            raise PodGoneError from None


def _container_id() -> str:
    return f"containerd://{secrets.token_hex(32)}"


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
