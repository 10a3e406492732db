"""Errors in a log: which lines are one, which belong together, and which say the same.

`grep -i error` counts "INFO … error=None" and each line of a traceback. Here a line counts by its level; an access
line by its status (5xx); a traceback once, under its last line, together with the ERROR line that announced it and the
exceptions that it was raised from. What differs only in numbers, ids and times is one message. Constant memory: one
traceback is held in two lines, and after `MOST_GROUPS` different messages the rest is only counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from workers.redaction import redacted

MOST_GROUPS: Final = 200
MESSAGE_CHARACTERS: Final = 240
READ_CHARACTERS: Final = 1000
"""Of a longer message the rest is not looked at: neither compared nor shown."""
OTHERS: Final = "(more kinds of errors)"

_LEVELS: Final = {
    **dict.fromkeys(
        ("DEBUG", "TRACE", "INFO", "NOTICE", "WARN", "WARNING", "LOG", "HINT", "DETAIL", "STATEMENT"), False
    ),
    **dict.fromkeys(("ERROR", "ERR", "CRITICAL", "FATAL", "PANIC", "SEVERE", "ALERT", "EMERG", "EMERGENCY"), True),
}
_LEVEL: Final = re.compile(r"(?<![\w.=/-])(" + "|".join(_LEVELS) + r")(?![\w.=/-])")
_KEYED: Final = re.compile(r"""\b(?:level|lvl|severity)["']?\s*[=:]\s*["']?(\w+)""", re.IGNORECASE)
_GLOG: Final = re.compile(r"^([IWEF])\d{4} \d\d:\d\d:\d\d")
_ACCESS: Final = re.compile(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\S+) HTTP/[\d.]+" (\d{3})\b')
_METHOD: Final = re.compile(r'"([A-Z]+) ')
_TRACEBACK: Final = "Traceback (most recent call last):"
_CHAINED: Final = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
_EXCEPTION: Final = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Warning|Timeout)(?::|$)")
_FRAMING: Final = re.compile(r"^[\s|+-]*")
"""An exception group's tracebacks are framed with bars."""

_HINTS: Final = (
    *("err", "exc", "trace", "fatal", "crit", "panic", "severe", "alert", "emerg", "exit", "interrupt", "timeout"),
    '" 5',
)
"""In lower case; every line that is an error or belongs to one holds one of them, or begins with E."""

