"""Could what was just backed up be restored here? Asked of the server and the programs, and told in the same report.

A set that nobody can restore is found out about on the day of a restore otherwise: the right that was taken away, the
extension that an upgrade of the server left behind, the program that an image lacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.backup import foreseen
from workers.systems.errors import GatewayError
from workers.systems.postgres import programs, standing

if TYPE_CHECKING:
    from workers.operations.backup.manifest import DatabasePart
    from workers.systems import Systems
    from workers.systems.postgres.catalog import Line
    from workers.systems.postgres.database import Database


def warnings(systems: Systems, database: Database, part: DatabasePart, lines: frozenset[Line]) -> tuple[str, ...]:
    """Why a restore of it would fail as things are, a sentence each; none where nothing stands against it.

    Nothing is said where this process has no role for restores: it would not be the one that restores.
    """
    if systems.settings.environment.database_admin_url is None:
        return ()
    server = systems.server
    found = []
    try:
        lacking = server.lacking(database)
        if lacking:
            grants = " ".join(each.grant for each in lacking).rstrip(";")
            found.append(f"our role {' and '.join(each.what for each in lacking)} ({grants})")
        where = standing.of(server, foreseen.roles(lines))
        found += foreseen.impossible(lines, where)
        restorer = programs.find("pg_restore", systems.settings)
        restorer.not_older_than(int(part.pg_dump_version.partition(".")[0]))
        if restorer.major > where.major:
            restorer.beside("psql")
    except GatewayError as error:
        found.append(f"whether it could be was not found out: {error.message.rstrip('.')}")
    except OperatorError as error:
        found.append(error.message.rstrip("."))
    return tuple(f"{part.database} could not be restored from this set as things are: {each}." for each in found)
