"""A notification's JSON, read in one pass with bounded memory: its fields, and of its alerts as many as are told.

Alertmanager puts no limit to a notification; a storm makes one of many megabytes. The first FINGERPRINTS alerts that
fire and the first that have ended are kept, and one of each severity that is not among them; the rest is counted. The
trap: the key of the group comes after the alerts, so of one that is not read to its end the group is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import ijson

READ_BYTES: Final = 32 << 20
"""About 35,000 alerts of a kilobyte each."""
KEPT: Final = 1000
_SEVERITIES: Final = 10
_DEEPEST: Final = 20
_CHUNK: Final = 1 << 16
_BEGINS: Final = {"start_map", "start_array"}
_ENDS: Final = {"end_map", "end_array"}


class Source(Protocol):
    """What can be read from."""

    def read(self, size: int, /) -> bytes:
        """Up to so many bytes; none at its end."""


class NotReadableError(Exception):
    """It is not the JSON of an object; the message says in which way."""


@dataclass
class Told:
    """What was read. fields: without the alerts. more_firing, more_resolved: alerts that were counted only.

    whole: it was read to its end.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    alerts: list[Any] = field(default_factory=list)
    more_firing: int = 0
    more_resolved: int = 0
    whole: bool = True
    _seen: dict[str, int] = field(default_factory=lambda: {"firing": 0, "resolved": 0})
    _severities: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """How many alerts were read."""
        return len(self.alerts) + self.more_firing + self.more_resolved

    def add(self, alert: Any) -> None:
        """Keep an alert, or count it."""
        status = alert.get("status") if isinstance(alert, dict) else None
        if status not in ("firing", "resolved"):
            # Refused where it is looked at; nobody sends many.
            self.alerts = [*self.alerts[:KEPT], alert]
            return
        severity = str((alert.get("labels") or {}).get("severity", "") if isinstance(alert.get("labels"), dict) else "")
        fresh = status == "firing" and severity not in self._severities and len(self._severities) < _SEVERITIES
        if self._seen[status] < KEPT or fresh:
            self.alerts.append(alert)
            self._severities.add(severity)
        elif status == "firing":
            self.more_firing += 1
        else:
            self.more_resolved += 1
        self._seen[status] += 1


class _TooLarge(Exception):  # noqa: N818 - how reading ends early
    pass


class _Bounded:
    def __init__(self, source: Source, most: int) -> None:
        self._source, self._left = source, most

    def read(self, size: int = _CHUNK) -> bytes:
        if size <= 0:
            # ijson asks so whether it is bytes or text.
            return b""
        data = self._source.read(min(size, self._left + 1))
        if len(data) > self._left:
            raise _TooLarge
        self._left -= len(data)
        return data


def read(source: Source, known: frozenset[str], most: int = READ_BYTES) -> Told:
    """A notification, up to so many bytes. known: the fields that are wanted. Raises NotReadableError."""
    told = Told()
    try:
        for key, value in _parts(source, known, most):
            if key == "alerts" and isinstance(value, _Item):
                told.add(value.value)
            else:
                told.fields[key] = value
    except _TooLarge:
        told.whole = False
    except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError):
        raise NotReadableError("it is not JSON") from None
    return told


@dataclass(frozen=True)
class _Item:
    value: Any


def _parts(source: Source, known: frozenset[str], most: int) -> Iterator[tuple[str, Any]]:
    depth, begun_at, key, listed = 0, 0, "", False
    building: Any = None
    for event, value in ijson.basic_parse(_Bounded(source, most), use_float=True, buf_size=_CHUNK):
        if depth == 0 and event != "start_map":
            raise NotReadableError("it is no notification: a JSON object is expected")
        if event in _BEGINS:
            depth += 1
            if depth > _DEEPEST:
                raise NotReadableError("it is nested more deeply than any notification")
        if event in _ENDS:
            depth -= 1
        inside = depth - (event in _BEGINS)
        if building is not None:
            building.event(event, value)
            if event in _ENDS and depth == begun_at:
                yield key, _Item(building.value) if listed else building.value
                building = None
        elif depth == 1 and event == "map_key":
            key, listed = value, False
        elif listed and event == "end_array" and depth == 1:
            listed = False
        elif key == "alerts" and event == "start_array" and inside == 1:
            listed = True
            yield key, []
        elif key in known and inside == (2 if listed else 1) and event not in _ENDS:
            if event in _BEGINS:
                building, begun_at = ijson.ObjectBuilder(), inside
                building.event(event, value)
            else:
                yield key, _Item(value) if listed else value
