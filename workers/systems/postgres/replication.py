"""The server's WAL as a replication role sees it: who the server is, our slot, how far it has written, what is lacking.

Our slot is nobody's connection: it marks up to where the bucket has the WAL, and is moved by us once bytes are stored
there. So the server keeps whatever is not in the bucket, whatever becomes of the process and its disk. (A slot that
pg_receivewal moved itself would be ahead of the bucket by what lies on that disk.)

pg_receivewal has a second slot, new each time that it is started and named at random: how far it is is read there, for
pg_stat_replication tells that to roles with pg_read_all_stats only. Whoever starts one ends those that were started
before. So nobody takes another one's position for what lies on his own disk.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg

from workers.systems.errors import DatabaseError, DatabaseRefused
from workers.systems.postgres.database import Database
from workers.systems.postgres.wal_position import position, shown

RECEIVER: Final = "mlflow-ops wal"
"""The application_name of our pg_receivewal."""
SLOT: Final = "mlflow_ops_wal_"
RECEIVERS: Final = "mlflow_ops_walr_"
RANDOM: Final = "[0-9a-f]{6}"
LONGEST: Final = 55
"""Of our slot's name, so that a receiver's fits into 63 characters. A target's name has 40 at most."""
NEEDED: Final = 2
"""Slots, and connections that send WAL: one to receive, one for base backups."""
END_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1
HOT_STANDBY: Final = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)
"""What must not be less where WAL is replayed (https://www.postgresql.org/docs/current/hot-standby.html)."""
_PAGE_HEADERS: Final = (24, 40)
"""Bytes: of a page, and of a segment's first (SizeOfXLogShortPHD and SizeOfXLogLongPHD in xlog_internal.h)."""

_IDENTITY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       pg_size_bytes(current_setting('wal_segment_size')), current_setting('server_version'),
       current_setting('server_version_num')::int / 10000, pg_get_userbyid(10)::text,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int
"""
_POSITION: Final = """
SELECT clock_timestamp(), pg_current_wal_insert_lsn()::text, current_setting('wal_block_size')::int,
       (SELECT restart_lsn::text FROM pg_replication_slots WHERE slot_name = %s)
