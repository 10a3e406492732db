"""Where the runs of a plan are read: in MLflow's own tables where we have its database, else through its API.

The tables are asked because a plan over hundreds of thousands of runs would else take as many minutes; what MLflow's
API says of the first of them decides whether they are the tables that MLflow uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from workers.errors import RunMissing
from workers.operations.experiments.finding import active as active_experiment
from workers.operations.runs.finding import Run, experiments_by_id, find, search
from workers.operations.runs.registered import registered_in, registered_runs
from workers.settings import SettingsError
from workers.systems.errors import DatabaseError, Nonsense
from workers.systems.mlflow.run_rows import MarkedRun, RunRow, RunRows

if TYPE_CHECKING:
    from workers.systems import Systems


@dataclass(frozen=True)
class ArchiveFilter:
    """Those that began before a moment (milliseconds since 1970), with these exceptions.

    experiment: a name or id; empty for all. statuses: empty for all that have ended. except_tags: a value of None
    stands for any.
    """

    before_ms: int
    experiment: str = ""
    statuses: tuple[str, ...] = ()
    except_tags: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Source:
    """Runs that began before a moment, the names of active experiments by id, and the runs that models come from."""

    runs: Iterator[RunRow | Run]
    experiments: dict[str, str]
    registered: dict[str, str]


def older(systems: Systems, wanted: ArchiveFilter) -> Source:
    """All active runs that an archiving looks at. Raises OperatorError where the experiment is not there."""
    one = active_experiment(systems.tracking, wanted.experiment) if wanted.experiment else None
    tags = tuple(key for key, _ in wanted.except_tags)
    try:
        rows = RunRows(systems.database)
        runs = rows.older(wanted.before_ms, one.id if one else None, tags)
        first = list(islice(runs, 1))
        if first and _known(systems, first[0].id, deleted=False):
            experiments = {one.id: one.name} if one else rows.experiments()
            return Source(chain(first, runs), experiments, registered_in(rows))
    except (DatabaseError, Nonsense, SettingsError):
        pass
    return _asked(systems, wanted, {one.id: one.name} if one else None)


def marked(systems: Systems, tag: str, mark: str) -> list[MarkedRun]:
    """The runs, active and deleted, whose tag has this value. Raises TrackingError and Nonsense."""
    try:
        found = RunRows(systems.database).marked(tag, mark)
        if found and _known(systems, found[0].id, deleted=found[0].deleted):
            return found
    except (DatabaseError, Nonsense, SettingsError):
        pass
    experiments = experiments_by_id(systems.tracking, "ALL")
    runs = search(systems.tracking, experiments, f"tags.`{tag}` = '{mark}'", view="ALL", quietly=True)
    return [
        MarkedRun(run.id, experiments[run.experiment].name, run.deleted, experiments[run.experiment].deleted)
        for run in runs
    ]


def _asked(systems: Systems, wanted: ArchiveFilter, experiments: dict[str, str] | None) -> Source:
    if experiments is None:
        experiments = {key: each.name for key, each in experiments_by_id(systems.tracking).items()}
    condition = f"attributes.start_time < {wanted.before_ms}"
    runs = search(systems.tracking, experiments, condition, quietly=True)
    return Source(runs, experiments, registered_runs(systems.tracking))


def _known(systems: Systems, run: str, *, deleted: bool) -> bool:
    """Whether MLflow knows that run, in the same state: so these are the tables that it uses."""
    try:
        return find(systems.tracking, run).deleted is deleted
    except RunMissing:
        return False
