"""What lies under wal/ once more in each store of backup.copies: the WAL as it comes, a base once it is made.

Bytes go as they are, under the same keys, and each object is read back and compared before the next. What a copy lacks
is looked for in both listings each time, so a store that was away is made up for. The point (up to when all is there)
comes last: in the copy it is as true as in the first place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged
from workers.operations.backup import copies
from workers.operations.backup.wal import access, archive, locked, places
from workers.systems.errors import ObjectMissing
from workers.systems.postgres.wal_position import Segment

if TYPE_CHECKING:
    from workers.operations.backup.wal.places import Places
    from workers.systems import Systems
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.transfer import Transfer

AT_ONCE: Final = 4
MIB: Final = 1 << 20
Checkpoint = Callable[[], object]


@dataclass
class Copying:
    """Keeps one copy. there: the systems as seen from it. Methods raise ObjectsError, SetDamaged."""

    systems: Systems
    there: Systems
    where: Places
    _whole: Segment | None = field(default=None, init=False)
    """Up to that segment all is there whole; looked for from there on."""

    @property
    def place(self) -> str:
        """Where it is."""
        return copies.place(self.there)

    def wal(self, checkpoint: Checkpoint) -> int:
        """Copy the WAL that it lacks; how many objects. checkpoint: may raise, between two of them."""
        with self._transfers() as (origin, goal):
            content = self._raw(origin, self.where.point)
            copied, whole, moved = 0, self._whole, False
            for folder in (self.where.histories, *self._timelines(origin)):
                after = self._after(folder)
                there = {item.key: item.size for item in goal.items(self._target, folder, after=after)}
                listed = list(origin.items(self._source, folder, after=after))
                for item in listed:
                    if there.get(item.key) != item.size:
                        one = self._copy(origin, goal, item.key)
                        copied, moved = copied + one, moved or not one
                    checkpoint()
                here = {item.key for item in listed}
                goal.delete(self._target, [key for key in there if key not in here and places.PARTS in key])
                whole = max(self._newest(listed), whole or Segment(0, 0))
            # What has become whole since it was listed comes the next time.
            if content is not None and not moved:
                goal.put(self._target, self.where.point, content)
            self._whole = whole
        return copied

    def bases(self, checkpoint: Checkpoint) -> int:
        """Copy the bases that it lacks, each one's manifest last; how many."""
        copied = 0
        with self._transfers() as (origin, goal):
            for base in access.archive(self.systems, self.where).bases():
                manifest = f"{self.where.base(base.name)}{places.BASE_MANIFEST}"
                if goal.exists(self._target, manifest):
                    continue
                prefix = self.where.base(base.name)
                held = [item.key for item in origin.items(self._source, prefix) if item.key != manifest]
                for key in (*held, manifest):
                    self._copy(origin, goal, key, checkpoint)
                copied += 1
        return copied

    def _copy(self, origin: Transfer, goal: Transfer, key: str, checkpoint: Checkpoint = lambda: None) -> int:
        """One object, compared; 1, or 0 where it is gone by now: its segment has become whole."""
        from workers.systems.s3.multipart import PARTS_AT_MOST, Writer

        try:
            described, pieces = origin.open(self._source, key)
        except ObjectMissing:
            return 0
        part_bytes = max(8 * MIB, -(-described.size // PARTS_AT_MOST))
        sent, read = hashlib.sha256(), hashlib.sha256()
        with Writer(goal, self._target, key, part_bytes=part_bytes) as writer:
            for piece in pieces:
                checkpoint()
                sent.update(piece)
                writer.write(piece)
            writer.close()
        for piece in goal.open(self._target, key)[1]:
            checkpoint()
            read.update(piece)
        if sent.digest() != read.digest():
            goal.delete(self._target, [key])
            raise SetDamaged(f"{self.place} has other bytes of {key} than it was sent.", "Check that store.")
        return 1

    @contextmanager
    def _transfers(self) -> Iterator[tuple[Transfer, Transfer]]:
        from workers.systems.s3.transfer import Transfer

        rule = locked.rule(self.there.settings)
        with (
            Transfer.of(self.systems.backups, AT_ONCE) as origin,
            Transfer.of(self.there.backups, AT_ONCE, rule) as goal,
        ):
            yield origin, goal

    @property
    def _source(self) -> str:
        return self.systems.settings.ops.storage.backups_bucket

    @property
    def _target(self) -> str:
        return self.there.settings.ops.storage.backups_bucket

    def _raw(self, origin: Transfer, key: str) -> bytes | None:
        try:
            return origin.fetch(self._source, key, at_most=archive.AT_MOST)[1]
        except ObjectMissing:
            return None

    def _timelines(self, origin: Transfer) -> Iterator[str]:
        folders = origin.objects.folders(self._source, self.where.prefix)
        return (each for each in list(folders) if self.where.timeline(each) is not None)

    def _after(self, folder: str) -> str:
        timeline = self.where.timeline(folder)
        return self.where.stem(Segment(self._whole.number, timeline)) if timeline and self._whole else ""

    def _newest(self, listed: list[Listed]) -> Segment:
        named = (self.where.read(item.key) for item in listed)
        return max((each for each in named if isinstance(each, Segment)), default=Segment(0, 0))


def every(systems: Systems, where: Places) -> list[Copying]:
    """One for each copy."""
    return [Copying(systems, there, where) for there in copies.every(systems)]
