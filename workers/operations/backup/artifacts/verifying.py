"""Whether the bytes that a set's listing promises are there, and with `deep`, whether they are the right ones."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged
from workers.operations.backup.artifacts import kept, listing, object_keys
from workers.operations.backup.artifacts.presence import Presence
from workers.operations.backup.encryption import NONE
from workers.operations.in_order import in_order, threads
from workers.systems.errors import ObjectMissing
from workers.systems.s3.transfer import Transfer

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.objects import Objects

PROBLEMS_AT_MOST: Final = 1000
_AT_ONCE: Final = 16
_AHEAD: Final = 256
_LOOK_EVERY: Final = 250


@dataclass(frozen=True)
class Verified:
    """What was found. problems: a sentence for each artifact that is not as the listing says; none is good.

    bad: the keys of their bytes, for the next copy not to trust; as many as there are problems, of which both hold the
    first thousand.
    """

    objects: int
    bytes: int
    problems: tuple[str, ...]
    bad: tuple[str, ...] = ()


@dataclass
class _Findings:
    progress: Progress
    expected: int
    objects: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, entry: Entry, problem: str) -> None:
        self.objects += 1
        self.bytes += entry.size
        if problem and len(self.problems) < PROBLEMS_AT_MOST:
            self.problems.append(f"{entry.where}: {problem} ({entry.kept}).")
            self.bad.append(entry.kept)
        elif problem:
            self.more += 1
        if self.objects % _LOOK_EVERY == 0:
            self.progress.checkpoint()
            self.progress.advance(self.objects, max(self.objects, self.expected), "artifacts")

    def told(self) -> Verified:
        more = [f"And {self.more:,} more artifacts."] if self.more else []
        return Verified(self.objects, self.bytes, (*self.problems, *more), tuple(self.bad))


def verify(  # noqa: PLR0913 - which set, and how
    objects: Objects,
    backup_bucket: str,
    set_name: str,
    *,
    deep: bool,
    progress: Progress,
    sha256: str = "",
    keys: Keys = NONE,
    expected: int = 0,
    some: int = 0,
) -> Verified:
    """Look at the bytes of every artifact of a set: that they are there with their size; `deep` also reads them.

    sha256: of its listing, by its manifest. keys: to decrypt with. expected: how many artifacts it has. some: only so
    many of these, spread evenly; 0 for all.
    Raises WrongKey, ObjectMissing where the set has no listing, ListingDamaged where that cannot be read.
    """
    with Transfer.of(objects, _AT_ONCE) as transfer:
        name = listing.key(transfer, backup_bucket, set_name)
        found = listing.entries(transfer, backup_bucket, name, sha256, keys)
        found = _spread(found, some, expected)
        findings = _Findings(progress, some or expected)
        if deep:
            _read(transfer, backup_bucket, found, findings, keys)
        else:
            _walk(transfer, backup_bucket, found, findings)
    return findings.told()


def _spread(entries: Iterator[Entry], some: int, of: int) -> Iterator[Entry]:
    """Exactly `some` of `of` entries, as far as there are as many."""
    if not 0 < some < of:
        return entries
    return (each for number, each in enumerate(entries) if (number + 1) * some // of > number * some // of)


def _walk(transfer: Transfer, bucket: str, found: Iterator[Entry], findings: _Findings) -> None:
    presence = Presence(transfer.items(bucket, object_keys.PREFIX))
    for entry in found:
        findings.add(entry, presence.problem(entry.kept, entry.kept_bytes, entry.at))


def _read(transfer: Transfer, bucket: str, found: Iterator[Entry], findings: _Findings, keys: Keys) -> None:
    calls = ((entry, partial(_problem, transfer, bucket, entry, keys)) for entry in found)
    with threads(_AT_ONCE, "verify", transfer.stopping) as pool:
        for entry, reading in in_order(pool, calls, _AHEAD):
            findings.add(entry, reading.result())


def _problem(transfer: Transfer, bucket: str, entry: Entry, keys: Keys) -> str:
    try:
        right = checksum(entry, kept.opened(transfer, bucket, entry, keys)[1]) == entry.checksum
    except ObjectMissing:
        return "its bytes are missing"
    except SetDamaged as error:
        return error.message.rstrip(".")
    return "" if right else f"its bytes have changed: their {entry.kind} is another"


def checksum(entry: Entry, pieces: Iterator[bytes]) -> str:
    """Of these bytes, in the kind that the entry has."""
    digest = _Digest(entry)
    for piece in pieces:
        digest.update(piece)
    return digest.told()


class _Digest:
    """Computes what the entry's kind of checksum calls for."""

    def __init__(self, entry: Entry) -> None:
        self._kind, _, parts = entry.kind.partition("-")
        self._part_bytes = entry.part_bytes if parts else 0
        self._current = self._new()
        self._in_part = 0
        self._digests: list[bytes] = []

    def update(self, piece: bytes) -> None:
        view = memoryview(piece)
        while self._part_bytes and self._in_part + len(view) >= self._part_bytes:
            room = self._part_bytes - self._in_part
            self._current.update(view[:room])
            view = view[room:]
            self._end_part()
        self._current.update(view)
        self._in_part += len(view)

    def told(self) -> str:
        if not self._part_bytes:
            return self._current.hexdigest()
        if self._in_part:
            self._end_part()
        over = self._new()
        for digest in self._digests:
            over.update(digest)
        told = over.hexdigest() if self._kind == "md5" else base64.b64encode(over.digest()).decode()
        return f"{told}-{len(self._digests)}"

    def _end_part(self) -> None:
        self._digests.append(self._current.digest())
        self._current, self._in_part = self._new(), 0

    def _new(self) -> hashlib._Hash:
        return hashlib.new(self._kind, usedforsecurity=False)
