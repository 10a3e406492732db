"""One deleted run or experiment brought back, without touching the rest.

What is only marked as deleted MLflow brings back itself. What was purged comes from a set: its rows through a database
beside the live one, its artifacts from the kept bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import artifacts, sets
from workers.operations.experiments.finding import Experiment
from workers.operations.experiments.finding import find as find_experiment
from workers.operations.restore import missing_targets, rows
from workers.operations.restore.artifacts import prefix_of
from workers.operations.restore.side_database import restored_beside
from workers.operations.runs.finding import Run
from workers.operations.runs.finding import find as find_run
from workers.report import Report, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems

_RUN: Final = "SELECT artifact_uri, experiment_id FROM runs WHERE run_uuid = %s"
_EXPERIMENT: Final = (
    "SELECT artifact_location, experiment_id, name FROM experiments WHERE name = %s OR experiment_id::text = %s "
    "ORDER BY name = %s DESC LIMIT 1"
)


class RestoreRun(Operation):
    """Bring a deleted or purged run back. run_id: whole where it was purged. set: where it is taken from then."""

    name: ClassVar[str] = "restore-run"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "artifacts", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    run_id: Annotated[str, Field(min_length=1, max_length=64)]
    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST

    def plan(self, systems: Systems) -> Plan:
        """How it would come back. Raises OperatorError and AlreadySo."""
        known = self._known(systems)
        if known is not None and not known.deleted:
            raise AlreadySo(f"The run {known.called} is there.", "Nothing to do.")
        if known is not None:
            return _marked(f"run {known.called}", known.id)
        if len(self.run_id) != 32:  # noqa: PLR2004 - MLflow's ids
            raise OperatorError("MLflow knows no such run.", "To take it from a backup, give its whole id.")
        return _purged(systems, f"run {self.run_id}", self.set, ("metrics, parameters and tags", "artifacts"))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Bring it back. Raises OperatorError."""
        known = self._known(systems)
        if known is not None:
            progress.step("Asking MLflow to restore it")
            systems.tracking.call("runs/restore", {"run_id": known.id})
            return _back(f"run {known.called}", "MLflow had only marked it as deleted", f"runs show {known.short}")
        found = _same_schema(systems, self.set)
        with restored_beside(systems, found, progress) as side:
            there = rows.row(side, _RUN, self.run_id)
            if there is None:
                raise OperatorError(f"The backup {found.id} does not hold the run {self.run_id}.", "Try an older one.")
            uri, experiment = there
            if rows.row(systems.database, "SELECT 1 FROM experiments WHERE experiment_id = %s", experiment) is None:
                raise OperatorError(
                    f"Its experiment {experiment} is gone as well.", f"/mlflow restore experiment {experiment}"
                )
            progress.step("Copying its rows")
            copied = rows.copy_run(side, systems.database, self.run_id, progress)
        told = _rows_told(copied) + _artifacts_back(systems, found, uri, progress)
        return _back(f"run {self.run_id}", told, f"runs show {self.run_id[:8]}")

    def _known(self, systems: Systems) -> Run | None:
        try:
            return find_run(systems.tracking, self.run_id)
        except OperatorError as error:
            if "There is no run" in error.message:
                return None
            raise


