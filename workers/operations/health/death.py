"""Why a container died: how it ended, what it said last, what the cluster told of it, and what was changed before.

A container that was killed for memory says nothing of it, and its log goes on with the next start; so what it said last
is read from the log before the last restart. What a container says and an event tells is somebody else's text: it is
shown without secrets. Looking further never fails what asked: what cannot be had is named.

The trap: only the last end is kept by Kubernetes, and its memory limit nowhere; a pod's own spec has it (or the
container's status, if it was resized in place), while the Deployment's may have been changed since.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from workers.errors import OperatorError
from workers.operations.health import changes_before
from workers.operations.health.log_errors import Groups, is_exception
from workers.redaction import one_line
from workers.report import Facts, Section, Text
from workers.settings import SettingsError
from workers.systems.cluster import events
from workers.systems.cluster.events import LONG_AGO
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterNotFound, ClusterNotReady
from workers.wording import NOTHING, ago, duration, thousands

if TYPE_CHECKING:
    from workers.operations.health.changes_before import Changes
    from workers.settings import Settings
    from workers.systems.cluster.client import Cluster
    from workers.systems.cluster.events import Event

Json = dict[str, Any]
T = TypeVar("T")

NEWS_SECONDS: Final = 3600
"""How long ago a death may be and still be told in full: as long as Kubernetes keeps its events."""
LAST_LINES: Final = 12
CHARACTERS: Final = 240
_READ_LINES: Final = 200
_EVENTS: Final = 6
_ERROR_CHARACTERS: Final = 200
_SIGNALLED: Final = 128
"""A program that a signal ended has this and the signal's number as its exit code (POSIX shells, the OCI runtimes)."""
_OUT_OF_MEMORY: Final = "OOMKilled"

Later = Callable[[], T]
Start = Callable[[Callable[[], Any]], Later[Any]]
"""Begins a call and returns what waits for its answer; the answer may raise TimeoutError."""


@dataclass(frozen=True)
class Death:
    """How a container of a pod last ended, if it did not end well.

    signal: its number, 0 if none. memory_limit: as Kubernetes writes it, empty for none. said: its termination message.
    replaced: its log is the one before the last restart. runs: the container runs again, so it has another log too.
    owner: the uid of its ReplicaSet. unwell_since: since when the pod is not ready, None if it is.
    """

    pod: str
    container: str
    reason: str
    exit_code: int
    signal: int
    began: datetime | None
    ended: datetime | None
    restarts: int
    memory_limit: str
    image: str
    said: str
    replaced: bool
    runs: bool = False
    owner: str = ""
    unwell_since: datetime | None = None

    @property
    def how(self) -> str:
        """The end of "its container …", with Kubernetes' own words."""
        words = [self.reason or "ended", f"exit code {self.exit_code}"]
        name = _signal_name(self.signal)
        if self.reason == _OUT_OF_MEMORY:
            words += [name] if name else []
            limit = (
                f", at its limit of {self.memory_limit}" if self.memory_limit else ", with no memory limit of its own"
            )
            return f"was killed for memory ({', '.join(words)}){limit}"
        if name:
            return f"was ended by {name} ({', '.join(words)})"
        return f"ended with exit code {self.exit_code} ({words[0]})"

    def age_seconds(self, now: datetime) -> float:
        """How long ago it was; 0 if Kubernetes does not say."""
        return max(0.0, (now - self.ended).total_seconds()) if self.ended else 0.0

    def sentence(self, now: datetime, whose: str = "its") -> str:
        """Its container mlflow was killed for memory (…), at its limit of 64Mi, 40 s ago."""
        return f"{whose} container {self.container} {self.how}, {ago(self.age_seconds(now))}"


