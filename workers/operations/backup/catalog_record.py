"""What the database was like besides its rows, beside its dump: a JSON array a line, encrypted where a key is set.

It is what a restore is held against, and what it goes by for what no dump brings back by itself: who owns what, who may
use it, the database's own settings. Sets from before there was such a record are held against the live database.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.encryption import WrongKey
from workers.operations.backup.manifest import Stored
from workers.operations.backup.stream import Reading
from workers.systems.postgres.catalog import Line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.operations.backup.encryption import Keys
    from workers.operations.backup.manifest import DatabasePart
    from workers.systems.s3.transfer import Transfer

NAME: Final = ".catalog.jsonl"
ENCRYPTED: Final = ".enc"
AT_MOST: Final = 64 << 20


def store(lines: Iterable[Line], keys: Keys | None, transfer: Transfer, bucket: str, dump_key: str) -> Stored:
    """Write the lines beside the dump. Raises ObjectsError."""
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in sorted(lines)).encode()
    content = keys.encrypted(text) if keys else text
    key = f"{dump_key.removesuffix('.dump')}{NAME}{ENCRYPTED if keys else ''}"
    transfer.put(bucket, key, content)
    return Stored(key=key, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def read(part: DatabasePart, keys: Keys | None, transfer: Transfer, bucket: str) -> frozenset[Line] | None:
    """The lines of a set's database; None where the set has none. Raises OperatorError where they are damaged."""
    if part.catalog is None:
        return None
    stored = Reading(part.catalog, transfer, bucket)
    if part.catalog.bytes > AT_MOST:
        raise OperatorError(f"{stored.where} is too large to be what it should be.", "Use another set.")
    content = b"".join(stored)
    stored.compare()
    if part.catalog.key.endswith(ENCRYPTED):
        if keys is None:
            raise WrongKey(f"{stored.where} is encrypted, and no key is set.", "Set MLFLOW_OPS_BACKUP_KEY.")
        content = keys.decrypted(content, stored.where)
    try:
        return frozenset(Line(*map(str, json.loads(line))) for line in content.decode().splitlines())
    except (ValueError, TypeError):
        raise OperatorError(f"{stored.where} is no description of a database.", "Use another set.") from None
