"""Which artifacts of a set are wanted, and each beside what its bucket has under its key now.

The set's listing and the bucket's are walked side by side, so memory grows with neither. What was in another bucket is
looked for by the span of its keys: the rest of that bucket is somebody else's.
"""

from __future__ import annotations

import os.path
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from workers.operations.backup.artifacts import listing
from workers.operations.backup.encryption import NONE
from workers.systems.errors import AccessDenied, BucketMissing

if TYPE_CHECKING:
    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.transfer import Transfer

_WINDOW: Final = 1000


@dataclass(frozen=True)
class Wanted:
    """Which artifacts, from where to where. prefix: the beginning of their keys. exact: what else is there goes.

    sha256: of the set's listing, by its manifest. only_missing: what is there stays, even where it differs. bucket:
    only what was in that other bucket, where the prefix is in one. others: what was in other buckets goes back there;
    else it is left out. keys: to decrypt with.
    """

    backup_bucket: str
    set_name: str
    target_bucket: str
    prefix: str = ""
    exact: bool = False
    sha256: str = ""
    only_missing: bool = False
    bucket: str = ""
    others: bool = True
    keys: Keys = NONE

    def holds(self, entry: Entry) -> bool:
        """Whether an artifact of the set is among them."""
        if self.bucket or self.prefix or not self.others:
            return entry.bucket == self.bucket and entry.key.startswith(self.prefix)
        return True

    def place(self, entry: Entry) -> tuple[str, str]:
        """The bucket and key that an artifact goes to."""
        return entry.bucket or self.target_bucket, entry.key


def pairs(transfer: Transfer, held_in: Transfer, wanted: Wanted) -> Iterator[tuple[Entry | None, Listed | None]]:
    """Each artifact of the set with what is there under its key, and what only the artifacts' own bucket has.

    In the order of a listing: what was in other buckets comes first. Raises ListingDamaged, ObjectsError.
    """
    name = listing.key(held_in, wanted.backup_bucket, wanted.set_name)
    all_held = listing.entries(held_in, wanted.backup_bucket, name, wanted.sha256, wanted.keys)
    held = (each for each in all_held if wanted.holds(each))
    first = yield from _elsewhere(transfer, held)
    there = iter(()) if wanted.bucket else transfer.items(wanted.target_bucket, wanted.prefix)
    yield from _beside(chain((first,) if first else (), held), there)


def _elsewhere(transfer: Transfer, held: Iterator[Entry]) -> Generator[tuple[Entry, Listed | None], None, Entry | None]:
    """Those of other buckets; returns the first of the artifacts' own."""
    window: list[Entry] = []
    for entry in held:
        if len(window) == _WINDOW or (window and window[0].bucket != entry.bucket):
            yield from _looked_for(transfer, window)
            window.clear()
        if not entry.bucket:
            return entry
        window.append(entry)
    if window:
        yield from _looked_for(transfer, window)
    return None


def _looked_for(transfer: Transfer, window: list[Entry]) -> Iterator[tuple[Entry, Listed | None]]:
    first, last = window[0].key, window[-1].key
    wanted = {each.key for each in window}
    there: dict[str, Listed] = {}
    common = os.path.commonprefix((first, last))  # noqa: RUF071 - letter by letter, as S3's prefixes are
    with suppress(AccessDenied, BucketMissing):
        for item in transfer.items(window[0].bucket, common, after=first[:-1]):
            if item.key > last:
                break
            if item.key in wanted:
                there[item.key] = item
    yield from ((each, there.get(each.key)) for each in window)


def _beside(held: Iterator[Entry], there: Iterator[Listed]) -> Iterator[tuple[Entry | None, Listed | None]]:
    present = next(there, None)
    for entry in held:
        while present is not None and present.key < entry.key:
            yield None, present
            present = next(there, None)
        if present is not None and present.key == entry.key:
            yield entry, present
            present = next(there, None)
        else:
            yield entry, None
    while present is not None:
        yield None, present
        present = next(there, None)
