"""A change of the pods' template, rolled out under watch; if it doesn't come up, or is stopped, it is put back.

Putting back is what `kubectl rollout undo` does: a whole template takes the place of the new one, unless somebody else
has changed it meanwhile. Which template is chosen by what was well before: the Deployment's own, or the revision that
served while a rollout was stuck. If nothing was well, the newer one stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.deployment.judging import Way, template_to_return_to
from workers.operations.deployment.rollout import Outcome, Unstoppable, Watched, doubt_now, watch
from workers.operations.deployment.template_diff import bare, differences
from workers.systems.errors import ClusterConflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Progress
    from workers.report import Section
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

WAIT: Final = "Wait until every pod is a new one and ready"
IF_NOT: Final = "If they don't come up"
READY_SECONDS: Final = 600.0
LEFT: Final = (
    "No pod was ready before it either, so it was left in place. Go on with /mlflow update, or go back with "
    "/mlflow rollback."
)
SAME: Final = "It is what served before, so there is nothing to put back. See /mlflow health pods and /mlflow history."
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class RolloutResult:
    """How it went. back: how putting back went; None if that was not needed, or if nothing was well before.

    way: what it was put back to. left: why it was left, in sentences. doubt: what was no longer so when it was read
    again, in a sentence without its end.
    """

    outcome: Outcome
    back: Outcome | None = None
    way: Way | None = None
    left: str = ""
    doubt: str = ""

    @property
    def well(self) -> bool:
        """Whether the new template is rolled out."""
        return self.outcome.well

    @property
    def sections(self) -> tuple[Section, ...]:
        """The pods of one that did not come up, and those of putting it back if that did not go well."""
        back = () if self.back is None or self.back.well else self.back.sections
        return (*self.outcome.sections, *back)

    @property
    def hints(self) -> tuple[str, ...]:
        """What to do next about one that did not come up."""
        return ("history", "health pods") if self.back else ("rollback", "history", "health pods")

    def told(self, new: str, old: str) -> str:
        """The sentences about one that did not come up; new and old: what it was to be, and what it was."""
        assert not self.well
        failed = f"{new} does not come up: {self.outcome.why}."
        if self.back is None or self.way is None:
            return f"{failed} {self.left}"
        return f"{failed} {before_it(self.way, old)} {end_of(self.back)}."


def before_it(way: Way, old: str) -> str:
    """The subject of a sentence about what was put back."""
    return f"What served before, revision {way.revision}," if way.revision else f"What ran before, {old},"


def end_of(back: Outcome) -> str:
    """The rest of it."""
    return "is back, and every pod is ready" if back.well else f"was put back, but {back.why}"


def roll(
    systems: Systems, change: Callable[[], dict[str, Any]], progress: Progress, doing: tuple[str, str], old: str
) -> RolloutResult:
    """Make a change of MLflow's Deployment, and watch it.

    change: makes it and returns the Deployment as it then is. doing: the step, and words of the planned one. old:
    what it was, for the words about putting it back. Raises Cancelled once it is put back.
    """
    names = systems.settings.ops.kubernetes
    before = systems.cluster.deployment(names.deployment)
    way = template_to_return_to(before, systems.cluster.replica_sets(names.selector))
    progress.step(*doing)
    changed = change()["spec"]["template"]
    left = why_left(way, changed)
    progress.step("Waiting for the new pods", of=WAIT)
    try:
        outcome = watch(Watched.of(systems, READY_SECONDS, before=before), progress)
    except Cancelled:
        if way is None or left:
            raise Cancelled(left) from None
        progress.ended("stopped", well=False)
        progress.step(f"Stopped: putting {_named(way, old)} back", of=IF_NOT)
        back = put_back(systems, progress, way.template, changed)
        end = "is back" if back.well else f"was put back, but {back.why}"
        raise Cancelled(f"{before_it(way, old)} {end}.") from None
    if outcome.well:
        return RolloutResult(outcome, doubt=doubt_now(systems, changed))
    if way is None or left:
        return RolloutResult(outcome, left=left)
    progress.ended(outcome.why, well=False)
    progress.step(f"It does not come up: putting {_named(way, old)} back", of=IF_NOT)
    return RolloutResult(outcome, put_back(systems, progress, way.template, changed), way)


def why_left(way: Way | None, changed: dict[str, Any]) -> str:
    """Why a template that does not come up stays, in sentences; empty if there is a better one to put back."""
    if way is None:
        return LEFT
    return "" if differences(bare(way.template), bare(changed)) else SAME


def patched(
    cluster: Cluster, name: str, patch: dict[str, Any], unchanged: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Write a strategic merge patch on the Deployment as it was looked at; the Deployment as it then is.

    unchanged: whether what the patch changes is still what its plan rests on. Raises OperatorError where it is not:
    what someone else has changed meanwhile is theirs.
    """
    for _ in range(_ATTEMPTS):
        now = cluster.deployment(name)
        if not unchanged(now):
            break
        guarded = {**patch, "metadata": {"resourceVersion": now["metadata"]["resourceVersion"]}}
        try:
            return cluster.patch_deployment(name, guarded)
        except ClusterConflict:
            continue
    message = f"The Deployment {name} was left as it is: someone else changed it at the same moment."
    raise OperatorError(message, "Ask again.")


def put_back(systems: Systems, progress: Progress, template: dict[str, Any], changed: dict[str, Any]) -> Outcome:
    """Have this template again, and watch it. changed: ours; another one is somebody else's and stays."""
    name = systems.settings.ops.kubernetes.deployment
    try:
        failed = _replace(systems.cluster, name, template, changed)
    except OperatorError as error:
        back = Outcome(well=False, why=f"it could not be put back: {error.message}")
    else:
        back = watch(Watched.of(systems, READY_SECONDS, before=failed), Unstoppable(progress))
    progress.ended(back.why, well=back.well)
    return back


def _named(way: Way, old: str) -> str:
    return f"revision {way.revision}" if way.revision else old


def _replace(cluster: Cluster, name: str, template: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """Put the template in; the Deployment as it was just before."""
    for _ in range(_ATTEMPTS):
        now = cluster.deployment(name)
        if now["spec"]["template"] != changed:
            raise OperatorError("someone else has changed the Deployment meanwhile", "See /mlflow history.")
        try:
            cluster.replace_template(name, template, generation=int(now["metadata"].get("generation", 0)))
        except ClusterConflict:
            continue
        return now
    raise OperatorError("someone else keeps changing the Deployment", "See /mlflow history.")
