"""The bytes of an artifact where a set keeps them: opened, and decrypted where they are encrypted.

Whether they are is what the set's listing says, which its manifest vouches for, and not what stands in the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import SetDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.encryption import Keys
    from workers.systems.s3.metadata import Described
    from workers.systems.s3.transfer import Transfer


def opened(transfer: Transfer, bucket: str, entry: Entry, keys: Keys) -> tuple[Described, Iterator[bytes]]:
    """What the store says of the kept object, and the artifact's bytes.

    Raises ObjectMissing at once; SetDamaged at once where it has another length than it was given, and on the way where
    it is not what was encrypted; WrongKey.
    """
    described, pieces = transfer.open(bucket, entry.kept)
    if described.size != entry.kept_bytes:
        raise SetDamaged(f"{described.size:,} bytes are kept of {entry.kept_bytes:,}")
    return described, keys.opened(pieces, entry.kept) if entry.key_id else pieces
