"""The keys under wal/: how what is kept there is named, and what a key names."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from workers.operations.backup.wal.packing import SUFFIX
from workers.systems.postgres.wal_position import Segment

PREFIX: Final = "wal/"
POINT: Final = "point.json"
PARTS: Final = ".part/"
BASE: Final = "base/"
BASE_TAR: Final = f"base.tar{SUFFIX}"
BASE_FILES: Final = f"backup_manifest{SUFFIX}"
"""PostgreSQL's own: what the next base is compared with, where that is an incremental one."""
BASE_MANIFEST: Final = "base.json"
TIME: Final = "%Y%m%dT%H%M%SZ"
_WHOLE: Final = re.compile(rf"[0-9A-F]{{8}}/([0-9A-F]{{24}}){re.escape(SUFFIX)}")
_PART: Final = re.compile(rf"[0-9A-F]{{8}}/([0-9A-F]{{24}})\.part/([0-9a-f]{{8}})-([0-9a-f]{{8}}){re.escape(SUFFIX)}")
_HISTORY: Final = re.compile(rf"history/([0-9A-F]{{8}}\.history){re.escape(SUFFIX)}")
_TIMELINE: Final = re.compile(r"[0-9A-F]{8}")
_BASE: Final = re.compile(r"base/((\d{8}T\d{6}Z)-[0-9a-f]{6})/")


@dataclass(frozen=True, order=True)
class Part:
    """Bytes of a segment, from `first` up to, and without, `end`."""

    segment: Segment
    first: int
    end: int


@dataclass(frozen=True)
class Places:
    """The keys of one server. system: its system identifier."""

    system: str
    segment_bytes: int

    @property
    def prefix(self) -> str:
        """Of all of them."""
        return f"{PREFIX}{self.system}/"

    @property
    def point(self) -> str:
        """Up to when all is there."""
        return f"{self.prefix}{POINT}"

    @property
    def histories(self) -> str:
        """What the keys of history files begin with."""
        return f"{self.prefix}history/"

    def folder(self, timeline: int) -> str:
        """Of a timeline's segments."""
        return f"{self.prefix}{timeline:08X}/"

    def stem(self, segment: Segment) -> str:
        """What all keys of a segment begin with."""
        return f"{self.folder(segment.timeline)}{segment.name(self.segment_bytes)}"

    def whole(self, segment: Segment) -> str:
        """A whole segment."""
        return f"{self.stem(segment)}{SUFFIX}"

    def parts(self, segment: Segment) -> str:
        """What the keys of a segment's parts begin with."""
        return f"{self.stem(segment)}{PARTS}"

    def part(self, part: Part) -> str:
        """Some bytes of a segment."""
        return f"{self.parts(part.segment)}{part.first:08x}-{part.end:08x}{SUFFIX}"

    def history(self, name: str) -> str:
        """A timeline's history file, by its name."""
        return f"{self.histories}{name}{SUFFIX}"

    def base(self, name: str) -> str:
        """What the keys of a base begin with."""
        return f"{self.prefix}{BASE}{name}/"

    def timeline(self, folder: str) -> int | None:
        """Which timeline's folder that is; None where it is another one."""
        name = folder.removeprefix(self.prefix).rstrip("/")
        return int(name, 16) if _TIMELINE.fullmatch(name) else None

    def read(self, key: str) -> Segment | Part | str | None:
        """What a key names: a segment, a part of one, a history file's name; None for all else."""
        rest = key.removeprefix(self.prefix)
        if found := _WHOLE.fullmatch(rest):
            return Segment.named(found[1], self.segment_bytes)
        if found := _PART.fullmatch(rest):
            segment = Segment.named(found[1], self.segment_bytes)
            return Part(segment, int(found[2], 16), int(found[3], 16)) if segment else None
        if found := _HISTORY.fullmatch(rest):
            return found[1]
        return None


def new_base(now: datetime) -> str:
    """A name for a base that begins now."""
    return f"{now.astimezone(UTC):{TIME}}-{secrets.token_hex(3)}"


def base_in(key: str) -> str:
    """The name of the base that an object belongs to; empty where it belongs to none."""
    found = _BASE.search(key)
    return found[1] if found else ""


def base_begun(name: str) -> datetime:
    """When a base was begun, by its name."""
    return datetime.strptime(name.partition("-")[0], TIME).replace(tzinfo=UTC)
