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
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from workers.health.redaction import redacted

MOST_GROUPS: Final = 200
MESSAGE_CHARACTERS: Final = 240
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

_LEADING_TIME: Final = re.compile(
    r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?\]?\s*"
)
_VARYING: Final = (
    (re.compile(r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)[0-9a-fA-F]{12,}\b"), "<id>"),
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
            at, text = _split(line)
            for when, message in found.feed(text, at):
                self._add(message, when, pod)
        for when, message in found.end():
            self._add(message, when, pod)
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

    def _add(self, message: str, at: datetime | None, pod: str) -> None:
        self._group(normalised(message), message).add(at, pod)

    def _group(self, key: str, message: str) -> Group:
        if key not in self._groups and len(self._groups) >= MOST_GROUPS:
            key = message = OTHERS
        return self._groups.setdefault(key, Group(_shown(message)))


def normalised(message: str) -> str:
    """A message without what differs from one time to the next: numbers, ids, hexadecimal, times."""
    flat = " ".join(message.split())
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
    return bool(_EXCEPTION.match(text)) and "Warning" not in text.split(":", 1)[0]


class _Reader:
    """Lines in, errors out: holds back an error line until the next one shows whether a traceback follows it."""

    def __init__(self) -> None:
        self._held: tuple[datetime | None, str] | None = None
        self._in_frames = False
        self._chain = False

    def feed(self, text: str, at: datetime | None) -> list[tuple[datetime | None, str]]:
        bare = _FRAMING.sub("", text)
        if bare.startswith(_TRACEBACK) or text.endswith(_TRACEBACK):
            # An announcing ERROR line, or the exception that this one was raised from, is part of it.
            self._in_frames, self._chain = True, False
            before = self._held
            self._held = (before[0] if before else at, before[1] if before else _TRACEBACK)
            return []
        if self._in_frames:
            if not bare or (text[:1] in " \t|+" and not _EXCEPTION.match(bare)):
                return []
            self._in_frames = False
            self._held = (self._held[0] if self._held else at, bare)
            return []
        if not text.strip():
            return []
        if bare.startswith(_CHAINED):
            self._chain = True
            return []
        return self._single(text, at)

    def end(self) -> list[tuple[datetime | None, str]]:
        held, self._held = self._held, None
        return [held] if held else []

    def _single(self, text: str, at: datetime | None) -> list[tuple[datetime | None, str]]:
        done = self.end()
        if is_error(text):
            self._held = (at, text)
        return done


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


def _split(line: str) -> tuple[datetime | None, str]:
    """Kubernetes' time and the rest; nanoseconds are cut to what Python's clock holds."""
    stamp, space, text = line.partition(" ")
    if len(stamp) < 20 or stamp[4:5] != "-" or "T" not in stamp:  # noqa: PLR2004 - 2026-11-23T15:24:49Z
        return None, line
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp)), text if space else ""
    except ValueError:
        return None, line


def _shown(message: str) -> str:
    access = _ACCESS.search(message)
    if access:
        method = _METHOD.search(message)
        path = access[1].split("?", 1)[0]
        return redacted(f"{method[1] if method else ''} {path} → {access[2]}")[:MESSAGE_CHARACTERS]
    if message.lstrip().startswith("{"):
        try:
            document = json.loads(message)
            message = str(document.get("message") or document.get("msg") or document.get("event") or message)
        except (ValueError, AttributeError):
            pass
    return redacted(" ".join(_LEADING_TIME.sub("", message).split()))[:MESSAGE_CHARACTERS]
