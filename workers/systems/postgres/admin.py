"""The PostgreSQL server as its administrator sees it: databases are made, described, closed and removed.

How they change their names is `switch`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workers.systems import fencing
from workers.systems.errors import DatabaseMissing, DatabaseRefused, DatabaseTaken
from workers.systems.postgres import occupants
from workers.systems.postgres.database import APPLICATION, Database
from workers.systems.postgres.occupants import Occupants

_LIVE: Final = """
SELECT d.datname::text, pg_get_userbyid(d.datdba)::text, pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
       d.datallowconn,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')
         THEN pg_database_size(d.oid) ELSE 0 END,
       coalesce(shobj_description(d.oid, 'pg_database'), ''),
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', ''),
       coalesce(to_jsonb(d) ->> 'daticurules', ''), t.spcname::text
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE NOT d.datistemplate
"""
# By way of to_jsonb what this version of the server has not is null: providers came with 15, rules with 16.

USUAL_TABLESPACE: Final = "pg_default"
_SETTINGS: Final = """
SELECT s.setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = %s AND s.setrole = 0
"""

# Of a tablespace's size, everybody may know that of the default one of the database that is asked in.
_HELD: Final[LiteralString] = """
SELECT sum(pg_tablespace_size(t.oid))::bigint FROM pg_tablespace t
WHERE t.oid = (SELECT d.dattablespace FROM pg_database d WHERE d.datname = current_database())
  OR has_tablespace_privilege(t.oid, 'CREATE') OR pg_has_role('pg_read_all_stats', 'USAGE')
"""
_LISTS_WAL: Final[LiteralString] = "SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')"
_WAL_HELD: Final[LiteralString] = "SELECT sum(size)::bigint FROM pg_ls_waldir()"
_WAL_MOST: Final[LiteralString] = "SELECT pg_size_bytes(current_setting('max_wal_size'))"
_WAL: Final[LiteralString] = """
SELECT pg_size_bytes(current_setting('max_wal_size')) + pg_size_bytes(current_setting('wal_keep_size')),
       current_setting('archive_mode') <> 'off' OR EXISTS (SELECT 1 FROM pg_replication_slots)
"""

_RIGHTS: Final = """
SELECT r.rolname::text, r.rolsuper OR r.rolcreatedb, o.rolname::text,
       o.oid IS NULL OR pg_has_role(o.oid, 'USAGE'), o.oid IS NULL OR pg_has_role(o.oid, %(lend)s),
       pg_has_role('pg_signal_backend', 'USAGE') OR l.oid IS NULL OR pg_has_role(l.oid, 'USAGE')
