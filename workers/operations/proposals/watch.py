"""The pods after a merged proposal, watched as after any change of ours; what does not come up is put back in Git."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from workers.operation import Cancelled, Operation, Progress, Risk
from workers.operations.configuration.configmap import ConfigMap, older_pods
from workers.operations.deployment.judging import Goal
from workers.operations.deployment.proposal import WATCHING
from workers.operations.deployment.rollout import Watched, state_now, watch
from workers.operations.proposals.follow import WATCH, Followed
from workers.report import Report, Status
from workers.wording import listed

if TYPE_CHECKING:
    from workers.systems import Systems

READY_SECONDS: Final = 600.0


class WatchProposal(Operation):
    """Watch the pods take what was merged."""

    name: ClassVar[str] = WATCH
    risk: ClassVar[Risk] = Risk.CHANGE
    timeout_seconds: ClassVar[int] = 900

    followed: Followed

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Watch them. Raises Cancelled; what was merged stays."""
        this, what = self.followed, self.followed.proposal
        called = this.called(systems)
        progress.step("Watching the pods", of=WATCHING)
        goal = Goal.REPLICAS if what.field == "replicas" else Goal.TEMPLATE
        try:
            outcome = watch(Watched.of(systems, READY_SECONDS, goal=goal), progress)
        except Cancelled:
            raise Cancelled(f"{called} is merged, and the pods take it. {state_now(systems)}") from None
        applied = f"{called} was merged as {this.merged[:7]}, and {what.owner} has applied it"
        values = ", ".join(f"{'.'.join(each.keys) or what.field} is {each.live}" for each in what.values)
        if not outcome.well:
            report = this.report(
                Status.FAIL,
                f"{applied}: {values}. But {outcome.why}. To go back, revert {this.merged[:7]} in Git.",
                "health pods",
                "history",
            )
            return report.model_copy(update={"sections": outcome.sections})
        older = older_pods(systems, ConfigMap.read(systems)) if what.field == "config" else []
        if older:
            report = this.report(
                Status.WARN,
                f"{applied}: {values}. {listed(older)} started before that and may run with what was there then: "
                "/mlflow restart lets them take it.",
                "restart",
                "config show",
            )
        else:
            report = this.report(Status.OK, f"{applied}: {values}. {state_now(systems)}", "health")
        return report.model_copy(update={"sections": outcome.sections})
