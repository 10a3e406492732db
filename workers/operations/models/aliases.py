"""A model's alias moved to another version, taken away, and brought back to the version before.

An alias is what serving asks for (models:/NAME@champion), so moving one takes a bad version out of service. MLflow
keeps no history of an alias: the version before is in our record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.late_answers import change
from workers.operations.models.finding import Model, Version, find, version
from workers.records import audit_log
from workers.records.record import Phase
from workers.report import Report, Status

if TYPE_CHECKING:
    from workers.systems import Systems

_ALIAS: Final = re.compile(r"[\w-]{1,255}")
_RESERVED: Final = re.compile(r"latest|v\d+", re.IGNORECASE)
"""mlflow/utils/validation.py: _validate_model_alias_name."""
_UNSET: Final = "not set"


def _alias(alias: str) -> str:
    bare = alias.removeprefix("@")
    if not _ALIAS.fullmatch(bare):
        msg = f"the alias “{alias[:40]}” may hold letters, digits, _ and - only"
        raise ValueError(msg)
    if _RESERVED.fullmatch(bare):
        msg = f"the alias “{bare}” is one that MLflow keeps for itself"
        raise ValueError(msg)
    return bare


Alias = Annotated[str, AfterValidator(_alias)]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]


class _Aliasing(Operation):
    """An alias of a model is changed. model: its name."""

    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("models",)

    model: str
    alias: Alias


class ModelAlias(_Aliasing):
    """Let an alias name this version. alias: with or without the @ before it."""

    name: ClassVar[str] = "models-alias"

    version: Number

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Set a model's alias"

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises AlreadySo where it is so, OperatorError where the version is not there."""
        found = find(systems.tracking, self.model)
        return _moving(self.title, found, self.alias, version(systems.tracking, found, self.version))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Set it, and read it back."""
        found = find(systems.tracking, self.model)
        return _moved(systems, progress, self.title, found, _To(self.alias, str(self.version)))


class ModelUnalias(_Aliasing):
    """Take an alias away; the version stays."""

    name: ClassVar[str] = "models-unalias"

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Remove a model's alias"

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises AlreadySo where the model has no such alias."""
        found = find(systems.tracking, self.model)
        now = self._now(found)
        return Plan(
            title=self.title,
            summary=f"{found.name}@{self.alias}, version {now}",
            steps=(f"Remove the alias {self.alias} of {found.name}",),
            changes=(Change(what=f"{found.name}@{self.alias}", before=f"version {now}", after=_UNSET),),
            warnings=(f"Clients that ask for models:/{found.name}@{self.alias} get an error from then on.",),
            undo=f"/mlflow {_back(found, self.alias)}",
            facts={"model": found.name, "alias": self.alias, "version": now},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Remove it."""
        found = find(systems.tracking, self.model)
        self._now(found)
        progress.step("Removing the alias")
        body = {"name": found.name, "alias": self.alias}
        change(
            systems.tracking,
            "registered-models/alias",
            body,
            lambda: self.alias not in find(systems.tracking, found.name).aliases,
            progress,
            verb="DELETE",
        )
        return Report(
            title=self.title,
            status=Status.OK,
            summary=_outcome(found, self.alias, ""),
            hints=(f"models show {found.word}",),
            undo=_back(found, self.alias),
        )

    def _now(self, found: Model) -> str:
        if self.alias not in found.aliases:
            known = ", ".join(found.aliases) or "none"
            raise AlreadySo(f"{found.name} has no alias {self.alias}.", f"It has {known}.")
        return found.aliases[self.alias]


class ModelRollback(_Aliasing):
    """Bring an alias back to the version that it named before, by our record."""

    name: ClassVar[str] = "models-rollback"

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Roll a model back"

    def plan(self, systems: Systems) -> Plan:
        """Which version, from which command. Raises OperatorError where the record does not tell one."""
        found = find(systems.tracking, self.model)
        before = self._before(systems, found)
        target = version(systems.tracking, found, int(before.version))
        plan = _moving(self.title, found, self.alias, target)
        return plan.model_copy(
            update={
                "warnings": (*plan.warnings, *before.warnings),
                "facts": {**plan.facts, "from the command": before.record},
            }
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Set it, and read it back."""
        progress.step("Reading the record")
        found = find(systems.tracking, self.model)
        before = self._before(systems, found)
        return _moved(systems, progress, self.title, found, _To(self.alias, before.version, back=True))

    def _before(self, systems: Systems, found: Model) -> _Before:
        now = found.aliases.get(self.alias, "")
        moves = _moves(systems, found.name, self.alias)
        by_us = next((move for move in moves if now and move.to == now and not move.is_rollback), None)
        if by_us is not None and by_us.before:
            return _Before(by_us.before, by_us.record)
        if by_us is not None:
            raise OperatorError(
                f"{found.name}@{self.alias} named no version before {now}.",
                f"Take it away: models unalias {found.word} {self.alias}",
            )
        last = next((move for move in moves if move.to and move.to != now), None)
        if last is None:
            raise OperatorError(
                f"The record of what was done here does not say which version {found.name}@{self.alias} named before.",
                f"Name one: models alias {found.word} {self.alias} VERSION",
            )
        told = f"Someone has moved {self.alias} to {now or 'nothing'} without us; {last.to} is what we set last."
        return _Before(last.to, last.record, (told,))


@dataclass(frozen=True)
class _To:
    """Which version an alias is to name; back: as it did before."""

    alias: str
    version: str
    back: bool = False


@dataclass(frozen=True)
class _Before:
    """The version before, and the record of the command that tells so."""

    version: str
    record: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Move:
    """A command that moved an alias. before: the version of before; empty for none. to: empty where it was removed."""

    record: str
    before: str
    to: str
    is_rollback: bool


def _moves(systems: Systems, model: str, alias: str) -> list[_Move]:
    """The commands that moved this alias, the newest first, by how they told their outcome."""
    told = re.compile(
        rf"{re.escape(f'{model}@{alias}')} is (?P<back>back at )?(?:version )?(?P<to>\d+|{_UNSET}); "
        rf"it was (?:version )?(?P<before>\d+|{_UNSET})\."
    )
    moves = []
    for entry in audit_log.entries(systems.redis):
        found = told.match(str(entry.event.get("outcome", ""))) if entry.event.get("what") == Phase.DONE else None
        if found:
            before, to = (word if word != _UNSET else "" for word in (found["before"], found["to"]))
            moves.append(_Move(str(entry.event.get("id", "")), before, to, bool(found["back"])))
    return moves[::-1]


def _outcome(found: Model, alias: str, to: str, *, back: bool = False) -> str:
    """What was done, as a sentence; `_moves` reads it in the audit record."""
    was = found.aliases.get(alias)
    now = f"{'back at ' if back else ''}version {to}" if to else _UNSET
    return f"{found.name}@{alias} is {now}; it was {f'version {was}' if was else _UNSET}."


def _back(found: Model, alias: str) -> str:
    """The command that makes the alias what it is now."""
    if alias in found.aliases:
        return f"models alias {found.word} {alias} {found.aliases[alias]}"
    return f"models unalias {found.word} {alias}"


def _moving(title: str, found: Model, alias: str, to: Version) -> Plan:
    now = found.aliases.get(alias, "")
    if now == to.number:
        raise AlreadySo(f"{found.name}@{alias} is version {now} already.", "Nothing to do.")
    not_ready = (f"Version {to.number} is not ready: {to.status}.",) if to.status not in {"READY", ""} else ()
    archived = (f"Version {to.number} is in the stage Archived.",) if to.stage == "Archived" else ()
    return Plan(
        title=title,
        summary=f"{found.name}@{alias}: {f'version {now}' if now else _UNSET} → version {to.number}",
        steps=(f"Let {found.name}@{alias} name version {to.number}", "Read it back"),
        changes=(
            Change(
                what=f"{found.name}@{alias}", before=f"version {now}" if now else _UNSET, after=f"version {to.number}"
            ),
        ),
        warnings=(
            *not_ready,
            *archived,
            "Who has loaded a version keeps it until it loads the model again.",
        ),
        undo=f"/mlflow {_back(found, alias)}",
        facts={"model": found.name, "alias": alias, "version": now, "source": to.source},
    )


def _moved(systems: Systems, progress: Progress, title: str, found: Model, to: _To) -> Report:
    alias, number = to.alias, to.version

    def named() -> str | None:
        return find(systems.tracking, found.name).aliases.get(alias)

    progress.step(f"Setting {found.name}@{alias}", of="Let ")
    body = {"name": found.name, "alias": alias, "version": number}
    change(systems.tracking, "registered-models/alias", body, lambda: named() == number, progress)
    progress.step("Reading it back", of="Read it back")
    now = named()
    if now != number:
        summary = f"{found.name}@{alias} is {f'version {now}' if now else _UNSET}, and should be version {number}."
        return Report(title=title, status=Status.FAIL, summary=summary, hints=(f"models show {found.word}",))
    return Report(
        title=title,
        status=Status.OK,
        summary=_outcome(found, alias, number, back=to.back),
        hints=(f"models show {found.word}",),
        undo=_back(found, alias),
    )
