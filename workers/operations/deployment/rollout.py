"""Watching a Deployment until what was asked for is there, or it is clear that it won't be.

Each look is judged as `kubectl rollout status` does (workers.operations.deployment.judging); besides, a new pod that is
beyond hope ends it before the deadline, and pods of another template don't.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.deployment.judging import (
    Goal,
    Json,
    State,
    counted,
    is_observed,
    is_owned,
    judge,
    of_template,
    owned,
)
from workers.operations.deployment.template_diff import bare, differences
from workers.operations.health import death, pods
from workers.report import Section, Text
from workers.systems.errors import ClusterNotFound

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
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
}
_REFUSAL, _LEAVING = "a refusal", "pods that leave"


@dataclass(frozen=True)
class Outcome:
    """How it ended. why: a sentence if it did not go well. sections: the pods, and a broken one's last words.

    note: what a reader should know of one that went well.
    """

    well: bool
    why: str = ""
    sections: tuple[Section, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Unstoppable:
    """Putting back is told of, and not stopped half way."""

    progress: Progress

    def step(self, name: str, of: str = "") -> None:
        """Pass it on."""
        self.progress.step(name, of)

    def advance(self, done: int, total: int, unit: str) -> None:
        """Pass it on."""
        self.progress.advance(done, total, unit)

    def ended(self, said: str = "", *, well: bool = True) -> None:
        """Pass it on."""
        self.progress.ended(said, well=well)

    def checkpoint(self) -> None:
        """Hear nothing."""


@dataclass(frozen=True)
class Watched:
    """Which Deployment, by whose pods it is known, and how long it may take.

    before: the Deployment before the change; a failure that it had then says nothing about the change.
    """

    cluster: Cluster
    name: str
    selector: str
    container: str
    seconds: float
    goal: Goal = Goal.TEMPLATE
    before: Json | None = field(default=None, repr=False)

    @classmethod
    def of(cls, systems: Systems, seconds: float, *, goal: Goal = Goal.TEMPLATE, before: Json | None = None) -> Watched:
        """MLflow's Deployment, as ops.yaml names it."""
        names = systems.settings.ops.kubernetes
        return cls(systems.cluster, names.deployment, names.selector, names.container, seconds, goal, before)


