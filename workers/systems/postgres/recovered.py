"""A server that was recovered from an archive: whose it is, and whether a database of it is whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from psycopg.conninfo import make_conninfo

from workers.systems.errors import Nonsense

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

WHOLE: Final = "SELECT datconnlimit <> -2 FROM pg_database WHERE datname = %s"
"""-2 is what DROP DATABASE writes before it removes the files (DATCONNLIMIT_INVALID_DB in pg_database.h)."""
_SYSTEM: Final = "SELECT (SELECT system_identifier FROM pg_control_system())::text"


@dataclass(frozen=True)
class Recovered:
    """system: the server's identifier. whole: False while the database is being dropped; None where there is none."""

    system: str
    whole: bool | None


def look(database: Database) -> Recovered:
    """Look, as its superuser. database: which is asked about; it need not be there. Raises DatabaseError."""
    with replace(database, url=make_conninfo(database.url, dbname="postgres")).session() as connection:
        system = connection.execute(_SYSTEM).fetchone()
        row = connection.execute(WHOLE, (database.name,)).fetchone()
    if system is None:
        msg = f"PostgreSQL at {database.address} answered an empty row."
        raise Nonsense(msg)
    return Recovered(str(system[0]), bool(row[0]) if row else None)
