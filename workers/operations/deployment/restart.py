"""A rolling restart, as `kubectl rollout restart` does it: a new annotation on the pods' template."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.deployment import permission, preconditions
from workers.operations.deployment.estimate import rollout_seconds
from workers.operations.deployment.judging import figures
from workers.operations.deployment.rollout import Watched, doubt_now, state_now, watch
from workers.report import Report, Status
from workers.systems.cluster.annotations import RESTARTED_AT, timestamp
from workers.systems.cluster.fields import Fields
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems

READY_SECONDS: Final = 600.0


class Restart(Operation):
    """Replace every pod by a new one, a few at a time."""

    name: ClassVar[str] = "restart"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    timeout_seconds: ClassVar[int] = 1200
    goes_on: ClassVar[str] = "Kubernetes finishes a restart that has started, and every pod serves as before"

    def plan(self, systems: Systems) -> Plan:
        """How it rolls, from the Deployment's strategy."""
        name = systems.settings.ops.kubernetes.deployment
        deployment = systems.cluster.deployment(name)
        permission.require_deployment(systems)
        warnings = preconditions.of_restart(systems, deployment)
        fields = Fields(deployment, "Deployment")
        replicas = fields.number("spec", "replicas", default=1)
        strategy = fields.text("spec", "strategy", "type", default="RollingUpdate")
        gap = strategy == "Recreate" or replicas == 1
        return Plan(
            title=f"Restart {name}",
            summary=f"{replicas} pods, one after the other" if not gap else f"{replicas} pods",
            steps=(f"Annotate the template of deployment/{name}", "Wait until every pod is a new one and ready"),
            warnings=(
                *((f"MLflow may not answer for a moment (strategy {strategy}, {replicas} replicas).",) if gap else ()),
                *warnings,
            ),
            undo="none is needed: the pods are the same as before",
            estimate_seconds=rollout_seconds(systems, deployment),
            facts={"generation": fields.number("metadata", "generation"), "replicas": replicas},
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Whether it had begun, and how far it is."""
        return f"{super().aftermath(systems, planned)} {state_now(systems)}"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it and watch it."""
        names = systems.settings.ops.kubernetes
        progress.step(f"Restarting {names.deployment}", of="Annotate the template")
        template = {"metadata": {"annotations": {RESTARTED_AT: timestamp()}}}
        before = systems.cluster.deployment(names.deployment)
        changed = systems.cluster.patch_deployment(names.deployment, {"spec": {"template": template}})
        progress.step("Waiting for the new pods", of="Wait until every pod")
        outcome = watch(Watched.of(systems, READY_SECONDS, before=before), progress)
        title = f"Restart {names.deployment}"
        if not outcome.well:
            summary = f"The restart does not come to its end: {outcome.why}. {_serving(systems)}"
            return Report(
                title=title, status=Status.FAIL, summary=summary, sections=outcome.sections, hints=("health pods",)
            )
        doubt = doubt_now(systems, changed["spec"]["template"])
        summary = f"Every pod of {names.deployment} is a new one, and {doubt or 'ready'}."
        status = Status.WARN if doubt else Status.OK
        return Report(title=title, status=status, summary=summary, sections=outcome.sections)


def _serving(systems: Systems) -> str:
    """What still answers after a restart that failed, read again."""
    there = figures(systems.cluster.deployment(systems.settings.ops.kubernetes.deployment))[3]
    if there:
        return f"{count(there, 'pod')} still {'serves' if there == 1 else 'serve'}."
    return "No pod serves: go back with /mlflow rollback."
