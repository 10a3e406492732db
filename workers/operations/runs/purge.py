"""Archived runs removed for good, by MLflow's own `mlflow gc`, once a backup holds them.

Nothing brings a purged run back but that backup. So it must be young and whole before anything is removed, and the
report says which one it was. The Job gets the ids that were approved, and no rule that could find others by then.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field, PrivateAttr

from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk, planning
from workers.operations.backup import sets
from workers.operations.backup.explaining import GONE
from workers.operations.backup.signing import Trust
from workers.operations.backup.verify import verified
from workers.operations.deployment.update import image_of
from workers.operations.runs.candidates import Candidates, PurgeFilter, choose
from workers.operations.runs.csv_file import Sheet
from workers.operations.runs.mlflow_gc import CHUNK, PurgeProgress, purge, require_room_for_gc
from workers.operations.runs.selection import of_runs
from workers.operations.storage import cache
from workers.operations.storage.locations import place_of, proxied_to
from workers.report import Facts, Report, Section, Status, Table
from workers.systems.errors import TrackingMissing
from workers.systems.mlflow.deleted_runs import DeletedRun, DeletedRuns
from workers.wording import agreeing, count, duration, listed, moment, thousands

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems

MOST_NAMED: Final = 100
RUNS_A_SECOND: Final = 10
BEGIN_SECONDS: Final = 20
"""What a small MLflow takes, and a Job's beginning; for the estimate only."""
_SHOWN: Final = 50
_MAKE_ONE: Final = "Make one: /mlflow backup."
_ASKED_AGAIN: Final = 20
"""Runs of which MLflow and the store are asked whether they are gone; the database is asked of all."""


