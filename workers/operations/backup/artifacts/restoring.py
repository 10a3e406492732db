"""Artifacts of a set back into their bucket: what is missing is added, what differs is put back, in parallel.

The set's listing and the bucket's are walked side by side, so memory grows with neither. Nothing is written down on
the way: what was put back is found equal by the next run, which goes on from there by itself.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged
from workers.operations.backup.artifacts import kept
from workers.operations.backup.artifacts.pairing import Wanted, pairs
from workers.operations.backup.artifacts.verifying import checksum
from workers.operations.in_order import in_order, threads
from workers.systems.errors import AccessDenied, BucketMissing, ObjectMissing, ObjectsError, PartsNotCopied
from workers.systems.s3.metadata import CopyRequest, Listed
from workers.systems.s3.multipart import COPY_AT_MOST, GIB, MIB, PARTS_AT_MOST, Writer, copy_in_parts
from workers.systems.s3.transfer import Transfer

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.objects import Objects

AT_ONCE: Final = 16
NAMES_AT_MOST: Final = 100
FIRST_AT_MOST: Final = 10
_AHEAD: Final = 512
_LOOK_EVERY: Final = 250
_PART_BYTES: Final = GIB // 2
_STREAM_PART_BYTES: Final = 8 * MIB
_STREAMS: Final = threading.Semaphore(4)
"""Objects that go through this process at the same time, each with a part in memory."""


@dataclass(frozen=True)
class Difference:
    """What the bucket lacks of a set, holds otherwise, and has beyond it: numbers, bytes to be copied, and what goes.

    going: a digest over what the set does not hold. extra_names: the first hundred keys of it. coming: a digest over
    what would be written: each artifact as the set holds it and as it is now. first: the first ten of these, in words.
    """

    held: int = 0
    same: int = 0
    missing: int = 0
    differing: int = 0
    extra: int = 0
    bytes: int = 0
    going: str = ""
    extra_names: tuple[str, ...] = ()
    coming: str = ""
    first: tuple[tuple[str, str], ...] = ()

    @property
    def nothing(self) -> bool:
        """True where the bucket holds all of it as it was."""
        return not (self.missing or self.differing)


def compare(
    objects: Objects, wanted: Wanted, progress: Progress | None = None, *, backups: Objects | None = None
) -> Difference:
    """Look, and change nothing. backups: their store, where it is not that of the target.

    Raises ListingDamaged, ObjectsError; Cancelled.
    """
    names: list[str] = []
    first: list[tuple[str, str]] = []
    found, digest, coming = Difference(), hashlib.sha256(), hashlib.sha256()

    def comes(entry: Entry, there: Listed | None) -> None:
        now = f"{there.etag} ({there.size} bytes)" if there else "missing"
        then = f"{entry.kind} {entry.checksum} ({entry.size} bytes)"
        coming.update(json.dumps([entry.where, now, then, entry.kept]).encode())
        first.extend([(f"artifact {entry.where}", f"{now} → {then}")] if len(first) < FIRST_AT_MOST else [])

    with Transfer.of(objects, AT_ONCE) as transfer, _other(transfer, backups) as held:
        for number, (entry, there) in enumerate(pairs(transfer, held, wanted), 1):
            if entry is None:
                assert there is not None
                digest.update(json.dumps([there.key, there.etag, there.size]).encode())
                names += [there.key] if len(names) < NAMES_AT_MOST else []
                found = replace(found, extra=found.extra + 1)
            elif there is None:
                comes(entry, there)
                found = replace(found, missing=found.missing + 1, bytes=found.bytes + entry.size, held=found.held + 1)
            elif wanted.only_missing or _equal(entry, there) or _equal_bytes(transfer, wanted, entry, there):
                found = replace(found, same=found.same + 1, held=found.held + 1)
            else:
                comes(entry, there)
                more = found.differing + 1
                found = replace(found, differing=more, bytes=found.bytes + entry.size, held=found.held + 1)
            if progress and number % _LOOK_EVERY == 0:
                progress.checkpoint()
    return replace(
        found,
        going=digest.hexdigest() if names else "",
        extra_names=tuple(names),
        coming=coming.hexdigest() if first else "",
        first=tuple(first),
    )


@dataclass
class Restored:
    """What was done. lost: a sentence for each of the first hundred artifacts whose bytes could not be had."""

    added: int = 0
    replaced: int = 0
    removed: int = 0
    same: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    lost_count: int = 0


def restore(
    objects: Objects, wanted: Wanted, progress: Progress, *, expected: int = 0, backups: Objects | None = None
) -> Restored:
    """Put back what is not there as the set holds it. expected: how many artifacts that is, for progress.

    backups: the store of the set, where it is not that of the target; its bytes go through this process then.
    Raises ObjectsError, ListingDamaged, and Cancelled; what was put back until then is whole.
    """
    with (
        Transfer.of(objects, AT_ONCE) as transfer,
        _other(transfer, backups) as held,
        threads(AT_ONCE, "restore", transfer.stopping, held.stopping) as pool,
    ):
        putting = _Putting(transfer, held, wanted, progress, expected)
        for (entry, new), copying in in_order(pool, putting.calls(), _AHEAD):
            putting.settle(entry, copying.result(), new=new)
        putting.end()
    return putting.done


@dataclass
class _Putting:
    """What is copied, in the order of the keys, what came of it, and what is to go."""

    transfer: Transfer
    held: Transfer
    wanted: Wanted
    progress: Progress
    expected: int
    done: Restored = field(default_factory=Restored)
    going: list[str] = field(default_factory=list)

    def calls(self) -> Iterator[tuple[tuple[Entry, bool], Callable[[], str]]]:
        """Each copy that is needed, with its artifact and whether it is missing; what is the same is counted."""
        for entry, there in pairs(self.transfer, self.held, self.wanted):
            if entry is None:
                assert there is not None
                self.going += [there.key] if self.wanted.exact else []
            elif there is not None and (self.wanted.only_missing or _equal(entry, there)):
                self.done.same += 1
            else:
                yield (entry, there is None), partial(_put, self.transfer, self.held, self.wanted, entry, there)

    def settle(self, entry: Entry, problem: str, *, new: bool) -> None:
        done = self.done
        if problem == _SAME:
            done.same += 1
        elif problem:
            done.lost_count += 1
            done.lost += [f"{entry.where}: {problem}."] if len(done.lost) < NAMES_AT_MOST else []
        else:
            done.added += new
            done.replaced += not new
            done.bytes += entry.size
        settled = done.added + done.replaced + done.lost_count
        if settled % _LOOK_EVERY == 0:
            self.progress.checkpoint()
            self.progress.advance(settled, max(settled, self.expected), "artifacts")

    def end(self) -> None:
        """What is to go goes last, and only where everything that was to come is there."""
        if not self.done.lost_count:
            self.done.removed = _removed(self.transfer, self.wanted.target_bucket, self.going)


_SAME: Final = "it is the same"
_BAD: Final = "its bytes in the backup are not those that were kept"


@contextmanager
def _other(transfer: Transfer, backups: Objects | None) -> Iterator[Transfer]:
    """The store of the set: the target's own, or another one."""
    if (
        backups is None
        or backups is transfer.objects
        or str(backups.client.meta.endpoint_url) == str(transfer.objects.client.meta.endpoint_url)
    ):
        yield transfer
        return
    with Transfer.of(backups, AT_ONCE) as other:
        yield other


