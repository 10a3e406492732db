"""The Deployment's revisions, and going back to one of them, as `kubectl rollout history` and `undo` do it.

A revision is a ReplicaSet that the Deployment owns; its number is in an annotation
(https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#checking-rollout-history-of-a-deployment).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Operation, Plan, Progress, Risk, Unwatched
from workers.operations.deployment import failed_before, permission, preconditions, schema
from workers.operations.deployment.estimate import rollout_seconds
from workers.operations.deployment.judging import available, is_complete, owned
from workers.operations.deployment.rollout import state_now
from workers.operations.deployment.template_change import IF_NOT, WAIT, roll
from workers.operations.deployment.template_diff import bare, differences
from workers.report import Report, Status, Table
from workers.systems.cluster.annotations import REVISION
from workers.systems.cluster.fields import Fields
from workers.wording import NOTHING, count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

LOOK_SECONDS: Final = 60.0
"""How long the image's own look may take: a roll-back is wanted when something is wrong."""
CAUSE: Final = "kubernetes.io/change-cause"
_NOT_IN_GIT: Final = "a revision of the cluster's stands in no file: revert the commit that brought the change instead"


@dataclass(frozen=True)
class Revision:
    """One state that the template was in. current: it is the one that runs, or is being rolled out.

    replica_set: as the cluster has it.
    """

    number: int
    made_at: datetime | None
    cause: str
    pods: int
    template: dict[str, Any]
    current: bool
    replica_set: dict[str, Any] = field(repr=False)

    def image(self, container: str) -> str:
        """The image of a container; a dash where there is none of that name."""
        for each in Fields(self.template, "template").each("spec", "containers"):
            if each.text("name") == container:
                return each.text("image")
        return NOTHING


def revisions(systems: Systems) -> list[Revision]:
    """All that Kubernetes has kept, newest first."""
    names = systems.settings.ops.kubernetes
    deployment = systems.cluster.deployment(names.deployment)
    now = bare(deployment["spec"]["template"])
    found = []
    for each in owned(deployment, systems.cluster.replica_sets(names.selector)):
        fields = Fields(each, "ReplicaSet")
        annotations = each["metadata"].get("annotations") or {}
        template = bare(each["spec"]["template"])
        found.append(
            Revision(
                number=int(annotations.get(REVISION, 0)),
                made_at=fields.moment("metadata", "creationTimestamp"),
                cause=str(annotations.get(CAUSE, "")),
                pods=fields.number("status", "replicas"),
                template=template,
                current=not differences(template, now),
                replica_set=each,
            )
        )
    return sorted(found, key=lambda revision: -revision.number)


