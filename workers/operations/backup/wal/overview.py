"""How point-in-time recovery stands, looked at now: the bucket's listing, the point, the server's slot.

For the health check, prune's plan, and whoever asks how far back one can go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.operations.backup.wal import access, archive
from workers.operations.backup.wal.archive import Base, Gap, Kept, Point, Window

if TYPE_CHECKING:
    from datetime import datetime

    from workers.operations.backup.wal.places import Places
    from workers.systems import Systems
    from workers.systems.postgres.replication import Slot

CALLS_AT_ONCE: Final = 4


@dataclass(frozen=True)
class Overview:
    """What is kept of a server. now: the server's clock."""

    where: Places
    now: datetime
    bases: list[Base]
    kept: Kept
    point: Point | None
    slot: Slot | None

    @property
    def windows(self) -> list[Window]:
        """Where one can go back to."""
        return archive.windows(self.bases, self.kept, self.point)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What is missing since the oldest base."""
        return self.kept.gaps(self.bases[0].first, self.point) if self.bases else ()

    @property
    def point_seconds(self) -> float | None:
        """How old the newest moment is that can be brought back."""
        return max(0.0, (self.now - self.point.at).total_seconds()) if self.point else None

    @property
    def spans(self) -> str:
        """Where one can go back to, in words."""
        return archive.spans_words(archive.spans(self.windows))


def look(systems: Systems) -> Overview:
    """Look at all of it. Raises OperatorError."""
    from workers.systems.s3.transfer import Transfer

    replication, there = access.replication(systems), access.archive(systems)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        # Before the listing: what it says to be there must be in that.
        point, bases = there.point(), there.bases()
        # What lies before the oldest base is of no use, and is not counted.
        kept = archive.list_wal(transfer, there.bucket, there.where, since=bases[0].first if bases else None)
    return Overview(there.where, replication.clock(), bases, kept, point, replication.look())
