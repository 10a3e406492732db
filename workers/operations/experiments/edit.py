"""Experiments made, renamed, deleted and brought back.

Traps this avoids: deleting an experiment deletes its runs with it, and restoring it restores every run that it has,
also those that had been archived one by one before (mlflow/store/tracking/sqlalchemy_store.py); a deleted experiment
keeps its name, so the same name cannot be given again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.experiments.finding import Experiment, active, find, known, named, refuse_taken
from workers.operations.late_answers import ANSWER_SECONDS, OF_MANY_RUNS_SECONDS, change
from workers.report import Report, Status
from workers.systems.errors import TrackingTaken
from workers.systems.mlflow.run_counts import RunCount, run_counts
from workers.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.mlflow.tracking import Tracking

NAME_CHARACTERS: Final = 500
TAG_KEY_CHARACTERS: Final = 250
TAG_VALUE_CHARACTERS: Final = 20_000
"""mlflow/utils/validation.py: MAX_EXPERIMENT_NAME_LENGTH and its neighbours. (The column of tag values in PostgreSQL
takes fewer; MLflow says so.)"""


def _name(name: str) -> str:
    if not name.strip():
        msg = "a name must hold more than spaces"
        raise ValueError(msg)
    if len(name) > NAME_CHARACTERS:
        msg = f"the name is {len(name):,} characters long; MLflow takes {NAME_CHARACTERS}"
        raise ValueError(msg)
    return name


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if len(key) > TAG_KEY_CHARACTERS or len(value) > TAG_VALUE_CHARACTERS:
            msg = (
                f"the tag {key[:40]} is too long; MLflow takes {TAG_KEY_CHARACTERS} characters of a name and "
                f"{TAG_VALUE_CHARACTERS:,} of a value"
            )
            raise ValueError(msg)
    return tags


Name = Annotated[str, AfterValidator(_name)]


class ExperimentCreate(Operation):
    """Make an experiment. experiment: its name; location: where its artifacts go, else where the server says."""

    name: ClassVar[str] = "experiments-create"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("experiments",)

    experiment: Name
    location: str = ""
    tags: Annotated[dict[str, str], AfterValidator(_tags)] = Field(default_factory=dict)

    def plan(self, systems: Systems) -> Plan:
        """Raises OperatorError where the name is held, also by a deleted experiment."""
        refuse_taken(systems.tracking, self.experiment)
        where = self.location or "where MLflow puts artifacts by default"
        return Plan(
            title="Create an experiment",
            summary=f"“{self.experiment}”",
            steps=(f"Create the experiment “{self.experiment}”, artifacts {where}",),
            changes=(
                Change(what=f"experiment {self.experiment}", before="does not exist", after="active"),
                *(Change(what=f"tag {key}", before="not set", after=value) for key, value in self.tags.items()),
            ),
            undo="/mlflow experiments delete with its name",
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Make it; where somebody was faster, nothing is done."""
        progress.step(f"Creating {self.experiment}")
        body = {"name": self.experiment, "tags": [{"key": k, "value": v} for k, v in self.tags.items()]}
        tracking = systems.tracking
        try:
            change(
                tracking,
                "experiments/create",
                body | _location(self.location),
                lambda: named(tracking, self.experiment) is not None,
                progress,
            )
        except TrackingTaken:
            refuse_taken(tracking, self.experiment)
            raise
        made = find(tracking, self.experiment)
        return Report(
            title="Create an experiment",
            status=Status.OK,
            summary=f"“{made.name}” is there, with the id {made.id}.",
            hints=(f"experiments show {made.word}",),
            undo=f"experiments delete {made.id}",
        )


@dataclass(frozen=True)
class _Edit:
    """A change of one experiment: as it is told, and MLflow's call with its body. made: whether it looks done. undo: a
    command.
    """

    summary: str
    step: str
    change: Change
    warnings: tuple[str, ...]
    call: str
    body: dict[str, str]
    made: Callable[[Experiment], bool]
    outcome: str
    hint: str
    undo: str


