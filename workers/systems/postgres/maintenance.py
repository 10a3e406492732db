"""Care of MLflow's PostgreSQL database: sizes, dead rows, indexes, sessions; vacuum, building and cancelling.

Statistics are PostgreSQL's own estimates (https://www.postgresql.org/docs/current/monitoring-stats.html); counting
rows would read every page. Names of tables and indexes go through psycopg.sql.

Traps this avoids: VACUUM and CREATE INDEX CONCURRENTLY do not run in a transaction, nor within a statement timeout
made for questions; a role that is no member of pg_read_all_stats sees other roles' sessions with a name and
little else; a pid may belong to another session by the time that it is cancelled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString

import psycopg
from psycopg import sql

from workers.systems.errors import DatabaseError, DatabaseRefused
from workers.systems.postgres.mlflow_schema import NAME

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

LOOK_SECONDS: Final = 0.25
"""Between two looks at how far a vacuum or a build is."""
LOCK_SECONDS: Final = 30
"""How long VACUUM FULL waits for its lock: everybody who comes later waits behind it."""
QUERY_READ: Final = 2000

_TABLES: Final[LiteralString] = f"""
SELECT c.relname::text, pg_total_relation_size(c.oid), pg_relation_size(c.oid), pg_indexes_size(c.oid),
       coalesce(nullif(s.n_live_tup, 0), greatest(c.reltuples::bigint, 0)), coalesce(s.n_dead_tup, 0),
       extract(epoch FROM greatest(s.last_vacuum, s.last_autovacuum))::float,
       extract(epoch FROM greatest(s.last_analyze, s.last_autoanalyze))::float,
       CASE WHEN c.reltuples > 0 AND w.width IS NOT NULL THEN
         ceil(c.reltuples * (28 + w.width) / (current_setting('block_size')::int - 24))
           * current_setting('block_size')::int
       END::bigint,
       pg_catalog.pg_has_role(c.relowner, 'USAGE')
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = {NAME}
LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
LEFT JOIN LATERAL (
  SELECT sum(p.avg_width * (1 - p.null_frac)) AS width FROM pg_stats p
  WHERE p.schemaname = n.nspname AND p.tablename = c.relname
) w ON true
WHERE c.relkind IN ('r', 'm')
ORDER BY 2 DESC, 1
"""  # noqa: S608 - all of it is ours
# 28: a row's header and line pointer; 24: a page's header
# (https://www.postgresql.org/docs/current/storage-page-layout.html).

_INDEXES: Final[LiteralString] = f"""
SELECT i.relname::text, t.relname::text, pg_relation_size(i.oid), coalesce(s.idx_scan, 0), x.indisvalid,
       x.indisunique, EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.oid),
       pg_get_indexdef(i.oid),
       concat_ws('|', t.oid, i.relam, x.indkey::text, x.indclass::text, x.indcollation::text, x.indoption::text,
                 pg_get_expr(x.indexprs, x.indrelid), '/', pg_get_expr(x.indpred, x.indrelid)),
       EXISTS (SELECT 1 FROM pg_stat_progress_create_index b WHERE b.index_relid = i.oid)
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = {NAME}
LEFT JOIN pg_stat_user_indexes s ON s.indexrelid = i.oid
ORDER BY 2, 1
"""  # noqa: S608 - all of it is ours

_PARTS: Final[LiteralString] = f"""
SELECT pg_database_size(current_database()),
  coalesce(sum(pg_relation_size(c.oid)) FILTER (WHERE n.nspname = {NAME} AND c.relkind <> 'S'), 0)::bigint,
  coalesce(sum(pg_indexes_size(c.oid)) FILTER (WHERE n.nspname = {NAME}), 0)::bigint,
  coalesce(sum(pg_total_relation_size(c.oid) - pg_relation_size(c.oid) - pg_indexes_size(c.oid))
    FILTER (WHERE n.nspname = {NAME} AND c.relkind <> 'S'), 0)::bigint,
  coalesce(sum(pg_total_relation_size(c.oid))
    FILTER (WHERE n.nspname IN ('pg_catalog', 'information_schema')), 0)::bigint,
  coalesce(sum(pg_total_relation_size(c.oid)) FILTER (WHERE c.relkind = 'S' OR n.nspname NOT IN
    ({NAME}, 'pg_catalog', 'information_schema')), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'S') AND NOT c.relisshared
"""  # noqa: S608 - all of it is ours
# A table's total has its indexes, its TOAST table and the maps of both; what the whole server shares lies elsewhere.

_SESSIONS: Final = f"""
SELECT a.pid, coalesce(a.datname::text, ''), coalesce(a.usename::text, ''), coalesce(a.application_name, ''),
       coalesce(host(a.client_addr), 'local'), coalesce(a.state, ''),
       coalesce(a.backend_start::text, ''), coalesce(a.xact_start::text, ''), coalesce(a.query_start::text, ''),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::float,
       coalesce(extract(epoch FROM clock_timestamp() - a.state_change), 0)::float,
       coalesce(extract(epoch FROM clock_timestamp() - a.query_start), 0)::float,
       coalesce(a.wait_event_type, ''), pg_blocking_pids(a.pid), left(a.query, {QUERY_READ})