FROM pg_roles r
LEFT JOIN pg_roles l ON l.rolname = %(login)s
LEFT JOIN pg_roles o ON o.oid = coalesce((SELECT d.datdba FROM pg_database d WHERE d.datname = %(live)s), l.oid)
WHERE r.rolname = current_user
"""
_SET_OPTION: Final = 160_000


@dataclass(frozen=True)
class DatabaseInfo:
    """A database of the server. comment: what COMMENT ON DATABASE says.

    size_bytes: 0 where our role may not enter it: such a one is somebody else's, and is asked for nothing.
    provider: of its locale; c, i (ICU) or b (builtin). locale and rules: of the latter two. tablespace: empty for the
    server's own.
    """

    name: str
    owner: str
    encoding: str
    collate: str
    ctype: str
    open: bool
    size_bytes: int
    comment: str
    provider: str = "c"
    locale: str = ""
    rules: str = ""
    tablespace: str = ""


@dataclass(frozen=True)
class Wal:
    """How much WAL the server keeps. most_bytes: where nobody needs more. kept: somebody may: a slot, the archive."""

    most_bytes: int
    kept: bool


@dataclass(frozen=True)
class Lacking:
    """A right that our role has not. what: as in "may not create databases". grant: the statement that gives it."""

    what: str
    grant: str


_PROVIDED: Final[dict[str, Callable[[DatabaseInfo], tuple[tuple[LiteralString, str], ...]]]] = {
    "i": lambda like: (
        ("LOCALE_PROVIDER", "icu"),
        ("ICU_LOCALE", like.locale),
        *((("ICU_RULES", like.rules),) if like.rules else ()),
    ),
    "b": lambda like: (("LOCALE_PROVIDER", "builtin"), ("BUILTIN_LOCALE", like.locale)),
}
"""How CREATE DATABASE is told of a provider (https://www.postgresql.org/docs/current/sql-createdatabase.html)."""


@dataclass(frozen=True)
class Server:
    """The server, through the role that may create and rename databases. Methods raise DatabaseError."""

    admin: Database

    def major(self) -> int:
        """Its version: 18 of 18.4."""
        with self.connected() as connection:
            return connection.info.server_version // 10_000

    def databases(self) -> dict[str, DatabaseInfo]:
        """All of them by name, without the templates."""
        with self.connected() as connection:
            return {row[0]: DatabaseInfo(*row) for row in connection.execute(_LIVE).fetchall()}

    def create(self, name: str, like: DatabaseInfo, comment: str) -> None:
        """An empty database with another one's owner, encoding, locale and tablespace, from template0."""
        fencing.before_changing()
        parts = [
            sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)),
            sql.SQL("OWNER {}").format(sql.Identifier(like.owner)),
            *(
                sql.SQL(f"{word} {{}}").format(sql.Literal(value))
                for word, value in (
                    ("ENCODING", like.encoding),
                    ("LC_COLLATE", like.collate),
                    ("LC_CTYPE", like.ctype),
                    *(_PROVIDED[like.provider](like) if like.provider in _PROVIDED else ()),
                )
            ),
        ]
        # The usual one is named by nobody: who names it must have a right on it.
        if like.tablespace not in {"", USUAL_TABLESPACE}:
            parts.append(sql.SQL("TABLESPACE {}").format(sql.Identifier(like.tablespace)))
        with self.connected() as connection:
            connection.execute(sql.SQL(" ").join(parts))
            write_comment(connection, name, comment)

    def occupants(self, name: str) -> Occupants:
        """Who and what is in a database, and may keep it from being renamed."""
        with self.connected() as connection:
            return occupants.look(connection, name)

    def lacking(self, live: Database) -> tuple[Lacking, ...]:
        """The rights that a restore of that database needs and that our role has not.

        A role may end its own sessions and those of roles that it is a member of: pg_signal_backend is for others only.
        """
        login = str(conninfo_to_dict(live.url).get("user") or "")
        with self.connected() as connection:
            # Before version 16 whoever is a member may also SET ROLE.
            lend = "SET" if connection.info.server_version >= _SET_OPTION else "MEMBER"
            row = connection.execute(_RIGHTS, {"live": live.name, "login": login, "lend": lend}).fetchone()
        assert row is not None
        ours, creates, owner, inherits, lends, signals = row
        found = []
        if not creates:
            found.append(Lacking("may not create databases", f"ALTER ROLE {_shown(ours)} CREATEDB;"))
        if not (inherits and lends):
            options = " WITH INHERIT TRUE, SET TRUE" if lend == "SET" else ""
            grant = f"GRANT {_shown(owner)} TO {_shown(ours)}{options};"
            if lends and lend == "MEMBER":
                grant = f"ALTER ROLE {_shown(ours)} INHERIT;"
            found.append(Lacking(f"is no member of {owner}, which owns the database", grant))
        if not signals and (owner != login or (inherits and lends)):
            found.append(Lacking(f"may not end the sessions of {login}", f"GRANT pg_signal_backend TO {_shown(ours)};"))
        return tuple(found)

    def taken_bytes(self) -> int:
        """What all databases and the WAL take on the server's disk, as far as our role may see it."""
        with self.connected() as connection:
            held = connection.execute(_HELD).fetchone()
            wal = connection.execute(_WAL_HELD if self._may(connection, _LISTS_WAL) else _WAL_MOST).fetchone()
        return (int(held[0] or 0) if held else 0) + (int(wal[0] or 0) if wal else 0)

    def wal(self) -> Wal:
        """How much WAL the server keeps."""
        with self.connected() as connection:
            row = connection.execute(_WAL).fetchone()
        assert row is not None
        return Wal(int(row[0]), bool(row[1]))

    @staticmethod
    def _may(connection: psycopg.Connection[Any], query: LiteralString) -> bool:
        row = connection.execute(query).fetchone()
        return bool(row and row[0])

    def settings(self, name: str) -> tuple[str, ...]:
        """What ALTER DATABASE … SET has set for everybody in it, each as "name=value"; none where there is no such."""
        with self.connected() as connection:
            row = connection.execute(_SETTINGS, (name,)).fetchone()
        return tuple(row[0]) if row else ()

    def set(self, name: str, settings: Iterable[str], *, role: str = "") -> tuple[str, ...]:
        """ALTER DATABASE … SET each of them; those that our role may not set, or that the server does not know.

        role: for that role only.
        """
        refused = []
        place = sql.SQL("DATABASE {}").format(sql.Identifier(name))
        if role:
            place = sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), sql.Identifier(name))
        with self.connected() as connection:
            for each in settings:
                setting, _, value = each.partition("=")
                # By way of our own session: a list such as search_path's is then set as it stands, and not as one name.
                statement = sql.SQL("ALTER {} SET {} FROM CURRENT")
                try:
                    with connection.transaction():
                        connection.execute("SELECT set_config(%s, %s, true)", (setting, value))
                        connection.execute(statement.format(place, _setting(setting)))
                except (psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject, psycopg.DataError):
                    refused.append(each)
        return tuple(refused)

    def limit(self, name: str, connections: int) -> None:
        """How many sessions may be in a database at a time."""
        statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
        with self.connected() as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(connections)))

    def drop(self, name: str) -> None:
        """Remove a database and end its sessions; that it is not there is no error."""
        fencing.before_changing()
        with self.connected() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def allow(self, name: str, *, connections: bool) -> None:
        """Let sessions in, or refuse new ones."""
        fencing.before_changing()
        flag = sql.SQL("true" if connections else "false")
        statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), flag)
        with self.connected() as connection:
            connection.execute(statement)

    @contextmanager
    def opened(self, name: str) -> Iterator[None]:
        """Let sessions into a database that takes none, for as long as this goes on."""
        self.allow(name, connections=True)
        try:
            yield
        finally:
            self.allow(name, connections=False)

    def comment(self, name: str, text: str) -> None:
        """Write a database's comment."""
        with self.connected() as connection:
            write_comment(connection, name, text)

    def database(self, name: str, like: Database) -> Database:
        """A database of this server, as the role of another address (MLflow's)."""
        parts: dict[str, Any] = conninfo_to_dict(like.url)
        return Database(make_conninfo("", **{**parts, "dbname": name}), like.answer_within_seconds)

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to it; what goes wrong there is raised as a DatabaseError."""
        try:
            with psycopg.connect(
                self.admin.url,
                autocommit=True,
                application_name=APPLICATION,
                connect_timeout=max(1, int(self.admin.answer_within_seconds)),
            ) as connection:
                yield connection
        except psycopg.errors.InvalidCatalogName as error:
            raise DatabaseMissing(f"PostgreSQL at {self.admin.address}: {_first(error)}.") from None
        except psycopg.errors.InsufficientPrivilege as error:
            role = conninfo_to_dict(self.admin.url).get("user")
            raise DatabaseRefused(
                f"The role {role} may not do this: {_first(error)}.", "See mlflow-ops check."
            ) from None
        # The second where another session was making it at that moment.
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation) as error:
            raise DatabaseTaken(f"{_first(error)[0].upper()}{_first(error)[1:]}.", "Choose another name.") from None
        except psycopg.Error as error:
            raise self.admin.explained(error) from None


def _shown(role: str) -> str:
    """A role's name as one would type it."""
    return role if re.fullmatch(r"[a-z_][a-z0-9_]*", role) else '"' + role.replace('"', '""') + '"'


def _setting(name: str) -> sql.Composable:
    # Some have a prefix (auto_explain.log_min_duration), which is no schema but is written like one.
    return sql.Identifier(*name.split("."))


def write_comment(connection: psycopg.Connection[Any], name: str, text: str) -> None:
    """COMMENT ON DATABASE. Raises psycopg.Error."""
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text)))


def _first(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
