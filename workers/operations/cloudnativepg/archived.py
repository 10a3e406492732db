"""Waiting until the server has archived its WAL up to now, so that any moment until now can be recovered to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.systems.postgres import archiving
from workers.wording import duration

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems.postgres.archiving import Archiver
    from workers.systems.postgres.database import Database

SPARE_SECONDS: Final = 120.0
"""Beyond archive_timeout, for the segment to be stored."""
LOOK_SECONDS: Final = 1.0
SWITCH: Final = "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO {};"


def lacking(seen: Archiver, role: str) -> tuple[str, str] | None:
    """Why it would not come to that, and what to do; None where it would. role: ours."""
    if not seen.on:
        return "The server archives no WAL (archive_mode is off)", "Configure the Cluster's backups."
    if not seen.switches and not seen.timeout_seconds:
        return (
            "On a quiet server the last segment is never archived: archive_timeout is 0, and our role may not end it",
            f"Set archive_timeout, or as a superuser: {SWITCH.format(role)}",
        )
    return None


def until_now(database: Database, progress: Progress) -> None:
    """Wait for it. database: as the role that may do most. Raises OperatorError, and Cancelled."""
    seen = archiving.look(database)
    why = lacking(seen, database.role().name)
    if why:
        raise OperatorError(f"{why[0]}.", why[1])
    progress.step("Waiting until the server's WAL is archived up to now", of="archived up to now")
    segment = archiving.mark(database, switch=seen.switches)
    left = SPARE_SECONDS + (0 if seen.switches else seen.timeout_seconds)
    until = time.monotonic() + left
    while not seen.has(segment):
        progress.checkpoint()
        if time.monotonic() > until:
            failed = f"; it fails with {seen.failed}" if seen.failing else ""
            raise OperatorError(
                f"The server hasn't archived its WAL up to now within {duration(left)}: the last segment is "
                f"{seen.segment or 'none'}, {segment} is needed{failed}.",
                "Look at the Cluster's archiving: kubectl cnpg status.",
            )
        time.sleep(LOOK_SECONDS)
        seen = archiving.look(database)
