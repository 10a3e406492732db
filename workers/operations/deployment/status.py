"""How far a rollout is, as `kubectl rollout status` and `kubectl describe` tell it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.operation import Operation, Progress, Risk
from workers.operations.deployment import ownership
from workers.operations.deployment.judging import REVISION, counted, is_stuck, past_deadline
from workers.operations.health import pods
from workers.report import Facts, Report, Status, Table
from workers.systems.cluster.fields import Fields
from workers.wording import NOTHING

if TYPE_CHECKING:
    from workers.systems import Systems


class RolloutStatus(Operation):
    """Show how far the rollout is."""

    name: ClassVar[str] = "rollout-status"
    risk: ClassVar[Risk] = Risk.READ

    @property
    def title(self) -> str:
        """The report's headline."""
        return "Rollout"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Look once."""
        names = systems.settings.ops.kubernetes
        progress.step("Looking at the Deployment")
        deployment = systems.cluster.deployment(names.deployment)
        fields = Fields(deployment, "Deployment")
        wanted, there, left = counted(deployment)
        conditions = fields.each("status", "conditions")
        paused = fields.flag("spec", "paused")
        status, summary = Status.OK, f"{names.deployment} is rolled out: {there} of {wanted} pods are new and ready."
        refused = next((each for each in conditions if each.text("type") == "ReplicaFailure"), None)
        if is_stuck(deployment):
            late = past_deadline(deployment)
            said = f" ({late[1].rstrip('.')})" if late and late[1] else ""
            status, summary = Status.FAIL, f"The rollout is stuck{said}: {there} of {wanted} pods are new and ready."
        elif left or there != wanted:
            status = Status.WARN
            summary = (
                f"The rollout is {'paused' if paused else 'under way'}: {there} of {wanted} pods are new and ready."
            )
        if refused and refused.text("status") == "True":
            status = max(status, Status.WARN, key=lambda each: each.severity)
            summary += f" No new pod can be made: {refused.text('message').rstrip('.')}."
        facts = Facts(
            items=(
                ("revision", (deployment["metadata"].get("annotations") or {}).get(REVISION, NOTHING)),
                ("strategy", fields.text("spec", "strategy", "type", default="RollingUpdate")),
                ("replicas", str(wanted)),
                ("updated", str(fields.number("status", "updatedReplicas"))),
                ("available", str(fields.number("status", "availableReplicas"))),
                (
                    "old ones left",
                    str(fields.number("status", "replicas") - fields.number("status", "updatedReplicas")),
                ),
                *(("managed by", owner) for _, owner in ownership.told((deployment,))),
            )
        )
        told = Table(
            title="Conditions",
            columns=("condition", "status", "reason", "message"),
            rows=tuple(
                (each.text("type"), each.text("status"), each.text("reason"), each.text("message"))
                for each in conditions
            ),
        )
        now = datetime.now(UTC)
        states = [pods.read(pod, now) for pod in systems.cluster.pods(names.selector)]
        hints = ("rollback", "health pods") if status is Status.FAIL else ("history",)
        return Report(
            title=self.title,
            status=status,
            summary=summary,
            sections=(facts, told, *pods.table(states)),
            hints=hints,
        )