def _equal(entry: Entry, there: Listed) -> bool:
    return (entry.size, entry.etag) == (there.size, there.etag)


def _equal_bytes(transfer: Transfer, wanted: Wanted, entry: Entry, there: Listed) -> bool:
    """Where an object was made of parts, its ETag also tells how long they were; then the bytes are read."""
    in_parts = "-" in entry.etag or "-" in there.etag
    return in_parts and there.size == entry.size and _right(transfer, *wanted.place(entry), entry)


def _put(transfer: Transfer, held: Transfer, wanted: Wanted, entry: Entry, there: Listed | None) -> str:
    """Why it could not be put back; empty where it was. Raises ObjectsError.

    Nothing takes the place of what is there unless its bytes were read and found right first.
    """
    try:
        return _put_there(transfer, held, wanted, entry, there)
    except (AccessDenied, BucketMissing) as error:
        if not entry.bucket:
            raise
        # Another team's bucket, perhaps: the rest comes back all the same.
        return error.message.rstrip(".")


def _put_there(transfer: Transfer, held: Transfer, wanted: Wanted, entry: Entry, there: Listed | None) -> str:
    bucket, key = wanted.place(entry)
    if there is not None and _equal_bytes(transfer, wanted, entry, there):
        return _SAME
    if there is not None and not _kept_right(held, wanted, entry):
        return _BAD
    request = CopyRequest(wanted.backup_bucket, entry.kept, bucket, key, "")
    try:
        right = None if entry.key_id or held is not transfer else _by_store(transfer, request, entry)
        if right is None:
            right = _streamed(transfer, held, request, entry, wanted.keys)
    except ObjectMissing:
        return "the backup does not hold its bytes any more"
    except SetDamaged:
        return _BAD
    if not right and there is None:
        with suppress(ObjectsError):
            transfer.delete(bucket, [key])
    return "" if right else _BAD


