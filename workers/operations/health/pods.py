"""The pods: do they run, are they ready, and what did the last one die of.

Kubernetes counts restarts over a pod's life and remembers the time of the last one only; so restarts count as recent
where the last was within a day, and a pod that crashed a hundred times last month is not today's news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from workers.operations.health.questions import Answer, Question
from workers.report import Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.wording import ago, count, duration, listed

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

RECENT_SECONDS: Final = 86400
STARTING_SECONDS: Final = 120
"""How long a pod may be on its way (scheduled, pulling, not ready yet) before that is worth a warning."""

_ON_ITS_WAY: Final = {"", "ContainerCreating", "PodInitializing"}


@dataclass(frozen=True)
class PodState:
    """What matters of one pod. trouble: why it does not run, empty where it does or is on its way."""

    name: str
    phase: str
    ready: int
    containers: int
    restarts: int
    recent_restarts: int
    age_seconds: float
    trouble: str
    trouble_said: str
    last_end: str
    terminating: bool

    @property
    def is_ready(self) -> bool:
        """True where all its containers are."""
        return self.containers > 0 and self.ready == self.containers and self.phase == "Running"

    @property
    def state(self) -> str:
        """One word or two for a table, as `kubectl get pods` would put it."""
        if self.terminating:
            return "Terminating"
        return self.trouble or ("Running" if self.is_ready else f"{self.phase}, not ready")


def ask(asking: Asking) -> Answer:
    """MLflow's pods."""
    return judge(asking.pods(), asking.settings, asking.now)


def judge(pods: Sequence[dict[str, Any]], settings: Settings, now: datetime) -> Answer:
    """From PodList items. Pods that are being deleted, and those of finished jobs, do not count."""
    names = settings.ops.kubernetes
    every = [read(pod, now) for pod in pods]
    states = [state for state in every if not state.terminating and state.phase != "Succeeded"]
    if not states:
        sentence = f"There is no pod with {names.selector} in {names.namespace}."
        return Answer(Status.FAIL, sentence, figure="0 pods", figures={"pods": 0, "ready": 0})
    ready = sum(state.is_ready for state in states)
    recent = sum(state.recent_restarts for state in states)
    status, sentence = _verdict(states, ready, recent, settings.ops.health.thresholds.pod_restarts_warn)
    return Answer(
        status,
        sentence,
        figure=f"{ready}/{len(states)} ready",
        details=table(every),
        figures={
            "pods": len(states),
            "ready": ready,
            "restarts": sum(state.restarts for state in states),
            "recent_restarts": recent,
        },
        notes={
            "restarted": tuple(
                f"{state.name}: {state.last_end or 'restarted'}" for state in states if state.recent_restarts
            ),
            "images": tuple(sorted({image for pod in pods for image in _images(pod)})),
        },
    )


def _images(pod: dict[str, Any]) -> list[str]:
    return [container.text("image") for container in Fields(pod, "pod").each("spec", "containers")]


def _verdict(states: list[PodState], ready: int, recent: int, restarts_warn: int) -> tuple[Status, str]:
    troubled = [state for state in states if state.trouble]
    if troubled:
        worst = troubled[0]
        same = [state.name for state in troubled if state.trouble == worst.trouble]
        said = f": {worst.trouble_said.rstrip('.')}" if worst.trouble_said else ""
        ended = f" (last end: {worst.last_end})" if worst.last_end and not said else ""
        verb = "is" if len(same) == 1 else "are"
        others = f"; {count(len(troubled) - len(same), 'other pod')} in trouble" if len(troubled) > len(same) else ""
        return Status.FAIL, f"{listed(same)} {verb} in {worst.trouble}{said}{ended}{others}."
    waiting = [state for state in states if not state.is_ready]
    if ready == 0 and all(state.age_seconds > STARTING_SECONDS for state in waiting):
        return Status.FAIL, f"No pod is ready: {listed(state.name for state in waiting)}."
    if waiting:
        oldest = max(state.age_seconds for state in waiting)
        return Status.WARN, f"{listed(state.name for state in waiting)} not ready yet, {duration(oldest)} old."
    if recent >= restarts_warn:
        most = max(states, key=lambda state: state.recent_restarts)
        why = f", last for {most.last_end}" if most.last_end else ""
        return Status.WARN, f"{most.name} was restarted {count(most.recent_restarts, 'time')} and lately{why}."
    return Status.OK, f"{count(len(states), 'pod')} running and ready."