class _ExperimentEdit(Operation):
    """An experiment that is there is found and changed by one call. headline: of plan and report; doing: as a step."""

    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("experiments", "runs")
    headline: ClassVar[str]
    doing: ClassVar[str]

    experiment: str

    def plan(self, systems: Systems) -> Plan:
        """Before → after, and what goes with it. Raises AlreadySo where it is so, OperatorError where it cannot be."""
        found = self._find(systems.tracking)
        edit = self._edit(found, _runs(systems, found) if "runs" in self.touches else None)
        return Plan(
            title=self.headline,
            summary=edit.summary,
            steps=(edit.step,),
            changes=(edit.change,),
            warnings=edit.warnings,
            undo=f"/mlflow {edit.undo}",
            facts={"experiment": found.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Change it. Raises as `plan` does, where somebody was faster."""
        progress.step(f"{self.doing} {self.experiment}")
        found = self._find(systems.tracking)
        edit = self._edit(found)
        tracking = systems.tracking.within(ANSWER_SECONDS)
        change(
            tracking,
            edit.call,
            edit.body,
            lambda: edit.made(known(tracking, found.id)),
            progress,
            wait_seconds=OF_MANY_RUNS_SECONDS,
        )
        return Report(title=self.headline, status=Status.OK, summary=edit.outcome, hints=(edit.hint,), undo=edit.undo)

    def _find(self, tracking: Tracking) -> Experiment:
        raise NotImplementedError

    def _edit(self, found: Experiment, runs: RunCount | None = None) -> _Edit:
        raise NotImplementedError


class ExperimentRename(_ExperimentEdit):
    """Give an experiment another name. experiment: its name or id."""

    name: ClassVar[str] = "experiments-rename"
    touches: ClassVar[tuple[str, ...]] = ("experiments",)
    headline: ClassVar[str] = "Rename an experiment"
    doing: ClassVar[str] = "Renaming"

    to: Name

    def _find(self, tracking: Tracking) -> Experiment:
        found = active(tracking, self.experiment)
        if found.name == self.to:
            raise AlreadySo(f"The experiment {found.id} is called “{self.to}” already.", "Nothing to do.")
        refuse_taken(tracking, self.to)
        return found

    def _edit(self, found: Experiment, runs: RunCount | None = None) -> _Edit:  # noqa: ARG002 - none are touched
        return _Edit(
            summary=f"“{found.name}” to “{self.to}”",
            step=f"Rename the experiment {found.id}",
            change=Change(what=f"name of experiment {found.id}", before=found.name, after=self.to),
            warnings=("Programs that log to it by its old name will make a new experiment of that name.",),
            call="experiments/update",
            body={"experiment_id": found.id, "new_name": self.to},
            made=lambda now: now.name == self.to,
            outcome=f"The experiment {found.id} is called “{self.to}”; it was “{found.name}”.",
            hint=f"experiments show {found.id}",
            undo=f"experiments rename {found.id} {found.word}",
        )


class ExperimentDelete(_ExperimentEdit):
    """Delete an experiment and its runs, as MLflow does it: they can be brought back. experiment: its name or id."""

    name: ClassVar[str] = "experiments-delete"
    headline: ClassVar[str] = "Delete an experiment"
    doing: ClassVar[str] = "Deleting"

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always
        """Always: the runs of others go with it."""
        return True

    def _find(self, tracking: Tracking) -> Experiment:
        found = find(tracking, self.experiment)
        if found.deleted:
            raise AlreadySo(f"The experiment “{found.name}” is deleted already.", "Nothing to do.")
        return found

    def _edit(self, found: Experiment, runs: RunCount | None = None) -> _Edit:
        warnings = ["Programs that log to it fail until it is restored: its name stays taken."]
        if runs and runs.deleted:
            warnings.append(
                f"{count(runs.deleted, 'run')} of it are deleted now; MLflow's restore would bring these back too."
            )
        return _Edit(
            summary=f"“{found.name}” with {count(runs.active, 'run') if runs else 'its runs'}",
            step=f"Delete the experiment {found.id} and its runs; nothing is removed from the disks",
            change=Change(what=f"experiment {found.name}", before="active", after="deleted"),
            warnings=tuple(warnings),
            call="experiments/delete",
            body={"experiment_id": found.id},
            made=lambda now: now.deleted,
            outcome=f"“{found.name}” and its runs are deleted; they can be brought back.",
            hint="experiments list --deleted",
            undo=f"experiments restore {found.id}",
        )


class ExperimentRestore(_ExperimentEdit):
    """Bring a deleted experiment back, with its runs. experiment: its name or id."""

    name: ClassVar[str] = "experiments-restore"
    headline: ClassVar[str] = "Restore an experiment"
    doing: ClassVar[str] = "Restoring"

    def _find(self, tracking: Tracking) -> Experiment:
        found = find(tracking, self.experiment)
        if not found.deleted:
            raise AlreadySo(f"The experiment “{found.name}” is active.", "Nothing to do.")
        return found

    def _edit(self, found: Experiment, runs: RunCount | None = None) -> _Edit:
        return _Edit(
            summary=f"“{found.name}” with {count(runs.deleted, 'run') if runs else 'its runs'}",
            step=f"Restore the experiment {found.id} and all of its runs",
            change=Change(what=f"experiment {found.name}", before="deleted", after="active"),
            warnings=("MLflow restores every run of it, also those that were deleted or archived before it was.",),
            call="experiments/restore",
            body={"experiment_id": found.id},
            made=lambda now: not now.deleted,
            outcome=f"“{found.name}” is active again, and so are its runs.",
            hint=f"experiments show {found.word}",
            undo=f"experiments delete {found.id}",
        )


def _location(location: str) -> dict[str, str]:
    return {"artifact_location": location} if location else {}


def _runs(systems: Systems, found: Experiment) -> RunCount | None:
    try:
        return run_counts(systems.database.within(10), [found.id])[found.id]
    except (OperatorError, ValueError):
        return None
