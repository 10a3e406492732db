"""Recent errors in the logs of MLflow's pods, grouped.

Every container of every pod is read at the same time, line by line as it arrives; see `log_errors` for what counts.
What died within the window said why in the log before its restart, which is read too; Kubernetes keeps that of the last
one only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from workers.operations.health import death
from workers.operations.health.log_errors import Groups, normalised
from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Section, Status, Table
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound, ClusterNotReady
from workers.wording import HOUR, NOTHING, ago, count, duration, listed

if TYPE_CHECKING:
    from workers.operations.health.death import Death
    from workers.operations.health.questions import Asking
    from workers.settings import Settings
    from workers.systems.cluster.client import Cluster


@dataclass(frozen=True)
class Source:
    """A container's log. previous: the one before its last restart."""

    pod: str
    container: str
    previous: bool = False

    def __str__(self) -> str:
        """As it is named in lists."""
        return f"{self.pod}/{self.container}{' before its restart' if self.previous else ''}"


@dataclass(frozen=True)
class Reading:
    """What was found in the logs. without_log: containers that had none to read.

    before: how many logs of before a restart were read. died: the last container that died within the window.
    """

    groups: Groups
    lines: int
    containers: int
    without_log: tuple[str, ...] = ()
    before: int = 0
    died: Death | None = None


def ask(asking: Asking) -> Answer:
    """Read the logs of all containers, and of those that died within the window and run again the one before."""
    pods, window = asking.pods(), asking.health.log_window_seconds
    now = [source for pod in pods for source in _sources(Fields(pod, "pod"))]
    if not now:
        return Answer(Status.UNKNOWN, "There is no pod whose log could be read.", figure="no pods")
    lately = [each for pod in pods for each in death.deaths(pod) if each.age_seconds(asking.now) <= window]
    before = [Source(each.pod, each.container, previous=True) for each in lately if each.replaced and each.runs]
    cluster = asking.cluster
    futures = [(each, asking.aside(partial(_read, cluster, each, asking))) for each in (*now, *before)]
    groups, lines, without, readable = Groups(), 0, [], 0
    for source, future in futures:
        found = future.result(timeout=asking.left)
        if found is None:
            without += [] if source.previous else [str(source)]
            continue
        groups.merge(found[0])
        lines += found[1]
        readable += source.previous
    died = death.latest(pods, asking.now, within_seconds=window)
    reading = Reading(groups, lines, len(now), tuple(without), readable, died)
    return judge(reading, asking.settings, asking.now)


def _sources(pod: Fields) -> list[Source]:
    """Its containers, and init containers that run beside them or have not ended well."""
    name = pod.text("metadata", "name")
    ended = {
        each.text("name")
        for each in pod.each("status", "initContainerStatuses")
        if each.has("state", "terminated") and not each.number("state", "terminated", "exitCode")
    }
    first = [each for each in pod.each("spec", "initContainers") if each.text("name") not in ended]
    return [Source(name, each.text("name")) for each in (*first, *pod.each("spec", "containers"))]


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
        often = f" ({most.count} times)" if 1 < most.count < total else ""
        sentence = f"{count(total, 'error')}{kinds} in {window}: {most.message[:120].rstrip('.')}{often}."
    elif reading.died:
        died = reading.died.sentence(now, f"{reading.died.pod}'s")
        sentence = f"No errors logged in {window}, but {died}."
    if len(reading.without_log) == reading.containers and not reading.before:
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


def _read(cluster: Cluster, source: Source, asking: Asking) -> tuple[Groups, int] | None:
    """One log's errors and lines; None where there is none (not started, or gone meanwhile)."""
    health = asking.health
    groups = Groups()
    lines = cluster.log_lines(
        source.pod,
        source.container,
        since_seconds=health.log_window_seconds,
        tail_lines=health.log_tail_lines,
        previous=source.previous,
    )
    try:
        return groups, groups.read(lines, source.pod)
    except (ClusterNotReady, ClusterNotFound):
        return None


def _details(reading: Reading, now: datetime) -> tuple[Section, ...]:
    before = f", {reading.before} of them also from before the last restart" if reading.before else ""
    facts = [("read", f"{count(reading.lines, 'line')} of {count(reading.containers, 'container')}{before}")]
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
    "logs",
    "Logs",
    "Kubernetes",
    ask,
    _look,
    spokesman="pods",
    rests_on=("postgres", "storage", "pods"),
    command="logs",
)
