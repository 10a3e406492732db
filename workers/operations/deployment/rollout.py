"""Watching a Deployment until what was asked for is there, or it is clear that it will not be.

As `kubectl rollout status` judges it (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status):
the controller has seen the change, every pod is of the new template, available, and none of the old ones is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.health import pods
from workers.report import Section, Text
from workers.systems.cluster.fields import Fields

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

LOOK_SECONDS: Final = 0.5
HOPELESS_SECONDS: Final = 20.0
"""A pod that has been in one of HOPELESS for so long will not get well by waiting."""
HOPELESS: Final = {
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
}
LOG_LINES: Final = 15


@dataclass(frozen=True)
class Outcome:
    """How it ended. why: a sentence where it did not go well. sections: the pods, and a broken one's last words."""

    well: bool
    why: str = ""
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Unstoppable:
    """Putting back is told of, and not stopped half way."""

    progress: Progress

    def step(self, name: str) -> None:
        """Pass it on."""
        self.progress.step(name)

    def advance(self, done: int, total: int, unit: str) -> None:
        """Pass it on."""
        self.progress.advance(done, total, unit)

    def checkpoint(self) -> None:
        """Hear nothing."""


@dataclass(frozen=True)
class Watched:
    """Which Deployment, by whose pods it is known, and how long it may take."""

    cluster: Cluster
    name: str
    selector: str
    container: str
    seconds: float

    @classmethod
    def of(cls, systems: Systems, seconds: float) -> Watched:
        """MLflow's Deployment, as ops.yaml names it."""
        names = systems.settings.ops.kubernetes
        return cls(systems.cluster, names.deployment, names.selector, names.container, seconds)


def watch(watched: Watched, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Return once it is as asked for, or after the time, or when a new pod is beyond hope. Raises Cancelled."""
    began = clock()
    hopeless_since: dict[str, float] = {}
    while True:
        deployment = watched.cluster.deployment(watched.name)
        wanted, there, left = counted(deployment)
        if left == 0 and there == wanted:
            return Outcome(well=True, sections=_pods(watched))
        progress.advance(there, wanted, "pods ready")
        progress.checkpoint()
        broken = _broken(watched, hopeless_since, clock())
        if broken:
            return Outcome(well=False, why=_told(broken), sections=(*_pods(watched), *_last_words(watched, broken)))
        if _deadline_exceeded(deployment) or clock() - began > watched.seconds:
            waiting = (state for state in _states(watched) if not state.is_ready)
            stuck = min(waiting, key=lambda state: not state.trouble_said, default=None)
            why = _told(stuck) if stuck else f"{there} of {wanted} pods are ready"
            message = f"it was not ready within {clock() - began:.0f} s: {why}"
            return Outcome(
                well=False, why=message, sections=(*_pods(watched), *(_last_words(watched, stuck) if stuck else ()))
            )
        time.sleep(LOOK_SECONDS)


def state_now(systems: Systems) -> str:
    """How far it is, in a sentence."""
    wanted, there, left = counted(systems.cluster.deployment(systems.settings.ops.kubernetes.deployment))
    rest = "" if left == 0 else "; the rollout is not at its end"
    return f"{there} of {wanted} pods are new and ready{rest}."


def counted(deployment: dict[str, Any]) -> tuple[int, int, int]:
    """How many pods are wanted, how many new ones are available, and how much is left to do."""
    fields = Fields(deployment, "Deployment")
    wanted = fields.number("spec", "replicas", default=1)
    if fields.number("status", "observedGeneration") < fields.number("metadata", "generation"):
        return wanted, 0, 1
    updated = fields.number("status", "updatedReplicas")
    everything = fields.number("status", "replicas")
    available = fields.number("status", "availableReplicas")
    return wanted, min(updated, available), (everything - updated) + abs(wanted - everything)


def _states(watched: Watched) -> list[pods.PodState]:
    now = datetime.now(UTC)
    return [pods.read(pod, now) for pod in watched.cluster.pods(watched.selector)]


def _pods(watched: Watched) -> tuple[Section, ...]:
    return pods.table(_states(watched))


def _broken(watched: Watched, since: dict[str, float], now: float) -> pods.PodState | None:
    for state in _states(watched):
        if state.is_ready or state.state not in HOPELESS:
            since.pop(state.name, None)
        elif now - since.setdefault(state.name, now) >= HOPELESS_SECONDS:
            return state
    return None


def _told(pod: pods.PodState) -> str:
    """A pod's trouble in the words of the kubelet or the scheduler."""
    said = f" ({pod.trouble_said.strip().rstrip('.')})" if pod.trouble_said else ""
    return f"{pod.name} is in {pod.state}{said}"


def _deadline_exceeded(deployment: dict[str, Any]) -> bool:
    conditions = Fields(deployment, "Deployment").each("status", "conditions")
    return any(condition.text("reason") == "ProgressDeadlineExceeded" for condition in conditions)


def _last_words(watched: Watched, pod: pods.PodState) -> tuple[Section, ...]:
    try:
        lines = list(watched.cluster.log_lines(pod.name, watched.container, since_seconds=3600, tail_lines=LOG_LINES))
    except OperatorError as error:  # the log is a help and no part of the outcome
        lines = [f"no log: {error}"]
    return (Text(title=f"Last lines of {pod.name}", text="\n".join(lines), literal=True),) if lines else ()
