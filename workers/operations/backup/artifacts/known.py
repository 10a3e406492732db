"""What earlier sets keep already, asked in the order of keys while a new set is made.

Trap this avoids: what an earlier listing says of bytes is signed with the new set. So with a key only a listing that a
signed manifest names, and parts with a proof of their own, are asked; whatever else stands in the bucket is not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from workers.errors import SetDamaged
from workers.operations.backup.artifacts import listing, object_keys
from workers.operations.backup.artifacts.object_copying import Tuning
from workers.operations.backup.encryption import NONE, WrongKey
from workers.systems.errors import ObjectMissing

if TYPE_CHECKING:
    from workers.operations.backup.encryption import Keys
    from workers.operations.backup.locking import Locking
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.objects import Objects
    from workers.systems.s3.transfer import Transfer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sources:
    """From where to where. set_name: with a slash at its end. previous: sets to build on, newest first.

    source: the artifacts' store, where it is another than the backups'. distrust: keys of kept bytes that a check found
    bad: they are copied again to where they were, which mends every set that uses them. keys: to sign parts with; with
    them, what earlier sets say is used only if it is signed. encrypt: with these keys; what is kept otherwise, or with
    a key that is no longer here, is copied again. sha256 and objects: of the listing of the last in `previous`, which
    is finished. others: lists the artifacts of other buckets, in the order of object_keys; asked by the run that makes
    the whole listing, not by helpers. locking: of what is copied, and of what is kept already.
    """

    source_bucket: str
    backup_bucket: str
    set_name: str
    previous: tuple[str, ...] = ()
    source: Objects | None = None
    distrust: frozenset[str] = frozenset()
    tuning: Tuning = field(default_factory=Tuning)
    keys: Keys | None = None
    encrypt: bool = False
    sha256: str = ""
    objects: int = 0
    others: Callable[[Transfer], Iterator[Listed]] | None = None
    locking: Locking | None = None

    @property
    def key_id(self) -> str:
        """Of the key that bytes are encrypted with; empty where they are not."""
        return self.keys.current_id if self.keys and self.encrypt else ""

    def readable(self, key_id: str) -> bool:
        """Whether bytes that are encrypted so (empty: not) may stay as they are."""
        return key_id in (self.keys or NONE).ids if key_id else not self.key_id


@dataclass(frozen=True, slots=True)
class Found:
    """A line of an earlier listing. unfinished: of an unfinished set. bad: its bytes are known to be.

    short: the lock on them ends too early. kept, length, at: where they are, as in the listing's entry. mends: whether
    bytes that are written in their place mend the other sets that use them: only what is like them does, and a bundle
    has others' beside them. attributes: as in the entry.
    """

    line: bytes
    unfinished: bool
    bad: bool
    short: bool
    kept: str
    length: int
    at: int | None
    mends: bool
    attributes: dict[str, str]


class Known:
    """What earlier sets keep already, asked in the order of keys.

    objects: how many the newest finished listing has, as far as it can be told; only for showing progress.
    """

    def __init__(self, transfer: Transfer, sources: Sources) -> None:
        """Open the parts of unfinished sets up to the newest finished one, and that one's listing."""
        self._streams: list[_Stream] = []
        self.objects = 0
        bucket, keys = sources.backup_bucket, sources.keys
        for set_name in sources.previous:
            finished = set_name == sources.previous[-1] and bool(sources.sha256)
            try:
                name = listing.key(transfer, bucket, set_name)
                if keys and not finished:
                    # Its listing is whole, and no manifest vouches for it: what it copied is copied again.
                    continue
                pieces = listing.opened(transfer, bucket, name, sources.sha256 if finished else "", keys or NONE)
            except SetDamaged as error:
                _log.warning("%s What it would have told is copied again.", error.message)
                return
            except ObjectMissing:
                found = listing.parts(transfer, bucket, set_name)
                if found:
                    self._streams.append(_Stream(_chained(transfer, bucket, found, keys), sources, unfinished=True))
                continue
            self._streams.append(_Stream(listing.lines(name, pieces), sources, unfinished=False))
            self.objects = sources.objects
            return

    def find(self, wanted: Listed) -> Found | None:
        """What is known of an artifact."""
        for stream in self._streams:
            found = stream.find(wanted)
            if found is not None:
                return found
        return None


class _Stream:
    def __init__(self, found: Iterator[tuple[dict[str, Any], bytes]], sources: Sources, *, unfinished: bool) -> None:
        self._found = found
        self._sources = sources
        self._next: tuple[dict[str, Any], bytes] | None = None
        self._over = False
        self.unfinished = unfinished

    def find(self, wanted: Listed) -> Found | None:
        asked = object_keys.order(wanted.bucket, wanted.key)
        while self._next is None or object_keys.order(self._next[0].get("bucket", ""), self._next[0]["key"]) < asked:
            if self._over:
                return None
            self._next = self._step()
            if self._next is None:
                self._over = True
                return None
        entry, line = self._next
        same = (
            entry["key"] == wanted.key
            and entry.get("bucket", "") == wanted.bucket
            and entry["etag"] == wanted.etag
            and entry["size"] == wanted.size
            and entry["last_modified"] == wanted.last_modified
        )
        encrypted = entry.get("encrypted") or {}
        key_id = str(encrypted.get("key_id", ""))
        if not same or not self._sources.readable(key_id):
            return None
        locking, at = self._sources.locking, entry.get("at")
        return Found(
            line,
            self.unfinished,
            bad=entry["kept"] in self._sources.distrust,
            short=locking is not None and str(entry.get("locked_until", "")) < locking.needed_until,
            kept=entry["kept"],
            length=int(encrypted["bytes"]) if key_id else wanted.size,
            at=at,
            mends=at is None and key_id == self._sources.key_id,
            attributes=entry.get("attributes") or {},
        )

    def _step(self) -> tuple[dict[str, Any], bytes] | None:
        try:
            return next(self._found, None)
        except (SetDamaged, WrongKey, ObjectMissing) as error:
            _log.warning("%s What it would have told is copied again.", error.message)
            return None


def _chained(
    transfer: Transfer, bucket: str, found: list[str], keys: Keys | None
) -> Iterator[tuple[dict[str, Any], bytes]]:
    return chain.from_iterable(listing.lines(part, listing.part(transfer, bucket, part, keys)) for part in found)
