"""The bytes of an artifact where a set keeps them: opened, and decrypted where they are encrypted.

Whether they are is what the set's listing says, which its manifest vouches for, and not what stands in the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged
from workers.operations.backup.encryption import WrongKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.metadata import Described
    from workers.systems.s3.transfer import Transfer

SMALL: Final = 1 << 20
"""Bytes up to which an object is read in one piece."""


def opened(transfer: Transfer, bucket: str, entry: Entry, keys: Keys) -> tuple[Described, Iterator[bytes]]:
    """What the store says of the kept object, and the artifact's bytes.

    Raises ObjectMissing at once; SetDamaged at once where it has another length than it was given, and on the way where
    it is not what was encrypted; WrongKey.
    """
    if entry.at is not None:
        described, content = transfer.fetch(bucket, entry.kept, at_most=entry.stored, first=entry.at)
        if len(content) != entry.stored:
            raise SetDamaged(f"{described.size:,} bytes are kept of at least {entry.at + entry.stored:,}")
        return described, _decrypted((content,), entry, keys)
    described, pieces = _read(transfer, bucket, entry)
    if described.size != entry.kept_bytes:
        raise SetDamaged(f"{described.size:,} bytes are kept of {entry.kept_bytes:,}")
    return described, _decrypted(pieces, entry, keys) if entry.key_id else pieces


def _decrypted(pieces: Iterable[bytes], entry: Entry, keys: Keys) -> Iterator[bytes]:
    try:
        yield from keys.opened(pieces, entry.name)
    except WrongKey:
        if entry.key_id not in keys.ids:
            raise
        # The listing, which the manifest vouches for, names a key that we have.
        raise SetDamaged("it names another key than the one that it was encrypted with") from None


def _read(transfer: Transfer, bucket: str, entry: Entry) -> tuple[Described, Iterator[bytes]]:
    if not 0 < entry.kept_bytes <= SMALL:
        return transfer.open(bucket, entry.kept)
    described, content = transfer.fetch(bucket, entry.kept, at_most=entry.kept_bytes)
    return described, iter((content,))
