"""Which deleted runs a purge takes, and which it leaves and why.

A run may go only where the backup holds it whole: it was deleted before the backup was begun, so nothing was logged to
it since. A run of a deleted experiment stays unless that experiment was named: bringing the experiment back would bring
back an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.errors import OperatorError
from workers.operations.experiments.finding import find as find_experiment
from workers.operations.runs.finding import find as find_run
from workers.operations.runs.registered import registered_in
from workers.operations.runs.selection import Skipped, fingerprint
from workers.systems.mlflow.deleted_runs import DeletedRun, DeletedRuns
from workers.systems.mlflow.run_rows import RunRows

if TYPE_CHECKING:
    from datetime import date, datetime

    from workers.systems import Systems


@dataclass
class Candidates:
    """runs: what is taken, by their ids. left: what stays, by reason."""

    runs: list[DeletedRun] = field(default_factory=list)
    left: dict[str, Skipped] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """The ids of what is taken, in order."""
        return [run.id for run in self.runs]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the ids."""
        return fingerprint(self.ids)

    def by_experiment(self) -> dict[str, int]:
        """How many of each experiment, by its name, most first."""
        counted: dict[str, int] = {}
        for run in self.runs:
            counted[run.experiment_name] = counted.get(run.experiment_name, 0) + 1
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class PurgeFilter:
    """What was asked for. before: runs deleted on that day (UTC) or later stay; None for no such bound."""

    before: date | None
    before_ms: int | None
    experiment: str = ""
    runs: tuple[str, ...] = ()


def choose(systems: Systems, asked: PurgeFilter, backed_up: datetime) -> Candidates:
    """Read the deleted runs. backed_up: when the backup was begun that must hold them.

    Raises OperatorError where the experiment or a run is not there, or a run is active.
    """
    experiment = find_experiment(systems.tracking, asked.experiment) if asked.experiment else None
    ids = [_deleted(systems, word) for word in asked.runs] or None
    found = DeletedRuns(systems.database).every(experiment=experiment.id if experiment else None, ids=ids)
    _refuse_other_database(systems, found)
    chosen = Candidates()
    registered = registered_in(RunRows(systems.database))
    limit = int(backed_up.timestamp() * 1000)
    named = experiment is not None or ids is not None
    for run in found:
        why = _stays(run, asked, registered, limit, asleep_too=named)
        if why:
            more = f" → {registered[run.id]}" if run.id in registered else ""
            chosen.left.setdefault(why, Skipped()).add(run.called + more)
        else:
            chosen.runs.append(run)
    return chosen


def _stays(run: DeletedRun, asked: PurgeFilter, registered: dict[str, str], limit: int, *, asleep_too: bool) -> str:
    """Why a run is not taken; empty where it is."""
    deleted = run.deleted_ms or 0
    reasons = (
        (run.id in registered, "a registered model version refers to it"),
        (
            run.asleep and not asleep_too,
            "its experiment is deleted and would come back without it (name it with --experiment)",
        ),
        (not run.artifacts, "MLflow has not noted where its artifacts are, and gc could remove anything"),
        (run.deleted_ms is None, "it is not known when it was deleted (restored and deleted again, it is)"),
        (
            asked.before_ms is not None and deleted >= asked.before_ms,
            f"it was deleted on or after {asked.before}",
        ),
        (deleted >= limit, "it was deleted after the last backup started"),
    )
    return next((why for so, why in reasons if so), "")


def _deleted(systems: Systems, word: str) -> str:
    run = find_run(systems.tracking, word)
    if not run.deleted:
        raise OperatorError(
            f"The run {run.called} is active: only what is deleted can be purged.",
            "Old runs are archived with runs archive.",
        )
    return run.id


def _refuse_other_database(systems: Systems, found: list[DeletedRun]) -> None:
    """MLflow must know the first of them as deleted; else the database that we have is not the one that it uses."""
    if found and not find_run(systems.tracking, found[0].id).deleted:
        raise OperatorError(
            f"MLflow at {systems.tracking.address} knows the run {found[0].called} as active, and "
            f"{systems.database.name} as deleted.",
            "MLFLOW_OPS_DATABASE_URL and MLFLOW_TRACKING_URI must be of the same MLflow.",
        )