"""
_SLOT_STATE: Final = """
SELECT restart_lsn::text, coalesce(wal_status, ''), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::bigint
FROM pg_replication_slots WHERE slot_name = %s
"""
_FOUND: Final = """
SELECT current_setting('wal_level'), current_setting('max_wal_senders')::int,
       current_setting('max_replication_slots')::int,
       (SELECT count(*) FROM pg_replication_slots WHERE slot_name <> %(slot)s AND slot_name::text !~ %(receivers)s),
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender' AND application_name <> %(receiver)s),
       current_setting('max_slot_wal_keep_size'),
       r.rolsuper OR r.rolreplication, r.rolname::text,
       (SELECT count(*) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')),
       (SELECT string_agg(DISTINCT split_part(name, '.', 1), ',') FROM pg_settings
        WHERE split_part(name, '.', 1) IN ('rds', 'cloudsql', 'azure')), pg_is_in_recovery()
FROM pg_roles r WHERE r.rolname = current_user
"""
_MANAGED: Final = {
    "rds": "Amazon RDS goes back itself: aws rds restore-db-instance-to-point-in-time",
    "cloudsql": "Cloud SQL goes back itself: gcloud sql instances clone --point-in-time",
    "azure": "Azure goes back itself: az postgres flexible-server restore --restore-time",
}
"""What a managed server offers that lets no replication out, by the prefix of its settings."""


@dataclass(frozen=True)
class Identity:
    """The server. superuser: the role that it was made with, in whose name its data can always be opened."""

    system: str
    segment_bytes: int
    version: str
    major: int
    superuser: str
    timeline: int


@dataclass(frozen=True)
class Position:
    """What the server has at a moment of its own clock. received: what our receiver has on its disk; None: it is away.

    All that was committed at that moment lies before `written`.
    """

    at: datetime
    written: int
    received: int | None


@dataclass(frozen=True)
class Slot:
    """Our slot. kept_from: the server keeps WAL from there on; None where it has lost what we need.

    lag_bytes: how much that is.
    """

    kept_from: int | None
    lag_bytes: int


@dataclass(frozen=True)
class Lacking:
    """Why the WAL cannot be had. what: a sentence. remedy: what to do."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Replication:
    """The server through the replication role. Methods raise DatabaseError. slot: its name."""

    database: Database
    slot: str

    def identity(self) -> Identity:
        """Who the server is. Raises DatabaseRefused for a standby."""
        return Identity(*self._row(_IDENTITY))

    def settings(self) -> dict[str, int]:
        """What must not be less where this server's WAL is replayed."""
        query = "SELECT name, setting::int FROM pg_settings WHERE name = ANY(%s)"
        with self._connected() as connection:
            return dict(connection.execute(query, (list(HOT_STANDBY),)).fetchall())

    def clock(self) -> datetime:
        """The server's time."""
        now: datetime = self._row("SELECT clock_timestamp()")[0]
        return now

    def position(self, receiver: str) -> Position:
        """How far the server has written, and the receiver with that slot has received."""
        at, written, block, received = self._row(_POSITION, receiver)
        return Position(at, _without_header(position(written), block), position(received) if received else None)

    def look(self) -> Slot | None:
        """Our slot; None where there is none."""
        with self._connected() as connection:
            row = connection.execute(_SLOT_STATE, (self.slot,)).fetchone()
        if row is None:
            return None
        restart, status, lag = row
        return Slot(None if status == "lost" or not restart else position(restart), int(lag or 0))

    def make(self) -> Slot:
        """Make our slot: from now on the server keeps WAL for us."""
        with self._connected() as connection:
            connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", (self.slot,))
            # It is made at the last checkpoint, which may be more behind than a slot may be.
            query = "SELECT pg_replication_slot_advance(%s, pg_current_wal_flush_lsn())"
            connection.execute(query, (self.slot,))
        made = self.look()
        assert made is not None
        return made

    def new_receiver(self) -> str:
        """A slot for a receiver that is started now; those that were started before are ended. Its name.

        It begins where ours is: of an empty folder, pg_receivewal goes on from there (since 15). One with the segment
        before that tells it the same, save for the very first: it takes segment 0 for none (FindStreamingStart in
        pg_receivewal.c), and would begin where the server is by now.
        """
        self.end_receivers()
        name = self._receivers.replace(RANDOM, secrets.token_hex(3))
        with self._connected() as connection:
            connection.execute("SELECT pg_copy_physical_replication_slot(%s, %s)", (self.slot, name))
        return name

    def end_receivers(self, only: str = "") -> None:
        """End our receivers, also one that has outlived its process, and remove their slots. only: of that slot."""
        pattern = f"^({only or self._receivers})$"
        find = "SELECT slot_name::text, active_pid FROM pg_replication_slots WHERE slot_name::text ~ %s"
        until = time.monotonic() + END_SECONDS
        with self._connected() as connection:
            while found := connection.execute(find, (pattern,)).fetchall():
                for name, pid in found:
                    if pid is not None and time.monotonic() < until:
                        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
                    else:
                        # Where it is still in use by then, the server says so.
                        connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
                time.sleep(LOOK_SECONDS)

    @property
    def _receivers(self) -> str:
        """A pattern for the names of our receivers' slots, and for nobody else's: what is random stands in front."""
        return f"{RECEIVERS}{RANDOM}_{self.slot.removeprefix(SLOT)}"

    def drop(self) -> None:
        """Give our slot up; that there is none is no error."""
        query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
        with self._connected() as connection:
            connection.execute(query, (self.slot,))

    def advance(self, lsn: int) -> None:
        """What lies before that position is stored: the server need not keep it for us."""
        # Not back, which the server refuses; the same again keeps a quiet slot from being taken for a forgotten one.
        query = """SELECT pg_replication_slot_advance(slot_name, greatest(restart_lsn, %s::pg_lsn))
                   FROM pg_replication_slots WHERE slot_name = %s"""
        with self._connected() as connection:
            connection.execute(query, (shown(lsn), self.slot))

    def lacking(self) -> tuple[Lacking, ...]:
        """What keeps us from having the server's WAL, each with its remedy."""
        level, senders, slots, slots_used, senders_used, _, may, role, spaces, managed, standby = self._row(
            _FOUND, {"slot": self.slot, "receivers": f"^{self._receivers}$", "receiver": RECEIVER}
        )
        found = []
        if standby:
            found.append(Lacking("the server is a standby", "Name the primary in MLFLOW_OPS_REPLICATION_URL."))
        if managed and not may:
            return (Lacking("the server is managed and lets no WAL out", f"{_MANAGED[managed.split(',')[0]]}."),)
        if not may:
            grant = f"As a superuser: ALTER ROLE {role} REPLICATION;"
            found.append(Lacking(f"the role {role} lacks REPLICATION", grant))
        if level not in {"replica", "logical"}:
            found.append(
                Lacking(f"wal_level is {level}", "ALTER SYSTEM SET wal_level = replica; then restart the server.")
            )
        if senders - senders_used < NEEDED:
            more = f"ALTER SYSTEM SET max_wal_senders = {senders_used + NEEDED}; then restart the server."
            found.append(Lacking(f"{senders_used} of {senders} max_wal_senders are others': we need 2", more))
        if slots - slots_used < NEEDED:
            more = f"ALTER SYSTEM SET max_replication_slots = {slots_used + NEEDED}; then restart the server."
            found.append(Lacking(f"{slots_used} of {slots} max_replication_slots are others': we need 2", more))
        if spaces:
            found.append(
                Lacking(
                    "the server has tablespaces of its own, and a base backup of those cannot be streamed",
                    "Use your own archive (Barman, pgBackRest) for this server.",
                )
            )
        return tuple(found)

    def size_bytes(self) -> int:
        """What the databases take whose size our role may ask for."""
        query = """SELECT coalesce(sum(pg_database_size(oid)), 0)::bigint FROM pg_database
                   WHERE has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE')"""
        return int(self._row(query)[0])

    def summarizes(self) -> bool:
        """Whether the server keeps what an incremental base backup needs (summarize_wal, since 17)."""
        query = "SELECT count(*) FROM pg_settings WHERE name = 'summarize_wal' AND setting = 'on'"
        return bool(self._row(query)[0])

    def keeps_at_most(self) -> int | None:
        """Bytes of WAL that the server keeps for a slot (max_slot_wal_keep_size); None: as much as there is."""
        query = "SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
        megabytes = int(self._row(query)[0])
        return None if megabytes < 0 else megabytes << 20

    def _row(self, query: str, given: str | dict[str, str] | None = None) -> tuple[Any, ...]:
        with self._connected() as connection:
            row = connection.execute(query.encode(), (given,) if isinstance(given, str) else given).fetchone()
        if row is None:
            raise DatabaseError(f"PostgreSQL at {self.database.address} answered an empty row.")
        return row

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        with self.database.session() as connection:
            try:
                yield connection
            except psycopg.errors.InsufficientPrivilege as error:
                said = str(error).strip().splitlines()[0]
                raise DatabaseRefused(f"PostgreSQL at {self.database.address}: {said}.", "See /mlflow check.") from None


def _without_header(lsn: int, block: int) -> int:
    """Where nothing stands on a page yet, the server names the place after its header: nobody receives that alone."""
    beyond = lsn % block
    return lsn - beyond if beyond in _PAGE_HEADERS else lsn


def slot_name(target: str) -> str:
    """The slot of a target: of a-z, 0-9 and underscores."""
    return f"{SLOT}{target.replace('-', '_')}"[:LONGEST]