@dataclass(frozen=True)
class Inquest:
    """What was found out about a death. missed: what could not be read, and why."""

    death: Death
    lines: tuple[str, ...] = ()
    last_error: str = ""
    told: tuple[Event, ...] = ()
    changes: Changes | None = None
    missed: tuple[tuple[str, str], ...] = field(default=())

    @property
    def because(self) -> str:
        """What ended it if that was the cluster, else the last error that it logged; empty if neither is known."""
        if self.death.reason == _OUT_OF_MEMORY:
            return ""
        killed = next((each.message for each in self.told if each.reason == "Killing" and "probe" in each.message), "")
        return killed.rstrip(".") or self.last_error

    def sections(self, now: datetime) -> tuple[Section, ...]:
        """All of it, in the order in which it is to be read."""
        death = self.death
        found: list[Section] = [Facts(title=f"Why {death.pod} died", items=tuple(self._facts(now)))]
        if self.lines:
            found.append(Text(title="The last that it said", text="\n".join(self.lines), literal=True))
        if self.told:
            # Not a table, which cuts its cells: what is wrong stands at a message's end.
            told = tuple((_when(each, now), f"{each.reason}: {each.message}") for each in self.told)
            found.append(Facts(title="Its events", items=told))
        if self.changes is not None:
            found.append(changes_before.section(self.changes, now))
        return tuple(found)

    def _facts(self, now: datetime) -> list[tuple[str, str]]:
        death = self.death
        ran = (death.ended - death.began).total_seconds() if death.began and death.ended else None
        after = f", {duration(ran)} after its start" if ran is not None else ""
        when = f"{death.ended:%Y-%m-%d %H:%M:%S} UTC ({ago(death.age_seconds(now))}){after}" if death.ended else NOTHING
        name = _signal_name(death.signal)
        found = [
            ("container", f"{death.container}, {death.image}"),
            ("reason", death.reason or "not given"),
            ("exit code", f"{death.exit_code}{f' (signal {death.signal}, {name})' if name else ''}"),
            ("when", when),
            ("memory limit then", death.memory_limit or "none"),
            ("restarts", thousands(death.restarts)),
        ]
        if death.said:
            found.append(("its message", death.said))
        if self.because:
            found.append(("because", self.because))
        if not self.lines and not any(what == "its log" for what, _ in self.missed):
            before = "; Kubernetes keeps the log of its last run only" if death.restarts > 1 else ""
            found.append(("its log", f"it said nothing{before}"))
        return [*found, *self.missed]


def deaths(pod: Json) -> list[Death]:
    """How each container of a pod last ended, of those that did not end well; the newest first."""
    fields = Fields(pod, f"pod {Fields(pod, 'pod').text('metadata', 'name')}")
    specs = {
        each.text("name"): each for each in (*fields.each("spec", "initContainers"), *fields.each("spec", "containers"))
    }
    statuses = (*fields.each("status", "initContainerStatuses"), *fields.each("status", "containerStatuses"))
    found = [_death(fields, status, specs.get(status.text("name"))) for status in statuses]
    return sorted((each for each in found if each), key=_moment, reverse=True)


def latest(pods: Sequence[Json], now: datetime, *, within_seconds: float = NEWS_SECONDS) -> Death | None:
    """The death to tell of; None if none was so lately."""
    return foremost(each for pod in pods for each in deaths(pod) if each.age_seconds(now) <= within_seconds)


def foremost(found: Iterable[Death]) -> Death | None:
    """The newest of them, those first whose pod isn't well since; None if there is none."""
    return max(found, key=lambda each: (not each.runs or each.unwell_since is not None, _moment(each)), default=None)


def last_lines(cluster: Cluster, death: Death, most: int = LAST_LINES) -> tuple[str, ...]:
    """The last that it said, with the time of each line and without secrets. Raises ClusterError."""
    raw = list(cluster.log_lines(death.pod, death.container, tail_lines=most, previous=death.replaced))
    return tuple(map(shown, raw[-most:]))


def inquire(death: Death, cluster: Cluster, settings: Settings, start: Start) -> Inquest:
    """Look further, all at once if `start` does so. Raises nothing that a gateway or a deadline raises."""
    missed: list[tuple[str, str]] = []
    log = start(lambda: _log(cluster, death))
    told = start(lambda: _events(cluster, death))
    changed = changes_before.begin(cluster, settings, _window_ends(death), death.owner, start)
    lines, error = _had(log, ((), ""), "its log", missed)
    return Inquest(
        death=death,
        lines=lines,
        last_error=error,
        told=_had(told, (), "its events", missed),
        changes=changed(),
        missed=tuple(missed),
    )


