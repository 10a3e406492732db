"""A role that replays one dump: it owns the database that is being filled and has no right on any other.

What stands in a dump is executed, so a forged one does whatever its role may. A role with MLflow's rights could drop or
read the live database, and one that was only taken on (SET ROLE, pg_restore's --role) is given back by `RESET ROLE`. So
a role logs in that was made for this: random name and password, a member of nothing, and kept out of every other
database by a library that does not exist (local_preload_libraries), which the server would have to load there first.
It is removed once the database has its real owner.

Trap this avoids: a role cannot be dropped while it owns anything, or was granted anything, in any database; so what it
has is handed over first, in one transaction, and what a killed run has left is found by its comment.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from workers.systems.errors import DatabaseError
from workers.systems.postgres.database import Database

if TYPE_CHECKING:
    from workers.systems.postgres.admin import Server

_log = structlog.get_logger(__name__)

HEAD: Final = "mlflow_ops_replay_"
STALE: Final = timedelta(minutes=10)
_KEPT_OUT: Final = "mlflow_ops_has_no_business_here"
_WHAT: Final = "replays a dump"
_SET_OPTION: Final = 160_000
_MAKES: Final = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
_LEFT: Final = """
SELECT r.rolname::text, coalesce(shobj_description(r.oid, 'pg_authid'), '') FROM pg_roles r
WHERE starts_with(r.rolname::text, %s) AND NOT EXISTS (SELECT 1 FROM pg_database d WHERE d.datdba = r.oid)
"""


@dataclass(frozen=True)
class ReplayRole:
    """A role that was made for a dump."""

    name: str
    password: str = field(repr=False)

    def database(self, name: str, like: Database) -> Database:
        """A database of the server, as this role. like: an address of the server."""
        parts: dict[str, Any] = conninfo_to_dict(like.url)
        given = {**parts, "dbname": name, "user": self.name, "password": self.password}
        return Database(make_conninfo("", **given), like.answer_within_seconds)


def possible(server: Server) -> bool:
    """Whether our role may make one. Raises DatabaseError."""
    with server.connected() as connection:
        row = connection.execute(_MAKES).fetchone()
    return bool(row and row[0])


def make(server: Server) -> ReplayRole:
    """Make one, of which ours is a member. The server is given the password's verifier only. Raises DatabaseError."""
    role = ReplayRole(f"{HEAD}{secrets.token_hex(6)}", secrets.token_urlsafe(24))
    name = sql.Identifier(role.name)
    said = json.dumps({"mlflow-ops": _WHAT, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    with server.connected() as connection:
        verifier = connection.pgconn.encrypt_password(role.password.encode(), role.name.encode(), b"scram-sha-256")
        options = " WITH INHERIT TRUE, SET TRUE" if connection.info.server_version >= _SET_OPTION else ""
        with connection.transaction():
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(made.format(name, sql.Literal(verifier.decode())))
            connection.execute(sql.SQL("COMMENT ON ROLE {} IS {}").format(name, sql.Literal(said)))
            closed = sql.SQL("ALTER ROLE {} SET local_preload_libraries = {}")
            connection.execute(closed.format(name, sql.Literal(_KEPT_OUT)))
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER" + options).format(name))
    return role


def let_in(server: Server, role: ReplayRole, database: str) -> None:
    """Let it into the database that it owns, and nobody else but our role. Raises DatabaseError."""
    server.set(database, ("local_preload_libraries=",), role=role.name)
    with server.connected() as connection:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))


def hand_over(server: Server, role: ReplayRole, database: str, owner: str) -> None:
    """Give the database and all in it to `owner`, at one moment, and remove the role. Raises DatabaseError."""
    given, name = sql.Identifier(role.name), sql.Identifier(database)
    with server.connected() as connection:
        # A setting that the dump has made would else be one of ours as soon as we are in.
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(name))
    with server.database(database, server.admin).session(patience_seconds=0) as connection:
        connection.execute("SELECT set_config('search_path', 'pg_catalog', false)")
        with connection.transaction():
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, sql.Identifier(owner)))
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(given, sql.Identifier(owner)))
            connection.execute(sql.SQL("DROP OWNED BY {}").format(given))
            # As every new database is; `let_in` has taken it away.
            connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO PUBLIC").format(name))
    drop(server, role.name)


def drop(server: Server, name: str) -> None:
    """Remove such a role, which owns nothing any more; that it is not there is no error. Raises DatabaseError."""
    assert is_one(name), name
    with server.connected() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s AND pid <> pg_backend_pid()",
            (name,),
        )
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def is_one(name: str) -> bool:
    """Whether a role's name is that of one of these."""
    return name.startswith(HEAD)


def sweep(server: Server) -> None:
    """Remove what killed runs have left: roles of ours that own no database, after ten minutes."""
    with server.connected() as connection:
        left = connection.execute(_LEFT, (HEAD,)).fetchall()
    for name, comment in left:
        made = _made(comment)
        if made and made < datetime.now(UTC) - STALE:
            try:
                drop(server, name)
            except (DatabaseError, psycopg.Error) as error:
                _log.warning("role not removed", role=name, why=str(error))


def _made(comment: str) -> datetime | None:
    try:
        said = json.loads(comment)
        return datetime.fromisoformat(said["at"]) if said["mlflow-ops"] == _WHAT else None
    except (ValueError, KeyError, TypeError):
        return None