_LEADING_TIME: Final = re.compile(
    r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?\]?\s*"
)
_VARYING: Final = (
    (re.compile(r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "#"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "#"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "#"),
)


@dataclass
class Group:
    """One kind of error. Times are those of its lines, where the log bears any."""

    message: str
    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    pods: set[str] = field(default_factory=set)

    def add(self, at: datetime | None, pod: str, times: int = 1) -> None:
        """Count it again."""
        self.count += times
        self.pods.add(pod)
        if at is not None:
            self.first = at if self.first is None else min(self.first, at)
            self.last = at if self.last is None else max(self.last, at)


class Groups:
    """The errors of any number of logs. Not for concurrent use: one per log, then `merge`."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}

    def read(self, lines: Iterable[str], pod: str) -> int:
        """Count the errors among lines, each of which may begin with Kubernetes' RFC 3339 time; how many lines."""
        found = _Reader()
        number = 0
        for number, line in enumerate(lines, start=1):  # noqa: B007 - the number of the last line
            stamp, text = _split(line)
            if error := found.feed(text, stamp):
                self._add(error, pod)
        if error := found.end():
            self._add(error, pod)
        return number

    def merge(self, other: Groups) -> None:
        """Add another's counts to these."""
        for key, group in other._groups.items():
            mine = self._group(key, group.message)
            for at in (group.first, group.last):
                mine.add(at, "", times=0)
            mine.count += group.count
            mine.pods = (mine.pods | group.pods) - {""}

    def ranked(self) -> list[Group]:
        """The most frequent first."""
        return sorted(self._groups.values(), key=lambda group: (-group.count, group.message))

    def total(self) -> int:
        """How many errors."""
        return sum(group.count for group in self._groups.values())

    def _add(self, error: tuple[str, str], pod: str) -> None:
        stamp, message = error
        self._group(normalised(message), message).add(_moment(stamp), pod)

    def _group(self, key: str, message: str) -> Group:
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = message = OTHERS
        if key not in self._groups:
            self._groups[key] = Group(_shown(message))
        return self._groups[key]


def normalised(message: str) -> str:
    """A message without what differs from one time to the next: numbers, ids, hexadecimal, times."""
    flat = " ".join(message[:READ_CHARACTERS].split())
    for pattern, word in _VARYING:
        flat = pattern.sub(word, flat)
    return flat[:MESSAGE_CHARACTERS]


def is_error(text: str) -> bool:
    """True where a single line reports an error, by its level or its HTTP status."""
    access = _ACCESS.search(text)
    if access:
        return access[2].startswith("5")
    if text.lstrip().startswith("{"):
        level = _json_level(text)
        if level is not None:
            return level
    glog = _GLOG.match(text)
    if glog:
        return glog[1] in "EF"
    keyed = _KEYED.search(text)
    if keyed and keyed[1].upper() in _LEVELS:
        return _LEVELS[keyed[1].upper()]
    word = _LEVEL.search(text)
    if word:
        return _LEVELS[word[1]]
    return is_exception(text)


def is_exception(message: str) -> bool:
    """Whether an error is the last line of a traceback, which says more than the ERROR lines around it."""
    return bool(_EXCEPTION.match(message)) and "Warning" not in message.split(":", 1)[0]


class _Reader:
    """Lines in, errors out: holds back an error until the next line shows whether a traceback belongs to it."""

    def __init__(self) -> None:
        self._held: tuple[str, str] | None = None
        self._in_frames = False
        self._raised = False
        """True where what is held is the last line of a traceback."""
        self._chained = False

    def feed(self, text: str, stamp: str) -> tuple[str, str] | None:
        """The error that is complete now that this line came, with its time."""
        if self._in_frames:
            self._frame(text, stamp)
            return None
        if not _suspicious(text):
            return self.end() if self._held and text.strip() else None
        bare = _FRAMING.sub("", text)
        if bare.startswith(_CHAINED):
            self._chained = True
            return None
        if bare.startswith(_TRACEBACK) or text.endswith(_TRACEBACK):
            # The ERROR line that announced it, or the exception that it was raised from, is part of it.
            done = self.end() if self._raised and not self._chained else None
            self._held = (self._held[0] if self._held else stamp, _TRACEBACK)
            self._in_frames, self._raised, self._chained = True, False, False
            return done
        done = self.end()
        if is_error(text):
            self._held = (stamp, text)
        return done

    def end(self) -> tuple[str, str] | None:
        """What is still held."""
        held, self._held = self._held, None
        self._raised = self._chained = False
        return held

    def _frame(self, text: str, stamp: str) -> None:
        bare = _FRAMING.sub("", text)
        if not bare or (text[:1] in " \t|+" and not _EXCEPTION.match(bare)):
            return
        self._in_frames, self._raised = False, True
        self._held = (self._held[0] if self._held else stamp, bare)


def _suspicious(text: str) -> bool:
    """False for the many lines that cannot matter, cheaply: it decides what reading a log costs."""
    if text[:1] == "E":
        return True
    lower = text.lower()
    return any(hint in lower for hint in _HINTS)


def _json_level(text: str) -> bool | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    for key in ("level", "levelname", "severity", "lvl", "log.level"):
        level = document.get(key)
        if isinstance(level, str) and level.upper() in _LEVELS:
            return _LEVELS[level.upper()]
    return None


def _split(line: str) -> tuple[str, str]:
    """Kubernetes' time, empty where there is none, and the rest."""
    stamp, _, text = line.partition(" ")
    if len(stamp) >= 20 and stamp[10] == "T" and stamp[4] == "-":  # noqa: PLR2004 - 2026-11-23T15:24:49Z
        return stamp, text
    return "", line


def _moment(stamp: str) -> datetime | None:
    """Nanoseconds are cut to what Python's clock holds."""
    try:
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _shown(message: str) -> str:
    if message.lstrip().startswith("{"):
        with suppress(ValueError, AttributeError):
            document = json.loads(message)
            message = str(document.get("message") or document.get("msg") or document.get("event") or message)
    message = message[:READ_CHARACTERS]
    access = _ACCESS.search(message)
    if access:
        method = _METHOD.search(message)
        path = access[1].split("?", 1)[0]
        return redacted(f"{method[1] if method else ''} {path} → {access[2]}")[:MESSAGE_CHARACTERS]
    return redacted(" ".join(_LEADING_TIME.sub("", message).split()))[:MESSAGE_CHARACTERS]
