"""New log lines as they come, for a while, in the message of the command.

The logs are asked for again and again instead of being held open: so a container that restarts, a pod that is new and
a stop that somebody asked for are all noticed within a second, and a silent log cannot block anything. No clock but the
logs' own is compared: what is new is what comes after the last line seen.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import OperatorError
from workers.operation import Cancelled, Operation, Progress, Risk
from workers.operations.choices import MOST_LINES, Level
from workers.operations.health.log_errors import Groups
from workers.operations.inspection.finding import Container, chosen
from workers.operations.kubectl import by_hand, kubectl
from workers.operations.logs.line_filter import LineFilter, Sieve
from workers.operations.logs.lines import CHARACTERS, Line, format_lines, split_timestamp
from workers.operations.logs.pattern import Pattern
from workers.operations.logs.show import attachments, kubectl_selection, sections
from workers.report import Report, Status, Text
from workers.systems.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterNotReady, GatewayError
from workers.wording import count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

MOST_SECONDS: Final = 300
"""It keeps a worker busy."""
POLL_SECONDS: Final = 1.5
OVERLAP_SECONDS: Final = 5
AT_ONCE: Final = 1000
"""Lines of one container that are read at a time."""
LIVE_LINES: Final = 8
LIVE_WIDTH: Final = 160


@dataclass
class _Seen:
    """The last line seen of a container: its time, and how many lines bore it."""

    sieve: Sieve
    at: int = -1
    times: int = 0


class LogsFollow(Operation):
    """Follow the logs of MLflow's pods for a while."""

    name: ClassVar[str] = "logs-follow"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = MOST_SECONDS + 120
    long: ClassVar[bool] = True

    pod: str = ""
    container: str = ""
    seconds: Annotated[float, Field(ge=1, le=MOST_SECONDS)] = 60
    grep: str = ""
    level: Level = ""

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Followed logs"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Show what comes, until the time is over or somebody stops it."""
        pattern = Pattern(self.grep) if self.grep else None
        follower = _Follower(self, systems, pattern)
        follower.begin()
        began = time.monotonic()
        progress.step(f"Following for {duration(self.seconds)}: nothing new yet")
        ended = ""
        try:
            while (left := self.seconds - (time.monotonic() - began)) > 0:
                _rest(min(POLL_SECONDS, left), progress)
                if follower.poll():
                    left = max(0.0, self.seconds - (time.monotonic() - began))
                    progress.step(follower.live(left))
        except Cancelled:
            ended = ", then it was stopped"
        return follower.report(time.monotonic() - began, ended)


class _Follower:
    def __init__(self, asked: LogsFollow, systems: Systems, pattern: Pattern | None) -> None:
        self._asked = asked
        self._systems = systems
        self._wanted = LineFilter(asked.grep, asked.level)
        self._pattern = pattern
        self._seen: dict[Container, _Seen] = {}
        self._lines: deque[Line] = deque(maxlen=MOST_LINES)
        self._groups = Groups()
        self._number = 0
        self._missed = False
        self._silence = ""
        self._asked_at = time.monotonic()

    def begin(self) -> None:
        """Note where each log ends now. Raises OperatorError where there is no such container."""
        for key in self._containers():
            seen = self._note(key)
            for raw in self._read(key, tail=1):
                seen.at = split_timestamp(raw)[0] or -1
                # More lines may bear that time than the one that was read.
                seen.times = sum(split_timestamp(each)[0] == seen.at for each in self._read(key, tail=AT_ONCE))

    def poll(self) -> bool:
        """Read what is new of every container; True where there is any."""
        before, self._asked_at, since = self._number, time.monotonic(), self._asked_at
        window = math.ceil(time.monotonic() - since) + OVERLAP_SECONDS
        fresh: list[Line] = []
        try:
            for key in self._containers():
                window_of = window if key in self._seen else None
                new = list(self._new(key, self._note(key), window_of))
                fresh += [line for line, _ in new]
                self._groups.read([raw for _, raw in new], key.pod)
        except ClusterForbidden:
            raise
        except ClusterError as error:
            self._silence = error.message
        self._lines.extend(sorted(fresh))
        return self._number > before

    def live(self, left: float) -> str:
        """What is shown while it goes on."""
        newest = format_lines(list(self._lines)[-LIVE_LINES:], whole=False)
        head = f"Following, {duration(left)} left: {count(self._number, 'new line')}"
        return "\n".join((head, *(each[:LIVE_WIDTH] for each in newest)))

    def report(self, took: float, ended: str) -> Report:
        """What came in all."""
        lines, errors = list(self._lines), self._groups.total()
        summary = f"{count(self._number, 'new line')} in {duration(took)}{ended}"
        if self._wanted.said:
            summary += f", {self._wanted.said}"
        if errors:
            summary += f"; {count(errors, 'error')}"
        if self._missed or self._number > len(lines):
            summary += "; there were more than could be kept"
        asked = self._asked
        told = (Text(title="Not read meanwhile", text=self._silence),) if self._silence else ()
        return Report(
            title=asked.title,
            status=Status.WARN if errors or told else Status.OK,
            summary=f"{summary}.",
            sections=(*sections(lines, self._groups), *told, by_hand(self._by_hand())),
            hints=("logs --since 10m", "logs --level error --since 1h"),
            attachments=attachments(lines),
        )

    def _containers(self) -> list[Container]:
        """By pod and name only: a restart is no other container."""
        try:
            found = chosen(self._systems, self._asked.pod, self._asked.container)
        except GatewayError:
            raise
        except OperatorError:
            # Between two lives there may be no pod.
            if not self._seen:
                raise
            return []
        return [Container(each.pod, each.name, 0, running=True) for each in found]

    def _by_hand(self) -> str:
        settings, keys = self._systems.settings, list(self._seen)
        container = ("-c", self._asked.container) if self._asked.container else ("--all-containers",)
        return kubectl(
            settings,
            "logs",
            *kubectl_selection(keys, settings, one=bool(self._asked.pod)),
            *container,
            "--follow",
            "--tail=0",
        )

    def _note(self, key: Container) -> _Seen:
        return self._seen.setdefault(key, _Seen(self._wanted.sieve(self._pattern)))

    def _new(self, key: Container, seen: _Seen, window: int | None) -> Iterator[tuple[Line, str]]:
        skip, read, first = seen.times, 0, None
        last = seen.at
        for raw in self._read(key, tail=AT_ONCE, since=window):
            read += 1
            at, text = split_timestamp(raw)
            at = seen.at if at is None else at
            first = at if first is None else first
            if at < last:
                continue
            if at == last and skip:
                skip -= 1
                continue
            seen.at, seen.times = at, seen.times + 1 if at == seen.at else 1
            if seen.sieve.passes(text):
                self._number += 1
                yield Line(at, key.pod, key.name, self._number, text[:CHARACTERS]), raw
        if read == AT_ONCE and last >= 0 and first is not None and first > last:
            self._missed = True

    def _read(self, key: Container, *, tail: int, since: int | None = None) -> list[str]:
        try:
            return list(self._systems.cluster.log_lines(key.pod, key.name, since_seconds=since, tail_lines=tail))
        except (ClusterNotReady, ClusterNotFound):
            return []


def _rest(seconds: float, progress: Progress) -> None:
    """Wait, and hear within half a second that a stop was asked for."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(0.25, left))
        progress.checkpoint()
