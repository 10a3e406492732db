"""Runs that MLflow has marked as deleted, with the moment of it, which its API does not tell.

What decides over a run that is removed for good is read here, in MLflow's own tables: `runs.deleted_time` is what
`mlflow gc --older-than` goes by (mlflow/store/tracking/sqlalchemy_store.py: _get_deleted_runs). Nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.systems.postgres.database import Database

_DELETED: Final = """
SELECT r.run_uuid::text, coalesce(r.name, ''), r.experiment_id::text, e.name, e.lifecycle_stage = 'deleted',
       r.deleted_time, coalesce(r.artifact_uri, '')
FROM runs r JOIN experiments e USING (experiment_id)
WHERE r.lifecycle_stage = 'deleted'
  AND (%(experiment)s::text IS NULL OR r.experiment_id::text = %(experiment)s)
  AND (%(ids)s::text[] IS NULL OR r.run_uuid = ANY(%(ids)s))
ORDER BY r.run_uuid
"""
_STATES: Final = "SELECT run_uuid::text, lifecycle_stage = 'deleted' FROM runs WHERE run_uuid = ANY(%s)"
_BESIDE: Final = """
SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM runs),
       (SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted')
"""


@dataclass(frozen=True, slots=True)
class DeletedRun:
    """One of them. deleted_ms: milliseconds since 1970; None where an MLflow deleted it that did not note when.

    asleep: its experiment is deleted as well.
    """

    id: str
    name: str
    experiment: str
    experiment_name: str
    asleep: bool
    deleted_ms: int | None
    artifacts: str

    @property
    def called(self) -> str:
        """Its name and the beginning of its id."""
        return f"{self.name} ({self.id[:8]})" if self.name else self.id[:8]


@dataclass(frozen=True)
class DeletedRuns:
    """The deleted runs of one MLflow database. Methods raise DatabaseError or Nonsense."""

    database: Database

    def every(self, *, experiment: str | None = None, ids: Sequence[str] | None = None) -> list[DeletedRun]:
        """All, or those of an experiment's id, or those of these ids; in the order of their ids."""
        asked = {"experiment": experiment, "ids": None if ids is None else list(ids)}
        with self.database.session(patience_seconds=60) as connection:
            return [DeletedRun(*row) for row in connection.execute(_DELETED, asked)]

    def states(self, ids: Sequence[str]) -> dict[str, bool]:
        """Of these ids those that are there, and whether they are deleted."""
        with self.database.session() as connection:
            return {str(key): bool(deleted) for key, deleted in connection.execute(_STATES, (list(ids),))}

    def counts(self) -> tuple[int, int, int]:
        """How many experiments, runs and deleted runs there are."""
        with self.database.session() as connection:
            row = connection.execute(_BESIDE).fetchone()
        assert row is not None
        return int(row[0]), int(row[1]), int(row[2])
