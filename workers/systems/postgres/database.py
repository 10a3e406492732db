"""MLflow's PostgreSQL database.

A connection is opened for each question and closed after it: a health check that kept one would hide a server that
takes no new ones. libpq's errors carry no code while connecting, so they are told apart by their English text; what
is not recognised is shown as its first line with the password blotted out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from workers.systems.errors import (
    DatabaseClosed,
    DatabaseError,
    DatabaseFull,
    DatabaseMissing,
    DatabasePooled,
    DatabaseRefused,
    DatabaseUnreachable,
    Nonsense,
)

if TYPE_CHECKING:
    from workers.settings import Settings

APPLICATION: Final = "mlflow-ops"
QUERY_CHARACTERS: Final = 80
"""How much of a running query's text is read: enough to know it, not enough to carry off its values."""

_ACTIVITY: Final = """
SELECT current_setting('server_version'),
       current_setting('max_connections')::int,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
       pg_database_size(current_database())
"""
_BESIDE: Final = """
SELECT datname::text, CASE WHEN pg_has_role(datdba, 'USAGE') AND has_database_privilege(oid, 'CONNECT')
                        THEN pg_database_size(oid) ELSE 0 END,
       coalesce(shobj_description(oid, 'pg_database'), '')
FROM pg_database WHERE EXISTS (
    SELECT FROM unnest(current_database()::text || %s::text[]) AS live WHERE starts_with(datname::text, live || '_')
) ORDER BY 1
"""
_LONGEST: Final = f"""
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(state, ''),
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, query_start))::float,
       left(regexp_replace(query, '\\s+', ' ', 'g'), {QUERY_CHARACTERS})
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'
ORDER BY coalesce(xact_start, query_start) LIMIT 1
"""  # noqa: S608 - the number is ours


_ROLE: Final = """
SELECT rolname::text, rolcreatedb OR rolsuper, rolsuper OR pg_has_role(current_user, 'pg_signal_backend', 'USAGE')
FROM pg_roles WHERE rolname = current_user
"""


@dataclass(frozen=True)
class Role:
    """A role, and what it may on the whole server."""

    name: str
    creates_databases: bool
    ends_sessions: bool


@dataclass(frozen=True)
class RunningQuery:
    """A statement (or an open transaction) of another session."""

    pid: int
    application: str
    user: str
    state: str
    age_seconds: float
    text: str


@dataclass(frozen=True)
class Beside:
    """Another database of the server. size_bytes: 0 where it is not ours. comment: what COMMENT ON DATABASE says."""

    name: str
    size_bytes: int
    comment: str


@dataclass(frozen=True)
class Vitals:
    """How the server is, as one connection sees it."""

    version: str
    connect_seconds: float
    round_trip_seconds: float
    connections: int
    max_connections: int
    size_bytes: int
    longest: RunningQuery | None
    beside: tuple[Beside, ...] = ()
    """Databases whose names begin with this one's, or that of another that was asked for, and an underscore."""