FROM pg_stat_activity a
WHERE a.pid <> pg_backend_pid() AND a.datname IS NOT NULL
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
ORDER BY coalesce(a.xact_start, a.query_start), a.pid
"""  # noqa: S608 - the number is ours

_LOCKS: Final = """
SELECT l.pid, coalesce(c.relname::text, l.locktype), l.mode, l.granted
FROM pg_locks l
LEFT JOIN pg_class c ON c.oid = l.relation
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE NOT l.granted AND l.pid <> pg_backend_pid() ORDER BY l.pid
"""

_FIGURES: Final = """
SELECT current_setting('server_version'), pg_database_size(d.datname), d.xact_commit, d.xact_rollback,
       d.blks_hit, d.blks_read, d.temp_bytes, d.deadlocks, d.stats_reset::timestamptz(0)::text,
       current_setting('max_connections')::int, current_setting('autovacuum'),
       age(b.datfrozenxid), current_setting('autovacuum_freeze_max_age')::bigint,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float
FROM pg_stat_database d JOIN pg_database b ON b.oid = d.datid WHERE d.datname = current_database()
"""

_DATABASES: Final = """
SELECT datname::text, pg_database_size(oid) FROM pg_database
WHERE NOT datistemplate AND has_database_privilege(oid, 'CONNECT') ORDER BY 2 DESC, 1
"""

_HOW_FAR: Final = {
    False: "SELECT phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_vacuum WHERE pid = %s",
    True: "SELECT phase, heap_blks_scanned, heap_blks_total FROM pg_stat_progress_cluster WHERE pid = %s",
}
_BUILT: Final = "SELECT phase, blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = %s"

_SIGNALS: Final[dict[bool, LiteralString]] = {
    False: """SELECT pg_cancel_backend(pid) FROM pg_stat_activity
              WHERE pid = %s AND backend_start::text = %s AND coalesce(query_start::text, '') = %s
                AND state = 'active'""",
    True: """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE pid = %s AND backend_start::text = %s AND coalesce(query_start::text, %s) IS NOT NULL""",
}


@dataclass(frozen=True)
class TableFigures:
    """A table. Sizes in bytes; rows and dead rows as estimated; times in seconds since 1970, None for never.

    ideal_bytes: what its rows would fill if they lay close together; None where it was never analyzed. ours: whether
    our role may vacuum it.
    """

    name: str
    total_bytes: int
    heap_bytes: int
    index_bytes: int
    rows: int
    dead_rows: int
    vacuumed: float | None
    analyzed: float | None
    ideal_bytes: int | None
    ours: bool


@dataclass(frozen=True)
class Parts:
    """What a database's bytes are for. rows, indexes, long_values: of MLflow's tables, the last with their maps.

    others: tables of other schemas, and sequences.
    """

    whole: int
    rows: int
    indexes: int
    long_values: int
    catalogs: int
    others: int

    @property
    def files(self) -> int:
        """What belongs to no table: PostgreSQL's own small files, and what its sessions are just writing."""
        return max(0, self.whole - self.rows - self.indexes - self.long_values - self.catalogs - self.others)


@dataclass(frozen=True)
class IndexFigures:
    """An index. scans: since the statistics began. constraint: it enforces one, so it is not there for speed alone.

    same: equal for two that do the same work, whatever their names. building: a session builds it just now.
    """

    name: str
    table: str
    bytes: int
    scans: int
    valid: bool
    unique: bool
    constraint: bool
    definition: str
    same: str
    building: bool


@dataclass(frozen=True)
class Session:
    """Another session of the server. Moments are PostgreSQL's text, exact; ages in seconds. query: up to QUERY_READ."""

    pid: int
    database: str
    user: str
    application: str
    client: str
    state: str
    backend_start: str
    xact_start: str
    query_start: str
    transaction_seconds: float
    state_seconds: float
    query_seconds: float
    waits_for: str
    blocked_by: list[int]
    query: str


@dataclass(frozen=True)
class WaitingLock:
    """A lock that a session waits for."""

    pid: int
    what: str
    mode: str


@dataclass(frozen=True)
class ServerFigures:
    """What the server counts of this database. since: when the counting began; empty: from the start."""

    version: str
    size_bytes: int
    commits: int
    rollbacks: int
    hits: int
    reads: int
    temp_bytes: int
    deadlocks: int
    since: str
    max_connections: int
    autovacuum: str
    oldest_transaction_age: int
    freeze_at: int
    up_seconds: float


HowFar = Callable[[str, int, int], None]
"""Told the phase, what is done and the total in blocks; what it raises stops the work."""


