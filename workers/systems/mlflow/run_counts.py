"""How many runs an experiment has, which MLflow's API can only be asked by reading all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.systems.postgres.database import Database

_RUNS: Final = """
SELECT experiment_id::text, count(*) FILTER (WHERE lifecycle_stage = 'active'),
       count(*) FILTER (WHERE lifecycle_stage <> 'active'), max(greatest(start_time, coalesce(end_time, 0)))
FROM runs WHERE experiment_id = ANY(%s) GROUP BY experiment_id
"""


@dataclass(frozen=True)
class RunCount:
    """The runs of one experiment. last_ms: when one last began or ended, milliseconds since 1970; None without runs."""

    active: int
    deleted: int
    last_ms: int | None


def run_counts(database: Database, experiments: Sequence[str]) -> dict[str, RunCount]:
    """Of these experiments, by their ids. Raises DatabaseError; ValueError where an id is no number."""
    numbers = [int(each) for each in experiments]
    with database.session() as connection:
        rows = connection.execute(_RUNS, (numbers,)).fetchall()
    found = {name: RunCount(active, deleted, last) for name, active, deleted, last in rows}
    return {each: found.get(each, RunCount(0, 0, None)) for each in experiments}
