"""A pooler between PostgreSQL and those who use it: found out, and PgBouncer told to keep them waiting for a moment.

A session through a pooler is recognised by its process id: a pooler makes one up for its client, which is not that of
the server's process. PgBouncer's console is a database of the name pgbouncer that takes simple queries only
(https://www.pgbouncer.org/usage.html#admin-console).

The trap: PAUSE does not answer before the last server connection is released, in session pooling therefore not before
the last client has left; yet what is new waits from its first moment on. So it waits in a thread, and whoever switches
ends the sessions that are left. What was paused stays so when its console goes: `resume` is for whoever finds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
import structlog
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from workers.systems.errors import DatabaseError, DatabaseUnreachable
from workers.systems.postgres.database import APPLICATION

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.systems.postgres.database import Database

CONNECT_SECONDS: Final = 5
DRAIN_SECONDS: Final = 2.0
"""For transactions to end by themselves, where the pooler waits for them."""

_log = structlog.get_logger(__name__)


def between(database: Database) -> bool:
    """Whether a pooler answers at that address in PostgreSQL's place. Raises DatabaseError."""
    try:
        # Without options, which a pooler may refuse: a session of a moment needs none.
        with psycopg.connect(
            database.url, autocommit=True, application_name=APPLICATION, connect_timeout=CONNECT_SECONDS
        ) as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            told = connection.info.backend_pid
    except (psycopg.Error, UnicodeDecodeError) as error:
        raise database.explained(error) from None
    return row is not None and row[0] != told


@dataclass(frozen=True)
class PgBouncer:
    """PgBouncer's console. Methods raise DatabaseError."""

    url: str

    @classmethod
    def connect(cls, settings: Settings) -> PgBouncer | None:
        """From MLFLOW_OPS_PGBOUNCER_URL; None where it is not set. Opens nothing yet."""
        url = settings.environment.pgbouncer_url
        return cls(url.get_secret_value()) if url else None

    def __repr__(self) -> str:
        return f"PgBouncer({self._address})"

    def version(self) -> str:
        """As it says itself: "PgBouncer 1.18.0"."""
        return str(self._asked("SHOW VERSION")[0]["version"])

    def paused_of(self, database: str) -> tuple[str, ...]:
        """Its names for a database of the server's, as far as it keeps their clients waiting."""
        return tuple(name for name, held in self._names(database).items() if held)

    def resume(self, database: str) -> bool:
        """Let its clients go on; whether they had been kept waiting."""
        held = self.paused_of(database)
        for name in held:
            self._told("RECONNECT", name)
            self._told("RESUME", name)
        return bool(held)

    @contextmanager
    def paused(self, database: str) -> Iterator[None]:
        """Within it, who wants something new of that database waits; after it they go on, whatever happened."""
        waiting = [threading.Thread(target=self._pause, args=(name,), daemon=True) for name in self._names(database)]
        try:
            for each in waiting:
                each.start()
            for each in waiting:
                each.join(DRAIN_SECONDS)
            yield
        finally:
            self.resume(database)
            for each in waiting:
                each.join(CONNECT_SECONDS)

    def _pause(self, name: str) -> None:
        try:
            self._told("PAUSE", name)
        except DatabaseError as error:
            # Then its clients lose their sessions, as they would without it.
            _log.warning("not paused", database=name, reason=error.message)

    def _names(self, database: str) -> dict[str, bool]:
        """Its names for a database of the server's, and whether each is paused."""
        return {
            str(row["name"]): str(row["paused"]) not in {"0", "False"}
            for row in self._asked("SHOW DATABASES")
            if row["database"] == database and row["name"] != "pgbouncer"
        }

    def _told(self, what: LiteralString, name: str) -> None:
        with suppress(_NotSo), self._console() as console:
            console.execute(sql.SQL(f"{what} {{}}").format(sql.Identifier(name)))

    def _asked(self, question: LiteralString) -> list[dict[str, Any]]:
        with self._console() as console:
            cursor = console.execute(question)
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def _console(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            with psycopg.connect(self.url, autocommit=True, connect_timeout=CONNECT_SECONDS) as console:
                yield console
        except (psycopg.Error, UnicodeDecodeError) as error:
            said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if "is not paused" in said or "already suspended" in said or "already paused" in said:
                raise _NotSo from None
            password = str(conninfo_to_dict(self.url).get("password") or "")
            said = said.replace(password, "***") if password else said
            raise DatabaseUnreachable(
                f"PgBouncer's console at {self._address}: {said[:300].rstrip('.')}.",
                "Check MLFLOW_OPS_PGBOUNCER_URL: its database is pgbouncer, its role one of admin_users.",
            ) from None

    @property
    def _address(self) -> str:
        parts = conninfo_to_dict(self.url)
        return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 6432}"


class _NotSo(Exception):  # noqa: N818
    """What was asked for is so already."""
