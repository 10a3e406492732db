"""The plan of going back to a moment: from what, what would be lost, and what it takes.

From the dump on it is the restore of a backup (database.py): the same checks, the same switch, the same undo.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import psycopg

from workers.errors import OperatorError
from workers.operation import Change, Plan
from workers.operations.backup.manifest import DatabasePart, Stored
from workers.operations.restore import checks, moment, replaying, room, side_database, switching
from workers.report import Facts
from workers.wording import listed, size

if TYPE_CHECKING:
    from workers.operations.restore.moment import Chosen
    from workers.systems import Systems
    from workers.systems.postgres.database import Database

NAMED: Final = 5
_EXPERIMENTS: Final = """
SELECT name FROM experiments WHERE creation_time > %(at)s
  OR experiment_id IN (SELECT experiment_id FROM runs WHERE start_time > %(at)s)
ORDER BY last_update_time DESC NULLS LAST, name LIMIT 100
"""


def plan(systems: Systems, chosen: Chosen, beside: str, undo: str) -> Plan:
    """What would take whose place, and what would be lost. Raises OperatorError where it cannot be done.

    beside: the name of a database that it is only to stand in. undo: the command that goes back.
    """
    server, live = systems.server, systems.database.name
    checks.refuse_without_rights(server, systems.database)
    databases = server.databases()
    now = databases.get(live)
    if now is None and not beside:
        raise OperatorError(f"There is no database {live} to be replaced.", "Restore beside: --as NAME.")
    part = _foreseen(systems, chosen, now.size_bytes if now else 0)
    size_bytes = part.size_bytes
    restored = beside or side_database.restored_name(live, chosen.id)
    making = (
        *chosen.source.steps(chosen.to, live),
        f"Restore the dump into {restored}, beside the live database",
        "Compare its tables with the dump's",
    )
    sections = (Facts(items=(*chosen.facts(datetime.now(UTC)), ("live now", size(size_bytes)))),)
    facts = {"moment": chosen.at.isoformat(), "inclusive": chosen.inclusive, "base": chosen.source.rests}
    estimate = chosen.estimate_seconds + size_bytes / moment.PACE
    warnings = (*room.warnings(systems, part), *replaying.exposed(server))
    if beside:
        return Plan(
            title="Restore beside",
            summary=f"{live} {chosen.words}, as the database {beside}",
            steps=making,
            changes=(Change(what=f"database {beside}", before="none", after=f"{live} {chosen.words}"),),
            warnings=warnings,
            undo=f"drop database {beside}",
            estimate_seconds=estimate,
            sections=sections,
            facts=facts,
        )
    previous = side_database.previous_name(live, chosen.id, databases)
    return Plan(
        title=f"Restore the database {live}",
        summary=chosen.words,
        steps=(*making, *switching.steps(systems, live, previous, "the restored one")),
        changes=(
            Change(what=f"database {live}", before="the live one", after=chosen.words),
            Change(what=f"database {previous}", before="none", after="the previous live one, closed to sessions"),
        ),
        warnings=(lost(systems, chosen), *switching.refuse_obstacles(systems), *warnings),
        undo=f"/mlflow {undo}",
        estimate_seconds=estimate,
        sections=sections,
        facts=facts,
    )


def lost(systems: Systems, chosen: Chosen) -> str:
    """What was begun since the moment, by count and name."""
    found = checks.lost_since(systems.database, chosen.manifest())
    if found is None:
        return "What was written since then could not be counted."
    names = _experiments(systems.database, int(chosen.at.timestamp() * 1000))
    within = f", in {listed(names, most=NAMED)}" if names else ""
    return (
        f"{found.words('it', within)} What is written until the switch is lost. Other databases of the server "
        "stay as they are."
    )


def _experiments(database: Database, at: int) -> list[str]:
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            return [str(name) for (name,) in connection.execute(_EXPERIMENTS, {"at": at}).fetchall()]
    except psycopg.Error:
        return []


def _foreseen(systems: Systems, chosen: Chosen, size_bytes: int) -> DatabasePart:
    """As large as the live one: how large it was then is known once it is there."""
    return DatabasePart(
        dump=Stored(key="", bytes=0, sha256=""),
        database=systems.database.name,
        server_version=chosen.source.version,
        pg_dump_version="",
        size_bytes=size_bytes,
    )
