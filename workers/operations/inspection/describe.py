"""A pod or a Deployment as `kubectl describe` tells of it: what matters for "why does it not run", with its events.

A pod that died is told of as the health check does it (`workers.operations.health.death`).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.deployment.judging import is_stuck, past_deadline
from workers.operations.health import death, pods
from workers.operations.inspection import events
from workers.operations.inspection.finding import mlflow_pods, name_of, one_of, our_pods
from workers.operations.inspection.masking import variable_of
from workers.operations.kubectl import by_hand, kubectl
from workers.report import Facts, Report, Section, Status, Table
from workers.systems.cluster.annotations import REVISION
from workers.systems.cluster.fields import Fields
from workers.wording import NOTHING, count, duration, listed, thousands

if TYPE_CHECKING:
    from workers.systems import Systems

Json = dict[str, Any]
EVENTS: Final = 15


class Describe(Operation):
    """Describe a pod or a Deployment."""

    name: ClassVar[str] = "describe"
    risk: ClassVar[Risk] = Risk.READ

    kind: Literal["pod", "deployment"]
    called: str = ""

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Look at it. Raises OperatorError where there is no such object, or several fit the name."""
        progress.step(f"Looking at the {self.kind}")
        return _pod(self.called, systems) if self.kind == "pod" else _deployment(self.called, systems)


def _pod(called: str, systems: Systems) -> Report:
    now = datetime.now(UTC)
    known = {name_of(each): each for each in (our_pods(systems) if called else mlflow_pods(systems))}
    name, chosen = (one_of(called, known, "pod"), "") if called else _worst(known, now)
    pod = known[name]
    fields, state = Fields(pod, f"pod {name}"), pods.read(pod, now)
    said = f": {state.trouble_said.rstrip('.')}" if state.trouble_said else ""
    if state.trouble:
        status, summary = Status.FAIL, f"{name} is in {state.trouble}{said}."
    elif state.is_ready:
        status, summary = Status.OK, f"{name} is running and ready, {duration(state.age_seconds)} old."
    else:
        status, summary = Status.WARN, f"{name} is {state.state}, {duration(state.age_seconds)} old{said}."
    died = death.latest((pod,), now)
    inquest = death.inquire(died, systems.cluster, systems.settings, death.at_once) if died else None
    if inquest is not None:
        because = f": {inquest.because}" if inquest.because else ""
        summary += f" {inquest.death.sentence(now, 'Its')}{because}."
    if state.restarts:
        last = f", last {state.last_end}" if state.last_end and not inquest else ""
        summary += f" It was restarted {count(state.restarts, 'time')}{last}."
    summary += chosen
    facts = Facts(
        items=(
            ("node", fields.text("spec", "nodeName", default=NOTHING)),
            ("address", fields.text("status", "podIP", default=NOTHING)),
            ("phase", fields.text("status", "phase", default=NOTHING)),
            ("owner", _owner(fields)),
            ("service account", fields.text("spec", "serviceAccountName", default="default")),
            ("quality of service", fields.text("status", "qosClass", default=NOTHING)),
            ("labels", _pairs(fields.labels("metadata", "labels"))),
        )
    )
    told = (*fields.each("status", "initContainerStatuses"), *fields.each("status", "containerStatuses"))
    statuses = {each.text("name"): each for each in told}
    containers = (*fields.each("spec", "initContainers"), *fields.each("spec", "containers"))
    rows = tuple(_container_row(each, statuses.get(each.text("name")), now) for each in containers)
    columns = ("container", "image", "state", "ready", "restarts", "requests", "limits")
    return Report(
        title=f"Pod {name}",
        status=status,
        summary=summary,
        sections=(
            *(inquest.sections(now) if inquest else ()),
            facts,
            Table(title="Containers", columns=columns, rows=rows, numeric=("restarts",)),
            *_environment(fields.each("spec", "containers")),
            *_conditions(fields),
            *_events(systems, "Pod", name, now),
            by_hand(kubectl(systems.settings, "describe", "pod", name)),
        ),
        hints=(
            f"logs --pod {name}{' --previous' if state.restarts else ''}",
            f"top --pod {name}",
            f"howto shell --pod {name}",
        ),
    )


def _worst(known: dict[str, Json], now: datetime) -> tuple[str, str]:
    """The pod to tell of if nobody named one, and a sentence that says why this one. Raises OperatorError."""
    if not known:
        raise OperatorError("MLflow has no pod.", "See /mlflow status and /mlflow events.")
    if len(known) == 1:
        return next(iter(known)), " It's MLflow's only pod."
    states = {name: pods.read(pod, now) for name, pod in known.items()}

    def ill(name: str) -> tuple[bool, bool, bool, float, int]:
        state = states[name]
        ended = -state.died.age_seconds(now) if state.died else -math.inf
        return not state.terminating, bool(state.trouble), not state.is_ready, ended, state.restarts

    name = max(known, key=ill)
    well = all(state.is_ready for state in states.values()) and not states[name].died
    of = f"of MLflow's {len(known)} pods"
    return name, f" It's one {of}; all are ready." if well else f" It's the worst {of}."


