"""A notification's JSON, read in one pass with bounded memory: its fields, and of its alerts as many as are told.

Alertmanager puts no limit to a notification; a storm makes one of many megabytes. The first FINGERPRINTS alerts that
fire and the first that have ended are kept, and one of each severity that is not among them; the rest is counted. The
trap: the key of the group comes after the alerts, so of one that is not read to its end the group is not known.
"""

from __future__ import annotations

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
    told, parts = Told(), _Parts(known)
    try:
        for event, value in ijson.basic_parse(_Bounded(source, most), use_float=True, buf_size=_CHUNK):
            part = parts.feed(event, value)
            if isinstance(part, _Item):
                told.add(part.value)
            elif part is not None:
                told.fields |= part
    except _TooLarge:
        told.whole = False
    except (ijson.JSONError, UnicodeDecodeError, ValueError, OverflowError):
        raise NotReadableError("it is not JSON") from None
    return told


@dataclass(frozen=True)
class _Item:
    value: Any


@dataclass
class _Parts:
    """Makes values of what the parser says: each field as a mapping of its own, each alert as an item."""

    known: frozenset[str]
    depth: int = 0
    begun_at: int = 0
    key: str = ""
    listed: bool = False
    building: Any = None

    def feed(self, event: str, value: Any) -> dict[str, Any] | _Item | None:
        """What is whole with this event, if anything is. Raises NotReadableError."""
        self._count(event)
        if self.building is not None:
            self.building.event(event, value)
            return self._whole() if event in _ENDS and self.depth == self.begun_at else None
        if self.depth == 1 and event in {"map_key", "end_array"}:
            self.key, self.listed = str(value) if event == "map_key" else "", False
            return None
        if self.key == "alerts" and event == "start_array" and not self.listed:
            self.listed = True
            return {self.key: []}
        return self._begun(event, value)

    def _count(self, event: str) -> None:
        if self.depth == 0 and event != "start_map":
            raise NotReadableError("it is no notification: a JSON object is expected")
        self.depth += (event in _BEGINS) - (event in _ENDS)
        if self.depth > _DEEPEST:
            raise NotReadableError("it is nested more deeply than any notification")

    def _begun(self, event: str, value: Any) -> dict[str, Any] | _Item | None:
        inside = self.depth - (event in _BEGINS)
        if self.key not in self.known or inside != (2 if self.listed else 1) or event in _ENDS:
            return None
        if event not in _BEGINS:
            return _Item(value) if self.listed else {self.key: value}
        self.building, self.begun_at = ijson.ObjectBuilder(), inside
        self.building.event(event, value)
        return None

    def _whole(self) -> dict[str, Any] | _Item:
        value, self.building = self.building.value, None
        return _Item(value) if self.listed else {self.key: value}
