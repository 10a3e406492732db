"""One moment of a database, held while it is dumped: what is counted here is what the dump holds.

A transaction exports its snapshot, pg_dump imports it, and the rows are counted beside the dump on the same
connection. https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from workers.systems.postgres import catalog, mlflow_schema
from workers.systems.postgres.database import APPLICATION

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

TABLES_AT_MOST: Final = 1000
TableName = tuple[str, str]
"""A schema's and a table's name."""
_WHAT: Final = """
SELECT pg_export_snapshot(), current_setting('server_version'), current_setting('server_version_num')::int,
       pg_database_size(current_database())
"""
_TABLES: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2
"""
_SIZES: Final = _TABLES.replace("c.relname::text FROM", "c.relname::text, pg_table_size(c.oid) FROM")


def tables(database: Database, *, count: Collection[str] = ()) -> tuple[frozenset[str], dict[str, int]]:
    """The names of a database's tables as `rows` has them, and how many rows those of `count` have that are there.

    Raises DatabaseError or Nonsense.
    """
    with database.session() as connection:
        found = {
            table if schema == "public" else f"{schema}.{table}": (schema, table)
            for schema, table in connection.execute(_TABLES).fetchall()
        }
        counted = {}
        for name in count:
            if name in found:
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*found[name]))
                row = connection.execute(query).fetchone()
                counted[name] = int(row[0]) if row else 0
    return frozenset(found), counted


@dataclass(frozen=True)
class Snapshot:
    """A moment of a database. id: what pg_dump takes. major: the server's, 18 of 18.4."""

    connection: psycopg.Connection[tuple[Any, ...]]
    database: Database
    id: str
    server_version: str
    major: int
    size_bytes: int

    def sizes(self) -> dict[TableName, int]:
        """How many bytes each table takes without its indexes; none at all where one of them is locked.

        Asked for before anything else: a statement that fails would end the moment.
        """
        try:
            with self.connection.transaction():
                self.connection.execute("SET LOCAL lock_timeout = '1s'")
                found = self.connection.execute(_SIZES).fetchall()
                self.connection.execute("SET LOCAL lock_timeout = 0")
        except psycopg.errors.LockNotAvailable:
            return {}
        except psycopg.Error as error:
            raise self.database.explained(error) from None
        return {(schema, table): int(size) for schema, table, size in found}

    def rows(self) -> dict[str, int]:
        """How many rows each table has; tables outside of the schema public with their schema's name."""
        counted: dict[str, int] = {}
        try:
            for schema, table in self.connection.execute(_TABLES).fetchall()[:TABLES_AT_MOST]:
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
                row = self.connection.execute(query).fetchone()
                counted[table if schema == "public" else f"{schema}.{table}"] = int(row[0]) if row else 0
        except psycopg.Error as error:
            raise self.database.explained(error) from None
        return counted

    def catalog(self) -> frozenset[catalog.Line]:
        """What the database is like besides its rows. Raises DatabaseError, and CatalogTooLarge."""
        try:
            return catalog.of(self.connection)
        except psycopg.Error as error:
            raise self.database.explained(error) from None

    def alembic_revision(self) -> str:
        """The revision of MLflow's schema; empty where the database has none."""
        try:
            schema = self.connection.execute(mlflow_schema.FOUND).fetchone()
            if not schema:
                return ""
            query = sql.SQL("SELECT version_num::text FROM {} ORDER BY 1")
            found = self.connection.execute(query.format(sql.Identifier(schema[0], "alembic_version"))).fetchall()
        except psycopg.Error as error:
            raise self.database.explained(error) from None
        return ",".join(version for (version,) in found)

    def stop(self) -> None:
        """End what is being counted, from another thread."""
        with suppress(psycopg.Error):
            self.connection.cancel_safe(timeout=5.0)


@contextmanager
def of(database: Database) -> Iterator[Snapshot]:
    """Hold a moment of the database. Raises DatabaseError where it cannot be read."""
    try:
        connection = psycopg.connect(
            database.url,
            autocommit=False,
            application_name=APPLICATION,
            connect_timeout=max(1, int(database.answer_within_seconds)),
            options="-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c lock_timeout=0",
            keepalives_idle=30,
        )
    except (psycopg.Error, UnicodeDecodeError) as error:
        raise database.explained(error) from None
    try:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        try:
            row = connection.execute(_WHAT).fetchone()
        except psycopg.Error as error:
            raise database.explained(error) from None
        assert row is not None
        yield Snapshot(connection, database, row[0], str(row[1]).split(" ", 1)[0], row[2] // 10_000, row[3])
    finally:
        with suppress(psycopg.Error):
            connection.close()
