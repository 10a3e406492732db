"""What earlier sets keep already, asked in the order of keys while a new set is made.

Trap this avoids: what an earlier listing says of bytes is signed with the new set. So with a key only a listing that a
signed manifest names, and parts with a proof of their own, are asked; whatever else stands in the bucket is not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from workers.operations.backup.artifacts import listing
from workers.operations.backup.artifacts.listing import ListingDamaged
from workers.operations.backup.artifacts.object_copying import Tuning
from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.objects import Objects
    from workers.systems.s3.transfer import Transfer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """From where to where. set_name: with a slash at its end. previous: sets to build on, newest first.

    source: the artifacts' store, where it is another than the backups'. distrust: keys of kept bytes that a check found
    bad: they are copied again to where they were, which mends every set that uses them. keys: to sign parts with; with
    them, what earlier sets say is used only if it is signed. sha256: of the listing of the last in `previous`, which is
    finished.
    """

    source_bucket: str
    backup_bucket: str
    set_name: str
    previous: tuple[str, ...] = ()
    source: Objects | None = None
    distrust: frozenset[str] = frozenset()
    tuning: Tuning = field(default_factory=Tuning)
    keys: Keys | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A line of an earlier listing. unfinished: of an unfinished set. bad: where its bytes are, if they are bad."""

    line: bytes
    unfinished: bool
    bad: str = ""


class Known:
    """What earlier sets keep already, asked in the order of keys.

    objects: how many the newest finished listing has, as far as it can be told; only for showing progress.
    """

    def __init__(self, transfer: Transfer, sources: Sources) -> None:
        """Open the parts of unfinished sets up to the newest finished one, and that one's listing."""
        self._streams: list[_Stream] = []
        self.objects = 0
        bucket, distrusted, keys = sources.backup_bucket, sources.distrust, sources.keys
        for set_name in sources.previous:
            name = f"{set_name}{listing.NAME}"
            finished = set_name == sources.previous[-1] and bool(sources.sha256)
            if keys and not finished and transfer.exists(bucket, name):
                # Its listing is whole, and no manifest vouches for it: what it copied is copied again.
                continue
            try:
                pieces = listing.opened(transfer, bucket, name, sources.sha256 if finished else "")
            except ListingDamaged as error:
                _log.warning("%s What it would have told is copied again.", error.message)
                return
            except ObjectMissing:
                found = listing.parts(transfer, bucket, set_name)
                if found:
                    chained = _chained(transfer, bucket, found, keys)
                    self._streams.append(_Stream(chained, distrusted, unfinished=True))
                continue
            self._streams.append(_Stream(listing.lines(name, pieces), distrusted, unfinished=False))
            self.objects = listing.count(transfer, bucket, name)
            return

    def find(self, wanted: Listed) -> Found | None:
        """What is known of an artifact."""
        for stream in self._streams:
            found = stream.find(wanted)
            if found is not None:
                return found
        return None


class _Stream:
    def __init__(
        self, found: Iterator[tuple[dict[str, Any], bytes]], distrusted: frozenset[str], *, unfinished: bool
    ) -> None:
        self._found = found
        self._distrusted = distrusted
        self._next: tuple[dict[str, Any], bytes] | None = None
        self._over = False
        self.unfinished = unfinished

    def find(self, wanted: Listed) -> Found | None:
        while self._next is None or self._next[0]["key"] < wanted.key:
            if self._over:
                return None
            self._next = self._step()
            if self._next is None:
                self._over = True
                return None
        entry, line = self._next
        same = (
            entry["key"] == wanted.key
            and entry["etag"] == wanted.etag
            and entry["size"] == wanted.size
            and entry["last_modified"] == wanted.last_modified
        )
        if not same:
            return None
        return Found(line, self.unfinished, entry["kept"] if entry["kept"] in self._distrusted else "")

    def _step(self) -> tuple[dict[str, Any], bytes] | None:
        try:
            return next(self._found, None)
        except (ListingDamaged, ObjectMissing) as error:
            _log.warning("%s What it would have told is copied again.", error.message)
            return None


def _chained(
    transfer: Transfer, bucket: str, found: list[str], keys: Keys | None
) -> Iterator[tuple[dict[str, Any], bytes]]:
    return chain.from_iterable(listing.lines(part, listing.part(transfer, bucket, part, keys)) for part in found)
