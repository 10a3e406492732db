"""Artifacts, database and configuration of one set, one after the other: each as its own command would do it.

Artifacts first, because they only add; the database next, whose switch can be undone; the configuration last. Where one
fails, those behind it are not begun.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import sets
from workers.operations.restore import auth, switching
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.operations.restore.configuration import RestoreConfiguration
from workers.operations.restore.database import RestoreDatabase
from workers.report import Report, Section, Status, Text
from workers.wording import listed

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems


class RestoreAll(Operation):
    """Restore all that a set holds, in the place of what is there. set: an id or latest."""

    name: ClassVar[str] = "restore-all"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("artifacts", "database", "deployment", "configuration", "backup")
    timeout_seconds: ClassVar[int] = 12 * 3600
    approvers: ClassVar[int] = 2

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    from_elsewhere: bool = False
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """The plans of its parts, one behind the other. Raises OperatorError where one of them cannot be done."""
        found = self._found(systems)
        plans = [plan for _, plan in self._plans(systems, found)]
        if not plans:
            raise AlreadySo("All is as the backup holds it.", "Nothing to do.")
        return Plan(
            title="Restore everything",
            summary="; ".join(f"{plan.title.removeprefix('Restore ')}: {plan.summary}" for plan in plans),
            steps=tuple(step for plan in plans for step in plan.steps),
            changes=tuple(change for plan in plans for change in plan.changes),
            warnings=tuple(
                dict.fromkeys(
                    (
                        *sets.cautions(systems, self.set, found, part="database"),
                        *(warning for plan in plans for warning in plan.warnings),
                        *(each for each in (auth.left_out(systems, found),) if each),
                    )
                )
            ),
            undo="; ".join(plan.undo for plan in plans if plan.undo),
            estimate_seconds=sum(plan.estimate_seconds or 0 for plan in plans),
            sections=tuple(section for plan in plans for section in plan.sections),
            facts={plan.title: plan.facts for plan in plans},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do them in turn. Raises OperatorError of the first that cannot be done, saying which are done already."""
        done: list[str] = []
        sections: list[Section] = []
        undo, worst = "", Status.OK
        found = self._found(systems)
        for operation, plan in self._plans(systems, found):
            try:
                report = operation.run(systems, progress)
            except OperatorError as error:
                told = f" Done before that: {listed(done)}." if done else ""
                raise OperatorError(f"{plan.title}: {error.message}{told}", error.hint) from None
            sections.append(Text(title=report.title, text=report.summary))
            undo = report.undo or undo
            if report.status is Status.FAIL:
                summary = f"{report.title}: {report.summary} The steps after it didn't start."
                return Report(title="Restore everything", status=Status.FAIL, summary=summary, sections=tuple(sections))
            worst = Status.WARN if report.status is Status.WARN else worst
            done.append(plan.title.removeprefix("Restore ").removeprefix("the "))
        left_out = auth.left_out(systems, found)
        sections += [Text(title="Not restored", text=left_out)] if left_out else []
        return Report(
            title="Restore everything",
            status=worst,
            summary=f"{listed(done)}: as in the backup.",
            sections=tuple(sections),
            hints=("health",),
            undo=undo,
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let MLflow back in where the switch was cut off, and say how far it came."""
        return switching.mended_and(systems, lambda: super(RestoreAll, self).aftermath(systems, planned))

    def _found(self, systems: Systems) -> Manifest:
        return sets.good(systems, self.set, part="database", unsigned=self.unsigned, from_elsewhere=self.from_elsewhere)

    def _plans(self, systems: Systems, found: Manifest) -> list[tuple[Operation, Plan]]:
        elsewhere, unsigned = self.from_elsewhere, self.unsigned
        parts: dict[str, Operation] = {
            "artifacts": RestoreArtifacts(set=found.id, from_elsewhere=elsewhere, unsigned=unsigned),
            "auth": RestoreDatabase(set=found.id, from_elsewhere=elsewhere, unsigned=unsigned, auth=True),
            "database": RestoreDatabase(set=found.id, from_elsewhere=elsewhere, unsigned=unsigned),
            "config": RestoreConfiguration(set=found.id, unsigned=unsigned, from_elsewhere=elsewhere),
        }
        held = {*found.parts, *(("auth",) if auth.restorable(systems, found) else ())}
        plans: list[tuple[Operation, Plan]] = []
        for part, operation in parts.items():
            if part in held:
                try:
                    plans.append((operation, operation.plan(systems)))
                except AlreadySo:
                    continue
        return plans