class History(Operation):
    """List the revisions, and what changed from one to the next."""

    name: ClassVar[str] = "history"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read them."""
        progress.step("Reading the revisions")
        names = systems.settings.ops.kubernetes
        found = revisions(systems)
        now = datetime.now(UTC)
        rows = []
        for revision, before in zip(found, [*found[1:], None], strict=True):
            changed = differences(before.template, revision.template) if before else ()
            age = duration((now - revision.made_at).total_seconds()) if revision.made_at else NOTHING
            rows.append(
                (
                    f"{revision.number}{' (now)' if revision.current else ''}",
                    age,
                    revision.image(names.container),
                    str(revision.pods),
                    revision.cause or ", ".join(change.what for change in changed[:3]) or NOTHING,
                )
            )
        table = Table(columns=("revision", "age", "image", "pods", "what changed"), rows=tuple(rows))
        current = next((revision for revision in found if revision.current), None)
        running = f"revision {current.number}" if current else "none of them"
        summary = f"{count(len(found), 'revision')}; {running} is running."
        hints = ("rollback",) if len(found) > 1 else ()
        return Report(
            title=f"Revisions of {names.deployment}", status=Status.OK, summary=summary, sections=(table,), hints=hints
        )


class Rollback(Operation):
    """Go back to a revision. to: its number; 0 for the one before."""

    name: ClassVar[str] = "rollback"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    timeout_seconds: ClassVar[int] = 1800

    to: Annotated[int, Field(ge=0)] = 0

    def plan(self, systems: Systems) -> Plan:
        """What would be another. Raises OperatorError if there is no such revision, or its image can't come up."""
        names = systems.settings.ops.kubernetes
        current, target = self._both(systems)
        permission.require_deployment(systems)
        deployment = systems.cluster.deployment(names.deployment)
        changes = differences(current.template, target.template)
        return Plan(
            title=f"Roll {names.deployment} back",
            summary=f"from revision {current.number} to revision {target.number}",
            steps=(
                f"Put the pod template of revision {target.number} in the place of revision {current.number}'s",
                WAIT,
                f"{IF_NOT}: put the previous template back, and wait again",
            ),
            changes=changes,
            warnings=(
                *self._image(systems, current, target),
                *failed_before.warnings(systems, target.number, target.replica_set),
                *preconditions.of_template_change(systems, deployment, target.template, why_not=_NOT_IN_GIT),
            ),
            undo=f"/mlflow rollback --to {current.number}",
            estimate_seconds=rollout_seconds(systems, deployment),
            facts={"revision": current.number, "target": target.number},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Roll it back; where that does not come up, forward again."""
        names = systems.settings.ops.kubernetes
        current, target = self._both(systems)
        title = f"Roll {names.deployment} back"

        def change() -> dict[str, Any]:
            deployment = systems.cluster.deployment(names.deployment)
            if differences(bare(deployment["spec"]["template"]), current.template):
                raise OperatorError("Nothing was done: someone else changed it at the same moment.", "Ask again.")
            generation = int(deployment["metadata"].get("generation", 0))
            return systems.cluster.replace_template(names.deployment, target.template, generation=generation)

        new, old = f"revision {target.number}", f"revision {current.number}"
        rolled = roll(systems, change, progress, (f"Rolling back to {new}", "Put the pod template"), old)
        if not rolled.well:
            words = rolled.told(new.capitalize(), old)
            return Report(
                title=title,
                status=Status.FAIL,
                summary=words,
                sections=rolled.sections,
                hints=rolled.hints,
            )
        return Report(
            title=title,
            status=Status.WARN if rolled.doubt else Status.OK,
            summary=f"{names.deployment} is as it was in {new}, and {rolled.doubt or 'every pod is ready'}.",
            sections=rolled.outcome.sections,
            hints=("history", "health"),
            undo=f"rollback --to {current.number}",
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """What is left, and how many pods are ready."""
        return f"{super().aftermath(systems, planned)} {state_now(systems)}"

    def _image(self, systems: Systems, current: Revision, target: Revision) -> Iterator[str]:
        """What the other image and the database's schema say to each other. Raises OperatorError."""
        container = systems.settings.ops.kubernetes.container
        before, after = current.image(container), target.image(container)
        if NOTHING in {before, after} or before == after:
            return
        needs = schema.ask(systems, Unwatched(), after, seconds=LOOK_SECONDS)
        if needs.upgrade:
            told = f"{after} needs the database's schema {needs.needed}, and it is {needs.now}: it would not start"
            yield f"{told}. /mlflow update upgrades the schema too."
        elif needs.why:
            yield f"Whether {after} knows the database's schema could not be found out: {needs.why}."

    def _both(self, systems: Systems) -> tuple[Revision, Revision]:
        """The revision that runs, and the one that is to."""
        deployment = systems.cluster.deployment(systems.settings.ops.kubernetes.deployment)
        found = revisions(systems)
        current = next((revision for revision in found if revision.current), None)
        if current is None:
            raise OperatorError(
                "None of the revisions that Kubernetes kept is the one that runs.", "Wait a moment and ask again."
            )
        others = [revision for revision in found if not revision.current]
        if self.to == current.number:
            raise AlreadySo(f"Revision {self.to} is running already.", "Nothing to do.")
        if not others:
            raise OperatorError("There is no other revision to go back to.", "See /mlflow history.")
        if not self.to:
            return current, _one_before(current, others, is_stuck=not is_complete(deployment))
        for revision in others:
            if revision.number == self.to:
                return current, revision
        known = ", ".join(str(revision.number) for revision in found)
        raise OperatorError(f"There is no revision {self.to}; Kubernetes kept {known}.", "See /mlflow history.")


def _one_before(current: Revision, others: list[Revision], *, is_stuck: bool) -> Revision:
    """Where to go back to if no number was given: while a rollout isn't complete, to the revision that serves."""
    serving = [revision for revision in others if available(revision.replica_set)] if is_stuck else []
    older = [revision for revision in others if revision.number < current.number]
    return (serving or older or others)[0]
