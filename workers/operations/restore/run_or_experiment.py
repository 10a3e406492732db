"""One deleted run or experiment brought back, without touching the rest.

What is only marked as deleted MLflow brings back itself. What was purged comes from a set: its rows through a database
beside the live one, its artifacts from the kept bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AwareDatetime, Field

from workers.errors import AlreadySo, ExperimentMissing, OperatorError, RunMissing
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import artifacts, sets
from workers.operations.backup.encryption import Keys
from workers.operations.backup.wal.archive import moment_of
from workers.operations.experiments.finding import find as find_experiment
from workers.operations.late_answers import ANSWER_SECONDS, OF_MANY_RUNS_SECONDS, change
from workers.operations.restore import artifacts_at, events, moment, prerequisites, rows
from workers.operations.restore.side_database import ROWS, restored_beside
from workers.operations.runs.finding import find as find_run
from workers.operations.storage import cache
from workers.operations.storage.locations import in_a_bucket
from workers.report import Facts, Report, Status
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems
    from workers.systems.postgres.database import Database

_RUN: Final = "SELECT artifact_uri, experiment_id FROM runs WHERE run_uuid = %s"
_EXPERIMENT: Final = (
    "SELECT artifact_location, experiment_id, name FROM experiments WHERE name = %s OR experiment_id::text = %s "
    "ORDER BY name = %s DESC LIMIT 1"
)


@dataclass(frozen=True)
class _Found:
    """As MLflow knows it, or a set holds it. name: behind "run" or "experiment". show: what `show` takes."""

    id: Any
    name: str
    show: str
    deleted: bool = False
    location: str = ""


class _Restore(Operation):
    """What both do. kind: run or experiment. within: what of it is in the database. table: with its id's column."""

    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "artifacts", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600
    kind: ClassVar[str]
    within: ClassVar[str]
    table: ClassVar[tuple[str, str]]
    also_back: ClassVar[str] = ""
    there_hint: ClassVar[str]

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    at: AwareDatetime | None = None
    event: Annotated[str, Field(max_length=200)] = ""
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """How it would come back. Raises OperatorError and AlreadySo."""
        known = self._known(systems)
        if known is None:
            self._refuse()
            return self._from_a_set(systems)
        what = f"{self.kind} {known.name}"
        if not known.deleted:
            raise AlreadySo(f"The {what} is there.", self.there_hint)
        return Plan(
            title=f"Restore the {what}",
            summary="it is only marked as deleted: MLflow brings it back",
            steps=("Ask MLflow to restore it",),
            changes=(Change(what=what, before="deleted", after="active"),),
            undo="delete it again in MLflow",
            facts={"id": known.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Bring it back. Raises OperatorError."""
        known = self._known(systems)
        if known is not None:
            progress.step("Asking MLflow to restore it")
            change(
                systems.tracking.within(ANSWER_SECONDS),
                f"{self.kind}s/restore",
                {f"{self.kind}_id": known.id},
                lambda: self._active(systems),
                progress,
                wait_seconds=OF_MANY_RUNS_SECONDS,
            )
            return self._report(known, f"MLflow had only marked it as deleted{self.also_back}")
        with self._source(systems, progress) as found:
            progress.step("Restoring the database beside the live one", of="beside the live one")
            _same_schema(systems, found)
            with restored_beside(systems, found, progress, ROWS) as side:
                held = self._held(side, systems.database)
                if held is None:
                    raise OperatorError(f"{self._from(found)} does not hold the {self._asked}.", "Try an older one.")
                progress.step("Copying its rows", of="into the live one")
                copied = rows.copy(side, systems.database, self.table, held.id, progress)
                progress.step("Removing the database beside it", of="Remove the database")
        told = f"{count(sum(copied.values()), 'row')} in {count(len(copied), 'table')} were copied"
        return self._report(held, told + self._artifacts_back(systems, found, held.location, progress))

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Remove what a moment was brought back with, and say what has become of it."""
        if self.at or self.event:
            moment.clear(systems)
        return super().aftermath(systems, planned)

    def _artifacts_back(self, systems: Systems, found: Manifest, location: str, progress: Progress) -> str:
        if self.at is None:
            return _artifacts_of_the_set(systems, found, location, progress)
        bucket, prefix = in_a_bucket(systems, location)
        return artifacts_at.beside_rows(systems, artifacts_at.Then(bucket, prefix, self.at), progress)

    @contextmanager
    def _source(self, systems: Systems, progress: Progress) -> Iterator[Manifest]:
        """What it is taken from: a set, or the database as it was at a moment."""
        if self.at is None:
            yield _set(systems, self.set, unsigned=self.unsigned)
            return
        with moment.taken(systems, moment.choose(systems, self.at), progress) as found:
            yield found

    def _from(self, found: Manifest) -> str:
        return f"The backup {found.id}" if self.at is None else f"The database of {moment_of(self.at)}"

    @property
    def _asked(self) -> str:
        raise NotImplementedError

    def _known(self, systems: Systems) -> _Found | None:
        raise NotImplementedError

    def _active(self, systems: Systems) -> bool:
        known = self._known(systems)
        return known is not None and not known.deleted

    def _held(self, side: Database, live: Database) -> _Found | None:
        """Raises OperatorError where the live database has no place for it."""
        raise NotImplementedError

    def _refuse(self) -> None:
        """Raise OperatorError where what is asked for could not be found in a set."""

    def _from_a_set(self, systems: Systems) -> Plan:
        if self.event:
            return events.of_the_moment(self, systems, self.event)
        if self.at is not None:
            return self._from_a_moment(systems, moment.choose(systems, self.at))
        found = _set(systems, self.set, unsigned=self.unsigned)
        _same_schema(systems, found)
        without = "" if found.artifacts else " (the backup holds no artifacts)"
        return Plan(
            title=f"Restore the {self._asked}",
            summary=f"from the backup {found.id}, beside which nothing else is changed",
            steps=(
                f"Restore the database of {found.id} beside the live one",
                f"Copy its {self.within} into the live one, in one transaction",
                "Remove the database beside it",
                f"Copy its artifacts{without}",
            ),
            changes=(Change(what=self._asked, before="gone", after=f"as in the backup {found.id}"),),
            warnings=sets.cautions(systems, self.set, found, part="database"),
            undo="delete it again in MLflow",
            facts={"set": found.name, **found.checksums},
        )

    def _from_a_moment(self, systems: Systems, chosen: moment.Chosen) -> Plan:
        then, bucket = moment_of(chosen.at), systems.settings.ops.storage.artifacts_bucket
        keeps = systems.objects.versioning(bucket)
        return Plan(
            title=f"Restore the {self._asked}",
            summary=f"{chosen.words}; nothing else is changed",
            steps=(
                *chosen.source.steps(chosen.to, systems.database.name),
                "Restore that dump beside the live one",
                f"Copy its {self.within} into the live one, in one transaction",
                "Remove the database beside it",
                *(("Bring its artifacts back from the versions that the bucket keeps",) if keeps != "Off" else ()),
            ),
            changes=(Change(what=self._asked, before="gone", after=f"as at {then}"),),
            warnings=() if keeps != "Off" else (f"Its artifacts stay as they are: s3://{bucket} keeps no versions.",),
            undo="delete it again in MLflow",
            estimate_seconds=chosen.estimate_seconds,
            sections=(Facts(items=chosen.facts(datetime.now(UTC))),),
            facts={"moment": chosen.at.isoformat(), "base": chosen.source.rests},
        )

    def _report(self, of: _Found, told: str) -> Report:
        return Report(
            title=f"Restore the {self.kind} {of.name}",
            status=Status.OK,
            summary=f"It is back: {told}.",
            hints=(f"{self.kind}s show {of.show}",),
        )


class RestoreRun(_Restore):
    """Bring a deleted or purged run back. run_id: whole where it was purged. set: where it is taken from then."""

    name: ClassVar[str] = "restore-run"
    kind: ClassVar[str] = "run"
    within: ClassVar[str] = "metrics, parameters and tags"
    table: ClassVar[tuple[str, str]] = ("runs", "run_uuid")
    there_hint: ClassVar[str] = "Nothing to do."

    run_id: Annotated[str, Field(min_length=1, max_length=64)]

    @property
    def _asked(self) -> str:
        return f"run {self.run_id}"

    def _known(self, systems: Systems) -> _Found | None:
        try:
            found = find_run(systems.tracking, self.run_id)
        except RunMissing:
            return None
        return _Found(found.id, found.called, found.short, found.deleted)

    def _held(self, side: Database, live: Database) -> _Found | None:
        there = rows.row(side, _RUN, self.run_id)
        if there is None:
            return None
        location, experiment = there
        if rows.row(live, "SELECT 1 FROM experiments WHERE experiment_id = %s", experiment) is None:
            raise OperatorError(
                f"Its experiment {experiment} is gone as well.", f"/mlflow restore experiment {experiment}"
            )
        return _Found(self.run_id, self.run_id, self.run_id[:8], location=location)

    def _refuse(self) -> None:
        if len(self.run_id) != 32:  # noqa: PLR2004 - MLflow's ids
            raise OperatorError("MLflow knows no such run.", "To take it from a backup, give its whole id.")


class RestoreExperiment(_Restore):
    """Bring a deleted or purged experiment back, with its runs. experiment: its name or id."""

    name: ClassVar[str] = "restore-experiment"
    kind: ClassVar[str] = "experiment"
    within: ClassVar[str] = "runs with what is theirs"
    table: ClassVar[tuple[str, str]] = ("experiments", "experiment_id")
    also_back: ClassVar[str] = ", and its runs with it"
    there_hint: ClassVar[str] = "For its artifacts: restore artifacts."

    experiment: Annotated[str, Field(min_length=1, max_length=500)]

    @property
    def _asked(self) -> str:
        return f"experiment “{self.experiment}”"

    def _known(self, systems: Systems) -> _Found | None:
        try:
            found = find_experiment(systems.tracking, self.experiment)
        except ExperimentMissing:
            return None
        return _Found(found.id, f"“{found.name}”", found.word, found.deleted)

    def _held(self, side: Database, live: Database) -> _Found | None:
        there = rows.row(side, _EXPERIMENT, self.experiment, self.experiment, self.experiment)
        if there is None:
            return None
        location, number, name = there
        holder = rows.row(live, "SELECT experiment_id FROM experiments WHERE name = %s", name)
        if holder:
            raise OperatorError(f"Another experiment (id {holder[0]}) has the name “{name}” now.", "Rename that first.")
        return _Found(number, f"“{name}”", str(number), location=location)


def _set(systems: Systems, wanted: str, *, unsigned: bool) -> Manifest:
    return sets.good(systems, wanted, part="database", unsigned=unsigned)


def _same_schema(systems: Systems, found: Manifest) -> None:
    assert found.database is not None
    now = systems.database.schema_revision()
    if found.database.alembic_revision != now:
        raise OperatorError(
            f"The backup {found.id} has the schema {found.database.alembic_revision}, MLflow's database {now}: rows do "
            "not go from one into the other.",
            "Use a backup that was made since MLflow was updated: /mlflow backup list.",
        )


def _artifacts_of_the_set(systems: Systems, found: Manifest, location: str, progress: Progress) -> str:
    if found.artifacts is None:
        return "; the backup holds no artifacts"
    progress.step("Copying its artifacts", of="Copy its artifacts")
    storage = systems.settings.ops.storage
    bucket, prefix = in_a_bucket(systems, location)
    if not prerequisites.has_bucket(systems.objects, bucket):
        raise OperatorError(f"There is no bucket {bucket}.", "See /mlflow recover.")
    wanted = artifacts.Wanted(
        storage.backups_bucket,
        found.name,
        storage.artifacts_bucket,
        prefix,
        sha256=found.artifacts.listing.sha256,
        bucket="" if bucket == storage.artifacts_bucket else bucket,
        keys=Keys.all_of(systems.settings),
    )
    try:
        done = artifacts.restore(systems.objects, wanted, progress, backups=systems.backups)
    finally:
        cache.stale(systems.redis)
    lost = f"; {count(done.lost_count, 'artifact')} could not be had: {done.lost[0]}" if done.lost else ""
    return f"; {count(done.added + done.replaced, 'artifact')} put back, {done.same:,} were there{lost}"