def read(pod: dict[str, Any], now: datetime) -> PodState:
    """One pod of a PodList."""
    name = Fields(pod, "pod").text("metadata", "name")
    fields = Fields(pod, f"pod {name}")
    containers = fields.each("status", "containerStatuses")
    started = [*fields.each("status", "initContainerStatuses"), *containers]
    ends = [end for status in started for end in _ends(status)]
    last = max(ends, key=lambda end: end.moment("finishedAt") or now, default=None)
    restarts = sum(status.number("restartCount") for status in started)
    lately = last is not None and _age(last.moment("finishedAt"), now) < RECENT_SECONDS
    trouble, said = _trouble(fields, started)
    return PodState(
        name=name,
        phase=fields.text("status", "phase", default="Unknown"),
        ready=sum(status.flag("ready") for status in containers),
        containers=max(len(containers), len(fields.each("spec", "containers"))),
        restarts=restarts,
        recent_restarts=restarts if lately else 0,
        age_seconds=_age(fields.moment("metadata", "creationTimestamp"), now),
        trouble=trouble,
        trouble_said=said,
        last_end=_described(last, now) if last else "",
        terminating=fields.has("metadata", "deletionTimestamp"),
    )


def table(states: Sequence[PodState]) -> tuple[Section, ...]:
    """The pods for the thread."""
    if not states:
        return ()
    rows = tuple(
        (
            state.name,
            f"{state.ready}/{state.containers}",
            state.state,
            str(state.restarts),
            duration(state.age_seconds),
            state.last_end,
        )
        for state in states
    )
    columns = ("pod", "ready", "state", "restarts", "age", "last end")
    return (Table(columns=columns, rows=rows, numeric=("restarts",)),)


def _trouble(fields: Fields, statuses: list[Fields]) -> tuple[str, str]:
    """Why a pod does not get on, in Kubernetes' own word and sentence; two empty strings where it does."""
    for status in statuses:
        word = status.text("state", "waiting", "reason")
        if word not in _ON_ITS_WAY:
            said = status.text("state", "waiting", "message")
            # A back-off says how long it waits, not why; the last end does.
            return word, "" if word == "CrashLoopBackOff" else said[:200]
        if status.has("state", "terminated") and status.number("state", "terminated", "exitCode"):
            return status.text("state", "terminated", "reason", default="Error"), ""
    for condition in fields.each("status", "conditions"):
        if condition.text("type") == "PodScheduled" and condition.text("status") == "False":
            return condition.text("reason", default="Unschedulable"), condition.text("message")[:200]
    if fields.text("status", "phase") == "Failed":
        return fields.text("status", "reason", default="Failed"), fields.text("status", "message")[:200]
    return "", ""


def _ends(status: Fields) -> list[Fields]:
    return [status.inner(*path) for path in (("lastState", "terminated"), ("state", "terminated")) if status.has(*path)]


def _described(end: Fields, now: datetime) -> str:
    reason = end.text("reason", default="ended")
    finished = end.moment("finishedAt")
    when = f", {ago(_age(finished, now))}" if finished else ""
    return f"{reason} (exit code {end.number('exitCode')}){when}"


def _age(moment: datetime | None, now: datetime) -> float:
    return (now - moment).total_seconds() if moment else 0.0


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl get pods -n {names.namespace} -l {names.selector} -o wide"


QUESTION = Question("pods", "Pods", "Kubernetes", ask, _look)
