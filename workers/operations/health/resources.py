"""What the pods use of CPU and memory, against what they asked for and what they may have at most.

Memory at its limit kills (fail); CPU at its limit only slows (warn). Without metrics-server nothing is known, which is
no failure of MLflow's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.operations.health.questions import Answer, Question
from workers.report import Status, Table
from workers.systems.cluster.fields import Fields
from workers.systems.cluster.quantities import quantity
from workers.systems.errors import ClusterNotFound, ClusterUnavailable
from workers.wording import NOTHING, count, share, size

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

CPU: Final = "cpu"
MEMORY: Final = "memory"


@dataclass(frozen=True)
class Use:
    """One resource of one container, in cores or bytes. request and limit: None where there is none."""

    pod: str
    container: str
    resource: str
    used: float
    request: float | None
    limit: float | None

    @property
    def of_limit(self) -> float | None:
        """The share of the limit in use."""
        return self.used / self.limit if self.limit else None

    def shown(self, number: float | None) -> str:
        """An amount as people read it."""
        if number is None:
            return NOTHING
        return f"{number * 1000:,.0f}m" if self.resource == CPU else size(number)


def ask(asking: Asking) -> Answer:
    """Usage and pods."""
    try:
        usage = asking.cluster.pod_usage(asking.names.selector)
    except ClusterNotFound:
        sentence = "metrics-server is not installed in the cluster, so what pods use is not known."
        return Answer(Status.UNKNOWN, sentence, figure="no metrics")
    except ClusterUnavailable:
        sentence = "metrics-server is installed but does not answer, so what pods use is not known."
        return Answer(Status.UNKNOWN, sentence, figure="no metrics")
    return judge(usage, asking.pods(), asking.settings)


def judge(usage: Sequence[dict[str, Any]], pods: Sequence[dict[str, Any]], settings: Settings) -> Answer:
    """From PodMetrics and the pods that they are of."""
    uses = _uses(usage, pods)
    if not uses:
        sentence = "metrics-server has no figures for MLflow's pods yet; a new pod has none for a minute."
        return Answer(Status.UNKNOWN, sentence, figure="no metrics")
    status, sentence = _verdict(uses, settings)
    memory = sum(use.used for use in uses if use.resource == MEMORY)
    cores = sum(use.used for use in uses if use.resource == CPU)
    figures = {"cpu_cores": cores, "memory_bytes": memory}
    for resource in (CPU, MEMORY):
        shares = [use.of_limit for use in uses if use.resource == resource and use.of_limit is not None]
        if shares:
            figures[f"{resource}_limit_share"] = max(shares)
        limits = [use.limit for use in uses if use.resource == resource]
        if limits and None not in limits:
            figures[f"{resource}_limit_{'bytes' if resource == MEMORY else 'cores'}"] = sum(
                each or 0.0 for each in limits
            )
    rows = tuple(
        (
            use.pod,
            use.container,
            use.resource,
            use.shown(use.used),
            use.shown(use.request),
            use.shown(use.limit),
            NOTHING if use.of_limit is None else share(use.of_limit),
        )
        for use in uses
    )
    columns = ("pod", "container", "resource", "used", "request", "limit", "of limit")
    return Answer(
        status,
        sentence,
        figure=f"{cores * 1000:,.0f}m CPU, {size(memory)}",
        details=(Table(columns=columns, rows=rows, numeric=columns[3:]),),
        figures=figures,
    )


def _verdict(uses: Sequence[Use], settings: Settings) -> tuple[Status, str]:
    thresholds = settings.ops.health.thresholds
    limited = sorted((use for use in uses if use.of_limit is not None), key=lambda use: -(use.of_limit or 0))
    memory = [use for use in limited if use.resource == MEMORY]
    if memory and (memory[0].of_limit or 0) >= thresholds.resource_fail:
        return Status.FAIL, f"{_said(memory[0])}: it is about to be killed."
    over = [use for use in limited if (use.of_limit or 0) >= thresholds.resource_warn]
    if over:
        others = f"; {count(len(over) - 1, 'other')} as well" if len(over) > 1 else ""
        return Status.WARN, f"{_said(over[0])}{others}."
    if not limited:
        return Status.OK, "No container has a limit."
    return Status.OK, f"At most {_said(limited[0])}."


def _said(use: Use) -> str:
    word = "CPU" if use.resource == CPU else "memory"
    return (
        f"{share(use.of_limit or 0)} of its {word} limit in {use.pod} ({use.shown(use.used)} of {use.shown(use.limit)})"
    )


def _uses(usage: Sequence[dict[str, Any]], pods: Sequence[dict[str, Any]]) -> list[Use]:
    wanted: dict[tuple[str, str], Fields] = {}
    for fields in (Fields(pod, "pod") for pod in pods):
        for container in fields.each("spec", "containers"):
            wanted[fields.text("metadata", "name"), container.text("name")] = container.inner("resources")
    uses = []
    for fields in (Fields(each, "PodMetrics") for each in usage):
        pod = fields.text("metadata", "name")
        for container in fields.each("containers"):
            name = container.text("name")
            # A pod that is gone by now has figures for a while.
            asked = wanted.get((pod, name))
            if asked is None:
                continue
            for resource, used in container.labels("usage").items():
                if resource in {CPU, MEMORY}:
                    request, limit = (_optional(asked.labels(kind).get(resource)) for kind in ("requests", "limits"))
                    uses.append(Use(pod, name, resource, float(quantity(used)), request, limit))
    return uses


def _optional(text: str | None) -> float | None:
    return None if text is None else float(quantity(text))


def _look(settings: Settings) -> str:
    names = settings.ops.kubernetes
    return f"kubectl top pods -n {names.namespace} -l {names.selector} --containers"


QUESTION = Question("resources", "Resources", "Kubernetes", ask, _look, spokesman="pods", command="top")
