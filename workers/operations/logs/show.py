"""The newest log lines of several pods in the order of their times, with what is an error among them grouped.

All containers are read at the same time, each line as it arrives; only the newest are held. Without a filter and
without --since just so many lines are asked of each container as can be shown.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.choices import MOST_LINES, USUAL_LINES, Level
from workers.operations.health.log_errors import Groups
from workers.operations.inspection.finding import Container, chosen
from workers.operations.kubectl import by_hand, kubectl
from workers.operations.logs.line_filter import LineFilter
from workers.operations.logs.lines import CHARACTERS, Line, NewestLines, format_lines, split_timestamp
from workers.operations.logs.pattern import Pattern
from workers.report import Attachment, Report, Section, Status, Table, Text
from workers.systems.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterNotReady
from workers.wording import NOTHING, count, duration, listed, thousands

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

IN_MESSAGE: Final = 25
"""Lines that stand in the thread; more are a file."""
MESSAGE_WIDTH: Final = 250
FILE_CHARACTERS: Final = 2_000_000
READERS: Final = 8
READ_SECONDS: Final = 90.0
"""A log that is written as fast as it is read has no end; then what was read until now is shown."""
LOOK_SECONDS: Final = 0.5
KINDS: Final = 8
KUBECTL_AT_ONCE: Final = 5
"""Logs that kubectl reads at a time unless it is told another number (kubectl logs --help)."""


@dataclass
class Reading:
    """What was read.

    broken_off: how many logs were too long to be read to their end. without: containers that have no log; missed: those
    that could not be read, and why.
    """

    newest: NewestLines
    groups: Groups = field(default_factory=Groups)
    read: int = 0
    broken_off: int = 0
    without: list[str] = field(default_factory=list)
    missed: list[ClusterError] = field(default_factory=list)


class Logs(Operation):
    """Show log lines of MLflow's pods."""

    name: ClassVar[str] = "logs"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 180

    pod: str = ""
    container: str = ""
    tail: Annotated[int, Field(ge=1, le=MOST_LINES)] = USUAL_LINES
    since_seconds: Annotated[int, Field(ge=1)] | None = None
    grep: str = ""
    level: Level = ""
    previous: bool = False

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Logs before the last restart" if self.previous else "Logs"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them. Raises OperatorError where no log can be read or the expression takes too long."""
        progress.step("Reading logs")
        wanted = LineFilter(self.grep, self.level)
        pattern = Pattern(self.grep) if self.grep else None
        containers = chosen(systems, self.pod, self.container)
        reading = self._read(systems.cluster, containers, wanted, pattern, progress)
        if len(reading.without) + len(reading.missed) == len(containers):
            raise self._nothing(reading, containers)
        return self._report(reading, containers, wanted, systems.settings)

    def _read(
        self,
        cluster: Cluster,
        containers: list[Container],
        wanted: LineFilter,
        pattern: Pattern | None,
        progress: Progress,
    ) -> Reading:
        reading, stop, until = Reading(NewestLines(self.tail)), threading.Event(), time.monotonic() + READ_SECONDS
        # A filter finds the newest lines that pass only where all are looked at.
        tail = self.tail if wanted.everything and self.since_seconds is None else None
        with ThreadPoolExecutor(READERS) as pool:
            futures: dict[Future[_Read], Container] = {}
            try:
                for each in containers:
                    source = _Source(cluster, each, self.since_seconds, tail, self.previous, until)
                    found = partial(_read_one, source, wanted, pattern, reading.newest, stop)
                    futures[pool.submit(found)] = each
                _wait(list(futures), progress)
                for future, each in futures.items():
                    _take(future, each, reading)
            except BaseException:  # Cancelled and TimedOut must end the readers too
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return reading

    def _nothing(self, reading: Reading, containers: list[Container]) -> OperatorError:
        if reading.missed:
            return reading.missed[0]
        names = listed([str(each) for each in containers], most=5)
        if self.previous:
            return OperatorError(f"There is no log of before a restart: {names}.", "Ask without --previous.")
        return OperatorError(f"There is no log yet: {names}.", "See /mlflow status and /mlflow events.")

    def _report(self, reading: Reading, containers: list[Container], wanted: LineFilter, settings: Settings) -> Report:
        lines = reading.newest.lines()
        readable = len(containers) - len(reading.without) - len(reading.missed)
        of = f" of {reading.read:,}" if reading.read > len(lines) else ""
        within = f" of the last {duration(self.since_seconds)}" if self.since_seconds else ""
        summary = f"{count(len(lines), 'line')}{of}{within} from {count(readable, 'container')}"
        if wanted.said:
            summary += f", {wanted.said}"
        errors = reading.groups.total()
        if errors:
            summary += f"; {count(errors, 'error')} of {count(len(reading.groups.ranked()), 'kind')}"
        if reading.newest.added > len(lines):
            summary += f"; {reading.newest.added - len(lines):,} older ones are left out"
        if reading.broken_off:
            summary += f"; {count(reading.broken_off, 'log')} took too long to be read to the end"
        if reading.missed:
            summary += f"; {count(len(reading.missed), 'log')} could not be read"
        return Report(
            title=self.title,
            status=Status.WARN if errors or reading.missed or reading.broken_off else Status.OK,
            summary=f"{summary}.",
            sections=(
                *sections(lines, reading.groups),
                *_not_read(reading),
                by_hand(self._by_hand(containers, settings)),
            ),
            hints=self._hints(errors),
            attachments=attachments(lines),
        )

    def _by_hand(self, containers: list[Container], settings: Settings) -> str:
        line = kubectl(
            settings,
            "logs",
            *kubectl_selection(containers, settings, one=bool(self.pod)),
            *(("-c", containers[0].name) if self.container else ("--all-containers",)),
            "--timestamps",
            # With a label kubectl shows ten lines only, where it is not told how many.
            *((f"--since={self.since_seconds}s", "--tail=-1") if self.since_seconds else ()),
            *(() if self.since_seconds else ("--tail=-1" if self.grep or self.level else f"--tail={self.tail}",)),
            *(("--previous",) if self.previous else ()),
        )
        return f"{line} | {shlex.join(('grep', '-iE', '--', self.grep))}" if self.grep else line

    def _hints(self, errors: int) -> tuple[str, ...]:
        again = f" --pod {self.pod}" if self.pod and " " not in self.pod else ""
        if self.previous:
            return (f"logs{again}", "events")
        if errors and self.level in {"error", "critical"}:
            return ("events --warnings", f"logs{again} --follow 60s", "health")
        if errors:
            return (f"logs{again} --level error --since 1h", f"logs{again} --follow 60s", "health")
        return (f"logs{again} --follow 60s", "logs size")


