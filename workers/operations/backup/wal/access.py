"""Whose WAL it is: the gateway to the server's WAL, and the keys of what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.wal.archive import Archive, servers
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Places

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.replication import Replication

SEGMENT_BYTES: Final = 16 << 20
"""PostgreSQL's own; a server may have another."""


def replication(systems: Systems) -> Replication:
    """The target's server as the replication role sees it. Raises SettingsError where no address is set."""
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.replication import Replication, slot_name

    environment = systems.settings.environment
    field = "replication_url" if environment.replication_url else "database_admin_url"
    return Replication(Database.at(systems.settings, field), slot_name(environment.target))


def places(systems: Systems) -> Places:
    """The keys of the target's server, asked of it. Raises DatabaseError."""
    known = replication(systems).identity()
    return Places(known.system, known.segment_bytes)


def places_of(system: str) -> Places:
    """The keys of a server whose WAL we don't keep: what is noted of it lies there."""
    return Places(system, SEGMENT_BYTES)


def archive(systems: Systems, where: Places | None = None) -> Archive:
    """What is kept of the target's server. where: its keys, where they are known."""
    where = where or places(systems)
    return Archive(systems.backups, systems.settings.ops.storage.backups_bucket, where, Packing.of(systems.settings))


def archives(systems: Systems) -> list[Archive]:
    """What is kept of every server, also of such as are gone: nobody but the bucket is asked. Raises ObjectsError."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    packing, found = Packing.of(systems.settings), []
    for system in servers(objects, bucket):
        # How long a segment is stands in its own documents.
        there = Archive(objects, bucket, Places(system, SEGMENT_BYTES), packing)
        point = there.point()
        if point is not None:
            found.append(replace(there, where=Places(system, point.segment_bytes)))
    return found


def system_of(systems: Systems) -> str:
    """The identifier of the server that is there; empty where we keep no WAL of it, or it does not tell."""
    if not systems.settings.ops.recovery.keeps_wal:
        return ""
    try:
        return replication(systems).identity().system
    except OperatorError:
        return ""


def refuse_off(systems: Systems) -> None:
    """Raise OperatorError where point-in-time recovery is off, or its WAL is kept by another program."""
    recovery = systems.settings.ops.recovery
    if recovery.point_in_time and not recovery.keeps_wal:
        raise OperatorError(
            f"WAL and base backups are kept by another program: recovery.source is {recovery.source}.",
            "To keep them here, set recovery.source: own in ops.yaml.",
        )
    if not systems.settings.ops.recovery.point_in_time:
        raise OperatorError(
            "Point-in-time recovery is off.", "Set recovery.point_in_time: on in ops.yaml, and run mlflow-ops wal."
        )