@dataclass(frozen=True)
class Database:
    """One database. Safe for threads. Methods raise DatabaseError or Nonsense.

    answer_within_seconds: for connecting, and again for each statement (the server cancels it then).
    """

    url: str
    answer_within_seconds: float = 10.0

    @classmethod
    def connect(cls, settings: Settings, *, admin: bool = False) -> Database:
        """From MLFLOW_OPS_DATABASE_URL, or …_ADMIN_URL. Opens nothing yet. Raises SettingsError where it is not set."""
        return cls.at(settings, "database_admin_url" if admin else "database_url")

    @classmethod
    def at(cls, settings: Settings, field: str) -> Database:
        """The database that a variable names, by its name in Settings. Raises SettingsError where it is not set."""
        settings.environment.require(field)
        url = getattr(settings.environment, field)
        try:
            conninfo_to_dict(url.get_secret_value())
        except psycopg.Error:
            msg = f"MLFLOW_OPS_{field.upper()} is not an address that PostgreSQL understands."
            raise DatabaseError(msg, "Write it as postgresql://user:password@host:5432/mlflow.") from None
        return cls(url.get_secret_value())

    def __repr__(self) -> str:
        return f"Database({self.name} at {self.address})"

    def within(self, seconds: float) -> Database:
        """The same database with another patience."""
        return replace(self, answer_within_seconds=seconds)

    @property
    def address(self) -> str:
        """host:port."""
        parts = conninfo_to_dict(self.url)
        return f"{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}"

    @property
    def name(self) -> str:
        """The database's name."""
        parts = conninfo_to_dict(self.url)
        return str(parts.get("dbname") or parts.get("user") or "postgres")

    def vitals(self, *others: str) -> Vitals:
        """Connect, time one round trip, and read how full and how busy the server is.

        others: databases of the same server of which it is told what stands beside them, too.
        """
        began = time.perf_counter()
        try:
            with self._open() as connection:
                connected = time.perf_counter()
                connection.execute("SELECT 1").fetchone()
                answered = time.perf_counter()
                activity = connection.execute(_ACTIVITY).fetchone()
                longest = connection.execute(_LONGEST).fetchone()
                beside = connection.execute(_BESIDE, (list(others),)).fetchall()
        except (psycopg.Error, UnicodeDecodeError) as error:
            raise self._explained(error) from None
        if activity is None:
            msg = f"PostgreSQL at {self.address} answered an empty row."
            raise Nonsense(msg)
        version, most, used, size = activity
        return Vitals(
            version=str(version).split(" ", 1)[0],
            connect_seconds=connected - began,
            round_trip_seconds=answered - connected,
            connections=used,
            max_connections=most,
            size_bytes=size,
            longest=RunningQuery(*longest) if longest else None,
            beside=tuple(Beside(*row) for row in beside),
        )

    def schema_revision(self) -> str:
        """The Alembic revision of MLflow's schema."""
        try:
            with self._open() as connection:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except (psycopg.Error, UnicodeDecodeError) as error:
            raise self._explained(error) from None
        if row is None:
            msg = f"PostgreSQL at {self.address} has no schema of MLflow in {self.name}."
            raise Nonsense(msg)
        return str(row[0])

    def role(self) -> Role:
        """Who we are there."""
        try:
            with self._open() as connection:
                row = connection.execute(_ROLE).fetchone()
        except (psycopg.Error, UnicodeDecodeError) as error:
            raise self._explained(error) from None
        if row is None:
            msg = f"PostgreSQL at {self.address} answered an empty row."
            raise Nonsense(msg)
        return Role(*row)

    @contextmanager
    def session(self, *, patience_seconds: float | None = None) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """A connection in autocommit, for a gateway that builds on this one; psycopg's errors leave it explained.

        patience_seconds: for each statement instead of answer_within_seconds; 0: for ever.
        """
        try:
            with self._open() as connection:
                if patience_seconds is not None:
                    milliseconds = str(int(patience_seconds * 1000))
                    connection.execute("SELECT set_config('statement_timeout', %s, false)", (milliseconds,))
                yield connection
        except (psycopg.Error, UnicodeDecodeError) as error:
            raise self._explained(error) from None

    def explained(self, error: Exception | str) -> DatabaseError | Nonsense:
        """An exception of psycopg's, or what one of PostgreSQL's programs said, as a sentence."""
        return self._explained(psycopg.OperationalError(error) if isinstance(error, str) else error)

    def _open(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            self.url,
            autocommit=True,
            application_name=APPLICATION,
            connect_timeout=max(1, int(self.answer_within_seconds)),
            options=f"-c statement_timeout={int(self.answer_within_seconds * 1000)}",
        )

    def _explained(self, error: Exception) -> DatabaseError | Nonsense:
        text = str(error)
        at = f"PostgreSQL at {self.address}"
        match error:
            case psycopg.errors.ConnectionTimeout() | psycopg.errors.QueryCanceled():
                return DatabaseUnreachable(
                    f"{at} does not answer within {self.answer_within_seconds:g} s.",
                    "Check its pod and what it is busy with.",
                )
            case psycopg.errors.InsufficientPrivilege():
                return DatabaseRefused(f"{at} lets us in, but the role may not read its own figures.")
        for pattern, kind, words, hint in _REASONS:
            if found := re.search(pattern, text):
                return kind(f"{at} {words.format(*found.groups())}.", hint)
        first = self._blotted(text.strip().splitlines()[0] if text.strip() else type(error).__name__)
        return DatabaseError(f"{at}: {first.rstrip('.')}.")

    def _blotted(self, text: str) -> str:
        parts = conninfo_to_dict(self.url)
        for secret in {str(parts.get("password") or ""), unquote(str(parts.get("password") or ""))} - {""}:
            text = text.replace(secret, "***")
        return re.sub(r"://\S+@", "://***@", text)[:300]


