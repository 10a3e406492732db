"""What was restored is given its owners, grants, settings and publications, until it is as it is expected to be.

The statements come from a difference of lines, never from a dump: names are those that the server gave for objects that
are there, privileges are words of a fixed list, roles are quoted. What is done in a role's name is done as that role.
A statement that is refused stands in the way of none of the others; what it was for is a difference afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import structlog
from psycopg import sql

from workers.operations.backup.foreseen import ALL_TABLES, DATABASE, PUBLIC_SCHEMA, unquoted
from workers.systems.errors import CatalogTooLarge
from workers.systems.postgres import catalog
from workers.systems.postgres.catalog import Line, named

if TYPE_CHECKING:
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database

_log = structlog.get_logger(__name__)

ROUNDS: Final = 4
"""An owner's change rewrites grants, and a schema's grants decide who may own what is in it."""
_GRANTED_ON: Final[dict[str, LiteralString]] = {
    "table": "TABLE",
    "view": "TABLE",
    "materialized view": "TABLE",
    "foreign table": "TABLE",
    "sequence": "SEQUENCE",
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "aggregate": "ROUTINE",
    "schema": "SCHEMA",
    "type": "TYPE",
    "domain": "DOMAIN",
    "large object": "LARGE OBJECT",
}
_OWNED: Final[dict[str, LiteralString]] = {
    **_GRANTED_ON,
    "collation": "COLLATION",
    "conversion": "CONVERSION",
    "publication": "PUBLICATION",
    "statistics object": "STATISTICS",
    "text search configuration": "TEXT SEARCH CONFIGURATION",
    "text search dictionary": "TEXT SEARCH DICTIONARY",
    "operator": "OPERATOR",
}
_DEFAULTS: Final[dict[str, LiteralString]] = {
    "r": "TABLES",
    "S": "SEQUENCES",
    "f": "FUNCTIONS",
    "T": "TYPES",
    "n": "SCHEMAS",
    "L": "LARGE OBJECTS",
}
_PRIVILEGES: Final[frozenset[LiteralString]] = frozenset(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN", "USAGE", "CREATE"}
    | {"CONNECT", "TEMPORARY", "EXECUTE", "SET", "ALTER SYSTEM"}
)
_LARGE_OBJECT: Final = re.compile(r"large object \d+")
_PUBLISHED: Final = ("insert", "update", "delete", "truncate")


@dataclass(frozen=True)
class Statement:
    """Something to do, and as whom; ourselves where that is empty."""

    role: str
    text: sql.Composed


def settle(server: Server, name: str, expected: frozenset[Line], owner: str, login: Database) -> None:
    """Make the database `name` what is expected of it, as far as our rights go. Raises DatabaseError.

    owner: whose it is. login: an address of the database as MLflow's role, for that role's own settings.
    """
    _configure(server, name, expected, login)
    with server.database(name, server.admin).session(patience_seconds=0) as connection:
        connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        before: frozenset[Line] = frozenset()
        for _ in range(ROUNDS):
            try:
                actual = catalog.of(connection)
            except CatalogTooLarge:
                # It is handed over whole: all is its owner's.
                return
            if actual == before:
                return
            before = actual
            for each in statements(expected, actual, owner, name):
                _carry_out(connection, each)


def statements(expected: frozenset[Line], actual: frozenset[Line], owner: str, name: str) -> Iterator[Statement]:
    """What brings `actual` nearer to `expected`: both are lines of the database `name`, which is `owner`'s."""
    there, known = _things(actual), _things(expected)
    columns = {line.name for line in actual if line.kind == "column"}
    yield from _published_by_us(expected, actual)
    for line in sorted(expected - actual):
        if line.kind == "owner" and line.name in there and (word := _word(line.name, _OWNED)):
            text = sql.SQL(f"ALTER {word[0]} {{}} OWNER TO {{}}")
            yield Statement("", text.format(_as_written(word[1]), sql.Identifier(line.detail)))
    for line, verb in [
        *((line, "GRANT") for line in sorted(expected - actual)),
        *((line, "REVOKE") for line in sorted(actual - expected)),
    ]:
        # Of what nothing is expected, such as a table that the live database has lost, nothing is taken away.
        if verb == "REVOKE" and line.kind == "grant" and _thing(line.name, there) not in known:
            continue
        if line.kind == "grant" and (on := _on(line.name, there, columns, name)):
            to, what, passing, by = json.loads(line.detail)
            if line.name == PUBLIC_SCHEMA and by == "pg_database_owner":
                by = owner
            if what in _PRIVILEGES:
                yield Statement(by, _granting(verb, what, on, to, passing=passing))
        elif line.kind == "default grant":
            yield from _by_default(line, taking=(verb == "REVOKE") is line.detail.startswith("+"))