@dataclass(frozen=True)
class DatabaseMaintenance:
    """One database under care. Methods raise DatabaseError or Nonsense."""

    database: Database

    def tables(self) -> list[TableFigures]:
        """Each table of MLflow's schema, the largest first."""
        return [TableFigures(*row) for row in self._rows(_TABLES)]

    def parts(self) -> Parts:
        """What the database's bytes are for, at one moment."""
        return Parts(*self._rows(_PARTS)[0])

    def indexes(self) -> list[IndexFigures]:
        """Each index of MLflow's schema, by table and name."""
        return [IndexFigures(*row) for row in self._rows(_INDEXES)]

    def sessions(self) -> list[Session]:
        """The other sessions of the server, the oldest transaction first."""
        return [Session(*row) for row in self._rows(_SESSIONS)]

    def waiting(self) -> list[WaitingLock]:
        """What sessions wait for."""
        return [WaitingLock(pid, what, mode) for pid, what, mode, _ in self._rows(_LOCKS)]

    def figures(self) -> ServerFigures:
        """What the server counts."""
        return ServerFigures(*self._rows(_FIGURES)[0])

    def databases(self) -> list[tuple[str, int]]:
        """The databases of the server that our role may see, with their bytes, the largest first."""
        return [(name, size) for name, size in self._rows(_DATABASES)]

    def vacuum(self, table: str, *, full: bool, how_far: HowFar) -> None:
        """VACUUM (ANALYZE) one table. full: rewrite it, while nobody else may use it.

        Raises DatabaseRefused where FULL does not get its lock within LOCK_SECONDS.
        """
        options = sql.SQL("FULL, ANALYZE" if full else "ANALYZE")
        statement = sql.SQL("VACUUM ({}) {}").format(options, sql.Identifier(self._schema(), table))
        self._watched(statement, _HOW_FAR[full], how_far, lock_seconds=LOCK_SECONDS if full else 0)

    def build(self, name: str, table: str, over: LiteralString, *, unique: bool, how_far: HowFar) -> None:
        """CREATE INDEX CONCURRENTLY: nobody is kept from reading or writing, and an unfinished one stays invalid.

        over: columns and the like, as a constant of this program.
        """
        statement = sql.SQL("CREATE {}INDEX CONCURRENTLY {} ON {} {}").format(
            sql.SQL("UNIQUE " if unique else ""),
            sql.Identifier(name),
            sql.Identifier(self._schema(), table),
            sql.SQL(over),
        )
        self._watched(statement, _BUILT, how_far)

    def drop_index(self, name: str) -> None:
        """DROP INDEX CONCURRENTLY; that it is not there is no error."""
        statement = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(self._schema(), name))
        self._watched(statement, _BUILT, lambda _phase, _done, _total: None)

    def signal(self, session: Session, *, end: bool) -> bool:
        """Cancel what exactly this session is doing, or end it. False where it is doing something else by now."""
        about = (session.pid, session.backend_start, session.query_start)
        with self.database.session() as connection:
            row = connection.execute(_SIGNALS[end], about).fetchone()
        return bool(row and row[0])

    def _schema(self) -> str:
        return str(self._rows(f"SELECT {NAME}")[0][0])

    def _rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with self.database.session() as connection:
            return connection.execute(query).fetchall()

    def _watched(self, statement: sql.Composed, look: LiteralString, how_far: HowFar, *, lock_seconds: int = 0) -> None:
        """Carry out a long statement in one session and tell from another one how far it is."""
        with self.database.session(patience_seconds=0) as connection, self.database.session() as beside:
            # Waiting is no danger where only a weak lock is taken.
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(lock_seconds * 1000),))
            failed: list[Exception] = []

            def work() -> None:
                try:
                    connection.execute(statement)
                except psycopg.Error as error:
                    failed.append(error)

            pid = connection.info.backend_pid
            thread = threading.Thread(target=work, name="maintenance", daemon=True)
            thread.start()
            try:
                while thread.is_alive():
                    row = beside.execute(look, (pid,)).fetchone()
                    how_far(str(row[0]), int(row[1] or 0), int(row[2] or 0)) if row else how_far("", 0, 0)
                    thread.join(LOOK_SECONDS)
            finally:
                if thread.is_alive():
                    self._cancel(connection, thread)
        if failed:
            raise self._explained(failed[0])

    @staticmethod
    def _cancel(connection: psycopg.Connection[tuple[Any, ...]], thread: threading.Thread) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while thread.is_alive() and time.monotonic() < deadline:
            connection.cancel_safe(timeout=5)
            thread.join(1)

    def _explained(self, error: Exception) -> Exception:
        at = f"PostgreSQL at {self.database.address}"
        match error:
            case psycopg.errors.LockNotAvailable():
                return DatabaseRefused(
                    f"{at}: another session held the table for more than {LOCK_SECONDS} s, so nothing was done.",
                    "See who: db activity. Then try again.",
                )
            case psycopg.errors.InsufficientPrivilege():
                return DatabaseRefused(f"{at}: our role is not the table's owner.", "Check MLFLOW_OPS_DATABASE_URL.")
            case psycopg.errors.QueryCanceled():
                return DatabaseRefused(f"{at}: someone canceled the statement.", "See who works there: db activity.")
            case psycopg.errors.UniqueViolation():
                return DatabaseError(
                    f"{at}: the index cannot be unique, because the table holds rows that are not.",
                    "Find the duplicate rows first; the unfinished index is removed by the next try.",
                )
        return self.database.explained(error)
