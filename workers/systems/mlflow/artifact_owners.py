"""What MLflow's database knows of artifacts' owners: asked for many at once, as MLflow's API cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from workers.systems.mlflow.contents import tables

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

_KNOWN: Final[dict[str, tuple[str, LiteralString]]] = {
    "run": ("runs", "SELECT run_uuid::text FROM runs WHERE run_uuid = ANY(%s)"),
    "model": ("logged_models", "SELECT model_id::text FROM logged_models WHERE model_id = ANY(%s)"),
    "trace": ("trace_info", "SELECT request_id::text FROM trace_info WHERE request_id = ANY(%s)"),
}
"""The table of each kind, and which of some ids are in it. Before MLflow 2.14 there are no traces, before 3.0 no logged
models: then nobody is known there."""

# A logged model that is ready (status 2: mlflow/entities/logged_model_status.py) has its files; a run had a model where
# the older way of logging one has left its tag.
_EXPECTED_MODELS: Final = """
SELECT model_id::text, 'model', experiment_id::text, coalesce(name::text, ''), '' FROM logged_models
WHERE status = 2 AND lifecycle_stage = 'active'
UNION ALL
"""
_EXPECTED_RUNS: Final = """
SELECT r.run_uuid::text, 'run', r.experiment_id::text, coalesce(r.name::text, ''), coalesce(v.named, '')
FROM runs r
LEFT JOIN LATERAL (
  SELECT string_agg(m.name || ' ' || m.version, ', ' ORDER BY m.name, m.version) AS named FROM model_versions m
  WHERE m.run_id = r.run_uuid AND m.current_stage <> 'Deleted_Internal' AND m.source NOT LIKE 'models:%%'
) v ON true
WHERE r.lifecycle_stage = 'active'
  AND (v.named IS NOT NULL
       OR EXISTS (SELECT 1 FROM tags t WHERE t.run_uuid = r.run_uuid AND t.key = 'mlflow.log-model.history'))
LIMIT %s
"""

_NAMES: Final = "SELECT experiment_id::text, name::text FROM experiments WHERE experiment_id = ANY(%s)"


@dataclass(frozen=True)
class Expected:
    """What should have artifacts. versions: registered model versions that come from it."""

    id: str
    kind: str
    experiment: str
    name: str
    versions: str


@dataclass(frozen=True)
class ArtifactOwners:
    """Runs, logged models and traces. Methods raise DatabaseError or Nonsense."""

    database: Database

    def known(self, ids: dict[str, list[str]]) -> set[str]:
        """Of these ids, by kind, those that MLflow has a row for, deleted or not."""
        found: set[str] = set()
        with self.database.session() as connection:
            there = tables(connection)
            for kind, wanted in ids.items():
                table, query = _KNOWN[kind]
                if table in there:
                    found.update(str(row[0]) for row in connection.execute(query, (wanted,)))
        return found

    def expected(self, most: int) -> list[Expected]:
        """What is there of runs and logged models that must have artifacts; `most` at most."""
        with self.database.session(patience_seconds=60) as connection:
            models = _EXPECTED_MODELS if "logged_models" in tables(connection) else ""
            return [Expected(*row) for row in connection.execute(models + _EXPECTED_RUNS, (most,)).fetchall()]

    def experiment_names(self, ids: list[str]) -> dict[str, str]:
        """The names of experiments by their ids."""
        numbers = [int(each) for each in ids if each.isdigit() and len(each) < 19]  # noqa: PLR2004 - a bigint
        with self.database.session() as connection:
            return {str(one): str(name) for one, name in connection.execute(_NAMES, (numbers,)).fetchall()}
