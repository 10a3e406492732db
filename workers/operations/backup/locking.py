"""Until when the objects of a set cannot be removed: `backup.lock` in ops.yaml, as Object Lock.

What belongs to one set is locked for so many days from its beginning. The bytes of an artifact belong to many sets:
they are locked for a quarter longer, and for longer again when a set needs it, so that most backups ask for nothing.
What is removed in the course of a backup (parts of a listing, marks) is not locked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.systems.s3.lock import Lock

if TYPE_CHECKING:
    from workers.settings import Settings

Rule = Callable[[str], Lock | None]
"""How an object is locked, by its key; None where it is not."""

_BYTES: Final = "objects/"
_LASTING: Final = ("manifest.json", "database.", "auth-database.", "config.yaml", "artifacts.jsonl.")
_LEAST: Final = timedelta(days=1)


@dataclass(frozen=True)
class Locking:
    """What a backup that begins now locks. needed: until when each of its objects must be locked."""

    mode: str
    needed: datetime
    longer: datetime

    @classmethod
    def of(cls, settings: Settings, now: datetime) -> Locking | None:
        """From backup.lock; None where nothing is locked."""
        lock = settings.ops.backup.lock
        if lock is None:
            return None
        # Locks have whole seconds; none ends before it is needed.
        days, now = timedelta(days=lock.days), now.replace(microsecond=0) + timedelta(seconds=1)
        return cls(lock.mode.upper(), now + days, now + days + max(_LEAST, days / 4))

    @property
    def needed_until(self) -> str:
        """The same as text: of two, the later one sorts behind."""
        return Lock(self.mode, self.needed).moment

    def rule(self, key: str) -> Lock | None:
        """How an object of the backups' bucket is locked."""
        if key.startswith(_BYTES):
            return Lock(self.mode, self.longer)
        lasting = key.startswith("sets/") and key.rpartition("/")[2].startswith(_LASTING)
        return Lock(self.mode, self.needed) if lasting else None


def nothing(_key: str) -> Lock | None:
    """The rule where nothing is locked."""
    return None


def rule(settings: Settings, now: datetime) -> Rule:
    """The rule of a backup that begins now."""
    locking = Locking.of(settings, now)
    return locking.rule if locking else nothing
