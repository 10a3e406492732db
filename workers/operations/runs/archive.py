"""Old runs archived, as MLflow's own (soft) deletion, and exactly these brought back.

In MLflow's own database this is one statement for hundreds of runs; where we have not got it, it is two calls of
MLflow's API for each. A run is marked with a tag in the same statement, or before it is deleted, because a deleted run
takes no tag. The mark follows from what was asked for and up to which day. So an archiving that was killed goes on
under the same mark where it is asked for again that day, and one `runs unarchive` brings back what both have taken, and
nothing else that was deleted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk, planning
from workers.operations.runs import batches, sources
from workers.operations.runs.csv_file import Sheet
from workers.operations.runs.finding import Run, experiments_by_id, search
from workers.operations.runs.pace import Retrying, Tally, over
from workers.operations.runs.selection import Selection, choose, fingerprint, of_runs
from workers.operations.runs.sources import ArchiveFilter
from workers.records.store import Records
from workers.report import Report, Status, Table
from workers.systems.errors import TrackingInvalid, TrackingMissing
from workers.wording import count, listed, thousands

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.mlflow.tracking import Tracking

TAG: Final = "mlflow-ops.archived"
RUNS_A_SECOND: Final = 40
"""What one small MLflow server takes; for the estimate only."""
_SHOWN: Final = 50

RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class RunsArchive(Operation):
    """Archive the runs that began before a day (UTC).

    experiment: a name or id, else all; except_tags: runs with one of these stay, None for any value; statuses: these
    only.
    """

    name: ClassVar[str] = "runs-archive"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("runs",)
    timeout_seconds: ClassVar[int] = 4 * 3600

    before: date
    experiment: str = ""
    except_tags: dict[str, str | None] = Field(default_factory=dict)
    statuses: tuple[RunStatus, ...] = ()

    _chosen: Selection | None = PrivateAttr(None)

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Archive runs"

    @property
    def mark(self) -> str:
        """What each run archived by this is tagged with: the same for the same request up to the same day."""
        asked = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return f"{self.before:%y%m%d}-{hashlib.sha256(asked.encode()).hexdigest()[:6]}"

    def plan(self, systems: Systems) -> Plan:
        """Which runs, by experiment, and which not. Raises AlreadySo where there is none to archive."""
        progress = planning()
        progress.step("Choosing the runs")
        chosen = choose(systems, self._wanted(), progress)
        self._chosen = chosen
        day = f"{self.before:%Y-%m-%d} 00:00 UTC"
        stay = tuple(left.told(why) for why, left in sorted(chosen.left.items()))
        if not chosen.rows:
            raise AlreadySo(
                f"There is no active run to archive that began before {day}.",
                " ".join(stay) or "Nothing to do.",
            )
        counted = chosen.by_experiment()
        rows = tuple((name, thousands(number)) for name, number in counted.items())
        total = len(chosen.rows)
        sheet = Sheet(("experiment_id", "experiment", "run_id", "started"))
        for row in chosen.rows:
            started = datetime.fromtimestamp(row.start_ms / 1000, UTC).isoformat(timespec="seconds")
            sheet.row((row.experiment, chosen.experiments[row.experiment], row.id, started))
        cut = (f"The file lists all but {sheet.left_out:,} of them: it would be too large.",) if sheet.left_out else ()
        return Plan(
            title=self.title,
            summary=f"{count(total, 'run')} of {count(len(counted), 'experiment')} that began before {day}",
            steps=(
                (
                    f"Mark each of the {total:,} runs with the tag {TAG}={self.mark}, and delete it as MLflow does: it "
                    "can be brought back until it is purged"
                ),
                "Read back that all of them are archived",
            ),
            changes=tuple(
                Change(what=f"runs of {name}", before="active", after=f"{number:,} archived")
                for name, number in list(counted.items())[:_SHOWN]
            ),
            warnings=(*stay, *of_runs(systems, chosen.ids, "stay"), *cut),
            undo=f"/mlflow runs unarchive {self.mark}",
            estimate_seconds=float(max(1, total // RUNS_A_SECOND)),
            sections=(Table(title="By experiment", columns=("experiment", "runs"), rows=rows, numeric=("runs",)),),
            facts={"runs": total, "run ids": chosen.fingerprint, "before": day, "mark": self.mark},
            attachments=(sheet.file(f"archive-{self.mark}.csv"),),
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Archive exactly what was planned, and read it back."""
        progress.step("Choosing the runs")
        chosen = self._chosen or choose(systems, self._wanted(), progress)
        total = len(chosen.rows)
        tracking = systems.tracking
        progress.step(f"Archiving {count(total, 'run')} (mark {self.mark})", of="Mark each")
        tally = Tally()
        try:
            _archive(systems, chosen.ids, self.mark, tally, progress)
        except Cancelled:
            raise Cancelled(
                f"{count(tally.done, 'run')} of {total:,} are archived; runs unarchive {self.mark} brings them back."
            ) from None
        except OperatorError as error:
            return self._report(Status.FAIL, f"It broke off after {tally.done:,} of {count(total, 'run')}: {error}")
        progress.step("Reading back what is archived", of="Read back")
        there = {run.id for run in Retrying()(lambda: asked_back(tracking, self.mark)) if run.deleted}
        missing = set(chosen.ids) - there - set(tally.gone)
        if missing:
            return self._report(Status.FAIL, f"{count(len(missing), 'run')} of {total:,} are still active.")
        gone = f" {count(len(tally.gone), 'run')} had been deleted by others meanwhile." if tally.gone else ""
        status = Status.WARN if tally.gone else Status.OK
        return self._report(status, f"{count(tally.done, 'run', 'are')} archived under the mark {self.mark}.{gone}")

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - the mark tells more
        """How far a killed run came."""
        done = sum(run.deleted for run in sources.marked(systems, TAG, self.mark))
        if not done:
            return "No run was archived."
        return (
            f"{count(done, 'run', 'are')} archived under the mark {self.mark}. Asked for again today, it goes on; "
            f"runs unarchive {self.mark} brings them back."
        )

    def _report(self, status: Status, summary: str) -> Report:
        again = ("Ask again: it goes on under the same mark.",) if status is Status.FAIL else ()
        return Report(
            title=self.title,
            status=status,
            summary=" ".join((summary, *again)),
            hints=("experiments list",),
            undo=f"runs unarchive {self.mark}",
        )

    def _wanted(self) -> ArchiveFilter:
        midnight = datetime(self.before.year, self.before.month, self.before.day, tzinfo=UTC)
        return ArchiveFilter(
            before_ms=int(midnight.timestamp() * 1000),
            experiment=self.experiment,
            statuses=self.statuses,
            except_tags=tuple(sorted(self.except_tags.items(), key=lambda item: item[0])),
        )


