"""Whether a server's own archive has its WAL up to now (pg_stat_archiver).

Recovery to a time ends with the first transaction that was committed after it: where none was, or none is archived yet,
it fails. So one of ours that changes nothing is committed, and its segment waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.systems.errors import Nonsense
from workers.systems.postgres.wal_position import Segment

if TYPE_CHECKING:
    from datetime import datetime

    from workers.systems.postgres.database import Database

WAITING_SECONDS: Final = 600.0
"""For which a whole segment may wait for its turn before that is a fault."""
_STATE: Final = """
SELECT clock_timestamp(), last_archived_time, left(coalesce(last_archived_wal, ''), 24),
       pg_walfile_name(pg_current_wal_insert_lsn()), pg_size_bytes(current_setting('wal_segment_size')),
       last_failed_time > coalesce(last_archived_time, '-infinity') IS TRUE, coalesce(last_failed_wal, ''),
       (SELECT setting::int FROM pg_settings WHERE name = 'archive_timeout'),
       current_setting('archive_mode') <> 'off', has_function_privilege('pg_switch_wal()', 'EXECUTE'),
       split_part(current_setting('server_version'), ' ', 1)
FROM pg_stat_archiver
"""


@dataclass(frozen=True)
class Archiver:
    """now: the server's clock. segment: the last that was archived, at `at`. current: the one that is being written.

    failing: the last try, of `failed`, went wrong. timeout_seconds: after which a segment is archived though it isn't
    full, if anything was written; 0: never. switches: our role may end one. version: the server's.
    """

    now: datetime
    at: datetime | None
    segment: str
    current: str
    segment_bytes: int
    failing: bool
    failed: str
    timeout_seconds: int
    on: bool
    switches: bool
    version: str

    def has(self, segment: str) -> bool:
        """Whether that one is archived, or a later one."""
        return self._number(self.segment) >= self._number(segment)

    @property
    def waiting(self) -> int:
        """Whole segments that wait to be archived; none is known of right after a failover."""
        last = self._number(self.segment)
        return max(0, self._number(self.current) - last - 1) if last >= 0 else 0

    @property
    def late_seconds(self) -> float | None:
        """Since when none was archived; None where none ever was."""
        return (self.now - self.at).total_seconds() if self.at else None

    @property
    def behind(self) -> bool:
        """Whether it does not keep up: what a quiet server has not written is nothing that waits."""
        late = self.late_seconds
        return self.failing or late is None or (self.waiting > 0 and late > WAITING_SECONDS)

    @property
    def point_seconds(self) -> float | None:
        """How old the newest moment in the archive is at most; None where nothing is archived."""
        late = self.late_seconds
        bounded = self.timeout_seconds and not self.behind
        return min(late, float(self.timeout_seconds)) if late is not None and bounded else late

    def _number(self, name: str) -> int:
        found = Segment.named(name, self.segment_bytes)
        return found.number if found else -1


def look(database: Database) -> Archiver:
    """Look. database: any of the server. Raises DatabaseError."""
    with database.session() as connection:
        row = connection.execute(_STATE).fetchone()
    if row is None:
        msg = f"PostgreSQL at {database.address} answered an empty row."
        raise Nonsense(msg)
    return Archiver(*row)


def mark(database: Database, *, switch: bool) -> str:
    """Commit a transaction that changes nothing; the segment that it is in. switch: end that segment with it.

    Raises DatabaseError.
    """
    with database.session() as connection:
        # One that has a number is written, whatever it did (RecordTransactionCommit in xact.c).
        connection.execute("SELECT txid_current()")
        row = connection.execute("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").fetchone()
        if switch:
            connection.execute("SELECT pg_switch_wal()")
    if row is None:
        msg = f"PostgreSQL at {database.address} answered an empty row."
        raise Nonsense(msg)
    return str(row[0])
