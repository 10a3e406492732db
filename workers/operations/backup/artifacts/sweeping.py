"""Kept bytes that no set refers to any more are removed; nothing else ever is.

The listings of all sets that stay are merged and walked beside the listing of what is kept: constant memory, save the
keys of bundles. A bundle stays as long as any artifact in it does. A set
that is still being made refers to what it has copied and to all of the sets that it builds on. What was written lately
is left alone, whoever refers to it: a running backup copies first and lists later.

Trap this avoids: a listing that cannot be read to its end refers to unknown bytes. Then the sweep ends there, and
what it has removed until then was rightly removed, because every listing had been read further than that.
"""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.artifacts import listing, object_keys
from workers.operations.backup.encryption import NONE
from workers.systems.s3.metadata import Listed
from workers.systems.s3.transfer import DELETE_AT_MOST, Transfer

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.objects import Objects

_SETS: Final = "sets/"
_LAST: Final = chr(sys.maxunicode)
_SET_OF: Final = re.compile(r"sets/[^/]+/")


@dataclass(frozen=True)
class Swept:
    """What was removed, or would be."""

    objects: int
    bytes: int


def references(objects: Objects, backup_bucket: str, set_name: str, keys: Keys = NONE) -> Iterator[str]:
    """The keys under objects/ that a set uses, in order; those of an unfinished one as far as it has come.

    Raises ObjectMissing where there is no such set, ListingDamaged where its listing cannot be read.
    """
    with Transfer.of(objects, 1) as transfer:
        yield from listing.used(transfer, backup_bucket, set_name, keys)


def sweep(  # noqa: PLR0913 - what stays
    objects: Objects,
    backup_bucket: str,
    kept: Sequence[str],
    *,
    dry_run: bool,
    older_than: datetime,
    keys: Keys = NONE,
) -> Swept:
    """Remove bytes written before `older_than` that none of the `kept` sets uses, and abort uploads begun before it.

    Uploads are those of bytes, and of the listings of sets that do not stay. kept: not those that were made without
    artifacts. A set that was begun since `older_than` is kept, named or not. keys: to decrypt listings with.
    Raises ObjectMissing where a kept set has no listing, ListingDamaged where one cannot be read, and OperatorError
    where an unfinished set builds on one that is gone: better to keep too much.
    """
    removed, size = 0, 0
    with Transfer.of(objects, len(kept) + 1) as transfer:
        doomed: list[Listed] = []

        def remove() -> None:
            nonlocal removed, size
            if doomed and not dry_run:
                transfer.delete(backup_bucket, [item.key for item in doomed])
            removed += len(doomed)
            size += sum(item.size for item in doomed)
            doomed.clear()

        staying = _relied_on(transfer, backup_bucket, kept, older_than)
        for item in _unused(transfer, backup_bucket, staying, keys):
            if datetime.fromisoformat(item.last_modified) < older_than:
                doomed.append(item)
            if len(doomed) == DELETE_AT_MOST:
                remove()
        remove()
        if not dry_run:
            _abort_stale(transfer, backup_bucket, staying, older_than)
    return Swept(removed, size)


def _relied_on(transfer: Transfer, bucket: str, kept: Sequence[str], older_than: datetime) -> list[str]:
    """The sets that stay, those begun lately, and all that unfinished ones among them build on."""
    found = dict.fromkeys(kept)
    found |= dict.fromkeys(_begun_since(transfer, bucket, older_than))
    for set_name in list(found):
        for base in listing.bases(transfer, bucket, set_name):
            if base not in found and not _readable(transfer, bucket, base):
                msg = f"The backup {set_name} is being made and builds on {base}, which has no listing any more."
                raise OperatorError(msg, "Prune again once that backup has ended.")
            found[base] = None
    return list(found)


def _begun_since(transfer: Transfer, bucket: str, moment: datetime) -> Iterable[str]:
    # Names of sets begin with their time, but a clock may have jumped: what counts is when the store got the object.
    for item in transfer.items(bucket, _SETS):
        if item.key.endswith(f"/{listing.BASES}") and datetime.fromisoformat(item.last_modified) >= moment:
            found = _SET_OF.match(item.key)
            if found:
                yield found[0]


def _readable(transfer: Transfer, bucket: str, set_name: str) -> bool:
    return any(transfer.exists(bucket, f"{set_name}{name}") for name in (*listing.NAMES, listing.BASES))


def _unused(transfer: Transfer, bucket: str, sets: Sequence[str], keys: Keys) -> Iterator[Listed]:
    def alone(set_name: str) -> Iterator[tuple[str, str]]:
        """What a set uses that is no bundle."""
        for key in listing.used(transfer, bucket, set_name, keys):
            if object_keys.bundled(key):
                used_bundles.add(key)
            else:
                yield object_keys.group(key), key

    streams = map(alone, sets)
    bundles, used_bundles = list[Listed](), set[str]()
    used = groupby(heapq.merge(*streams, key=itemgetter(0)), itemgetter(0))
    place, used_here = "", set[str]()
    for group, items in object_keys.groups(transfer.items(bucket, object_keys.PREFIX)):
        if object_keys.bundled(f"{group}{object_keys.END}"):
            bundles += items
            continue
        while place < group:
            place, pairs = next(used, (_LAST, iter(())))
            used_here = {key for _, key in pairs}
        for item in items:
            if place != group or item.key not in used_here:
                yield item
    for _ in used:
        pass  # whether a bundle is used is known once every listing was read to its end
    yield from (item for item in bundles if item.key not in used_bundles)


def _abort_stale(transfer: Transfer, bucket: str, sets: Sequence[str], older_than: datetime) -> None:
    listings = {f"{set_name}{name}" for set_name in sets for name in listing.NAMES}
    for prefix in (object_keys.PREFIX, _SETS):
        for pending in list(transfer.uploads(bucket, prefix)):
            ours = prefix == object_keys.PREFIX or (
                pending.key.rpartition("/")[2] in listing.NAMES and pending.key not in listings
            )
            if ours and pending.since < older_than:
                transfer.abort(bucket, pending.key, pending.upload)
