"""Tags of a registered model, or of one of its versions; and a version's stage."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.late_answers import change
from workers.operations.models.finding import Model, find, version
from workers.operations.runs.tags import TOGETHER, key_problem
from workers.report import Report, Status
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.systems import Systems

VALUE_CHARACTERS: Final = 5000
"""mlflow/utils/validation.py: MAX_MODEL_REGISTRY_TAG_VALUE_LENGTH was 5,000 before it was raised."""
_UNSET: Final = "not set"
_UNDO_CHARACTERS: Final = 1000

Stage = Literal["None", "Staging", "Production", "Archived"]


def _key(key: str) -> str:
    if problem := key_problem(key):
        raise ValueError(problem)
    return key


def _tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        _key(key)
        if len(value) > VALUE_CHARACTERS:
            msg = f"the value of {key} is {len(value):,} characters long; MLflow takes {VALUE_CHARACTERS:,}"
            raise ValueError(msg)
    return tags


class _OfModel(Operation):
    """Something of a model, or of one of its versions. model: its name; version: 0 for the model itself."""

    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("models",)

    model: str
    version: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0

    def found(self, systems: Systems) -> tuple[Model, dict[str, str]]:
        """The model, and the tags that are meant. Raises OperatorError where it, or the version, is not there."""
        model = find(systems.tracking, self.model)
        return model, version(systems.tracking, model, self.version).tags if self.version else model.tags

    def has(self, systems: Systems, key: str, value: str | None) -> bool:
        """Whether the tag has this value now; None: whether it is gone."""
        return self.found(systems)[1].get(key) == value

    def called(self, model: Model) -> str:
        """As it is told."""
        return f"{model.name} version {self.version}" if self.version else model.name

    def body(self, model: Model, **more: str) -> dict[str, str]:
        """What MLflow is told."""
        return {"name": model.name, **({"version": str(self.version)} if self.version else {}), **more}

    @property
    def part(self) -> str:
        """The part of MLflow's interface that it belongs to."""
        return "model-versions" if self.version else "registered-models"

    def back(self, model: Model, held: dict[str, str], keys: tuple[str, ...]) -> str:
        """The command that makes these tags as they are now; empty where one command cannot."""
        of = f"{model.word}{f' --version {self.version}' if self.version else ''}"
        there = [key for key in keys if key in held]
        if not there:
            words = f"models untag {of} {' '.join(map(shlex.quote, keys))}"
        elif len(there) == len(keys):
            words = f"models tag {of} {' '.join(shlex.quote(f'{key}={held[key]}') for key in keys)}"
        else:
            return ""
        return words if len(words) <= _UNDO_CHARACTERS else ""


class ModelTag(_OfModel):
    """Set tags."""

    name: ClassVar[str] = "models-tag"

    tags: Annotated[dict[str, str], Field(min_length=1, max_length=TOGETHER), AfterValidator(_tags)]

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Tag a model"

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises AlreadySo where it is so."""
        model, held = self.found(systems)
        new = {key: value for key, value in self.tags.items() if held.get(key) != value}
        if not new:
            raise AlreadySo(f"{self.called(model)} has these tags already.", "Nothing to do.")
        back = self.back(model, held, tuple(new))
        return Plan(
            title=self.title,
            summary=f"{self.called(model)}: {listed(new)}",
            steps=(f"Set {count(len(new), 'tag')} of {self.called(model)}",),
            changes=tuple(Change(what=f"tag {key}", before=held.get(key, _UNSET), after=new[key]) for key in new),
            undo=f"/mlflow {back}" if back else "set each tag as it was",
            facts={"model": model.name, "version": self.version},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Set them, one after the other: MLflow has no call for several."""
        progress.step("Setting the tags")
        model, held = self.found(systems)
        for key, value in self.tags.items():
            method, body = f"{self.part}/set-tag", self.body(model, key=key, value=value)
            change(systems.tracking, method, body, partial(self.has, systems, key, value), progress)
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{self.called(model)} has {listed(f'{key}={value}' for key, value in self.tags.items())}.",
            hints=(f"models show {model.word}",),
            undo=self.back(model, held, tuple(self.tags)),
        )


class ModelUntag(_OfModel):
    """Remove tags."""

    name: ClassVar[str] = "models-untag"

    keys: Annotated[tuple[str, ...], Field(min_length=1, max_length=TOGETHER)]

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Untag a model"

    def plan(self, systems: Systems) -> Plan:
        """What would go. Raises AlreadySo where none of them is there."""
        model, held = self.found(systems)
        keys = self._there(model, held)
        back = self.back(model, held, keys)
        return Plan(
            title=self.title,
            summary=f"{self.called(model)}: {listed(keys)}",
            steps=(f"Remove {count(len(keys), 'tag')} of {self.called(model)}",),
            changes=tuple(Change(what=f"tag {key}", before=held[key], after=_UNSET) for key in keys),
            undo=f"/mlflow {back}" if back else "set each tag as it was",
            facts={"model": model.name, "version": self.version},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Remove them."""
        progress.step("Removing the tags")
        model, held = self.found(systems)
        keys = self._there(model, held)
        for key in keys:
            method, body = f"{self.part}/delete-tag", self.body(model, key=key)
            change(systems.tracking, method, body, partial(self.has, systems, key, None), progress, verb="DELETE")
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{self.called(model)} no longer has {listed(keys)}.",
            hints=(f"models show {model.word}",),
            undo=self.back(model, held, keys),
        )

    def _there(self, model: Model, held: dict[str, str]) -> tuple[str, ...]:
        keys = tuple(key for key in dict.fromkeys(self.keys) if key in held)
        if not keys:
            raise AlreadySo(f"{self.called(model)} has no tag {listed(self.keys)}.", "Nothing to do.")
        return keys


class ModelStage(_OfModel):
    """Put a version into a stage; other versions keep theirs."""

    name: ClassVar[str] = "models-stage"

    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    stage: Stage

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Set a model version's stage"

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises AlreadySo where it is so."""
        model = find(systems.tracking, self.model)
        now = version(systems.tracking, model, self.version).stage
        if now == self.stage:
            raise AlreadySo(f"{self.called(model)} is in the stage {now} already.", "Nothing to do.")
        return Plan(
            title=self.title,
            summary=f"{self.called(model)}: {now} → {self.stage}",
            steps=(f"Put {self.called(model)} into the stage {self.stage}",),
            changes=(Change(what=f"stage of {self.called(model)}", before=now, after=self.stage),),
            warnings=("MLflow means to give stages up: an alias does the same (models alias).",),
            undo=f"/mlflow models stage {model.word} {self.version} {now}",
            facts={"model": model.name, "version": self.version},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Set it."""
        progress.step("Setting the stage")
        model = find(systems.tracking, self.model)
        now = version(systems.tracking, model, self.version).stage
        # MLflow's own default for the last: the others stay where they are.
        body = {**self.body(model, stage=self.stage), "archive_existing_versions": False}
        change(
            systems.tracking,
            "model-versions/transition-stage",
            body,
            lambda: version(systems.tracking, model, self.version).stage == self.stage,
            progress,
        )
        return Report(
            title=self.title,
            status=Status.OK,
            summary=f"{self.called(model)} is in the stage {self.stage}.",
            hints=(f"models show {model.word}",),
            undo=f"models stage {model.word} {self.version} {now}",
        )