class RunsPurge(Operation):
    """Purge the runs that were deleted before a day (UTC).

    before: None where runs are named. experiment: a name or id, else all active ones; runs: these only.
    """

    name: ClassVar[str] = "runs-purge"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("runs", "artifacts", "backup")
    timeout_seconds: ClassVar[int] = 8 * 3600
    approvers: ClassVar[int] = 2

    before: date | None
    experiment: str = ""
    runs: Annotated[tuple[str, ...], Field(max_length=MOST_NAMED)] = ()

    _chosen: Candidates | None = PrivateAttr(None)

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Purge runs"

    def plan(self, systems: Systems) -> Plan:
        """Which runs, by experiment, which not, and which backup holds them.

        Raises AlreadySo where there is none to purge, and OperatorError without a young backup, or room for a Job.
        """
        progress = planning()
        progress.step("Looking for the backup that holds the runs")
        backup = young_backup(systems)
        progress.step("Choosing the runs")
        chosen = choose(systems, self._asked(), backup.started_at)
        self._chosen = chosen
        stay = tuple(left.told(why) for why, left in sorted(chosen.left.items()))
        if not chosen.runs:
            bound = f" that was deleted before {self.before}" if self.before else ""
            raise AlreadySo(f"There is no run to purge{bound}.", " ".join(stay) or "Nothing to do.")
        names = systems.settings.ops.kubernetes
        deployment = systems.cluster.deployment(names.deployment)
        image = image_of(deployment, names.container)
        require_room_for_gc(systems, image)
        counted, total = chosen.by_experiment(), len(chosen.runs)
        sheet = _sheet(chosen)
        cut = (f"The file lists all but {sheet.left_out:,} of them: it would be too large.",) if sheet.left_out else ()
        jobs = -(-total // CHUNK)
        return Plan(
            title=self.title,
            summary=f"{count(total, 'run')} of {count(len(counted), 'experiment')}, for good",
            steps=(
                "Verify the newest backup, which must hold the runs and be within the RPO",
                f"Run mlflow gc for these {total:,} runs and nothing else, in {count(jobs, 'Job')} of {image}",
                "Ask the database, MLflow and the store whether they are gone",
            ),
            changes=tuple(
                Change(what=f"deleted runs of {name}", before=f"{number:,} can be brought back", after="gone for good")
                for name, number in list(counted.items())[:_SHOWN]
            ),
            warnings=(
                "MLflow cannot undo this: metrics, parameters, tags and artifacts of these runs are removed.",
                f"Only the backup {backup.id} can bring one back, and only for as long as it is kept.",
                *of_runs(systems, chosen.ids, "stay"),
                *_credentials(systems, deployment),
                *stay,
                *cut,
            ),
            undo=f"none; one run at a time with /mlflow restore run RUN --from {backup.id}",
            estimate_seconds=float(jobs * BEGIN_SECONDS + total // RUNS_A_SECOND),
            sections=(_by_experiment(counted), _about(backup)),
            facts={
                "runs": total,
                "run ids": chosen.fingerprint,
                "deleted before": str(self.before or "any day"),
                "image": image,
                **({"these": list(chosen.ids)} if self.runs else {}),
            },
            attachments=(sheet.file("purge.csv"),),
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Verify the backup, purge exactly what was planned, and ask whether it is gone."""
        backup = young_backup(systems)
        chosen = self._chosen or choose(systems, self._asked(), backup.started_at)
        progress.step(f"Verifying the backup {backup.id}", of="Verify the newest backup")
        seen = verified(systems, backup.name, progress, deep=False)
        if seen.status is not Status.OK:
            raise OperatorError(f"Nothing was purged: the backup {backup.id} is not good. {seen.summary}", _MAKE_ONE)
        store = DeletedRuns(systems.database)
        experiments, _, _ = store.counts()
        progress.step(f"mlflow gc: {count(len(chosen.runs), 'run')}", of="Run mlflow gc")
        purged = PurgeProgress()
        try:
            purge(systems, progress, chosen.ids, purged)
        except Cancelled:
            told = f"{purged.done:,} of {count(len(chosen.runs), 'run')} are purged, the others are as they were."
            raise Cancelled(told) from None
        except OperatorError as error:
            return self._report(
                Status.FAIL, f"It broke off after {count(purged.done, 'run')} of {len(chosen.runs):,}: {error}", backup
            )
        finally:
            cache.stale(systems.redis)
        progress.step("Asking whether they are gone", of="Ask the database")
        wrong = _still_there(systems, chosen, purged)
        after, _, _ = store.counts()
        if after < experiments:
            wrong.append(f"there were {count(experiments, 'experiment')} before, and {after:,} are left")
        if wrong:
            told = f"{count(purged.done, 'run', 'are')} purged, but {'; '.join(wrong)}."
            return self._report(Status.FAIL, told, backup, chosen)
        back = len(purged.kept)
        kept = f" {count(back, 'run', 'were')} brought back meanwhile, and {agreeing(back, 'stay')}." if back else ""
        gone = f" {count(len(purged.gone), 'run')} had been purged by others." if purged.gone else ""
        status = Status.WARN if kept or gone else Status.OK
        return self._report(
            status, f"{count(purged.done, 'run')} {GONE}, with their artifacts.{kept}{gone}", backup, chosen
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """How many of those that were planned are left."""
        before, these = int(str(planned.facts["runs"])), planned.facts.get("these")
        try:
            if isinstance(these, list):
                left = len(DeletedRuns(systems.database).states(list(map(str, these))))
            else:
                left = len(choose(systems, self._asked(), young_backup(systems).started_at).runs)
        except OperatorError:
            return "How many runs are purged is not known; a Job that has started goes on to the end of its runs."
        if not left:
            return f"All {before:,} runs are purged."
        return (
            f"{before - left:,} of {before:,} runs are purged, the others are still there, deleted. A Job that had "
            "begun goes on to the end of its runs; asked for again, the rest is purged."
        )

    def _report(self, status: Status, summary: str, backup: Manifest, chosen: Candidates | None = None) -> Report:
        first = chosen.ids[0] if chosen else "RUN"
        return Report(
            title=self.title,
            status=status,
            summary=summary,
            sections=(_by_experiment(chosen.by_experiment()), _about(backup)) if chosen else (_about(backup),),
            hints=(f"restore run {first} --from {backup.id}", f"backup show {backup.id}", "storage"),
        )

    def _asked(self) -> PurgeFilter:
        day = self.before
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None
        return PurgeFilter(
            before=day,
            before_ms=int(moment.timestamp() * 1000) if moment else None,
            experiment=self.experiment,
            runs=self.runs,
        )


def young_backup(systems: Systems) -> Manifest:
    """The newest good set that holds database and artifacts. Raises OperatorError where it is older than the RPO."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    trust = Trust.of(systems.settings)
    for name in reversed(sets.names(objects, bucket)):
        found = sets.look(objects, bucket, name, trust).manifest
        whole = found and found.database and found.artifacts and not found.shrunk
        if found and whole and not sets.drilled_badly(objects, bucket, name):
            break
    else:
        raise OperatorError(
            f"Nothing is purged without a backup of database and artifacts, and {bucket} has none.", _MAKE_ONE
        )
    allowed = systems.settings.ops.health.thresholds.backup_age_fail_seconds
    age = (datetime.now(UTC) - found.finished_at).total_seconds()
    if age > allowed:
        raise OperatorError(
            f"Nothing is purged on a backup that is {duration(age)} old: {duration(allowed)} are allowed (the RPO).",
            _MAKE_ONE,
        )
    return found


def _about(backup: Manifest) -> Section:
    made = moment(backup.finished_at)
    return Facts(title="The backup that holds them", items=(("id", backup.id), ("finished", made)))


def _by_experiment(counted: dict[str, int]) -> Section:
    rows = tuple((name, thousands(number)) for name, number in counted.items())
    return Table(title="By experiment", columns=("experiment", "runs"), rows=rows, numeric=("runs",))


def _sheet(chosen: Candidates) -> Sheet:
    sheet = Sheet(("experiment_id", "experiment", "run_id", "run", "deleted", "artifacts"))
    for run in chosen.runs:
        deleted = datetime.fromtimestamp((run.deleted_ms or 0) / 1000, UTC).isoformat(timespec="seconds")
        sheet.row((run.experiment, run.experiment_name, run.id, run.name, deleted, run.artifacts))
    return sheet


def _credentials(systems: Systems, deployment: dict[str, object]) -> tuple[str, ...]:
    """What we need to be let in by MLflow, gc's calls for proxied artifacts need too, in MLflow's own container."""
    environment = systems.settings.environment
    needs = {
        "MLFLOW_TRACKING_USERNAME": environment.mlflow_tracking_username,
        "MLFLOW_TRACKING_TOKEN": environment.mlflow_tracking_token,
        "MLFLOW_TRACKING_CLIENT_CERT_PATH": environment.mlflow_tracking_client_cert_path,
    }
    missing = [name for name, value in needs.items() if value is not None and name not in str(deployment)]
    if not missing or "envFrom" in str(deployment):
        return ()
    told = f"We need {listed(missing)} to be let in by MLflow, and its container has none: gc removes artifacts"
    return (f"{told} through MLflow, which would turn it away before it has removed anything.",)


def _still_there(systems: Systems, chosen: Candidates, purged: PurgeProgress) -> list[str]:
    """What says that something of a purged run is left."""
    kept = set(purged.kept)
    due = [run for run in chosen.runs if run.id not in kept]
    wrong = []
    rows = DeletedRuns(systems.database).states([run.id for run in due])
    if rows:
        wrong.append(f"{count(len(rows), 'run', 'are')} still in the database")
    known = [run.called for run in due[:_ASKED_AGAIN] if _known(systems, run)]
    if known:
        wrong.append(f"MLflow still knows {known[0]}")
    holding = [run.called for run in due[:_ASKED_AGAIN] if _holds(systems, run)]
    if holding:
        wrong.append(f"the store still has artifacts of {holding[0]}")
    return wrong


def _known(systems: Systems, run: DeletedRun) -> bool:
    try:
        systems.tracking.ask("runs/get", run_id=run.id)
    except TrackingMissing:
        return False
    return True


def _holds(systems: Systems, run: DeletedRun) -> bool:
    place = place_of(run.artifacts, lambda: proxied_to(systems))
    if place is None or not place[1]:
        return False
    try:
        return systems.objects.any(*place)
    except OperatorError:
        return False
