"""What pg_receivewal has written to our disk, into the bucket.

pg_receivewal writes a segment as NAME.partial, filled with zeros to its full length, and renames it once it is whole.
So how far a partial one is real is not seen in the file: the server says what our receiver has told it to have
(flush_lsn). Of that, what is new since the last time is stored as a part of its own, so a quiet database costs what it
has written, and no 16 MiB each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Part, Places
from workers.systems.postgres.wal_position import Segment

if TYPE_CHECKING:
    from workers.systems.s3.transfer import Transfer

PARTIAL: Final = ".partial"
HISTORY: Final = ".history"
PIECE: Final = 1 << 20
PART_BYTES: Final = 8 << 20


@dataclass
class Spool:
    """A folder that pg_receivewal writes into. stored: up to where all is in the bucket. Methods raise ObjectsError.

    before: the name of the file that tells pg_receivewal where to begin; it holds nothing.
    """

    folder: Path
    where: Places
    transfer: Transfer
    bucket: str
    packing: Packing
    stored: int
    before: str
    _ends: dict[Segment, int] = field(default_factory=dict)
    _histories: set[str] = field(default_factory=set)

    @classmethod
    def begin(  # noqa: PLR0913 - from where, to where
        cls,
        folder: Path,
        where: Places,
        transfer: Transfer,
        bucket: str,
        packing: Packing,
        *,
        kept_from: int,
        timeline: int,
    ) -> Spool:
        """An empty folder, from which pg_receivewal goes on at the segment that holds `kept_from`."""
        for each in folder.iterdir():
            each.unlink()
        segment = Segment.holding(kept_from, timeline, where.segment_bytes)
        before = Segment(segment.number - 1, timeline).name(where.segment_bytes)
        with (folder / before).open("wb") as file:
            file.truncate(where.segment_bytes)
        spool = cls(folder, where, transfer, bucket, packing, kept_from, before)
        end = spool._ends[segment] = spool._known_end(segment)
        # Stored, and the slot not moved any more: the process before was killed in between.
        spool.stored = max(kept_from, segment.start(where.segment_bytes) + end)
        return spool

    @property
    def bytes(self) -> int:
        """How much waits there."""
        total = 0
        for name in self._names():
            with suppress(FileNotFoundError):
                total += (self.folder / name).stat().st_size
        return total

    def finished(self) -> list[Segment]:
        """The segments that are whole, oldest first."""
        named = (Segment.named(name, self.where.segment_bytes) for name in self._names())
        return sorted(each for each in named if each)

    def store(self, received: int | None) -> int:
        """Store what is there, and remove what is stored whole; up to where all is in the bucket now.

        received: up to where the receiver has said that it has everything; None where it is not known.
        """
        for name in self._names():
            if name.endswith(HISTORY) and name not in self._histories:
                key = self.where.history(name)
                self.transfer.put(self.bucket, key, self.packing.packed((self.folder / name).read_bytes(), key))
                self._histories.add(name)
        for segment in self.finished():
            self._whole(segment)
        if received is not None and received > self.stored:
            self._partial(received)
        return self.stored

    def _whole(self, segment: Segment) -> None:
        from workers.systems.s3.multipart import Writer

        path = self.folder / segment.name(self.where.segment_bytes)
        key = self.where.whole(segment)
        packer = self.packing.packer(key)
        with Writer(self.transfer, self.bucket, key, part_bytes=PART_BYTES) as writer:
            for piece in _pieces(path, 0, self.where.segment_bytes):
                writer.write(packer.add(piece))
            writer.write(packer.end())
            writer.close()
        if self._ends.pop(segment, 0):
            prefix = self.where.parts(segment)
            self.transfer.delete(self.bucket, [item.key for item in self.transfer.items(self.bucket, prefix)])
        self.stored = max(self.stored, segment.start(self.where.segment_bytes) + self.where.segment_bytes)
        path.unlink()

    def _partial(self, received: int) -> None:
        size = self.where.segment_bytes
        # The newest: where the server changed its timeline, an older one stays behind.
        names = sorted(name for name in self._names() if name.endswith(PARTIAL))
        segment = Segment.named(names[-1].removesuffix(PARTIAL), size) if names else None
        if segment is None:
            return
        end = min(size, received - segment.start(size))
        first = self._ends.get(segment, 0)
        if end <= first or segment.start(size) + first > self.stored:
            return
        part = Part(segment, first, end)
        try:
            content = b"".join(_pieces(self.folder / names[-1], first, end))
        except FileNotFoundError:
            return  # whole by now: the next time
        key = self.where.part(part)
        self.transfer.put(self.bucket, key, self.packing.packed(content, key))
        self._ends[segment] = end
        self.stored = max(self.stored, segment.start(size) + end)

    def _known_end(self, segment: Segment) -> int:
        """Up to where an earlier process has stored a segment's parts, without a gap."""
        end = 0
        found = (self.where.read(item.key) for item in self.transfer.items(self.bucket, self.where.parts(segment)))
        for part in sorted(each for each in found if isinstance(each, Part)):
            if part.first <= end:
                end = max(end, part.end)
        return end

    def _names(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir() if each.name != self.before)


def _pieces(path: Path, first: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while first < end and (piece := file.read(min(PIECE, end - first))):
            first += len(piece)
            yield piece
