"""Until when what lies under wal/ cannot be removed: `backup.lock` in ops.yaml, and no longer than recovery.keep_days.

Whole segments and bases are locked, from when they are written: so nothing that prune removes is locked still. Parts go
once their segment is there whole, and what is written anew all the time (point.json) is not locked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.backup import locking
from workers.operations.backup.wal import drilled, places
from workers.systems.s3.lock import Lock

if TYPE_CHECKING:
    from workers.operations.backup.locking import Rule
    from workers.settings import Settings

_PASSING: Final = (places.POINT, drilled.NAME)


def rule(settings: Settings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Rule:
    """How an object under wal/ is locked when it is written, whenever that is. clock: the time, in UTC."""
    lock = settings.ops.backup.lock
    if lock is None:
        return locking.nothing
    mode, days = lock.mode.upper(), timedelta(days=min(lock.days, settings.ops.recovery.keep_days))

    def locked(key: str) -> Lock | None:
        if not key.startswith(places.PREFIX) or key.endswith(_PASSING) or places.PARTS in key:
            return None
        # Locks have whole seconds.
        return Lock(mode, clock().replace(microsecond=0) + timedelta(seconds=1) + days)

    return locked