@dataclass(frozen=True)
class _Source:
    cluster: Cluster
    container: Container
    since_seconds: int | None
    tail: int | None
    previous: bool
    until: float

    def lines(self) -> Iterator[str]:
        return self.cluster.log_lines(
            self.container.pod,
            self.container.name,
            since_seconds=self.since_seconds,
            tail_lines=self.tail,
            previous=self.previous,
        )


@dataclass(frozen=True)
class _Read:
    """The errors among the lines that passed, and how many lines there were; whole: read to its end."""

    groups: Groups
    lines: int
    whole: bool


class _Stopped(Exception):  # noqa: N818 - control flow between threads
    pass


def _read_one(
    source: _Source, wanted: LineFilter, pattern: Pattern | None, newest: NewestLines, stop: threading.Event
) -> _Read:
    groups, sieve, read, at, whole = Groups(), wanted.sieve(pattern), 0, 0, True

    def passing() -> Iterator[str]:
        nonlocal read, at, whole
        for raw in source.lines():
            if stop.is_set():
                raise _Stopped
            if time.monotonic() > source.until:
                whole = False
                return
            read += 1
            moment, text = split_timestamp(raw)
            at = at if moment is None else moment
            if sieve.passes(text):
                newest.add(Line(at, source.container.pod, source.container.name, read, text[:CHARACTERS]))
                yield raw

    groups.read(passing(), source.container.pod)
    return _Read(groups, read, whole)


def _wait(futures: list[Future[_Read]], progress: Progress) -> None:
    left = set(futures)
    while left:
        done, left = wait(left, timeout=LOOK_SECONDS)
        # An expression that takes too long fails at once, not when all the others have tried it too.
        for future in done:
            error = future.exception()
            if error is not None and not isinstance(error, ClusterError):
                raise error
        progress.advance(len(futures) - len(left), len(futures), "logs")
        progress.checkpoint()


def _take(future: Future[_Read], container: Container, reading: Reading) -> None:
    try:
        found = future.result()
    except ClusterForbidden:
        raise
    except (ClusterNotReady, ClusterNotFound):
        reading.without.append(str(container))
        return
    except ClusterError as error:
        reading.missed.append(error)
        return
    reading.groups.merge(found.groups)
    reading.read += found.lines
    reading.broken_off += not found.whole


def kubectl_selection(containers: list[Container], settings: Settings, *, one: bool) -> tuple[str, ...]:
    """The words by which kubectl logs finds these containers. one: they are of one pod."""
    if one:
        return (containers[0].pod,)
    more = (f"--max-log-requests={len(containers)}",) if len(containers) > KUBECTL_AT_ONCE else ()
    return ("-l", settings.ops.kubernetes.selector, "--prefix", *more)


def sections(lines: list[Line], groups: Groups) -> tuple[Section, ...]:
    """The errors, the most frequent first, and the newest lines."""
    found: list[Section] = []
    ranked = groups.ranked()
    if ranked:
        rows = tuple(
            (
                thousands(group.count),
                f"{group.last:%H:%M:%S}" if group.last else NOTHING,
                listed(sorted(group.pods), most=2),
                group.message,
            )
            for group in ranked[:KINDS]
        )
        columns = ("times", "last", "pod", "message")
        found.append(Table(title="Errors", columns=columns, rows=rows, numeric=("times",)))
    if lines:
        last = format_lines(lines[-IN_MESSAGE:], whole=False)
        title = "Lines" if len(lines) <= IN_MESSAGE else f"The last {IN_MESSAGE} lines"
        text = "\n".join(each if len(each) <= MESSAGE_WIDTH else f"{each[: MESSAGE_WIDTH - 1]}…" for each in last)
        found.append(Text(title=title, text=text, literal=True))
    return tuple(found)


def attachments(lines: list[Line]) -> tuple[Attachment, ...]:
    """The lines as a file, where the thread does not show them all and in full; the newest, up to FILE_CHARACTERS."""
    whole = format_lines(lines, whole=True)
    if len(whole) <= IN_MESSAGE and all(len(each) <= MESSAGE_WIDTH for each in whole):
        return ()
    kept: list[str] = []
    room = FILE_CHARACTERS
    for each in reversed(whole):
        room -= len(each) + 1
        if room < 0:
            kept.append(f"({len(whole) - len(kept):,} older lines are left out: ask for fewer)")
            break
        kept.append(each)
    return (Attachment(filename="mlflow-logs.txt", content="".join(f"{each}\n" for each in reversed(kept))),)


def _not_read(reading: Reading) -> tuple[Section, ...]:
    told = [f"{each} has no such log." for each in reading.without] + [error.message for error in reading.missed]
    return (Text(title="Not read", text="\n".join(told[:10])),) if told else ()
