"""What the database was like besides its rows, beside its dump: a JSON array a line, encrypted where a key is set.

It is what a restore is held against, and what it goes by for what no dump brings back by itself: who owns what, who may
use it, the database's own settings. Sets from before there was such a record are held against the live database.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.encryption import NAME_END, WrongKey
from workers.operations.backup.manifest import Stored
from workers.operations.backup.stream import Reading
from workers.systems.postgres.catalog import Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.operations.backup.encryption import Keys
    from workers.operations.backup.manifest import DatabasePart
    from workers.systems.s3.transfer import Transfer

NAME: Final = ".catalog.jsonl"
AT_MOST: Final = 64 << 20
_LACKING: Final = (
    "NOT IN THIS SET: who owns what in {} and who may use it. It has too many objects to record that; a restore brings "
    "the objects and rows back, as their owner's."
)


def store(lines: Iterable[Line], keys: Keys | None, transfer: Transfer, bucket: str, dump_key: str) -> Stored:
    """Write the lines beside the dump. Raises ObjectsError."""
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in sorted(lines)).encode()
    key = f"{dump_key.removesuffix('.dump')}{NAME}{NAME_END if keys else ''}"
    content = keys.encrypted(text, key) if keys else text
    transfer.put(bucket, key, content)
    digest, of = hashlib.sha256(content).hexdigest(), keys.current_id if keys else ""
    return Stored(key=key, bytes=len(content), sha256=digest, key_id=of)


def lacking(part: DatabasePart) -> tuple[str, ...]:
    """That a new set has no record of its database, for a warning; none where it has one."""
    return () if part.catalog else (_LACKING.format(part.database),)


def read(part: DatabasePart, keys: Keys | None, transfer: Transfer, bucket: str) -> frozenset[Line] | None:
    """The lines of a set's database; None where the set has none. Raises OperatorError where they are damaged."""
    if part.catalog is None:
        return None
    stored = Reading(part.catalog, transfer, bucket)
    if part.catalog.bytes > AT_MOST:
        raise OperatorError(f"{stored.where} is too large to be what it should be.", "Use another set.")
    content = b"".join(stored)
    stored.compare()
    if part.catalog.key.endswith(NAME_END):
        if keys is None:
            raise WrongKey(f"{stored.where} is encrypted, and no key is set.", "Set MLFLOW_OPS_BACKUP_KEY.")
        content = keys.decrypted(content, part.catalog.key)
    try:
        return frozenset(Line(*map(str, json.loads(line))) for line in content.decode().splitlines())
    except (ValueError, TypeError):
        raise OperatorError(f"{stored.where} is no description of a database.", "Use another set.") from None
