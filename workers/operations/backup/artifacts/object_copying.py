"""One artifact's way into the backup bucket: copied by the store itself; streamed to another store, or encrypted;
a small one that is encrypted, into memory and from there with others (bundling.py).

What is kept is the version that was listed. Where the object is another by the time it is copied, the new version is
taken and the change recorded; where it is gone, that is recorded.

A copy is compared with its source by what the store says of the bytes: a SHA-256 that it computed, or the ETag where
that is the MD5 of the bytes. Where the store says neither, both are read and compared here.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from workers.operations.backup.artifacts import object_keys
from workers.operations.backup.artifacts.listing import Entry
from workers.operations.backup.sealing import Sealer, sealed
from workers.systems.errors import (
    AccessDenied,
    BucketMissing,
    ObjectArchived,
    ObjectChanged,
    ObjectMissing,
    ObjectsError,
    PartsNotCopied,
    StoreFull,
    Unreachable,
)
from workers.systems.s3.lock import retain
from workers.systems.s3.metadata import CopyRequest, Described, Listed, Made
from workers.systems.s3.multipart import COPY_AT_MOST, GIB, MIB, PARTS_AT_MOST, Writer, copy_in_parts
from workers.systems.s3.transfer import Transfer

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys

_MD5: Final = re.compile(r"[0-9a-f]{32}")
_ATTEMPTS: Final = 5
_STREAMS_AT_ONCE: Final = 4
SMALL: Final = 128 << 10
"""Bytes up to which an artifact is kept with others, where it is encrypted."""
AT_LEAST: Final = 16
"""Artifacts that are kept together; of fewer, each is kept apart."""
_PROOFS: Final = MIB
"""More in a part than 10,000 of them need, for what encryption adds."""


@dataclass(frozen=True)
class Tuning:
    """How much is done at once. The defaults keep a run's memory below 300 MB.

    at_once: threads. ahead: artifacts between the oldest unfinished one and the newest begun. parts_above and
    part_bytes: from where and how the store copies in parts. note_objects, note_bytes, note_seconds: after how much
    new work it is written down, for the next run to go on from. bundle_objects: artifacts in a bundle, at most.
    """

    at_once: int = 16
    ahead: int = 4096
    parts_above: int = COPY_AT_MOST
    part_bytes: int = GIB // 2
    stream_part_bytes: int = 8 * MIB
    note_objects: int = 2000
    note_bytes: int = GIB
    note_seconds: float = 20.0
    bundle_objects: int = 128


@dataclass(frozen=True, slots=True)
class ObjectCopied:
    """What became of one artifact. entry: None where it vanished, or where it cannot be read, which `why` says then.

    changed: it was another by then. copied: its bytes were; else what is kept was locked for longer.
    """

    entry: Entry | None
    changed: bool = False
    why: str = ""
    copied: bool = True


@dataclass(frozen=True)
class ObjectCopier:
    """Copies artifacts from a bucket of one store to a bucket of the same or another. Safe for threads.

    keys: to encrypt with; the store cannot do that, so it does not copy by itself then.
    """

    source: Transfer
    source_bucket: str
    target: Transfer
    backup_bucket: str
    set_name: str
    tuning: Tuning
    keys: Keys | None = None
    _streams: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_STREAMS_AT_ONCE))
    _retained: set[str] = field(default_factory=set)
    """Bundles that are locked for longer already."""

    def copy(self, listed: Listed, kept: str = "") -> ObjectCopied:
        """Copy what was listed, or what is there by now, to a new place or to `kept`, which holds it badly.

        Raises ObjectsError where that cannot be done.
        """
        return self._attempted(listed, lambda wanted: self._kept(wanted, kept if wanted == listed else ""))

    def read(self, listed: Listed) -> tuple[ObjectCopied, bytes]:
        """A small artifact into memory, to be written with others. What has grown meanwhile is copied by itself.

        Raises ObjectsError.
        """
        content = b""

        def taken(wanted: Listed) -> Entry:
            nonlocal content
            if wanted.size > SMALL:
                return self._kept(wanted, "")
            described, content = self.source.fetch(self.source_bucket, wanted.key, wanted.etag)
            if described.etag != wanted.etag:
                raise ObjectChanged(f"The artifact {wanted.key} has changed.")
            if len(content) != wanted.size:
                raise _differs(wanted)
            moves = described.moves | self.source.tags(self.source_bucket, wanted.key, described)
            digest = hashlib.sha256(content).hexdigest()
            entry = Entry(wanted.key, wanted.size, wanted.etag, wanted.last_modified, "", "sha256", digest, 0, moves)
            return replace(entry, bucket=wanted.bucket, attributes=described.attributes)

        return self._attempted(listed, taken), content

    def write(self, read: Sequence[tuple[ObjectCopied, bytes]]) -> list[ObjectCopied]:
        """Keep what `read` gave: in one bundle, or each by itself where they are few. Raises ObjectsError."""
        assert self.keys
        some = [found for found, _ in read if found.entry and not found.entry.kept]
        together = object_keys.bundle() if len(some) >= AT_LEAST else ""
        body, done = bytearray(), []
        for found, content in read:
            entry = found.entry
            if entry and not entry.kept and together:
                entry = replace(entry, kept=together, at=len(body), key_id=self.keys.current_id)
                stored = sealed(content, self.keys.current, entry.name)
                body += stored
                entry = self._locked(replace(entry, stored=len(stored)))
            elif entry and not entry.kept:
                entry = self._apart(entry, content)
            done.append(replace(found, entry=entry))
        if together:
            self._put(together, body)
        return done

    def _apart(self, entry: Entry, content: bytes) -> Entry:
        assert self.keys
        listed = Listed(entry.key, entry.size, entry.etag, entry.last_modified, entry.bucket)
        place = object_keys.kept(listed, self.set_name, self.keys)
        stored = sealed(content, self.keys.current, place)
        self._put(place, stored)
        return self._locked(replace(entry, kept=place, key_id=self.keys.current_id, stored=len(stored)))

    def _put(self, place: str, body: bytes | bytearray) -> None:
        made = self.target.put(self.backup_bucket, place, body)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        self._compare(made, place, md5, hashlib.sha256(body).hexdigest())

    def _compare(self, made: Made, place: str, md5: str, sha256: str) -> None:
        """Raises ObjectsError unless what the store has written is what it was given."""
        if not _MD5.fullmatch(made.etag) or made.sealed or made.etag == md5:
            return
        if self._sha256(self.target, self.backup_bucket, place, "") != sha256:
            raise ObjectsError(f"What was written as {place} is not what the store has.", "Look at the store's health.")

    def _kept(self, wanted: Listed, place: str) -> Entry:
        """Copy it, to a new place or to this one."""
        copied = self._by_store if not self.keys and self.source.same_store(self.target) else self._through_us
        return self._locked(copied(wanted, place or object_keys.kept(wanted, self.set_name, self.keys)))

    def _locked(self, entry: Entry) -> Entry:
        lock = self.target.lock(entry.kept)
        return replace(entry, locked_until=lock.moment) if lock else entry

    def _attempted(self, listed: Listed, taken: Callable[[Listed], Entry]) -> ObjectCopied:
        """What became of it by `taken`, which takes what was listed or is there by now."""
        wanted = listed
        for _ in range(_ATTEMPTS):
            try:
                return ObjectCopied(taken(wanted), changed=wanted != listed)
            except ObjectMissing:
                return ObjectCopied(None)
            except (Unreachable, StoreFull, BucketMissing):
                raise
            except ObjectArchived:
                return ObjectCopied(None, why="it is in an archive tier")
            except ObjectChanged:
                try:
                    now = self.source.describe(self.source_bucket, listed.key)
                except ObjectMissing:
                    return ObjectCopied(None)
                wanted = replace(listed, size=now.size, etag=now.etag, last_modified=now.last_modified)
            except ObjectsError:
                why = self._unreadable(wanted)
                if not why:
                    raise
                return ObjectCopied(None, why=why)
        return ObjectCopied(None, why="it changes faster than it can be copied")

    def lock_longer(self, line: bytes) -> ObjectCopied:
        """Lock what is kept already until what is copied now is. line: of an earlier listing. Raises ObjectsError."""
        entry = Entry.read(json.loads(line))
        lock = self.target.lock(entry.kept)
        assert lock is not None
        try:
            if entry.kept not in self._retained:
                retain(self.target.objects, self.backup_bucket, entry.kept, lock)
            if entry.at is not None:
                self._retained.add(entry.kept)
        except ObjectMissing:
            # It is found missing with all others that are, and copied again.
            return ObjectCopied(entry, copied=False)
        return ObjectCopied(replace(entry, locked_until=lock.moment), copied=False)

    def _unreadable(self, listed: Listed) -> str:
        """Why this one artifact cannot be read, whatever is written; empty where it can, or nobody knows."""
        try:
            next(self.source.open(self.source_bucket, listed.key)[1], b"")
        except (ObjectMissing, Unreachable, BucketMissing):
            return ""
        except AccessDenied:
            return "we may not read it"
        except ObjectsError as error:
            return f"it cannot be read: {error.message.rstrip('.')}"
        return ""

    def _by_store(self, listed: Listed, kept: str) -> Entry:
        request = CopyRequest(self.source_bucket, listed.key, self.backup_bucket, kept, listed.etag)
        try:
            if listed.size > self.tuning.parts_above:
                made = copy_in_parts(self.target, request, self.tuning.part_bytes)
            else:
                made = self.target.copy(request)
        except PartsNotCopied:
            return self._through_us(listed, kept)
        kind, checksum = self._compared(listed, kept, made)
        part_bytes = made.part_bytes if kind.endswith("-parts") else 0
        return Entry(listed.key, listed.size, listed.etag, listed.last_modified, kept, kind, checksum, part_bytes)

    def _compared(self, listed: Listed, kept: str, made: Made) -> tuple[str, str]:
        if not made.part_bytes and not made.sealed and made.etag == listed.etag and _MD5.fullmatch(made.etag):
            return ("sha256", made.sha256) if made.sha256 else ("md5", made.etag)
        # The etags cannot tell that it is the version that was listed; not every store looks at our condition.
        if self.source.describe(self.source_bucket, listed.key).etag != listed.etag:
            raise ObjectChanged(f"The artifact {listed.key} has changed.")
        if made.sha256:
            return "sha256", made.sha256
        if made.part_bytes and "-" in made.etag and not made.sealed:
            return "md5-parts", made.etag
        theirs = self._sha256(self.source, self.source_bucket, listed.key, listed.etag)
        ours = self._sha256(self.target, self.backup_bucket, kept, "")
        if ours != theirs:
            raise _differs(listed)
        return "sha256", ours

    def _sha256(self, transfer: Transfer, bucket: str, key: str, etag: str) -> str:
        digest = hashlib.sha256()
        for piece in transfer.open(bucket, key, etag)[1]:
            digest.update(piece)
        return digest.hexdigest()

    def _through_us(self, listed: Listed, kept: str) -> Entry:
        if listed.size <= MIB:
            return self._streamed(listed, kept)
        with self._streams:
            return self._streamed(listed, kept)

    def _streamed(self, listed: Listed, kept: str) -> Entry:
        described, pieces = self._opened(listed)
        if described.etag != listed.etag:
            raise ObjectChanged(f"The artifact {listed.key} has changed.")
        moves = described.moves | self.source.tags(self.source_bucket, listed.key, described)
        part_bytes = max(self.tuning.stream_part_bytes, -(-listed.size // PARTS_AT_MOST) + _PROOFS)
        sealer = Sealer(self.keys.current, kept) if self.keys else None
        read, md5 = _Read(pieces), hashlib.md5(usedforsecurity=False)
        # What describes an artifact is as secret as its bytes: with these encrypted, it stands in the listing only.
        written_with = {} if sealer else moves
        with Writer(self.target, self.backup_bucket, kept, part_bytes=part_bytes, moves=written_with) as writer:
            for piece in _passed(read, sealer):
                md5.update(piece)
                writer.write(piece)
            if read.size != listed.size:
                raise _differs(listed)
            made = writer.close()
        self._compare(made, kept, md5.hexdigest(), writer.sha256)
        entry = Entry(listed.key, read.size, listed.etag, listed.last_modified, kept, "sha256", read.sha256, 0, moves)
        entry = replace(entry, attributes=described.attributes)
        return replace(entry, key_id=self.keys.current_id, stored=writer.size) if self.keys else entry

    def _opened(self, listed: Listed) -> tuple[Described, Iterable[bytes]]:
        if listed.size > MIB:
            return self.source.open(self.source_bucket, listed.key, listed.etag)
        described, content = self.source.fetch(self.source_bucket, listed.key, listed.etag)
        return described, (content,)


class _Read:
    """Pieces that are counted and hashed as they pass."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._hash = pieces, hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.size += len(piece)
            self._hash.update(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def _passed(pieces: Iterable[bytes], sealer: Sealer | None) -> Iterator[bytes]:
    """What is to be stored of them."""
    if sealer is None:
        yield from pieces
        return
    yield from map(sealer.add, pieces)
    yield sealer.end()


def _differs(listed: Listed) -> ObjectsError:
    return ObjectsError(f"The copy of the artifact {listed.key} is not equal to it.", "Look at the store's health.")
