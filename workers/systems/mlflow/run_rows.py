"""Runs read from MLflow's own tables, many at a time: what its API would have to be asked for page by page.

Nothing is written, and no run is decided over by what is read here alone: whoever uses it asks MLflow whether it knows
the first of them in the same way, because a database may be that of another MLflow. Rows come through a cursor of the
server's, so memory does not grow with what is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from workers.systems.mlflow.contents import tables

if TYPE_CHECKING:
    import psycopg

    from workers.systems.postgres.database import Database

SECONDS: Final = 120.0
_TOGETHER: Final = 5000

_EXPERIMENTS: Final = "SELECT experiment_id::text, name::text FROM experiments WHERE lifecycle_stage = 'active'"
_OLD: Final = """
SELECT r.run_uuid::text, r.experiment_id::text, coalesce(r.name, ''), coalesce(r.status, ''),
       coalesce(r.start_time, 0)::bigint
FROM runs r JOIN experiments e USING (experiment_id)
WHERE r.lifecycle_stage = 'active' AND e.lifecycle_stage = 'active' AND r.start_time < %(before)s
  AND (%(experiment)s::text IS NULL OR r.experiment_id::text = %(experiment)s)
ORDER BY r.start_time DESC, r.run_uuid
"""
_TAGGED: Final = """
SELECT t.run_uuid::text, t.key::text, coalesce(t.value, '')::text
FROM tags t JOIN runs r USING (run_uuid)
WHERE t.key = ANY(%(keys)s) AND r.lifecycle_stage = 'active' AND r.start_time < %(before)s
  AND (%(experiment)s::text IS NULL OR r.experiment_id::text = %(experiment)s)
"""
_MARKED: Final = """
SELECT r.run_uuid::text, e.name::text, r.lifecycle_stage = 'deleted', e.lifecycle_stage = 'deleted'
FROM tags t JOIN runs r USING (run_uuid) JOIN experiments e USING (experiment_id)
WHERE t.key = %(tag)s AND t.value = %(mark)s
ORDER BY 1
"""
_VERSIONS: Final = """
SELECT name::text, version::text, coalesce(run_id, '')::text, coalesce(source, '')::text
FROM model_versions WHERE coalesce(current_stage, '') <> 'Deleted_Internal'
"""
_MAKERS: Final = "SELECT model_id::text, source_run_id::text FROM logged_models WHERE model_id = ANY(%s)"


@dataclass(slots=True)
class RunRow:
    """An active run. start_ms: milliseconds since 1970. tags: those that were asked for."""

    id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def called(self) -> str:
        """Its name and the beginning of its id."""
        return f"{self.name} ({self.id[:8]})" if self.name else self.id[:8]


@dataclass(frozen=True, slots=True)
class MarkedRun:
    """A run that bears a mark. asleep: its experiment is deleted."""

    id: str
    experiment_name: str
    deleted: bool
    asleep: bool


@dataclass(frozen=True)
class RunRows:
    """The runs of one MLflow database. Methods raise DatabaseError or Nonsense."""

    database: Database

    def experiments(self) -> dict[str, str]:
        """The names of all active experiments by their ids."""
        with self.database.session(patience_seconds=SECONDS) as connection:
            return dict(connection.execute(_EXPERIMENTS).fetchall())

    def older(self, before_ms: int, experiment: str | None, tags: Sequence[str]) -> Iterator[RunRow]:
        """Active runs of active experiments, or of one by its id, that began before a moment, with these tags; in
        MLflow's order, the newest first.
        """
        asked = {"before": before_ms, "experiment": experiment, "keys": list(tags)}
        with self.database.session(patience_seconds=SECONDS) as connection:
            held: dict[str, dict[str, str]] = {}
            if tags:
                for run, key, value in connection.execute(_TAGGED, asked):
                    held.setdefault(str(run), {})[str(key)] = str(value)
            for row in _streamed(connection, asked):
                found = RunRow(*row)
                found.tags = held.get(found.id, {})
                yield found

    def marked(self, tag: str, mark: str) -> list[MarkedRun]:
        """All runs whose tag has this value, by their ids."""
        with self.database.session(patience_seconds=SECONDS) as connection:
            return [MarkedRun(*row) for row in connection.execute(_MARKED, {"tag": tag, "mark": mark})]

    def model_versions(self) -> list[tuple[str, str, str, str]]:
        """Name, number, run's id and source of each registered version; what is empty is ""."""
        with self.database.session(patience_seconds=SECONDS) as connection:
            return [(str(a), str(b), str(c), str(d)) for a, b, c, d in connection.execute(_VERSIONS)]

    def makers(self, models: Sequence[str]) -> dict[str, str]:
        """The runs that have logged these models, by the models' ids; none before MLflow 3."""
        with self.database.session(patience_seconds=SECONDS) as connection:
            if "logged_models" not in tables(connection):
                return {}
            rows = connection.execute(_MAKERS, (list(models),)).fetchall()
            return {str(model): str(run) for model, run in rows if run}


def _streamed(connection: psycopg.Connection[tuple[Any, ...]], asked: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    # A cursor of the server's lives in a transaction.
    with connection.transaction(), connection.cursor(name="runs") as cursor:
        cursor.itersize = _TOGETHER
        yield from cursor.execute(_OLD, asked)
