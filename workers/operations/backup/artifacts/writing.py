"""What is written of a set while its artifacts are copied: its listing, and parts of it for the next run to use."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from workers.operations.backup.artifacts import listing
from workers.operations.backup.artifacts.listing import Frames
from workers.operations.backup.encryption import NAME_END
from workers.operations.backup.manifest import Stored
from workers.operations.backup.sealing import Sealer
from workers.systems.errors import ObjectsError
from workers.systems.s3.multipart import Writer

if TYPE_CHECKING:
    from types import TracebackType

    from workers.operations.backup.artifacts.known import Sources
    from workers.systems.s3.transfer import Transfer


@dataclass
class ListingWriter:
    """Where a listing goes: into an object, encrypted where it is to be. A context, as the object's writer is."""

    writer: Writer
    key: str
    key_id: str
    sealer: Sealer | None

    @classmethod
    def of(cls, target: Transfer, sources: Sources) -> ListingWriter:
        """For the set that is made."""
        keys = sources.keys if sources.encrypt else None
        key = f"{sources.set_name}{listing.NAME}{NAME_END if keys else ''}"
        sealer = Sealer(keys.current, key) if keys else None
        return cls(Writer(target, sources.backup_bucket, key), key, sources.key_id, sealer)

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.writer.__exit__(kind, error, at)

    def write(self, piece: bytes) -> None:
        """Add to it."""
        self.writer.write(self.sealer.add(piece) if self.sealer else piece)

    def close(self) -> None:
        """It is whole: let it be there."""
        if self.sealer:
            self.writer.write(self.sealer.end())
        self.writer.close()

    @property
    def stored(self) -> Stored:
        """What was written."""
        return Stored(key=self.key, bytes=self.writer.size, sha256=self.writer.sha256, key_id=self.key_id)


class NoListing:
    """Where a listing goes that nobody wants: the parts tell what a span has copied."""

    def write(self, piece: bytes) -> None:
        """Forget it."""


@dataclass
class Notes:
    """Parts of the listing: what was copied so far, for the next run where this one ends early.

    written: the number of the last part. silent: write none.
    """

    target: Transfer
    sources: Sources
    written: int = 0
    silent: bool = False
    frames: Frames = field(default_factory=Frames)
    waiting: bytearray = field(default_factory=bytearray)
    since: float = field(default_factory=time.monotonic)

    def add(self, line: bytes, size: int) -> None:
        """Note an artifact of that size."""
        if self.silent:
            return
        tuning = self.sources.tuning
        self.waiting += self.frames.add(line, size)
        if (
            self.frames.objects >= tuning.note_objects
            or self.frames.bytes >= tuning.note_bytes
            or time.monotonic() - self.since >= tuning.note_seconds
        ):
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        self.since = time.monotonic()
        if not self.frames.objects:
            return
        self.written += 1
        body = bytes(self.waiting + self.frames.end())
        name = listing.part_name(self.sources.set_name, self.written)
        sources = self.sources
        listing.put_part(self.target, sources.backup_bucket, name, body, sources.keys, encrypt=sources.encrypt)
        self.frames = Frames()
        self.waiting.clear()


def read_back(target: Transfer, bucket: str, writer: ListingWriter) -> None:
    """Raises ObjectsError unless the listing reads back as it was written."""
    digest, stored = hashlib.sha256(), writer.stored
    for piece in target.open(bucket, stored.key)[1]:
        digest.update(piece)
    if digest.hexdigest() != stored.sha256:
        msg = f"The listing {stored.key} does not read back as it was written."
        raise ObjectsError(msg, "Look at the store's health.")
