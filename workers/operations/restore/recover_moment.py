"""Which moment `recover` brings the database back to, where WAL is kept that reaches further than the backup.

By itself the newest one, where the WAL is of another server than the one that is there: that one is gone, and nothing
that its WAL holds is the loss itself. Where the server is the same, what has happened to MLflow's database is in its
WAL as well: then somebody has to name the moment before it (--at), and the plan says so.

The server that the WAL was kept of need not be there: the bucket is asked, and the backup says whose WAL is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.backup.wal import access
from workers.operations.backup.wal.archive import moment_of
from workers.operations.restore import moment
from workers.wording import duration

if TYPE_CHECKING:
    from datetime import datetime

    from workers.operations.backup.manifest import Manifest
    from workers.operations.backup.wal.archive import Archive
    from workers.operations.restore.moment import Chosen
    from workers.systems import Systems


@dataclass(frozen=True)
class Beyond:
    """chosen: the moment; None: the backup's database is taken. notes: what whoever approves should know."""

    chosen: Chosen | None = None
    notes: tuple[str, ...] = ()


def look(systems: Systems, found: Manifest, at: datetime | None, *, alone: bool) -> Beyond:
    """What to bring the database back from. at: the moment that is asked for. alone: the backup was named: it alone.

    Raises OperatorError where a moment is asked for that cannot be brought back.
    """
    kept_by = systems.settings.ops.recovery.source
    if at is not None and kept_by != "own":
        raise OperatorError(
            f"`recover` goes back to a moment with WAL that mlflow-ops keeps, and recovery.source is {kept_by}.",
            "Have that server recovered first; then restore database --at.",
        )
    if at is not None:
        return Beyond(moment.choose(systems, at, there=_whose(systems, found)))
    if alone or found.database is None:
        return Beyond()
    try:
        there = _whose(systems, found)
        chosen = moment.choose(systems, None, there=there)
    except OperatorError as error:
        # Without WAL the backup is what there is; where WAL is kept, it is said why it is of no use.
        kept = systems.settings.ops.recovery.keeps_wal or bool(found.database.system)
        return Beyond(notes=(f"The WAL is of no use: {error.message}",) if kept else ())
    newer = (chosen.at - found.started_at).total_seconds()
    if newer <= 0:
        return Beyond()
    if _same(systems, chosen):
        note = (
            f"The server's WAL reaches up to {moment_of(chosen.at)}, {duration(newer)} after the backup. What has "
            "happened to the database is in it too: recover --at TIME, just before that, loses less."
        )
        return Beyond(notes=(note,))
    note = f"The database comes from the WAL that was kept of its server, {duration(newer)} newer than the backup."
    return Beyond(chosen, (note, "Artifacts and configuration are as in the backup."))


def _same(systems: Systems, chosen: Chosen) -> bool:
    """Whether the server that is there is the one that the WAL is of; who does not tell may be."""
    try:
        return access.replication(systems).identity().system == chosen.source.server
    except OperatorError:
        return True


def _whose(systems: Systems, found: Manifest) -> Archive:
    """What is kept of the server that the backup's database was on. Raises OperatorError where that is not known."""
    kept = access.archives(systems)
    known = found.database.system if found.database else ""
    ours = [each for each in kept if each.where.system == known] if known else kept
    if not ours:
        raise OperatorError("No WAL is kept of the server that the backup is of.", "Recover from the backup.")
    if len(ours) > 1:
        raise OperatorError(
            f"WAL of {len(ours)} servers is kept, and the backup {found.id} doesn't say of which one it is.",
            "Recover from the backup.",
        )
    return ours[0]
