"""What a restored database lacks: the runs and experiments that were begun after the backup, counted by asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems.postgres.database import Database


@dataclass(frozen=True)
class Lost:
    """How many were begun since."""

    runs: int
    experiments: int

    @property
    def words(self) -> str:
        """As in "3 runs and 1 experiment"."""
        return f"{count(self.runs, 'run')} and {count(self.experiments, 'experiment')}"


def since(database: Database, found: Manifest) -> Lost | None:
    """Counted in a database; None where it cannot be asked."""
    begun = int(found.started_at.timestamp() * 1000)
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            runs = connection.execute("SELECT count(*) FROM runs WHERE start_time > %s", (begun,)).fetchone()
            made = connection.execute("SELECT count(*) FROM experiments WHERE creation_time > %s", (begun,)).fetchone()
    except psycopg.Error:
        return None
    return Lost(runs[0] if runs else 0, made[0] if made else 0)