def _deployment(called: str, systems: Systems) -> Report:
    now, settings = datetime.now(UTC), systems.settings
    names = settings.ops.kubernetes
    wanted = called or names.deployment
    if wanted == names.deployment:
        found = systems.cluster.deployment(wanted)
    else:
        # Our Role may get MLflow's own alone, and list all of them.
        known = {name_of(each): each for each in systems.cluster.every("deployments", "apis/apps/v1")}
        wanted = one_of(wanted, known, "deployment")
        found = known[wanted]
    fields = Fields(found, f"Deployment {wanted}")
    replicas, ready = fields.number("spec", "replicas", default=1), fields.number("status", "readyReplicas")
    status = Status.OK if ready >= replicas else Status.WARN if ready else Status.FAIL
    summary = f"{ready} of {replicas} replicas are ready."
    late = past_deadline(found) if is_stuck(found) else None
    if late is not None:
        status = max(status, Status.WARN, key=lambda each: each.severity)
        summary += f" Its rollout is stuck: {late[1].rstrip('.') or 'no progress within its deadline'}."
    strategy = fields.inner("spec", "strategy")
    facts = Facts(
        items=(
            ("replicas", f"{ready} ready of {replicas}, {fields.number('status', 'updatedReplicas')} up to date"),
            ("revision", fields.labels("metadata", "annotations").get(REVISION, NOTHING)),
            ("strategy", strategy.text("type", default="RollingUpdate")),
            ("selector", _pairs(fields.labels("spec", "selector", "matchLabels"))),
            ("labels", _pairs(fields.labels("metadata", "labels"))),
        )
    )
    containers = fields.each("spec", "template", "spec", "containers")
    rows = tuple((each.text("name"), each.text("image"), _ports(each), *_resources(each)) for each in containers)
    columns = ("container", "image", "ports", "requests", "limits")
    return Report(
        title=f"Deployment {wanted}",
        status=status,
        summary=summary,
        sections=(
            facts,
            Table(title="Containers", columns=columns, rows=rows),
            *_environment(containers),
            *_conditions(fields),
            *_events(systems, "Deployment", wanted, now),
            by_hand(kubectl(settings, "describe", "deployment", wanted)),
        ),
        hints=(*(("rollout status",) if late else ()), "status", "history", f"manifest deployment {wanted}"),
    )


def _container_row(spec: Fields, status: Fields | None, now: datetime) -> tuple[str, ...]:
    requests, limits = _resources(spec)
    if status is None:
        return spec.text("name"), spec.text("image"), "not started", "no", "0", requests, limits
    state = "unknown"
    for word in ("running", "waiting", "terminated"):
        if status.has("state", word):
            began = status.moment("state", word, "startedAt")
            since = f" for {duration((now - began).total_seconds())}" if word == "running" and began else ""
            state = status.text("state", word, "reason") or f"{word}{since}"
    ready = "yes" if status.flag("ready") else "no"
    restarts = thousands(status.number("restartCount"))
    return spec.text("name"), spec.text("image"), state, ready, restarts, requests, limits


def _resources(container: Fields) -> tuple[str, str]:
    return tuple(_pairs(container.labels("resources", each)) for each in ("requests", "limits"))  # type: ignore[return-value]


def _ports(container: Fields) -> str:
    return ", ".join(str(each.number("containerPort")) for each in container.each("ports")) or NOTHING


def _environment(containers: list[Fields]) -> tuple[Section, ...]:
    """Where each variable comes from; literal values of what is called a secret are masked."""
    rows: list[tuple[str, str, str]] = []
    for container in containers:
        for each in container.each("envFrom"):
            for kind in ("configMapRef", "secretRef"):
                if each.has(kind):
                    source = f"all keys of {kind.removesuffix('Ref')} {each.text(kind, 'name')}"
                    rows.append((container.text("name"), "*", source))
        name = container.text("name")
        rows.extend((name, each.text("name"), _source(each)) for each in container.each("env"))
    table = Table(title="Environment", columns=("container", "variable", "value"), rows=tuple(rows))
    return (table,) if rows else ()


def _source(variable: Fields) -> str:
    for kind in ("configMapKeyRef", "secretKeyRef"):
        if variable.has("valueFrom", kind):
            reference = variable.inner("valueFrom", kind)
            return f"{kind.removesuffix('KeyRef')} {reference.text('name')}, key {reference.text('key')}"
    if variable.has("valueFrom"):
        return "a field of the pod"
    return variable_of(variable.text("name"), variable.text("value"))


def _conditions(fields: Fields) -> tuple[Section, ...]:
    rows = tuple(
        (each.text("type"), each.text("status"), each.text("reason", default=NOTHING), each.text("message"))
        for each in fields.each("status", "conditions")
    )
    columns = ("condition", "status", "reason", "message")
    return (Table(title="Conditions", columns=columns, rows=rows),) if rows else ()


def _events(systems: Systems, kind: str, name: str, now: datetime) -> tuple[Section, ...]:
    found = [event for event in events.recent(systems) if (event.kind, event.name) == (kind, name)]
    return events.table(found[:EVENTS], now, "Events")


def _owner(fields: Fields) -> str:
    owners = [f"{each.text('kind')}/{each.text('name')}" for each in fields.each("metadata", "ownerReferences")]
    return listed(owners) or NOTHING


def _pairs(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or NOTHING
