"""Tags and parameters of one run.

Traps this avoids: MLflow cuts a tag's value that is too long and says nothing, so lengths are checked before
(mlflow/utils/validation.py); a parameter that is set can never be set to something else.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.late_answers import change
from workers.operations.runs.finding import Run, active
from workers.report import Report, Status
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.systems import Systems

KEY_CHARACTERS: Final = 250
TAG_CHARACTERS: Final = 8000
PARAMETER_CHARACTERS: Final = 6000
TOGETHER: Final = 100
"""mlflow/utils/validation.py: MAX_ENTITY_KEY_LENGTH, MAX_TAG_VAL_LENGTH, MAX_PARAM_VAL_LENGTH and
MAX_PARAMS_TAGS_PER_BATCH."""
_KEY: Final = re.compile(r"[/\w.\- :]+")
_UNSET: Final = "not set"
_UNDO_CHARACTERS: Final = 1000


def key_problem(key: str) -> str:
    """Why MLflow would not take this name of a tag or parameter; empty where it would."""
    if len(key) > KEY_CHARACTERS:
        return f"the name {key[:40]}… is {len(key)} characters long; MLflow takes {KEY_CHARACTERS}"
    if not _KEY.fullmatch(key):
        return f"the name “{key[:40]}” may hold letters, digits, spaces and _ - . : / only"
    if posixpath.normpath(key) != key or key.startswith(("/", "..")) or key == ".":
        return f"the name “{key[:40]}” is a path, and not in its shortest form"
    return ""


def _key(key: str) -> str:
    problem = key_problem(key)
    if problem:
        raise ValueError(problem)
    return key


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        _key(key)
        if len(value) > TAG_CHARACTERS:
            msg = f"the value of {key} is {len(value):,} characters long; MLflow would cut it at {TAG_CHARACTERS:,}"
            raise ValueError(msg)
    return tags


def _value(value: str) -> str:
    if len(value) > PARAMETER_CHARACTERS:
        msg = f"the value is {len(value):,} characters long; MLflow would cut it at {PARAMETER_CHARACTERS:,}"
        raise ValueError(msg)
    return value


class RunTag(Operation):
    """Set tags of a run. run_id: its id, the beginning of it, or its name."""

    name: ClassVar[str] = "runs-tag"
    risk: ClassVar[Risk] = Risk.CHANGE

    run_id: str
    tags: Annotated[dict[str, str], Field(min_length=1, max_length=TOGETHER), AfterValidator(_tags)]

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises AlreadySo where it is so."""
        run = active(systems.tracking, self.run_id)
        new = {key: value for key, value in self.tags.items() if run.tags.get(key) != value}
        if not new:
            raise AlreadySo(f"The run {run.called} has these tags already.", "Nothing to do.")
        return Plan(
            title="Tag a run",
            summary=f"{run.called}: {listed(new)}",
            steps=(f"Set {count(len(new), 'tag')} of the run {run.id}",),
            changes=tuple(
                Change(what=f"tag {key}", before=run.tags.get(key, _UNSET), after=value) for key, value in new.items()
            ),
            warnings=_system_tags(new),
            undo=_back(run, tuple(new)) or "set each tag as it was",
            facts={"run": run.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Set them in one call, so that all or none are set."""
        progress.step("Setting the tags")
        run = active(systems.tracking, self.run_id)
        tags = [{"key": key, "value": value} for key, value in self.tags.items()]
        change(
            systems.tracking,
            "runs/log-batch",
            {"run_id": run.id, "tags": tags},
            lambda: self.tags.items() <= active(systems.tracking, run.id).tags.items(),
            progress,
        )
        return Report(
            title="Tag a run",
            status=Status.OK,
            summary=f"{run.called} has {listed(f'{key}={value}' for key, value in self.tags.items())}.",
            hints=(f"runs show {run.short}",),
            undo=_back(run, tuple(self.tags)).removeprefix("/mlflow "),
        )


class RunUntag(Operation):
    """Remove tags of a run. run_id: its id, the beginning of it, or its name."""

    name: ClassVar[str] = "runs-untag"
    risk: ClassVar[Risk] = Risk.CHANGE

    run_id: str
    keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=TOGETHER)]

    def plan(self, systems: Systems) -> Plan:
        """What would go. Raises OperatorError where a tag is not there."""
        run = active(systems.tracking, self.run_id)
        held = self._held(run)
        return Plan(
            title="Untag a run",
            summary=f"{run.called}: {listed(held)}",
            steps=(f"Remove {count(len(held), 'tag')} of the run {run.id}",),
            changes=tuple(Change(what=f"tag {key}", before=run.tags[key], after=_UNSET) for key in held),
            warnings=_system_tags(held),
            undo=_back(run, held) or "set each tag as it was",
            facts={"run": run.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Remove them, one after the other: MLflow has no call for several."""
        progress.step("Removing the tags")
        run = active(systems.tracking, self.run_id)
        held = self._held(run)
        for key in held:
            body = {"run_id": run.id, "key": key}
            change(systems.tracking, "runs/delete-tag", body, partial(_without, systems, run, key), progress)
        return Report(
            title="Untag a run",
            status=Status.OK,
            summary=f"{run.called} no longer has {listed(held)}.",
            hints=(f"runs show {run.short}",),
            undo=_back(run, held).removeprefix("/mlflow "),
        )

    def _held(self, run: Run) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(self.keys))
        missing = [key for key in wanted if key not in run.tags]
        if len(missing) == len(wanted):
            raise AlreadySo(f"The run {run.called} has no tag {listed(missing)}.", "Nothing to do.")
        if missing:
            raise OperatorError(
                f"The run {run.called} has no tag {listed(missing)}.",
                f"See runs show {run.short}, and name the others.",
            )
        return wanted


class RunParam(Operation):
    """Give a run a parameter that it does not have. run_id: its id, the beginning of it, or its name."""

    name: ClassVar[str] = "runs-param"
    risk: ClassVar[Risk] = Risk.CHANGE

    run_id: str
    key: Annotated[str, AfterValidator(_key)]
    value: Annotated[str, AfterValidator(_value)]

    def plan(self, systems: Systems) -> Plan:
        """Raises OperatorError where the parameter has another value: MLflow never changes one."""
        run = active(systems.tracking, self.run_id)
        self._refuse_set(run)
        return Plan(
            title="Log a parameter",
            summary=f"{run.called}: {self.key}",
            steps=(f"Log the parameter {self.key} of the run {run.id}",),
            changes=(Change(what=f"parameter {self.key}", before=_UNSET, after=self.value),),
            warnings=("MLflow never changes nor removes a parameter: this cannot be undone.",),
            facts={"run": run.id},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Log it."""
        progress.step("Logging the parameter")
        run = active(systems.tracking, self.run_id)
        self._refuse_set(run)
        body = {"run_id": run.id, "key": self.key, "value": self.value}
        change(
            systems.tracking,
            "runs/log-parameter",
            body,
            lambda: active(systems.tracking, run.id).params.get(self.key) == self.value,
            progress,
        )
        return Report(
            title="Log a parameter",
            status=Status.OK,
            summary=f"{run.called} has {self.key}={self.value}, for good.",
            hints=(f"runs show {run.short}",),
        )

    def _refuse_set(self, run: Run) -> None:
        held = run.params.get(self.key)
        if held == self.value:
            raise AlreadySo(f"The parameter {self.key} of {run.called} is {held} already.", "Nothing to do.")
        if held is not None:
            pair = shlex.quote(f"{self.key}={self.value}")
            raise OperatorError(
                f"The parameter {self.key} of {run.called} is {held}, and MLflow never changes a parameter.",
                f"Say it with a tag, which can be changed: runs tag {run.short} {pair}",
            )


def _without(systems: Systems, run: Run, key: str) -> bool:
    return key not in active(systems.tracking, run.id).tags


def _back(run: Run, keys: tuple[str, ...]) -> str:
    """The command that makes these tags as they are now; empty where one command cannot."""
    held = [key for key in keys if key in run.tags]
    if not held:
        words = " ".join(shlex.quote(key) for key in keys)
        back = f"/mlflow runs untag {run.id} {words}"
    elif len(held) == len(keys):
        words = " ".join(shlex.quote(f"{key}={run.tags[key]}") for key in keys)
        back = f"/mlflow runs tag {run.id} {words}"
    else:
        return ""
    return back if len(back) <= _UNDO_CHARACTERS else ""


def _system_tags(keys: dict[str, str] | tuple[str, ...]) -> tuple[str, ...]:
    own = [key for key in keys if key.startswith("mlflow.") and key != "mlflow.note.content"]
    return (f"{listed(own)}: tags that begin with mlflow. are MLflow's own; its pages read them.",) if own else ()
