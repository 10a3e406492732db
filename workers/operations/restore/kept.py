"""A database that was restored and checked and is not live yet: kept for the next try, and taken up by it.

A restore of hours that fails in its last step, because somebody does not leave the live database, is not done again.
What it is stands in its comment, with a fingerprint of what it held when it was checked; it takes no sessions
meanwhile. Whoever takes it up looks whether that is what it still holds.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workers.operations.backup import waiting
from workers.operations.restore.side_database import Restored
from workers.systems.errors import DatabaseError
from workers.systems.postgres import snapshot

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database


def keep(server: Server, made: Restored, found: Manifest, live: str, *, upgraded: bool) -> None:
    """Note on a database that it holds that set, checked, and let nobody in. Raises DatabaseError.

    live: the database whose place it is to take. upgraded: its schema has become another one since it was compared with
    the manifest.
    """
    part, target = found.database, made.database
    assert part is not None
    rows, revision = _held(target) if upgraded else (part.rows, part.alembic_revision)
    told = {
        "mlflow-ops": waiting.WHAT,
        "set": found.name,
        "live": live,
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "sha256": part.sha256,
        "revision": revision,
        "holds": _digest(rows, revision),
        "notes": made.notes,
    }
    server.comment(target.name, json.dumps(told))
    server.allow(target.name, connections=False)


def taken_up(server: Server, target: Database) -> Restored | None:
    """The same as it was kept, if it holds what it held when it was checked. Raises DatabaseError."""
    told = waiting.read(server.databases()[target.name].comment)
    try:
        with server.opened(target.name):
            same = _digest(*_held(target)) == told.get("holds")
    except DatabaseError:
        # It may be damaged, or half upgraded: what cannot be read is not relied on.
        return None
    return Restored(target, tuple(map(str, told.get("notes") or ()))) if same else None


def _held(target: Database) -> tuple[dict[str, int], str]:
    with snapshot.of(target) as moment:
        return moment.rows(), moment.alembic_revision()


def _digest(rows: dict[str, int], revision: str) -> str:
    return hashlib.sha256(json.dumps([sorted(rows.items()), revision]).encode()).hexdigest()
