"""More or fewer pods of MLflow, through the scale subresource with its resourceVersion: no change of others is lost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk
from workers.operations.deployment import (
    autoscaling,
    capacity,
    connection_pools,
    gitops,
    limit_range,
    permission,
    proposal,
    quota,
    volumes,
)
from workers.operations.deployment.estimate import startup_seconds
from workers.operations.deployment.judging import Goal, figures
from workers.operations.deployment.rollout import Outcome, Watched, state_now, watch
from workers.report import Report, Status
from workers.settings import SettingsError
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterConflict
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.cluster.client import Cluster

READY_SECONDS: Final = 300.0
ATTEMPTS: Final = 5
LOOK_SECONDS: Final = 0.5


class Scale(Operation):
    """Have this many replicas. 0 switches MLflow off."""

    name: ClassVar[str] = "scale"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    timeout_seconds: ClassVar[int] = 900

    replicas: Annotated[int, Field(ge=0, le=1000)]

    def gated(self, ops: Ops) -> bool:
        """0, and more than an operator may do alone."""
        return self.replicas == 0 or self.replicas > ops.scaling.free_up_to

    def plan(self, systems: Systems) -> Plan:
        """Before → after. Raises OperatorError where it is so already."""
        names = systems.settings.ops.kubernetes
        before = _replicas(systems.cluster.scale(names.deployment))
        deployment = systems.cluster.deployment(names.deployment)
        whose = gitops.proposes(systems, *gitops.of_replicas(deployment))
        if before == self.replicas and whose is None:
            raise AlreadySo(f"Already at {count(before, 'replica')}.")
        if whose is None:
            permission.require(systems, "update", "apps", "deployments/scale", names.deployment)
        template = deployment["spec"]["template"]
        scalers = autoscaling.steering(systems)
        autoscaling.require_within(scalers, self.replicas, names.namespace)
        if self.replicas > before:
            limit_range.require_within(systems, template["spec"])
        quota.require_room_for_more(systems, deployment, self.replicas)
        what = f"replicas of deployment/{names.deployment}"
        plan = Plan(
            title=f"Scale {names.deployment}",
            summary=f"from {before} to {count(self.replicas, 'replica')}"
            if before != self.replicas
            else f"keep {count(before, 'replica')}",
            steps=(
                f"Set the replicas of deployment/{names.deployment} to {self.replicas}",
                "Wait until every pod is ready" if self.replicas else "Wait until no pod is left",
            ),
            changes=(Change(what=what, before=str(before), after=str(self.replicas)),),
            warnings=(
                *self._off(),
                *autoscaling.warnings(scalers, self.replicas),
                *gitops.left_alone(deployment),
                *gitops.cautions(systems, *gitops.of_replicas(deployment), why_not=""),
                *self._room(systems, before, template),
                *self._connections(systems, before, template["spec"]),
            ),
            undo=f"/mlflow scale {before}",
            estimate_seconds=startup_seconds(systems) if self.replicas > before else None,
            facts={"replicas": before},
        )
        if whose is None:
            return plan
        return proposal.proposed(systems, plan, proposal.replicas(systems.settings, whose, before, self.replicas))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it and watch it. A failure leaves the wish as it is and says why the pods do not come."""
        names = systems.settings.ops.kubernetes
        cluster = systems.cluster
        progress.step(f"Scaling {names.deployment} to {self.replicas}", of="Set the replicas")
        was = cluster.deployment(names.deployment)
        before = _write(cluster, names.deployment, self.replicas)
        progress.step("Waiting for its pods", of="Wait until")
        try:
            outcome = watch(Watched.of(systems, READY_SECONDS, goal=Goal.REPLICAS, before=was), progress)
        except Cancelled:
            _write(cluster, names.deployment, before)
            raise Cancelled(f"{names.deployment} is wanted with {count(before, 'replica')} again.") from None
        undone = self._undone(systems, progress) if outcome.well else ""
        if outcome.well and not undone and self.replicas:
            ahead = autoscaling.changes_ahead(autoscaling.steering(systems), self.replicas)
            outcome = replace(outcome, note=" ".join([outcome.note, *ahead]).strip())
        return self._report(names.deployment, before, outcome, undone)

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """What is left, and how many pods are ready."""
        return f"{super().aftermath(systems, planned)} {state_now(systems)}"

    def _undone(self, systems: Systems, progress: Progress) -> str:
        """What is there instead, read again, once an autoscaler has had its next look; empty if it is as asked for."""
        name = systems.settings.ops.kubernetes.deployment
        scalers = autoscaling.steering(systems) if self.replicas else []
        if scalers:
            progress.step("Waiting for the autoscaler's next look")
        until = time.monotonic() + (autoscaling.SYNC_SECONDS if scalers else 0)
        while True:
            deployment = systems.cluster.deployment(name)
            wanted, _, _, there = figures(deployment)
            if wanted != self.replicas or time.monotonic() >= until:
                break
            time.sleep(LOOK_SECONDS)
        if wanted != self.replicas:
            who = listed([autoscaling.named(each) for each in scalers]) or gitops.scaled_by(deployment)
            return f"{who} has changed that to {count(wanted, 'replica')} since"
        return "" if there >= wanted else f"{count(there, 'pod')} of them {'is' if there == 1 else 'are'} ready now"

    def _report(self, deployment: str, before: int, outcome: Outcome, undone: str) -> Report:
        back = f"scale {before}"
        if not outcome.well:
            return Report(
                title=f"Scale {deployment}",
                status=Status.FAIL,
                summary=f"{deployment} wants {count(self.replicas, 'replica')} now, but {outcome.why}.",
                sections=outcome.sections,
                hints=("health pods",),
                undo=back,
            )
        ready = count(self.replicas, "ready replica")
        now = f"has {ready}" if self.replicas else "is scaled to 0: MLflow is down for everyone"
        said = f"{deployment} {now}; it had {before}."
        if undone:
            had = f"had {ready}" if self.replicas else "was scaled to 0"
            said = f"{deployment} {had}, but {undone}; it had {before} before."
        return Report(
            title=f"Scale {deployment}",
            status=Status.WARN if undone or outcome.note or self.replicas == 0 else Status.OK,
            summary=f"{said} {outcome.note}".strip(),
            sections=outcome.sections,
            undo=back,
        )

    def _off(self) -> tuple[str, ...]:
        return ("MLflow is down for everyone until it's scaled up again.",) if self.replicas == 0 else ()

    def _room(self, systems: Systems, before: int, template: dict[str, Any]) -> tuple[str, ...]:
        labels = (template.get("metadata") or {}).get("labels") or {}
        more = self.replicas - before
        return (
            *(volumes.of_scale(systems.cluster, template["spec"], self.replicas) if more > 0 else ()),
            *capacity.too_few_nodes(systems.cluster, template, more),
            *(capacity.broken_budgets(systems.cluster, labels, self.replicas) if self.replicas else ()),
        )

    def _connections(self, systems: Systems, before: int, pod_spec: dict[str, Any]) -> tuple[str, ...]:
        """Each replica's workers hold a pool of connections; what the database bears is read where it can be."""
        if self.replicas <= before:
            return ()
        try:
            vitals = systems.database.within(3).vitals()
        except (OperatorError, SettingsError):
            return ()
        expected = vitals.connections / max(1, before) * self.replicas
        if expected > vitals.max_connections * systems.settings.ops.health.thresholds.connections_warn:
            told = f"About {expected:.0f} of {vitals.max_connections} database connections would be in use"
            return (f"{told} ({vitals.connections} now).",)
        workers, pool = connection_pools.of(systems, pod_spec)
        if self.replicas * workers * pool > vitals.max_connections:
            told = f"{self.replicas} replicas may keep {self.replicas * workers * pool} database connections open"
            each = f"{count(workers, 'worker')} each, with a pool of {pool}"
            return (f"{told} ({each}), and the database takes {vitals.max_connections}.",)
        return ()


def _write(cluster: Cluster, deployment: str, replicas: int) -> int:
    """Set the replicas; what they were. A conflict over anything but their number (a status) is tried again."""
    first: int | None = None
    for _ in range(ATTEMPTS):
        scale = cluster.scale(deployment)
        before = _replicas(scale)
        if first is not None and before != first:
            break
        first = before
        try:
            cluster.set_scale(deployment, {**scale, "spec": {**scale.get("spec", {}), "replicas": replicas}})
        except ClusterConflict:
            continue
        return before
    message = f"Nothing was done: someone else changed {deployment} at the same moment."
    raise OperatorError(message, "Ask again.")


def _replicas(scale: dict[str, Any]) -> int:
    return Fields(scale, "Scale").number("spec", "replicas")