def _by_store(transfer: Transfer, request: CopyRequest, entry: Entry) -> bool | None:
    """Let the store copy it; whether the copy is right, None where it can't copy anything that large."""
    try:
        made = copy_in_parts(transfer, request, _PART_BYTES) if entry.size > COPY_AT_MOST else transfer.copy(request)
    except PartsNotCopied:
        return None
    told = {"sha256": made.sha256, "md5": "" if made.sealed else made.etag}.get(entry.kind, "")
    if told and "-" not in told and not made.part_bytes:
        return told == entry.checksum
    return _right(transfer, request.target, request.name, entry)


def _streamed(transfer: Transfer, held: Transfer, request: CopyRequest, entry: Entry, keys: Keys) -> bool:
    """The same where the store can't copy it by itself, between two or decrypted; compared by reading the copy.

    Raises SetDamaged where what is kept is not what was: then nothing was written.
    """
    with _STREAMS:
        described, pieces = kept.opened(held, request.source, entry, keys)
        moves = described.moves | held.tags(request.source, request.key, described)
        moves = entry.moves if entry.key_id else moves
        part_bytes = max(_STREAM_PART_BYTES, -(-entry.size // PARTS_AT_MOST))
        with Writer(transfer, request.target, request.name, part_bytes=part_bytes, moves=moves) as writer:
            for piece in pieces:
                writer.write(piece)
            if writer.size != entry.size or (entry.kind == "sha256" and writer.sha256 != entry.checksum):
                raise SetDamaged(_BAD)
            writer.close()
    return _right(transfer, request.target, request.name, entry)


def _kept_right(held: Transfer, wanted: Wanted, entry: Entry) -> bool:
    try:
        pieces = kept.opened(held, wanted.backup_bucket, entry, wanted.keys)[1]
        return checksum(entry, pieces) == entry.checksum
    except (ObjectMissing, SetDamaged):
        return False


def _right(transfer: Transfer, bucket: str, key: str, entry: Entry) -> bool:
    try:
        described, pieces = transfer.open(bucket, key)
    except ObjectMissing:
        return False
    return described.size == entry.size and checksum(entry, pieces) == entry.checksum


def _removed(transfer: Transfer, bucket: str, keys: list[str]) -> int:
    number = len(keys)
    transfer.delete(bucket, keys)
    keys.clear()
    return number
