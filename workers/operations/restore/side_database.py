"""A set's database beside the live one, from its name to its end: made, filled, compared; removed where that fails.

Two kinds stand beside the live database: one that a set was *restored* into and that is not live yet, and a *previous*
one that a restore has taken the place of. Their names tell them apart, and their comments of which set, and since when.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from workers.operations.backup.stream import Reading
from workers.operations.restore import room
from workers.operations.restore.pg_restore import compare, fill
from workers.systems.errors import DatabaseTaken
from workers.systems.postgres import mlflow_schema
from workers.systems.postgres.admin import Server

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo
    from workers.systems.postgres.database import Database

_log = structlog.get_logger(__name__)

CALLS_AT_ONCE: Final = 4
RESTORED: Final = "_restore_"
DRILL: Final = "_drill_"
ROWS: Final = "_rows_"
"""Of those that are thrown away in the end: a drill's, and one that a run or an experiment is copied from."""
PREVIOUS: Final = "_before_"
LONGEST: Final = 63
"""Bytes of an identifier (https://www.postgresql.org/docs/current/limits.html)."""
_MADE: Final = (RESTORED, DRILL, ROWS)
_UNDONE: Final = "undone"
_END: Final = re.compile(rf"[0-9a-f]{{6}}(_\d+)?|{_UNDONE}")


def restored_name(live: str, set_id: str, mark: str = RESTORED) -> str:
    """Where a set is restored to, beside the live database. mark: what for."""
    return f"{live[: LONGEST - len(mark) - len(set_id)]}{mark}{set_id}"


def undone_name(live: str) -> str:
    """What the restored database is called once an undo has taken it out of the live one's place."""
    return restored_name(live, _UNDONE)


def previous_name(live: str, set_id: str, taken: Collection[str] = ()) -> str:
    """What the live database is called once the set has taken its place; none of those that are `taken`."""
    for number in itertools.count(1):
        end = f"{PREVIOUS}{set_id}" if number == 1 else f"{PREVIOUS}{set_id}_{number}"
        name = f"{live[: LONGEST - len(end)]}{end}"
        if name not in taken:
            return name
    raise AssertionError


def is_restored(name: str, live: str) -> bool:
    """Whether a set was restored there and it is not live: the next restore removes it."""
    return _is_ours(name, live, RESTORED)


def is_ours(name: str, live: str) -> bool:
    """Whether restores give such a name to their own."""
    return any(_is_ours(name, live, mark) for mark in (*_MADE, PREVIOUS))


def is_scratch(name: str, live: str) -> bool:
    """Whether that was made to be thrown away, and is left over where nobody works on it."""
    return any(_is_ours(name, live, mark) for mark in (DRILL, ROWS))


def is_previous(name: str, live: str) -> bool:
    """Whether that was the live database until a restore."""
    return _is_ours(name, live, PREVIOUS)


def _is_ours(name: str, live: str, mark: str) -> bool:
    # Somebody's own mlflow_restore_test is none of ours: what is taken for ours is removed sooner or later.
    head, _, end = name.rpartition(mark)
    cut = len(name) == LONGEST and bool(head) and live.startswith(head)
    return (head == live or cut) and _END.fullmatch(end) is not None


def comment(what: str, set_name: str) -> str:
    """What is written on a database of ours: what it is, of which set, and since when."""
    return json.dumps({"mlflow-ops": what, "set": set_name, "at": datetime.now(UTC).isoformat(timespec="milliseconds")})


def comments(live: str, previous: str, set_name: str) -> dict[str, str]:
    """What is written on both at the moment of a switch."""
    return {previous: comment("put aside", set_name), live: comment("restored", set_name)}


def since(comment: str) -> datetime | None:
    """The time in such a comment; None where it is none of ours."""
    try:
        return datetime.fromisoformat(json.loads(comment)["at"])
    except (ValueError, KeyError, TypeError):
        return None


def restore_into(  # noqa: PLR0913 - from where, to where
    systems: Systems,
    server: Server,
    name: str,
    found: Manifest,
    progress: Progress,
    *,
    like: DatabaseInfo | None = None,
) -> Database:
    """Make `name`, as the live database is or as `like`, and fill it.

    What is left of an earlier attempt at the same thing is removed first; of a failed one, at once.

    Raises OperatorError, and Cancelled.
    """
    from workers.systems.s3.transfer import Transfer

    part = found.database
    assert part is not None
    databases, live = server.databases(), systems.database.name
    like = databases.get(live) or like or next(iter(databases.values()))
    for each in databases:
        if any(_is_ours(each, live, mark) and _is_ours(name, live, mark) for mark in _MADE):
            server.drop(each)
    progress = room.watched(systems, server, progress)
    progress.step(f"Making {name}")
    said = comment("being restored", found.name)
    try:
        server.create(name, like, said)
    except DatabaseTaken:
        # The session of a worker that was killed goes on making it, and has it since we looked.
        server.drop(name)
        server.create(name, like, said)
    target = server.database(name, systems.database)
    try:
        progress.step(f"Restoring {found.id} into {name}")
        with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
            dump = Reading(part.dump, transfer, systems.settings.ops.storage.backups_bucket, progress)
            fill(target, part, dump, systems.settings, progress, admin=server.database(name, server.admin))
        progress.step("Comparing it with the backup's manifest")
        compare(target, part)
        _set_as_before(server, name, live, target)
    except BaseException:
        server.drop(name)
        raise
    return target


def _set_as_before(server: Server, name: str, live: str, target: Database) -> None:
    """What ALTER DATABASE … SET says of the live one, said of the restored one: a dump does not hold it.

    Without a live one to ask, MLflow's schema is at least where MLflow looks for it.
    """
    refused = server.set(name, server.settings(live))
    if refused:
        _log.warning("settings not kept", database=name, settings=refused)
    with target.session() as connection:
        schema = connection.execute(mlflow_schema.FOUND).fetchone()
        seen = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if schema and not (seen and seen[0]):
            path = connection.execute("SELECT quote_ident(%s)", (schema[0],)).fetchone()
            assert path is not None
            server.set(name, (f"search_path={path[0]}, public",))


@contextmanager
def restored_beside(systems: Systems, found: Manifest, progress: Progress, mark: str) -> Iterator[Database]:
    """The same, removed again afterwards. mark: DRILL or ROWS."""
    server = systems.server
    name = restored_name(systems.database.name, found.id, mark)
    try:
        yield restore_into(systems, server, name, found, progress)
    finally:
        server.drop(name)