def _granting(
    verb: str, what: LiteralString, on: tuple[sql.Composable, sql.Composable], to: str | None, *, passing: bool
) -> sql.Composed:
    columns, thing = on
    role = sql.SQL("PUBLIC") if to is None else sql.Identifier(to)
    if verb == "REVOKE":
        return sql.SQL("REVOKE {}{} ON {} FROM {}").format(sql.SQL(what), columns, thing, role)
    option = sql.SQL(" WITH GRANT OPTION" if passing else "")
    return sql.SQL("GRANT {}{} ON {} TO {}{}").format(sql.SQL(what), columns, thing, role, option)


def _things(lines: frozenset[Line]) -> set[str]:
    """What there is that can be owned or granted: kind and name."""
    owned = {line.name for line in lines if line.kind == "owner"}
    databases = {DATABASE} if any(line.kind == DATABASE for line in lines) else set()
    return owned | databases | {f"{line.kind} {line.name}" for line in lines if line.kind in _OWNED}


def _thing(name: str, there: set[str]) -> str:
    """What a grant's name names: a column's table."""
    return name if name in there or not name.endswith(")") else name[:-1].rpartition(" (")[0]


def _on(name: str, there: set[str], columns: set[str], database: str) -> tuple[sql.Composable, sql.Composable] | None:
    """Columns in parentheses, if any, and the thing; None where there is no such thing."""
    if name == DATABASE:
        return sql.SQL(""), sql.SQL("DATABASE {}").format(sql.Identifier(database))
    thing = _thing(name, there)
    column = name[len(thing) + 2 : -1]
    word = _word(thing, _GRANTED_ON)
    if (
        word is None
        or not (thing in there or _LARGE_OBJECT.fullmatch(thing))
        or (column and f"{word[1]}.{column}" not in columns)
    ):
        return None
    shown = sql.SQL(" ({})").format(_as_written(column)) if column else sql.SQL("")
    return shown, sql.SQL(f"{word[0]} {{}}").format(_as_written(word[1]))


def _word(name: str, words: dict[str, LiteralString]) -> tuple[LiteralString, str] | None:
    """How statements call an object, and its identity."""
    kind = max((each for each in words if name.startswith(f"{each} ")), key=len, default="")
    return (words[kind], name[len(kind) + 1 :]) if kind else None


def _as_written(identity: str) -> sql.Composable:
    # The server has quoted it: it is the name of an object that is there, which the callers have looked for.
    return sql.SQL(identity)


def _by_default(line: Line, *, taking: bool) -> Iterator[Statement]:
    role, schema, kind = json.loads(line.name)
    to, what, passing = json.loads(line.detail[1:])
    if kind not in _DEFAULTS or what not in _PRIVILEGES:
        return
    place = sql.SQL(" IN SCHEMA {}").format(sql.Identifier(schema)) if schema else sql.SQL("")
    whom = sql.SQL("PUBLIC") if to is None else sql.Identifier(to)
    words: LiteralString = "REVOKE {} ON {} FROM {}" if taking else "GRANT {} ON {} TO {}"
    told = sql.SQL(words).format(sql.SQL(what), sql.SQL(_DEFAULTS[kind]), whom)
    option = sql.SQL(" WITH GRANT OPTION" if passing and not taking else "")
    yield Statement(role, sql.SQL("ALTER DEFAULT PRIVILEGES{} {}{}").format(place, told, option))


