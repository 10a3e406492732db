"""The pods: do they run, are they ready, and why did the last one die.

Ready is what the kubelet says: all containers and native sidecars, and every readiness gate. Kubernetes counts restarts
over a pod's life and remembers the time of the last one only; so restarts count as recent where the last was within a
day, and a pod that crashed a hundred times last month is not today's news.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from workers.operations.health import death
from workers.operations.health.questions import Answer, Question
from workers.report import Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.wording import ago, count, duration, listed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workers.operations.health.death import Death, Inquest
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

RECENT_SECONDS: Final = 86400
STARTING_SECONDS: Final = 120
"""How long a pod may be on its way (scheduled, pulling, not ready yet) before that is worth a warning."""

FRESH_SECONDS: Final = 900
"""How long a death is a warning although its container runs again."""
SAID_CHARACTERS: Final = 400
"""A registry's answer says at its end what is wrong."""

_ON_ITS_WAY: Final = {"", "ContainerCreating", "PodInitializing"}


@dataclass(frozen=True)
class PodState:
    """What matters of one pod. trouble: why it does not run, empty if it does or is on its way.

    trouble_said: that, or why it is not ready although its containers are, in Kubernetes' words. died: how one of its
    containers last ended, if not well.
    """

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
    gated: bool = False
    died: Death | None = None

    @property
    def is_ready(self) -> bool:
        """True if all its containers are, and its readiness gates."""
        return self.containers > 0 and self.ready == self.containers and self.phase == "Running" and not self.gated

    @property
    def state(self) -> str:
        """One word or two for a table, as `kubectl get pods` would put it."""
        if self.terminating:
            return "Terminating"
        return self.trouble or ("Running" if self.is_ready else f"{self.phase}, not ready")


def ask(asking: Asking) -> Answer:
    """MLflow's pods, and why the one died that did last."""
    found = asking.pods()
    last = death.latest(
        [pod for pod in found if not Fields(pod, "pod").has("metadata", "deletionTimestamp")], asking.now
    )
    if last is None:
        return judge(found, asking.settings, asking.now)

    def beside(call: Callable[[], Any]) -> Callable[[], Any]:
        future: Future[Any] = asking.aside(call)
        return lambda: future.result(timeout=asking.left)

    return judge(found, asking.settings, asking.now, death.inquire(last, asking.cluster, asking.settings, beside))


