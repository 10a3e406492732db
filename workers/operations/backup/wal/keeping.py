"""How long bases and WAL are kept: so that one can go back recovery.keep_days, and no less.

The oldest base that stays is the newest one that was finished before that day: the moments right after it rest on it.
WAL goes with the bases: what lies before the first segment of the oldest one that stays is of no use to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.backup.wal import access, archive, places
from workers.operations.backup.wal.archive import Base, moment_of
from workers.operations.backup.wal.places import Part, Places
from workers.systems.postgres.wal_position import Segment
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

BATCH: Final = 1000


@dataclass(frozen=True)
class Choice:
    """What stays and what goes. first: the oldest segment that stays; None where there is no base, so all stays.

    rested_on: older bases that those that stay hold only the changes of.
    """

    where: Places
    going: tuple[Base, ...]
    staying: tuple[Base, ...]
    rested_on: tuple[Base, ...] = ()

    @property
    def first(self) -> Segment | None:
        """The oldest segment that a base that stays needs."""
        return min((each.first for each in self.staying), default=None)

    @property
    def words(self) -> str:
        """How far back one can go afterwards, for a plan."""
        if not self.staying:
            return "no base backup yet"
        return f"back to {moment_of(self.staying[0].finished_at)}, from {count(len(self.staying), 'base')}"


def choose(found: list[Base], where: Places, keep_days: int, now: datetime) -> Choice:
    """Judge every base. found: oldest first. now: by the server's clock, as the bases' times are."""
    until = now - timedelta(days=keep_days)
    before = [each for each in found if each.finished_at <= until]
    old = before[:-1]
    staying = tuple(each for each in found if each not in old)
    needed = [one for each in staying for one in archive.chain(found, each) or ()]
    rested_on = tuple(each for each in old if each in needed)
    return Choice(where, tuple(each for each in old if each not in rested_on), staying, rested_on)


def look(systems: Systems) -> Choice:
    """The same, of what there is. Raises OperatorError."""
    there = access.archive(systems)
    now = access.replication(systems).clock()
    return choose(there.bases(), there.where, systems.settings.ops.recovery.keep_days, now)


def remove(chosen: Choice, transfer: Transfer, bucket: str) -> int:
    """Remove what goes: a base's manifest first, so that it is never half there; how many objects of WAL went."""
    for base in chosen.going:
        prefix = chosen.where.base(base.name)
        transfer.delete(bucket, [f"{prefix}{places.BASE_MANIFEST}"])
        transfer.delete(bucket, [item.key for item in transfer.items(bucket, prefix)])
    first = chosen.first
    if first is None:
        return 0
    removed = 0
    for folder in list(transfer.objects.folders(bucket, chosen.where.prefix)):
        if chosen.where.timeline(folder) is None:
            continue
        batch: list[str] = []
        for item in transfer.items(bucket, folder):
            named = chosen.where.read(item.key)
            segment = named.segment if isinstance(named, Part) else named
            if not isinstance(segment, Segment):
                continue
            if segment.number >= first.number:
                break  # in the order of their names, so of their numbers
            batch.append(item.key)
            if len(batch) == BATCH:
                transfer.delete(bucket, batch)
                removed += len(batch)
                batch = []
        transfer.delete(bucket, batch)
        removed += len(batch)
    return removed