def watch(watched: Watched, progress: Progress, *, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Return once it is as asked for, or after the time, or when it is beyond hope. Raises Cancelled."""
    began = clock()
    since: dict[str, float] = {}
    while True:
        deployment = watched.cluster.deployment(watched.name)
        sets = watched.cluster.replica_sets(watched.selector)
        there_now = watched.cluster.pods(watched.selector)
        room_may_come = _room_may_come(owned(deployment, sets), there_now, since, clock() - began)
        verdict = judge(deployment, watched.goal, watched.before, sets, room_may_come=room_may_come)
        if verdict.state is State.WELL:
            return Outcome(well=True, sections=_pods(watched), note=verdict.note)
        wanted, there = _progressed(deployment, watched.goal)
        progress.advance(there, wanted, "pods ready")
        progress.checkpoint()
        own = _own_pods(watched.goal, deployment, sets, there_now)
        refused = bool(verdict.why) and not room_may_come
        if verdict.state is State.FAILED or _lasts(_REFUSAL, since, clock(), holds=refused):
            return _failed(watched, _stuck(own), verdict.why)
        broken = _broken(watched.goal, own, since, clock(), to_come=_to_come(deployment, sets, own))
        if broken:
            return _failed(watched, broken, _told(broken))
        if clock() - began > watched.seconds:
            stuck = _stuck(own)
            why = verdict.why or (_told(stuck) if stuck else f"{there} of {wanted} pods are ready")
            return _failed(watched, stuck, f"it was not ready within {clock() - began:.0f} s: {why}")
        time.sleep(LOOK_SECONDS)


def deployment_now(systems: Systems) -> Json | None:
    """MLflow's Deployment before a change that may make it; None if there is none yet."""
    try:
        return systems.cluster.deployment(systems.settings.ops.kubernetes.deployment)
    except ClusterNotFound:
        return None


def state_now(systems: Systems) -> str:
    """How far it is, in a sentence."""
    wanted, there, left = counted(systems.cluster.deployment(systems.settings.ops.kubernetes.deployment))
    rest = "" if left == 0 else "; the rollout is not at its end"
    return f"{there} of {wanted} pods are new and ready{rest}."


def doubt_now(systems: Systems, template: Json) -> str:
    """What is no longer so, read again after a rollout of this template that went well; empty if all of it is."""
    name = systems.settings.ops.kubernetes.deployment
    now = systems.cluster.deployment(name)
    if differences(bare(template), bare(now["spec"]["template"])):
        return f"the pod template of {name} was changed again since: see /mlflow history"
    wanted, there, left = counted(now)
    if left or there < wanted:
        return f"{there} of {wanted} pods are ready now: see /mlflow rollout status"
    return ""


def _progressed(deployment: Json, goal: Goal) -> tuple[int, int]:
    wanted, there, _ = counted(deployment)
    if goal is Goal.REPLICAS:
        there = int((deployment.get("status") or {}).get("availableReplicas") or 0)
    return wanted, min(there, wanted)


def _own_pods(goal: Goal, deployment: Json, sets: Sequence[Json], there: Sequence[Json]) -> list[pods.PodState]:
    """The pods that speak for or against it: of the new template only; if pods are counted, all of the Deployment's."""
    mine = of_template(deployment, sets) if goal is Goal.TEMPLATE else owned(deployment, sets)
    now = datetime.now(UTC)
    return [pods.read(pod, now) for pod in there if is_owned(pod, mine)]


def _room_may_come(mine: Sequence[Json], there: Sequence[Json], since: dict[str, float], now: float) -> bool:
    """Whether a pod of it is going, which counts in a quota until it is gone, or went lately.

    now: since the watch began. The controller tries again after pauses that double: before as long has passed again.
    """
    if any(pod["metadata"].get("deletionTimestamp") and is_owned(pod, mine) for pod in there):
        since[_LEAVING] = now
    return _LEAVING in since and now - since[_LEAVING] < HOPELESS_SECONDS + since[_LEAVING]


def _failed(watched: Watched, pod: pods.PodState | None, why: str) -> Outcome:
    words = _last_words(watched, pod) if pod else ()
    return Outcome(well=False, why=why, sections=(*_pods(watched), *words))


def _pods(watched: Watched) -> tuple[Section, ...]:
    now = datetime.now(UTC)
    return pods.table([pods.read(pod, now) for pod in watched.cluster.pods(watched.selector)])


def _to_come(deployment: Json, sets: Sequence[Json], own: Sequence[pods.PodState]) -> bool:
    """Whether a pod that is wanted isn't there yet: the controllers come to it one after the other."""
    wanted = sum(int(each["spec"].get("replicas") or 0) for each in owned(deployment, sets))
    return not is_observed(deployment) or sum(not each.terminating for each in own) < wanted


def _broken(
    goal: Goal, own: list[pods.PodState], since: dict[str, float], now: float, *, to_come: bool
) -> pods.PodState | None:
    """A pod beyond hope. If pods are only counted, it ends the wait once no other is on its way."""
    waiting = [each for each in own if not each.is_ready and not each.terminating]
    broken = [each for each in own if _lasts(each.name, since, now, holds=each in waiting and each.state in HOPELESS)]
    if goal is Goal.REPLICAS and (to_come or len(broken) < len(waiting)):
        return None
    return broken[0] if broken else None


def _lasts(what: str, since: dict[str, float], now: float, *, holds: bool) -> bool:
    """Whether it has held for as long as nothing gets well by itself."""
    if not holds:
        since.pop(what, None)
        return False
    return now - since.setdefault(what, now) >= HOPELESS_SECONDS


def _stuck(own: list[pods.PodState]) -> pods.PodState | None:
    """A pod that says why it does not become ready."""
    waiting = (each for each in own if not each.is_ready and not each.terminating)
    return min(waiting, key=lambda each: not each.trouble_said, default=None)


def _told(pod: pods.PodState) -> str:
    """A pod's trouble in the words of the kubelet or the scheduler, or how its container ended."""
    said = f" ({pod.trouble_said.strip().rstrip('.')})" if pod.trouble_said else ""
    if pod.died is not None and not said:
        said = f": its container {pod.died.container} {pod.died.how}"
    return f"{pod.name} is in {pod.state}{said}"


def _last_words(watched: Watched, pod: pods.PodState) -> tuple[Section, ...]:
    """What it said last: before it died, if it did; else until now."""
    try:
        lines = death.last_lines(watched.cluster, pod.died) if pod.died else _log(watched, pod.name)
    except OperatorError as error:  # the log is a help and no part of the outcome
        lines = (f"no log: {error}",)
    return (Text(title=f"Last lines of {pod.name}", text="\n".join(lines), literal=True),) if lines else ()


def _log(watched: Watched, pod: str) -> tuple[str, ...]:
    asked = watched.cluster.log_lines(pod, watched.container, since_seconds=3600, tail_lines=death.LAST_LINES)
    return tuple(map(death.shown, asked))