def judge(pods: Sequence[dict[str, Any]], settings: Settings, now: datetime, inquest: Inquest | None = None) -> Answer:
    """From PodList items. Pods that are being deleted, and those of finished jobs, do not count.

    inquest: what is known of the last death.
    """
    names = settings.ops.kubernetes
    every = [read(pod, now) for pod in pods]
    states = [state for state in every if not state.terminating and state.phase != "Succeeded"]
    if not states:
        sentence = f"There is no pod with {names.selector} in {names.namespace}."
        return Answer(Status.FAIL, sentence, figure="0 pods", figures={"pods": 0, "ready": 0})
    ready = sum(state.is_ready for state in states)
    recent = sum(state.recent_restarts for state in states)
    because = inquest.because if inquest else ""
    status, sentence = _verdict(states, ready, settings.ops.health.thresholds.pod_restarts_warn, because, now)
    return Answer(
        status,
        sentence,
        figure=f"{ready}/{len(states)} ready",
        details=(*(inquest.sections(now) if inquest else ()), *table(every)),
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


def _verdict(states: list[PodState], ready: int, restarts_warn: int, because: str, now: datetime) -> tuple[Status, str]:
    """because: why the last death was, empty if that is not known."""
    last = death.foremost(state.died for state in states if state.died)
    why = f": {because}" if because else ""
    troubled = [state for state in states if state.trouble]
    if troubled:
        return Status.FAIL, _troubled(troubled, last, why, now)
    waiting = [state for state in states if not state.is_ready]
    names = listed(state.name for state in waiting)
    gate = next((f" ({state.trouble_said.rstrip('.')})" for state in waiting if state.trouble_said), "")
    died = f"; {last.sentence(now, _whose(last, waiting))}{why}" if last and _is_news(last, now) else ""
    if ready == 0 and all(state.age_seconds > STARTING_SECONDS for state in waiting):
        return Status.FAIL, f"No pod is ready: {names}{gate}{died}."
    if waiting:
        oldest = max(state.age_seconds for state in waiting)
        return Status.WARN, f"{names} not ready yet, {duration(oldest)} old{gate}{died}."
    if last is not None and died and last.age_seconds(now) <= FRESH_SECONDS:
        return Status.WARN, f"{last.pod} is ready again{died}."
    recent = sum(state.recent_restarts for state in states)
    if recent >= restarts_warn:
        most = max(states, key=lambda state: state.recent_restarts)
        lately = f", last for {most.last_end}" if most.last_end else ""
        return Status.WARN, f"{most.name} was restarted {count(most.recent_restarts, 'time')} and lately{lately}."
    return Status.OK, f"{count(len(states), 'pod')} running and ready."


def _troubled(troubled: list[PodState], last: Death | None, why: str, now: datetime) -> str:
    """The one that died last says most; others are counted."""
    worst = next((state for state in troubled if last is not None and state.name == last.pod), troubled[0])
    same = [state for state in troubled if state.trouble == worst.trouble]
    others = f"; {count(len(troubled) - len(same), 'other pod')} in trouble" if len(troubled) > len(same) else ""
    said = f": {worst.trouble_said.rstrip('.')}" if worst.trouble_said else ""
    if worst.died is not None and not said:
        said = f": {worst.died.sentence(now, _whose(worst.died, same))}"
        said += why if worst.died == last else ""
    are = "is" if len(same) == 1 else "are"
    return f"{listed(state.name for state in same)} {are} in {worst.trouble}{said}{others}."


def _whose(died: Death, told: Sequence[PodState]) -> str:
    """Whose container it was, in a sentence that has named these."""
    return "its" if len(told) <= 1 and all(state.name == died.pod for state in told) else f"{died.pod}'s"


def _is_news(died: Death, now: datetime) -> bool:
    return died.age_seconds(now) <= death.NEWS_SECONDS


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
    sidecars = {each.text("name") for each in fields.each("spec", "initContainers") if is_sidecar(each)}
    counted = [
        *containers,
        *(each for each in fields.each("status", "initContainerStatuses") if each.text("name") in sidecars),
    ]
    wanted = max(len(containers), len(fields.each("spec", "containers"))) + len(sidecars)
    ready = sum(status.flag("ready") for status in counted)
    unready = _unready(fields) if ready == wanted and not trouble else None
    return PodState(
        name=name,
        phase=fields.text("status", "phase", default="Unknown"),
        ready=ready,
        containers=wanted,
        restarts=restarts,
        recent_restarts=restarts if lately else 0,
        age_seconds=_age(fields.moment("metadata", "creationTimestamp"), now),
        trouble=trouble,
        trouble_said=said or unready or "",
        last_end=_described(last, now) if last else "",
        terminating=fields.has("metadata", "deletionTimestamp"),
        gated=unready is not None,
        died=next(iter(death.deaths(pod)), None),
    )


def is_sidecar(init_container: Fields) -> bool:
    """Whether an init container runs beside the others instead of before them
    (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/).
    """
    return init_container.text("restartPolicy") == "Always"


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
            return word, "" if word == "CrashLoopBackOff" else said[:SAID_CHARACTERS]
        if status.has("state", "terminated") and status.number("state", "terminated", "exitCode"):
            return status.text("state", "terminated", "reason", default="Error"), ""
    for condition in fields.each("status", "conditions"):
        if condition.text("type") == "PodScheduled" and condition.text("status") == "False":
            return condition.text("reason", default="Unschedulable"), condition.text("message")[:SAID_CHARACTERS]
    if fields.text("status", "phase") == "Failed":
        return fields.text("status", "reason", default="Failed"), fields.text("status", "message")[:SAID_CHARACTERS]
    return "", ""


def _unready(fields: Fields) -> str | None:
    """Why the kubelet does not call a pod ready whose containers are; None if it does."""
    for condition in fields.each("status", "conditions"):
        if condition.text("type") == "Ready" and condition.text("status") != "True":
            return condition.text("message")[:SAID_CHARACTERS]
    return None


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


QUESTION = Question("pods", "Pods", "Kubernetes", ask, _look, command="describe pod")
