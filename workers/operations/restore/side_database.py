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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from workers.operations.backup import foreseen
from workers.operations.backup.encryption import Keys
from workers.operations.backup.stream import Reading
from workers.operations.restore import handing_over, likeness, replaying, room
from workers.operations.restore.extensions import Known
from workers.operations.restore.pg_restore import compare, fill
from workers.report import Text
from workers.systems.postgres import mlflow_schema, replay_role
from workers.systems.postgres.catalog import named

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo, Server
    from workers.systems.postgres.database import Database

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


def comment(what: str, set_name: str, *, was: str = "") -> str:
    """What is written on a database of ours: what it is, of which set, since when, and what stood there before."""
    said = {"mlflow-ops": what, "set": set_name, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
    return json.dumps(said | ({"was": was} if was else {}))


def comments(live: str, previous: str, set_name: str, *, was: str = "") -> dict[str, str]:
    """What is written on both at the moment of a switch. was: on the live one; what people wrote there stays."""
    kept = "" if since(was) else was
    return {previous: comment("put aside", set_name, was=kept), live: kept or comment("restored", set_name)}


def was(comment: str) -> str:
    """What people had written on a database before such a comment; empty where nothing was."""
    try:
        return str(json.loads(comment).get("was", ""))
    except (ValueError, AttributeError):
        return ""


def since(comment: str) -> datetime | None:
    """The time in such a comment; None where it is none of ours."""
    try:
        return datetime.fromisoformat(json.loads(comment)["at"])
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Restored:
    """A database that a set was restored into. notes: what of it is not as it was, a sentence each."""

    database: Database
    notes: tuple[str, ...] = ()


def restore_into(  # noqa: PLR0913 - from where, to where
    systems: Systems,
    server: Server,
    name: str,
    found: Manifest,
    progress: Progress,
    *,
    like: DatabaseInfo | None = None,
) -> Restored:
    """Make `name`, as the set's database was, for the live one's owner or for that of `like`, and fill it.

    What is left of an earlier attempt at the same thing is removed first; of a failed one, at once.

    Raises OperatorError, and Cancelled.
    """
    from workers.systems.s3.transfer import Transfer

    part = found.database
    assert part is not None
    databases, live, bucket = server.databases(), systems.database.name, systems.settings.ops.storage.backups_bucket
    like = databases.get(live) or like or next(iter(databases.values()))
    for each in databases.values():
        if any(_is_ours(each.name, live, mark) and _is_ours(name, live, mark) for mark in _MADE):
            replaying.discard(server, each)
    replay_role.sweep(server)
    progress = room.watched(systems, server, progress)
    known = likeness.recorded(systems, part)
    seen = foreseen.of(known.lines, server, like.owner)
    progress.step(f"Making {name}", of=f" into {name}")
    with replaying.into(
        server, systems.database, name, likeness.like(seen, like), comment("being restored", found.name)
    ) as going:
        progress.step(f"Restoring {found.id} into {name}", of=f" into {name}")
        with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
            keys = Keys.all_of(systems.settings)
            dump, *apart = (Reading(each, transfer, bucket, progress, keys) for each in part.dumps)
            fill(
                going.target,
                part,
                dump,
                systems.settings,
                progress,
                apart=apart,
                admin=server.database(name, server.admin),
                known=Known(named(known.lines, "extension"), likeness.extensions_of(systems)),
            )
        progress.step("Comparing it with the backup's manifest", of="Compare its tables")
        compare(going.target, part)
        handing_over.publish(going.target, seen.expected)
        going.hand_over()
        target = server.database(name, systems.database)
        handing_over.settle(server, name, seen.expected, like.owner, target)
        _show_schema(server, name, target)
        notes: tuple[str, ...] = ()
        if known.exact:
            told = likeness.different(seen, likeness.of_database(server, name), major=server.major(), of=part)
            likeness.refuse_other(told)
            notes = tuple(f"Not as it was: {each}." for each in told.rights)
        progress.ended(part.held)
        lost = (f"Did not come back: {each}" for each in seen.lost)
        return Restored(target, (*likeness.uncompared(known), *lost, *notes))


def _show_schema(server: Server, name: str, target: Database) -> None:
    """Without a record, and without a live one to ask, MLflow's schema is at least where MLflow looks for it."""
    with target.session() as connection:
        schema = connection.execute(mlflow_schema.FOUND).fetchone()
        seen = connection.execute("SELECT to_regclass('alembic_version') IS NOT NULL").fetchone()
        if schema and not (seen and seen[0]):
            path = connection.execute("SELECT quote_ident(%s)", (schema[0],)).fetchone()
            assert path is not None
            server.set(name, (f"search_path={path[0]}, public",))


def notes(made: Restored) -> tuple[Text, ...]:
    """What is not as it was, for a report."""
    return (Text(title="Not as it was", text="\n".join(made.notes)),) if made.notes else ()


@contextmanager
def restored_beside(systems: Systems, found: Manifest, progress: Progress, mark: str) -> Iterator[Database]:
    """The same, removed again afterwards. mark: DRILL or ROWS."""
    server = systems.server
    name = restored_name(systems.database.name, found.id, mark)
    try:
        yield restore_into(systems, server, name, found, progress).database
    finally:
        server.drop(name)