def at_once(call: Callable[[], Any]) -> Later[Any]:
    """A `Start` for those who have time: asks when the answer is wanted."""
    return call


def _had(later: Later[T], otherwise: T, what: str, missed: list[tuple[str, str]]) -> T:
    try:
        return later()
    except (ClusterNotReady, ClusterNotFound):
        missed.append((what, "is gone"))
    except (OperatorError, SettingsError) as error:
        missed.append((what, f"could not be read: {error}"))
    except TimeoutError:
        missed.append((what, "could not be read in time"))
    return otherwise


def _log(cluster: Cluster, death: Death) -> tuple[tuple[str, ...], str]:
    """Its last lines, and the last error among more of them: an exception, if there is one.

    A program that can't start says so after the exception that is why ("Application startup failed").
    """
    asked = cluster.log_lines(death.pod, death.container, tail_lines=_READ_LINES, previous=death.replaced)
    raw = list(asked)
    groups = Groups()
    groups.read(raw, death.pod)
    found = [each for each in groups.ranked() if is_exception(each.message)] or groups.ranked()
    newest = max(found, key=lambda each: each.last or LONG_AGO, default=None)
    error = newest.message[:_ERROR_CHARACTERS].rstrip(".") if newest else ""
    return tuple(map(shown, raw[-LAST_LINES:])), error


def _events(cluster: Cluster, death: Death) -> tuple[Event, ...]:
    found = [events.read(item) for item in cluster.every("events")]
    ours = [each for each in found if (each.kind, each.name) == ("Pod", death.pod)]
    return tuple(sorted(ours, key=lambda each: (each.at, each.reason), reverse=True)[:_EVENTS])


def _window_ends(death: Death) -> datetime | None:
    """Until when a change may have led to it: it may have crashed for hours, so until it was last well."""
    known = [each for each in (death.unwell_since, death.ended) if each]
    return min(known, default=None)


def _death(pod: Fields, status: Fields, spec: Fields | None) -> Death | None:
    path = next((each for each in (("state", "terminated"), ("lastState", "terminated")) if status.has(*each)), None)
    if path is None:
        return None
    end = status.inner(*path)
    code, reason = end.number("exitCode"), end.text("reason")
    if code == 0 and reason != _OUT_OF_MEMORY:
        return None
    limits = next(
        (each.labels("resources", "limits") for each in (status, spec) if each and each.has("resources", "limits")), {}
    )
    number = end.number("signal") or (code - _SIGNALLED if code > _SIGNALLED else 0)
    return Death(
        pod=pod.text("metadata", "name"),
        container=status.text("name"),
        reason=reason,
        exit_code=code,
        signal=number,
        began=end.moment("startedAt"),
        ended=end.moment("finishedAt"),
        restarts=status.number("restartCount"),
        memory_limit=limits.get("memory", ""),
        image=status.text("image") or (spec.text("image") if spec else ""),
        said=one_line(end.text("message"))[:CHARACTERS],
        replaced=path[0] == "lastState",
        runs=status.has("state", "running"),
        owner=next((each.text("uid") for each in pod.each("metadata", "ownerReferences") if each.text("uid")), ""),
        unwell_since=_unwell_since(pod),
    )


def _when(event: Event, now: datetime) -> str:
    times = f", {event.times:,} times" if event.times > 1 else ""
    return f"{ago((now - event.at).total_seconds())}{times}"


def _unwell_since(pod: Fields) -> datetime | None:
    for condition in pod.each("status", "conditions"):
        if condition.text("type") == "Ready" and condition.text("status") != "True":
            return condition.moment("lastTransitionTime")
    return None


def _moment(death: Death) -> float:
    return death.ended.timestamp() if death.ended else 0.0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name if number else ""
    except ValueError:
        return ""


def shown(raw: str) -> str:
    """A log line of Kubernetes' as others may read it: the time of day, and no secret."""
    stamp, _, text = raw.partition(" ")
    is_time = len(stamp) >= len("2026-11-23T15:24:49Z") and stamp[10:11] == "T"
    line = f"{stamp[11:19]} {one_line(text)}" if is_time else one_line(raw)
    return line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 1]}…"
