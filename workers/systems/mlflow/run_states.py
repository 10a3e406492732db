"""Runs archived and brought back many at a time, in MLflow's own tables.

MLflow's API takes one run to a call and two calls to a run, and its server is the one who is slow at them. What those
calls do is one UPDATE of `lifecycle_stage` and `deleted_time` and one row in `tags`
(mlflow/store/tracking/sqlalchemy_store.py: delete_run, restore_run, set_tag); here both are one statement, so a run is
never archived without its mark. Whoever uses this reads back through MLflow that it sees the same.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, LiteralString

from workers.systems.postgres.mlflow_schema import NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.systems.postgres.database import Database

_ARCHIVE: Final = """
WITH taken AS (
  UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = %(now)s
  WHERE run_uuid = ANY(%(ids)s) AND lifecycle_stage = 'active' RETURNING run_uuid
), marked AS (
  INSERT INTO tags (key, value, run_uuid) SELECT %(tag)s, %(mark)s, run_uuid FROM taken
  ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value
)
SELECT run_uuid::text FROM taken
"""

_RESTORE: Final = """
WITH back AS (
  UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL
  WHERE run_uuid = ANY(%(ids)s) AND lifecycle_stage = 'deleted' RETURNING run_uuid
), unmarked AS (
  DELETE FROM tags WHERE run_uuid = ANY(%(ids)s) AND key = %(tag)s AND value = %(mark)s
)
SELECT run_uuid::text FROM back
"""

_SHAPE: Final[LiteralString] = f"""
SELECT count(*) FROM information_schema.columns
WHERE table_schema = {NAME} AND (table_name::text, column_name::text) IN (
  ('runs', 'run_uuid'), ('runs', 'lifecycle_stage'), ('runs', 'deleted_time'),
  ('tags', 'key'), ('tags', 'value'), ('tags', 'run_uuid'))
"""  # noqa: S608 - all of it is ours
_SHAPE_COLUMNS: Final = 6


@dataclass(frozen=True)
class RunStates:
    """The runs of one MLflow database. Methods raise DatabaseError or Nonsense."""

    database: Database

    def knows(self, run_id: str) -> bool:
        """Whether this is a schema that we know, and the run is in it: so it is the database that MLflow uses."""
        with self.database.session() as connection:
            shape = connection.execute(_SHAPE).fetchone()
            there = connection.execute("SELECT 1 FROM runs WHERE run_uuid = %s", (run_id,)).fetchone()
        return shape == (_SHAPE_COLUMNS,) and there is not None

    def archive(self, ids: Sequence[str], tag: str, mark: str) -> set[str]:
        """Mark and delete these, as MLflow's soft deletion; those that were active."""
        values = {"ids": list(ids), "tag": tag, "mark": mark, "now": int(time.time() * 1000)}
        with self.database.session() as connection:
            return {str(row[0]) for row in connection.execute(_ARCHIVE, values)}

    def restore(self, ids: Sequence[str], tag: str, mark: str) -> set[str]:
        """Bring these back and take the mark away, also from those that are active; those that were deleted."""
        values = {"ids": list(ids), "tag": tag, "mark": mark}
        with self.database.session() as connection:
            return {str(row[0]) for row in connection.execute(_RESTORE, values)}
