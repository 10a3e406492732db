"""Where MLflow's experiments keep their artifacts, read in its own tables: the deleted ones too, page by page.

Each page is a question of its own: the answers are used for as long as it takes to copy artifacts, and a transaction
that stays open for hours keeps the server from cleaning up (PostgreSQL's documentation, Routine Vacuuming).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

PAGE: Final = 5000
_EXPERIMENTS: Final = """
SELECT experiment_id, name::text, coalesce(artifact_location, '') FROM experiments
WHERE %(after)s::bigint IS NULL OR experiment_id > %(after)s::bigint ORDER BY experiment_id LIMIT %(most)s
"""
# Bytes in order, as S3 lists keys; "/" at the end, so that 1 and 12 are no beginnings of each other.
_ORDERED: Final = """
SELECT DISTINCT place FROM (
  SELECT (rtrim(artifact_location, '/') || '/') COLLATE "C" AS place FROM experiments
) AS places
WHERE starts_with(place, %(scheme)s) AND place > %(after)s COLLATE "C" ORDER BY place LIMIT %(most)s
"""


@dataclass(frozen=True)
class Kept:
    """An experiment and its artifact location, as MLflow wrote it; empty where it has none."""

    experiment: str
    location: str


@dataclass(frozen=True)
class ArtifactLocations:
    """The artifact locations of one MLflow database. Methods raise DatabaseError or Nonsense."""

    database: Database

    def every(self) -> Iterator[Kept]:
        """Every experiment's, in the order of their ids."""
        after: int | None = None
        while True:
            with self.database.session(patience_seconds=60) as connection:
                page = connection.execute(_EXPERIMENTS, {"after": after, "most": PAGE}).fetchall()
            for number, name, location in page:
                after = int(number)
                yield Kept(str(name), str(location))
            if len(page) < PAGE:
                return

    def ordered(self, scheme: str) -> Iterator[str]:
        """Each location that begins so, once, with a slash at its end, in the order of their bytes."""
        after = ""
        while True:
            with self.database.session(patience_seconds=60) as connection:
                page = connection.execute(_ORDERED, {"scheme": scheme, "after": after, "most": PAGE}).fetchall()
            for (place,) in page:
                after = str(place)
                yield after
            if len(page) < PAGE:
                return
