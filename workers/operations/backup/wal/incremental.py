"""Whether a base backup may hold only what has changed since another one: PostgreSQL 17 and newer, with summarize_wal.

Such a base rests on the one before it, and so on down to a full one; all of them are fetched and combined where one
goes back from it (pg_combinebackup). So there is a full one every recovery.full_days, and pruning keeps what is rested
on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.wal import archive, places
from workers.systems.errors import ObjectMissing
from workers.systems.postgres import private_server

if TYPE_CHECKING:
    from datetime import datetime

    from workers.operations.backup.wal.archive import Archive, Base
    from workers.settings import Settings
    from workers.systems.postgres.programs import Program
    from workers.systems.postgres.replication import Replication
    from workers.systems.s3.transfer import Transfer

SINCE: Final = 17
COMBINE: Final = "pg_combinebackup"


def previous(
    settings: Settings, replication: Replication, program: Program, there: Archive, now: datetime
) -> Base | None:
    """The base that a new one may rest on; None where it is to be a full one. program: pg_basebackup. now: the
    server's time.
    """
    known = replication.identity()
    if known.major < SINCE or program.major < SINCE or not replication.summarizes():
        return None
    try:
        private_server.find(settings, known.major).beside(COMBINE)
    except OperatorError:
        return None
    found = there.bases()
    newest = found[-1] if found else None
    chain = archive.chain(found, newest) if newest else None
    if not newest or not chain or newest.timeline != known.timeline or newest.major != known.major:
        return None
    if now - chain[0].finished_at >= timedelta(days=settings.ops.recovery.full_days):
        return None
    return newest


@contextmanager
def manifest_of(base: Base, there: Archive, transfer: Transfer) -> Iterator[Path | None]:
    """PostgreSQL's manifest of a base, as a file; None where it is not kept."""
    key = f"{there.where.base(base.name)}{places.BASE_FILES}"
    with tempfile.NamedTemporaryFile(prefix="mlflow-ops-manifest-") as file:
        try:
            for piece in there.packing.unpacked(transfer.open(there.bucket, key)[1], key):
                file.write(piece)
        except ObjectMissing:
            yield None
            return
        file.flush()
        yield Path(file.name)
