"""Positions in the WAL, and the names of its segments.

A position (LSN) counts bytes since the server was made; a segment is a file of it, 16 MiB unless initdb was told
otherwise, named after its timeline and its number
(https://www.postgresql.org/docs/current/wal-internals.html; XLogFileName in xlog_internal.h).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_NAME: Final = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_LSN: Final = re.compile(r"([0-9A-F]{1,8})/([0-9A-F]{1,8})")
_FILE: Final = 1 << 32
"""Bytes that share the middle of a name."""


def position(text: str) -> int:
    """The number that "0/16B3748" stands for. Raises ValueError."""
    found = _LSN.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no position in the WAL"
        raise ValueError(msg)
    return (int(found[1], 16) << 32) + int(found[2], 16)


def shown(lsn: int) -> str:
    """As PostgreSQL writes a position."""
    return f"{lsn >> 32:X}/{lsn & (_FILE - 1):X}"


@dataclass(frozen=True, order=True)
class Segment:
    """A segment by its number from the server's beginning, and its timeline."""

    number: int
    timeline: int

    @classmethod
    def holding(cls, lsn: int, timeline: int, segment_bytes: int) -> Self:
        """The segment with the byte at that position."""
        return cls(lsn // segment_bytes, timeline)

    @classmethod
    def named(cls, name: str, segment_bytes: int) -> Self | None:
        """From a file's name; None where that is no segment's."""
        found = _NAME.fullmatch(name)
        if found is None:
            return None
        timeline, file, within = (int(each, 16) for each in found.groups())
        return cls(file * (_FILE // segment_bytes) + within, timeline)

    def name(self, segment_bytes: int) -> str:
        """Its file's name."""
        file, within = divmod(self.number, _FILE // segment_bytes)
        return f"{self.timeline:08X}{file:08X}{within:08X}"

    def start(self, segment_bytes: int) -> int:
        """The position of its first byte."""
        return self.number * segment_bytes
