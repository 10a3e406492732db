"""Log lines of many containers, in the order of their times, in constant memory.

Of any number of lines only the newest are held (`NewestLines`), cut to a length, so an endless log costs time and no
memory. What a line holds is somebody else's: colours, control characters and secrets are removed before it is shown.
"""

from __future__ import annotations

import heapq
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from workers.redaction import one_line

CHARACTERS: Final = 2000
"""Of a longer line the rest is not held."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_NANO: Final = 1_000_000_000


@dataclass(frozen=True, order=True, slots=True)
class Line:
    """One line. at: nanoseconds since 1970, as the node's clock had it; number: its place in its container's log."""

    at: int
    pod: str
    container: str
    number: int
    text: str

    @property
    def moment(self) -> datetime:
        """Its time, in UTC."""
        return datetime.fromtimestamp(self.at // _NANO, UTC).replace(microsecond=self.at % _NANO // 1000)


class NewestLines:
    """The newest of the lines that were added. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: list[Line] = []
        self._lock = threading.Lock()
        self.added = 0
        """How many were added in all."""

    def add(self, line: Line) -> None:
        """Hold it as long as there are not so many newer ones."""
        with self._lock:
            self.added += 1
            if len(self._held) < self._most:
                heapq.heappush(self._held, line)
            else:
                heapq.heappushpop(self._held, line)

    def lines(self) -> list[Line]:
        """Those that are held, the oldest first."""
        return sorted(self._held)


def split_timestamp(raw: str) -> tuple[int | None, str]:
    """Kubernetes' time in nanoseconds since 1970, None where the line bears none, and the line's own text."""
    stamp, _, text = raw.partition(" ")
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None, raw
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        whole = datetime.fromisoformat(found[1] + zone)
    except ValueError:
        return None, raw
    return round((whole - _EPOCH).total_seconds()) * _NANO + int((found[2] or "0").ljust(9, "0")), text


def short_names(pods: set[str]) -> dict[str, str]:
    """The shortest end of each pod's name, from a dash on, that tells it from the others."""
    found = {}
    for pod in pods:
        parts = pod.split("-")
        tails = ("-".join(parts[-number:]) for number in range(1, len(parts) + 1))
        found[pod] = next((tail for tail in tails if sum(other.endswith(tail) for other in pods) == 1), pod)
    return found


def format_lines(lines: list[Line], *, whole: bool) -> list[str]:
    """Lines as they are read: with time, pod and, where there are several, container.

    whole: with the date and the pods' full names, for a file.
    """
    names = {line.pod: line.pod for line in lines} if whole else short_names({line.pod for line in lines})
    several = len({line.container for line in lines}) > 1
    found = []
    for line in lines:
        moment = line.moment
        clock = f"{moment:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z" if whole else f"{moment:%H:%M:%S}"
        where = f"{names[line.pod]}/{line.container}" if several or whole else names[line.pod]
        found.append(f"{clock} {where}  {one_line(line.text)}")
    return found