def publish(target: Database, expected: frozenset[Line]) -> None:
    """Make the publications of named tables, as the role that replays the dump: their conditions are as foreign as it.

    One that cannot be made is a difference afterwards. Raises DatabaseError.
    """
    with target.session() as connection:
        for name, detail in sorted(named(expected, "publication").items()):
            if not _takes_a_superuser(name, expected):
                each = sorted(f"{table} {how}".strip() for table, how in _members(name, expected).items())
                what = f" FOR TABLE {', '.join(each)}" if each else ""
                text = f"CREATE PUBLICATION {name}{what} WITH ({_options(detail)})"
                _carry_out(connection, Statement("", sql.SQL("{}").format(_as_written(text))))


def _published_by_us(expected: frozenset[Line], actual: frozenset[Line]) -> Iterator[Statement]:
    """Publications of all tables or of schemas: nothing but names, which are quoted anew."""
    there, tables = named(actual, "publication"), named(actual, "table")
    for name, detail in sorted(named(expected, "publication").items()):
        if name in there or not _takes_a_superuser(name, expected):
            continue
        members = [
            sql.SQL("TABLES IN SCHEMA {}").format(sql.Identifier(unquoted(line.name.removeprefix(f"{name} "))))
            for line in sorted(expected)
            if line.kind == "publication schema" and line.name.startswith(f"{name} ")
        ]
        members += [
            sql.SQL("TABLE {}").format(_as_written(each)) for each in sorted(_members(name, expected)) if each in tables
        ]
        what = sql.SQL("ALL TABLES") if detail.startswith(ALL_TABLES) else sql.SQL(", ").join(members)
        text = sql.SQL("CREATE PUBLICATION {} FOR {} WITH ({})")
        yield Statement("", text.format(sql.Identifier(unquoted(name)), what, _as_written(_options(detail))))


def _takes_a_superuser(name: str, lines: frozenset[Line]) -> bool:
    if named(lines, "publication")[name].startswith(ALL_TABLES):
        return True
    return any(line.kind == "publication schema" and line.name.startswith(f"{name} ") for line in lines)


def _members(name: str, lines: frozenset[Line]) -> dict[str, str]:
    """The tables of a publication, each with its columns and condition."""
    found = named(lines, "publication table")
    return {each.removeprefix(f"{name} "): how for each, how in found.items() if each.startswith(f"{name} ")}


def _options(detail: str) -> str:
    words = detail.removeprefix(ALL_TABLES).split()
    operations = ", ".join(each for each in _PUBLISHED if each in words)
    via_root = ", publish_via_partition_root = true" if "root" in words else ""
    return f"publish = '{operations}'{via_root}"


def _configure(server: Server, name: str, expected: frozenset[Line], login: Database) -> None:
    """ALTER DATABASE … SET, and the same for single roles; those that are refused are told by the comparison."""
    for role in sorted({line.name for line in expected if line.kind == "setting"}):
        settings = sorted(line.detail for line in expected if (line.kind, line.name) == ("setting", role))
        refused = server.set(name, settings, role=role)
        if refused and role:
            # A role may change its own settings.
            type(server)(login).set(name, refused, role=role)
    limit = named(expected, "database").get("connection limit", "-1")
    if limit != "-1" and limit.isdigit():
        server.limit(name, int(limit))


def _carry_out(connection: psycopg.Connection[Any], each: Statement) -> None:
    try:
        with connection.transaction():
            if each.role and each.role != connection.info.user:
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(each.role)))
            connection.execute(each.text)
    except psycopg.errors.Error as error:
        if connection.broken:
            raise
        _log.info("not handed over", statement=each.text.as_string(connection), why=str(error).splitlines()[0])