# What libpq and the server say while connecting, in the order in which it is looked for.
_REASONS: Final[tuple[tuple[str, type[DatabaseError], str, str], ...]] = (
    (
        r"(?i)connection refused",
        DatabaseUnreachable,
        "refuses connections",
        "Nothing listens there: check that its pod runs, and the address.",
    ),
    (
        r"(?i)timeout expired|timed out",
        DatabaseUnreachable,
        "does not answer in time",
        "Check its pod and the network to it.",
    ),
    (
        r"(?i)failed to resolve host|could not translate host name|name or service not known",
        DatabaseUnreachable,
        "cannot be found: its name does not resolve",
        "Check the host in MLFLOW_OPS_DATABASE_URL.",
    ),
    (
        r"(?i)no route to host|network is unreachable",
        DatabaseUnreachable,
        "cannot be reached over the network",
        "Check the network policy and the address.",
    ),
    (
        r'password authentication failed for user "([^"]*)"',
        DatabaseRefused,
        "refuses the password of the role {}",
        "Check MLFLOW_OPS_DATABASE_URL against the Secret.",
    ),
    (r"(?i)no password supplied", DatabaseRefused, "asks for a password", "Put it into MLFLOW_OPS_DATABASE_URL."),
    (r'role "([^"]*)" does not exist', DatabaseRefused, "knows no role {}", "Check MLFLOW_OPS_DATABASE_URL."),
    (
        r'database "([^"]*)" does not exist',
        DatabaseMissing,
        "has no database {}",
        "Restore it, or correct MLFLOW_OPS_DATABASE_URL.",
    ),
    (
        r'database "([^"]*)" is not currently accepting connections',
        DatabaseClosed,
        "has closed the database {} to connections",
        "Open it again: /mlflow restore repair.",
    ),
    (
        r"(?i)unsupported startup parameter",
        DatabasePooled,
        "is a pooler (PgBouncer): it takes none of the settings that a session of ours begins with",
        "Connect directly to PostgreSQL, not through a pooler: correct MLFLOW_OPS_DATABASE_URL and …_ADMIN_URL.",
    ),
    (
        r"(?i)no space left on device|could not extend file|disk full",
        DatabaseFull,
        "has no room left on its disk",
        "Make room, or a larger disk: /mlflow restore prune removes databases that were put aside.",
    ),
    (
        r"(?i)too many clients already|remaining connection slots|too many connections",
        DatabaseRefused,
        "has no connection left",
        "End idle sessions or raise max_connections.",
    ),
    (
        r"(?i)the database system is (starting up|shutting down|in recovery mode|not yet accepting connections)",
        DatabaseRefused,
        "is {}",
        "Wait a moment; then read its log.",
    ),
    (r"(?i)no pg_hba\.conf entry", DatabaseRefused, "lets nobody in from here", "Add this host to its pg_hba.conf."),
    (
        (
            r"(?i)received invalid response|expected authentication request|unsupported frontend protocol|"
            r"lost synchronization|invalid response to SSL"
        ),
        DatabaseUnreachable,
        "does not speak PostgreSQL's protocol",
        "Another program listens there: check the port in MLFLOW_OPS_DATABASE_URL.",
    ),
    (
        r"(?i)server closed the connection|connection (reset|closed|is lost)|EOF|SSL SYSCALL|terminating connection",
        DatabaseUnreachable,
        "broke off the connection",
        "Read its log: it may be restarting.",
    ),
)