class RestoreExperiment(Operation):
    """Bring a deleted or purged experiment back, with its runs. experiment: its name or id."""

    name: ClassVar[str] = "restore-experiment"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "artifacts", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    experiment: Annotated[str, Field(min_length=1, max_length=500)]
    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST

    def plan(self, systems: Systems) -> Plan:
        """How it would come back. Raises OperatorError and AlreadySo."""
        known = self._known(systems)
        if known is not None and not known.deleted:
            raise AlreadySo(f"The experiment “{known.name}” is there.", "For its artifacts: restore artifacts.")
        if known is not None:
            return _marked(f"experiment “{known.name}”", known.id)
        return _purged(systems, f"experiment “{self.experiment}”", self.set, ("runs with what is theirs", "artifacts"))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Bring it back. Raises OperatorError."""
        known = self._known(systems)
        if known is not None:
            progress.step("Asking MLflow to restore it")
            systems.tracking.call("experiments/restore", {"experiment_id": known.id})
            told = "MLflow had only marked it as deleted, and its runs with it"
            return _back(f"experiment “{known.name}”", told, f"experiments show {known.word}")
        found = _same_schema(systems, self.set)
        with restored_beside(systems, found, progress) as side:
            there = rows.row(side, _EXPERIMENT, self.experiment, self.experiment, self.experiment)
            if there is None:
                raise OperatorError(
                    f"The backup {found.id} does not hold the experiment “{self.experiment}”.", "Try an older one."
                )
            location, number, name = there
            holder = rows.row(systems.database, "SELECT experiment_id FROM experiments WHERE name = %s", name)
            if holder:
                raise OperatorError(
                    f"Another experiment (id {holder[0]}) has the name “{name}” now.", "Rename that first."
                )
            progress.step("Copying its rows")
            copied = rows.copy_experiment(side, systems.database, number, progress)
        told = _rows_told(copied) + _artifacts_back(systems, found, location, progress)
        return _back(f"experiment “{name}”", told, f"experiments show {number}")

    def _known(self, systems: Systems) -> Experiment | None:
        try:
            return find_experiment(systems.tracking, self.experiment)
        except OperatorError as error:
            if "There is no experiment" in error.message:
                return None
            raise


def _marked(what: str, its_id: str) -> Plan:
    return Plan(
        title=f"Restore the {what}",
        summary="it is only marked as deleted: MLflow brings it back",
        steps=("Ask MLflow to restore it",),
        changes=(Change(what=what, before="deleted", after="active"),),
        undo="delete it again in MLflow",
        facts={"id": its_id},
    )


def _purged(systems: Systems, what: str, wanted: str, parts: tuple[str, str]) -> Plan:
    found = _same_schema(systems, wanted)
    held = "" if found.artifacts else " (the backup holds no artifacts)"
    return Plan(
        title=f"Restore the {what}",
        summary=f"from the backup {found.id}, beside which nothing else is changed",
        steps=(
            f"Restore the database of {found.id} beside the live one",
            f"Copy its {parts[0]} into the live one, in one transaction",
            f"Copy its {parts[1]}{held}",
            "Remove the database beside it",
        ),
        changes=(Change(what=what, before="gone", after=f"as in the backup {found.id}"),),
        undo="delete it again in MLflow",
        facts={"set": found.name},
    )


def _same_schema(systems: Systems, wanted: str) -> Manifest:
    found = sets.good(systems.backups, systems.settings.ops.storage.backups_bucket, wanted, part="database")
    assert found.database is not None
    now = systems.database.schema_revision()
    if found.database.alembic_revision != now:
        raise OperatorError(
            f"The backup {found.id} has the schema {found.database.alembic_revision}, MLflow's database {now}: rows do "
            "not go from one into the other.",
            "Use a backup that was made since MLflow was updated: /mlflow backup list.",
        )
    return found


def _rows_told(copied: dict[str, int]) -> str:
    return f"{count(sum(copied.values()), 'row')} in {count(len(copied), 'table')} were copied"


def _artifacts_back(systems: Systems, found: Manifest, location: str, progress: Progress) -> str:
    if found.artifacts is None:
        return "; the backup holds no artifacts"
    progress.step("Copying its artifacts")
    storage = systems.settings.ops.storage
    if not missing_targets.has_bucket(systems.objects, storage.artifacts_bucket):
        raise OperatorError(f"There is no bucket {storage.artifacts_bucket}.", "See /mlflow recover.")
    prefix = prefix_of(systems, location)
    wanted = artifacts.Wanted(storage.backups_bucket, found.name, storage.artifacts_bucket, prefix)
    done = artifacts.restore(systems.objects, wanted, progress, backups=systems.backups)
    lost = f"; {count(done.lost_count, 'artifact')} could not be had: {done.lost[0]}" if done.lost else ""
    return f"; {count(done.added + done.replaced, 'artifact')} put back, {done.same:,} were there{lost}"


def _back(what: str, told: str, hint: str) -> Report:
    return Report(title=f"Restore the {what}", status=Status.OK, summary=f"It is back: {told}.", hints=(hint,))
