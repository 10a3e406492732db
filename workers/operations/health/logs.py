"""Recent errors in the logs of MLflow's pods, grouped.

Every container of every pod is read at the same time, line by line as it arrives; see `log_errors` for what counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from workers.operations.health.log_errors import Groups, normalised
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound, ClusterNotReady
from workers.wording import HOUR, NOTHING, ago, count, duration, listed

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.cluster.client import Cluster


@dataclass(frozen=True)
class Reading:
    """What was found in the logs. without_log: containers that had none to read."""

    groups: Groups
    lines: int
    containers: int
    without_log: tuple[str, ...] = ()


def ask(asking: Asking) -> Answer:
    """Read the logs of all containers."""
    containers = [
        (pod.text("metadata", "name"), container.text("name"))
        for pod in (Fields(item, "pod") for item in asking.pods())
        for container in pod.each("spec", "containers")
    ]
    if not containers:
        return Answer(Status.UNKNOWN, "There is no pod whose log could be read.", figure="no pods")
    cluster = asking.cluster
    futures = [asking.aside(partial(_read, cluster, each, asking)) for each in containers]
    groups, lines, without = Groups(), 0, []
    for (pod, container), future in zip(containers, futures, strict=True):
        found = future.result(timeout=asking.left)
        if found is None:
            without.append(f"{pod}/{container}")
            continue
        groups.merge(found[0])
        lines += found[1]
    return judge(Reading(groups, lines, len(containers), tuple(without)), asking.settings, asking.now)


def judge(reading: Reading, settings: Settings, now: datetime) -> Answer:
    """From the grouped errors of all containers."""
    health = settings.ops.health
    total, ranked = reading.groups.total(), reading.groups.ranked()
    seconds = health.log_window_seconds
    window = "the last hour" if seconds == HOUR else f"the last {duration(seconds)}"
    status = Status.OK
    if total >= health.thresholds.errors_fail:
        status = Status.FAIL
    elif total >= health.thresholds.errors_warn:
        status = Status.WARN
    sentence = f"No errors in {window}."
    if ranked:
        most = ranked[0]
        kinds = f" of {count(len(ranked), 'kind')}" if len(ranked) > 1 else ""
        sentence = f"{count(total, 'error')}{kinds} in {window}: {most.message[:120].rstrip('.')} ({most.count} times)."
    if len(reading.without_log) == reading.containers:
        status, sentence = Status.UNKNOWN, "No container has a log yet."
    return Answer(
        status,
        sentence,
        figure=count(total, "error"),
        details=_details(reading, now),
        figures={
            "errors": total,
            "kinds": len(ranked),
            "lines": reading.lines,
            "containers": reading.containers,
        },
        notes={"kinds": tuple(normalised(group.message) for group in ranked)},
    )


def _read(cluster: Cluster, container: tuple[str, str], asking: Asking) -> tuple[Groups, int] | None:
    """One container's errors and lines; None where it has no log (not started, or gone meanwhile)."""
    health = asking.health
    groups = Groups()
    lines = cluster.log_lines(*container, since_seconds=health.log_window_seconds, tail_lines=health.log_tail_lines)
    try:
        return groups, groups.read(lines, container[0])
    except (ClusterNotReady, ClusterNotFound):
        return None


def _details(reading: Reading, now: datetime) -> tuple[Section, ...]:
    facts = [("read", f"{count(reading.lines, 'line')} of {count(reading.containers, 'container')}")]
    if reading.without_log:
        facts.append(("without a log", listed(reading.without_log)))
    rows = tuple(
        (
            str(group.count),
            _ago(group.first, now),
            _ago(group.last, now),
            listed(sorted(group.pods), most=2),
            group.message,
        )
        for group in reading.groups.ranked()[:10]
    )
    if not rows:
        return (Facts(items=tuple(facts)),)
    columns = ("times", "first", "last", "pod", "message")
    return (Facts(items=tuple(facts)), Table(columns=columns, rows=rows, numeric=("times",)))


def _ago(moment: datetime | None, now: datetime) -> str:
    return ago((now - moment).total_seconds()) if moment else NOTHING


def _look(settings: Settings) -> str:
    names, window = settings.ops.kubernetes, settings.ops.health.log_window_seconds
    return (
        f"kubectl logs -n {names.namespace} -l {names.selector} --all-containers --prefix --since={window}s --tail=200"
    )


QUESTION = Question(
    "logs", "Logs", "Kubernetes", ask, _look, spokesman="pods", rests_on=("postgres", "storage", "pods")
)