def _as_mark(word: str) -> str:
    if not re.fullmatch(r"\d{6}-[0-9a-f]{6}|[0-9a-f]{10}", word):
        msg = f"“{word[:40]}” is neither a mark, such as 261130-0a1b2c, nor the id of a command; its thread has both"
        raise ValueError(msg)
    return word


class RunsUnarchive(Operation):
    """Bring back the runs that one archiving has taken. mark: as that one has told it; or the id of its command."""

    name: ClassVar[str] = "runs-unarchive"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("runs",)
    timeout_seconds: ClassVar[int] = 4 * 3600

    mark: Annotated[str, AfterValidator(_as_mark)]

    _marked: tuple[list[str], list[str]] | None = PrivateAttr(None)

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Unarchive runs"

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always
        """Always: it may be thousands of runs of others."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """Which runs come back. Raises AlreadySo where all are active, OperatorError for an unknown mark."""
        mark = self._mark(systems)
        planning().step("Looking for the runs")
        counted: dict[str, int] = {}
        back: list[str] = []
        strays: list[str] = []
        asleep: dict[str, int] = {}
        for run in sources.marked(systems, TAG, mark):
            of = run.experiment_name
            if not run.deleted:
                strays.append(run.id)
            elif run.asleep:
                asleep[of] = asleep.get(of, 0) + 1
            else:
                back.append(run.id)
                counted[of] = counted.get(of, 0) + 1
        if not back:
            self._refuse(mark, strays, asleep)
        self._marked = (sorted(back), strays)
        return Plan(
            title=self.title,
            summary=f"{count(len(back), 'run')} that were archived under the mark {mark}",
            steps=(f"Restore each of the {len(back):,} runs, and take its tag {TAG} away",),
            changes=tuple(
                Change(what=f"runs of {name}", before=f"{number:,} archived", after="active")
                for name, number in sorted(counted.items())[:_SHOWN]
            ),
            warnings=tuple(
                f"{count(number, 'run', 'stay')}: their experiment {name} is deleted. Restore it first."
                for name, number in sorted(asleep.items())
            ),
            estimate_seconds=float(max(1, len(back) // RUNS_A_SECOND)),
            facts={"runs": len(back), "run ids": fingerprint(back), "mark": mark},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Bring them back; what was done already is not done again."""
        if self._marked is None:
            progress.step("Looking for the runs")
            self.plan(systems)
        assert self._marked is not None
        back, strays = self._marked
        progress.step(f"Restoring {count(len(back), 'run')}")
        tally = Tally()
        try:
            _restore(systems, (back, strays), self._mark(systems), tally, progress)
        except Cancelled:
            raise Cancelled(f"{count(tally.done, 'run', 'are')} active again; asked for again, it goes on.") from None
        except OperatorError as error:
            summary = f"It broke off after {count(tally.done, 'run')}: {error} Ask again: it goes on."
            return Report(title=self.title, status=Status.FAIL, summary=summary)
        gone = f" {count(len(tally.gone), 'run', 'are')} not there any more." if tally.gone else ""
        restored = len(back) - len(set(back) & set(tally.gone))
        return Report(
            title=self.title,
            status=Status.WARN if gone else Status.OK,
            summary=f"{count(restored, 'run', 'are')} active again.{gone}",
            hints=("experiments list",),
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:  # noqa: ARG002 - the mark tells more
        """How many are still archived."""
        mark = self._mark(systems)
        left = sum(run.deleted for run in sources.marked(systems, TAG, mark))
        return f"{count(left, 'run', 'are')} still archived under the mark {mark}; asked for again, it goes on."

    def _mark(self, systems: Systems) -> str:
        """The mark itself, or that of the archiving which bears this command's id."""
        if "-" in self.mark:
            return self.mark
        record = Records(systems.redis).get(self.mark)
        if record is None or record.operation != RunsArchive.name:
            raise OperatorError(
                f"No command {self.mark} is known that has archived runs.", "See jobs, or give the mark of its runs."
            )
        return RunsArchive.model_validate(record.arguments).mark

    def _refuse(self, mark: str, strays: list[str], asleep: dict[str, int]) -> None:
        if asleep:
            raise OperatorError(
                f"The runs under the mark {mark} belong to deleted experiments: {listed(asleep)}.",
                "Restore the experiment: that brings all of its runs back.",
            )
        if strays:
            raise AlreadySo(f"All runs under the mark {mark} are active.", "Nothing to do.")
        raise OperatorError(
            f"No run bears the mark {mark}.",
            "The archiving's thread names its mark; its runs may be back already.",
        )


def asked_back(tracking: Tracking, mark: str) -> list[Run]:
    """The runs that bear a mark, of all experiments, as MLflow itself says after they were archived."""
    experiments = experiments_by_id(tracking, "ALL")
    return list(search(tracking, experiments, f"tags.`{TAG}` = '{mark}'", view="ALL", gently=True))


def _archive(systems: Systems, ids: Sequence[str], mark: str, tally: Tally, progress: Progress) -> None:
    """In MLflow's tables where we have them, else call by call."""
    store = batches.states(systems, ids)
    if store is None:
        over(ids, _archiver(systems.tracking, mark), tally, progress, total=len(ids))
        return
    batches.over(systems, ids, lambda some: store.archive(some, TAG, mark), tally, progress, total=len(ids))


def _restore(
    systems: Systems, found: tuple[Sequence[str], Sequence[str]], mark: str, tally: Tally, progress: Progress
) -> None:
    """The same back; from strays, the second of what was found, only the mark is taken."""
    back, strays = found
    every = [*back, *strays]
    store = batches.states(systems, every)
    if store is None:
        over(every, _restorer(systems.tracking), tally, progress, total=len(every))
        return
    active = set(strays)

    def restore(some: Sequence[str]) -> set[str]:
        return store.restore(some, TAG, mark) | (active & set(some))

    batches.over(systems, every, restore, tally, progress, total=len(every))


def _archiver(tracking: Tracking, mark: str) -> Callable[[str, Retrying], bool]:
    tracking = tracking.afresh()

    def archive(run_id: str, patient: Retrying) -> bool:
        tag = {"run_id": run_id, "key": TAG, "value": mark}
        try:
            patient(lambda: tracking.call("runs/set-tag", tag))
            patient(lambda: tracking.call("runs/delete", {"run_id": run_id}))
        except (TrackingMissing, TrackingInvalid):
            return False
        return True

    return archive


def _restorer(tracking: Tracking) -> Callable[[str, Retrying], bool]:
    tracking = tracking.afresh()

    def restore(run_id: str, patient: Retrying) -> bool:
        try:
            patient(lambda: tracking.call("runs/restore", {"run_id": run_id}))
        except (TrackingMissing, TrackingInvalid):
            return False
        try:
            patient(lambda: tracking.call("runs/delete-tag", {"run_id": run_id, "key": TAG}))
        except (TrackingMissing, TrackingInvalid):
            # A call that was made twice found the tag gone.
            return True
        return True

    return restore
