"""Daily operations: logs."""

from __future__ import annotations

from commands.grammar import change, group
from workers.logs.archive import LogsArchive


@change("archive", examples=("logs archive",))
def _archive() -> LogsArchive:
    """Write the logs of all pods and containers, and of those before a restart, to the backup bucket, compressed."""
    return LogsArchive()


logs = group("logs", _archive, meaning="The pods' logs.")
