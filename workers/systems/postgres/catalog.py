"""What a database is besides its rows, as lines: each object, who owns it, who may use it, what is said of it.

Two databases that are the same have the same lines, so what a restore did not bring back is a difference of two sets.
Lines are made by the server's own functions (pg_get_indexdef, pg_identify_object, …) with nothing but pg_catalog in
the search path: names come out quoted and with their schema, and nothing of the database's own is executed. Objects
that an extension brings are the extension's.

Trap this avoids: an object without recorded privileges has PostgreSQL's default ones, which is the same as having
exactly those recorded. So privileges are listed as they are, one a line, never as they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, LiteralString, NamedTuple

from workers.systems.errors import CatalogTooLarge
from workers.systems.postgres.catalog_queries import QUERIES, SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from workers.systems.postgres.database import Database

AT_MOST: Final = 200_000
"""Lines; MLflow's own schema has about two thousand. They are held in memory, because what is expected of one follows
from others (who owns it decides who may grant): a restore that compares so many takes some 400 MB."""
RIGHTS: Final = frozenset({"owner", "grant", "default grant", "comment", "label", "setting", "database"})
"""Kinds that say something of an object and are none themselves."""
_COMPRESSION: Final = 140_000
_PUBLISHED_PARTS: Final = 150_000
_PUBLISHED_COLUMNS: Final[LiteralString] = """(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
FROM pg_attribute a WHERE a.attrelid = r.prrelid AND a.attnum = ANY (r.prattrs::int2[]))"""
_PUBLISHED_SCHEMAS: Final[LiteralString] = """
SELECT 'publication schema', format('%I %I', p.pubname, n.nspname), '' FROM pg_publication_namespace s
JOIN pg_publication p ON p.oid = s.pnpubid JOIN pg_namespace n ON n.oid = s.pnnspid
"""


class Line(NamedTuple):
    """One fact. kind: "table", "owner", … name: of what, as the server writes it. detail: what it is like."""

    kind: str
    name: str
    detail: str


def of(connection: psycopg.Connection[Any]) -> frozenset[Line]:
    """The lines of the database that a connection is in; its transaction sees nothing but pg_catalog afterwards.

    Raises CatalogTooLarge where there are more than AT_MOST, and psycopg.Error.
    """
    found: set[Line] = set()
    with connection.transaction():
        connection.execute("SELECT set_config('search_path', 'pg_catalog', true)")
        for query in _queries(connection.info.server_version):
            for row in connection.execute(query):
                found.add(Line(*(str(each or "") for each in row)))
                if len(found) > AT_MOST:
                    message = f"{connection.info.dbname} has more than {AT_MOST:,} objects and rights on them."
                    raise CatalogTooLarge(message, "So many are neither recorded nor compared.")
    return frozenset(found)


def read(database: Database) -> frozenset[Line]:
    """The lines of a database. Raises DatabaseError, and CatalogTooLarge as above."""
    with database.session(patience_seconds=0) as connection:
        return of(connection)


def slots(database: Database) -> tuple[str, ...]:
    """The logical replication slots of a database, by name. Raises DatabaseError."""
    with database.session() as connection:
        return tuple(str(name) for (name,) in connection.execute(SLOTS))


def named(lines: Iterable[Line], *kinds: str) -> dict[str, str]:
    """Name to detail of the lines of these kinds."""
    return {line.name: line.detail for line in lines if line.kind in kinds}


def _queries(version: int) -> list[LiteralString]:
    """As this server understands them: columns that came with a version are left out before it."""
    compression: LiteralString = "nullif(a.attcompression::text, '')" if version >= _COMPRESSION else "NULL"
    parts: tuple[LiteralString, LiteralString] = (
        (_PUBLISHED_COLUMNS, "pg_get_expr(r.prqual, r.prrelid)") if version >= _PUBLISHED_PARTS else ("NULL", "NULL")
    )
    filled = [
        query.replace("{compression}", compression).replace("{columns}", parts[0]).replace("{rows}", parts[1])
        for query in QUERIES
    ]
    return [*filled, *((_PUBLISHED_SCHEMAS,) if version >= _PUBLISHED_PARTS else ())]
