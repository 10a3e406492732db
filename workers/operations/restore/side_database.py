"""A set's database beside the live one: made, filled, compared, and not left behind where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from workers.operations.restore import names
from workers.operations.restore.pg_restore import compare, fill
from workers.systems.errors import DatabaseTaken
from workers.systems.postgres.admin import Server

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import Described
    from workers.systems.postgres.database import Database

CALLS_AT_ONCE: Final = 4


def restore_into(  # noqa: PLR0913 - from where, to where
    systems: Systems,
    server: Server,
    fresh: str,
    found: Manifest,
    progress: Progress,
    *,
    like: Described | None = None,
) -> Database:
    """Make `fresh`, as the live database is or as `like`, and fill it.

    What is left of an earlier attempt is removed first; of a failed one, at once.

    Raises OperatorError, and Cancelled.
    """
    from workers.systems.s3.transfer import Bulk

    part = found.database
    assert part is not None
    databases, live = server.databases(), systems.database.name
    like = databases.get(live) or like or next(iter(databases.values()))
    for each in databases:
        if names.is_fresh(each, live):
            server.drop(each)
    progress.step(f"Making {fresh}")
    comment = names.comment("being restored", found.name)
    try:
        server.create(fresh, like, comment)
    except DatabaseTaken:
        # The session of a worker that was killed goes on making it, and has it since we looked.
        server.drop(fresh)
        server.create(fresh, like, comment)
    target = server.database(fresh, systems.database)
    try:
        progress.step(f"Restoring {found.id} into {fresh}")
        with Bulk.of(systems.backups, CALLS_AT_ONCE) as bulk:
            bucket, admin = systems.settings.ops.storage.backups_bucket, server.database(fresh, server.admin)
            fill(target, part, bulk, bucket, systems.settings, progress, admin=admin)
        progress.step("Comparing it with the backup's manifest")
        compare(target, part)
    except BaseException:
        server.drop(fresh)
        raise
    return target


@contextmanager
def restored_beside(systems: Systems, found: Manifest, progress: Progress) -> Iterator[Database]:
    """The same, removed again afterwards."""
    server = Server.of(systems)
    fresh = names.fresh(systems.database.name, found.id)
    try:
        yield restore_into(systems, server, fresh, found, progress)
    finally:
        server.drop(fresh)
