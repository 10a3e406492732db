"""One experiment or run, with all that refers to it, from one database into another one of the same schema.

What belongs to it is found by the foreign keys that the database itself declares, so a table that MLflow adds is not
forgotten. All of it goes in one transaction; a row that is there already stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import sql

from workers.errors import OperatorError
from workers.systems.postgres.mlflow_schema import NAME

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems.postgres.database import Database

_KEYS: Final[LiteralString] = f"""
SELECT c.conrelid::regclass::text, c.confrelid::regclass::text,
       (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.conkey) WITH ORDINALITY k(num, n)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.num),
       (SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(c.confkey) WITH ORDINALITY k(num, n)
        JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.num)
FROM pg_constraint c JOIN pg_namespace s ON s.oid = c.connamespace
WHERE c.contype = 'f' AND s.nspname = {NAME} ORDER BY c.conname
"""  # noqa: S608 - all of it is ours
_COLUMNS: Final[LiteralString] = f"""
SELECT column_name::text FROM information_schema.columns
WHERE table_schema = {NAME} AND table_name = %s AND is_generated = 'NEVER' ORDER BY ordinal_position
"""  # noqa: S608 - all of it is ours


@dataclass(frozen=True)
class _Reference:
    child: str
    parent: str
    columns: tuple[str, ...]
    of_parent: tuple[str, ...]


@dataclass(frozen=True)
class _Chosen:
    """Rows of a table, as a condition on it."""

    table: str
    where: sql.Composable


def copy(side: Database, live: Database, table: tuple[str, str], its_id: object, progress: Progress) -> dict[str, int]:
    """A run or an experiment with all that refers to it: rows by table. table: its name, and the column of its id.

    Raises OperatorError.
    """
    root = _Chosen(table[0], _equals(table[1], its_id))
    try:
        with (
            psycopg.connect(side.url, autocommit=True) as source,
            psycopg.connect(live.url) as target,
        ):
            copied: dict[str, int] = {}
            for chosen in _family(source, root):
                progress.checkpoint()
                copied[chosen.table] = copied.get(chosen.table, 0) + _table(source, target, chosen)
            return {table: number for table, number in copied.items() if number}
    except psycopg.errors.UniqueViolation as error:
        said = (error.diag.message_detail or str(error)).splitlines()[0].rstrip(".")
        raise OperatorError(f"Something else holds its place: {said}.", "Rename that, and ask again.") from None
    except psycopg.Error as error:
        raise live.explained(error) from None


def row(database: Database, statement: LiteralString, *values: Any) -> tuple[Any, ...] | None:
    """The first row that a question gives. Raises DatabaseError."""
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            return connection.execute(statement, values).fetchone()
    except psycopg.Error as error:
        raise database.explained(error) from None


def _family(source: psycopg.Connection[Any], root: _Chosen) -> list[_Chosen]:
    """What is chosen, and what refers to it, parents first."""
    references = [_Reference(child, parent, tuple(of), tuple(to)) for child, parent, of, to in source.execute(_KEYS)]
    found, waiting, seen = [root], [root], {root.table}
    while waiting:
        parent = waiting.pop(0)
        for each in references:
            if each.parent != parent.table or each.child in seen:
                continue
            chosen = _Chosen(
                each.child,
                sql.SQL("({}) IN (SELECT {} FROM {} WHERE {})").format(
                    _names(each.columns), _names(each.of_parent), sql.Identifier(parent.table), parent.where
                ),
            )
            seen.add(each.child)
            found.append(chosen)
            waiting.append(chosen)
    return found


def _table(source: psycopg.Connection[Any], target: psycopg.Connection[Any], chosen: _Chosen) -> int:
    columns = [name for (name,) in source.execute(_COLUMNS, (chosen.table,))]
    table, held = sql.Identifier(chosen.table), sql.Identifier(f"restored_{chosen.table}"[:63])
    target.execute(sql.SQL("CREATE TEMPORARY TABLE {} (LIKE {}) ON COMMIT DROP").format(held, table))
    out = sql.SQL("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT (FORMAT binary)").format(
        _names(columns), table, chosen.where
    )
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(held, _names(columns))
    with source.cursor().copy(out) as reading, target.cursor().copy(into) as writing:
        for piece in reading:
            writing.write(piece)
    inserted = target.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            table, _names(columns), _names(columns), held
        )
    )
    for column in columns:
        found = target.execute("SELECT pg_get_serial_sequence(%s, %s)", (chosen.table, column)).fetchone()
        if found and found[0]:
            # What is made next must not get a number that is taken now.
            largest = sql.SQL("SELECT setval({}, greatest(max({}), nextval({}))) FROM {}").format(
                sql.Literal(found[0]), sql.Identifier(column), sql.Literal(found[0]), table
            )
            target.execute(largest)
    return inserted.rowcount


def _names(columns: tuple[str, ...] | list[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _equals(column: str, value: object) -> sql.Composable:
    return sql.SQL("{} = {}").format(sql.Identifier(column), sql.Literal(value))
