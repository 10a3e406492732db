"""Extensions that a dump asks for: made with the version and in the schema that they had, before all that needs them.

Whoever replays the dump makes those that anybody may make (trusted ones:
https://www.postgresql.org/docs/current/extend-extensions.html). The others are made by the administrator's role, and
only if the live database has them as well: an extension such as dblink opens doors, and a dump alone is no reason to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from workers.errors import OperatorError
from workers.operations.backup.foreseen import unquoted

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

_EXTENSION: Final = re.compile(r"\d+; \d+ \d+ EXTENSION - (\S+)")
_AVAILABLE: Final = "SELECT 1 FROM pg_available_extension_versions WHERE name = %s AND version = %s"


@dataclass(frozen=True)
class Known:
    """What is known of extensions beside the dump.

    details: "version in schema" by name, as the lines of a database say it. allowed: those that the administrator's
    role makes; None: all of them.
    """

    details: Mapping[str, str] = field(default_factory=dict)
    allowed: frozenset[str] | None = None


def named(lines: Iterable[str]) -> tuple[str, ...]:
    """The extensions in a table of contents."""
    return tuple(found[1] for line in lines if (found := _EXTENSION.match(line)))


def make(target: Database, admin: Database, names: Iterable[str], known: Known) -> frozenset[str]:
    """Make them; the schemas that were made for them. Raises OperatorError that says which one could not be.

    target, admin: the same database, as who replays the dump and as the administrator.
    """
    schemas = set()
    details = {unquoted(name): detail for name, detail in known.details.items()}
    for name in names:
        version, _, schema = details.get(name, "").partition(" in ")
        schema = unquoted(schema)
        if schema not in {"", "public", "pg_catalog"}:
            with target.session() as connection:
                connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
            schemas.add(schema)
        try:
            try:
                _create(target, name, version, schema)
            except psycopg.errors.InsufficientPrivilege:
                if known.allowed is not None and name not in known.allowed:
                    raise OperatorError(
                        f"The backup needs the extension {name}, which the live database does not have and only a "
                        "superuser may make: a dump alone is no reason to.",
                        f"If it is meant, make it in the live database first: CREATE EXTENSION {name}.",
                    ) from None
                _create(admin, name, version, schema)
        except psycopg.Error as error:
            raise OperatorError(
                f"The backup needs the extension {name}, which could not be made: {admin.explained(error).message}",
                "Install it on the server, and let the role of MLFLOW_OPS_DATABASE_ADMIN_URL make it.",
            ) from None
    return frozenset(schemas)


def _create(database: Database, name: str, version: str, schema: str) -> None:
    with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SELECT set_config('search_path', 'public, pg_catalog', false)")
        parts: list[sql.Composable] = [sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(name))]
        if schema and schema != "pg_catalog":
            parts.append(sql.SQL("SCHEMA {}").format(sql.Identifier(schema)))
        if version and _has(connection, name, version):
            parts.append(sql.SQL("VERSION {}").format(sql.Identifier(version)))
        connection.execute(sql.SQL(" ").join([*parts, sql.SQL("CASCADE")]))


def _has(connection: psycopg.Connection[Any], name: str, version: str) -> bool:
    return connection.execute(_AVAILABLE, (name, version)).fetchone() is not None
