"""A change of the pods' template, rolled out under watch; what does not come up, or is stopped, is put back by itself.

Putting back is what `kubectl rollout undo` does: the whole template from before takes the place of the new one, unless
somebody else has changed it meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.deployment.rollout import Outcome, Unstoppable, Watched, watch
from workers.systems.errors import ClusterConflict

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

READY_SECONDS: Final = 600.0
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class RolloutResult:
    """How it went. back: how putting back went; None where that was not needed."""

    outcome: Outcome
    back: Outcome | None = None

    def told(self, new: str, old: str) -> str:
        """The sentence about one that did not come up; new and old: what it was to be, and what it was."""
        assert self.back is not None
        end = "is back, and every pod is ready" if self.back.well else f"was put back, but {self.back.why}"
        return f"{new} does not come up: {self.outcome.why}. What ran before, {old}, {end}."


def roll(
    systems: Systems, change: Callable[[], dict[str, Any]], progress: Progress, doing: str, old: str
) -> RolloutResult:
    """Make a change of MLflow's Deployment, and watch it.

    change: makes it and returns the Deployment as it then is. doing: the step's name. old: what it was, for the words
    about putting it back. Raises Cancelled once it is put back.
    """
    names = systems.settings.ops.kubernetes
    before = systems.cluster.deployment(names.deployment)["spec"]["template"]
    progress.step(doing)
    changed = change()["spec"]["template"]
    try:
        outcome = watch(Watched.of(systems, READY_SECONDS), progress)
    except Cancelled:
        progress.step(f"Stopped: putting {old} back")
        back = put_back(systems, progress, before, changed)
        end = "is back" if back.well else f"was put back, but {back.why}"
        raise Cancelled(f"What ran before, {old}, {end}.") from None
    if outcome.well:
        return RolloutResult(outcome)
    progress.step(f"It does not come up: putting {old} back")
    return RolloutResult(outcome, put_back(systems, progress, before, changed))


def patched(
    cluster: Cluster, name: str, patch: dict[str, Any], unchanged: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Write a strategic merge patch on the Deployment as it was looked at; the Deployment as it then is.

    unchanged: whether what the patch changes is still what its plan rests on. Raises OperatorError where it is not:
    what somebody else has changed meanwhile is theirs.
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
    message = f"The Deployment {name} was left as it is: somebody else changed it at the same moment."
    raise OperatorError(message, "Ask again.")


def put_back(systems: Systems, progress: Progress, before: dict[str, Any], changed: dict[str, Any]) -> Outcome:
    """Have the template of before again, and watch it. changed: ours; another one is somebody else's and stays."""
    name = systems.settings.ops.kubernetes.deployment
    try:
        _replace(systems.cluster, name, before, changed)
    except OperatorError as error:
        return Outcome(well=False, why=f"it could not be put back: {error.message}")
    return watch(Watched.of(systems, READY_SECONDS), Unstoppable(progress))


def _replace(cluster: Cluster, name: str, before: dict[str, Any], changed: dict[str, Any]) -> None:
    for attempt in range(_ATTEMPTS):
        now = cluster.deployment(name)
        if now["spec"]["template"] != changed:
            raise OperatorError("somebody else has changed the Deployment meanwhile", "See /mlflow history.")
        try:
            cluster.replace_template(name, before, generation=int(now["metadata"].get("generation", 0)))
        except ClusterConflict:
            if attempt == _ATTEMPTS - 1:
                raise
        else:
            return
