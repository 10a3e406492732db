"""CPU and memory of a container: requests and limits, changed in one rollout and put back where that does not come up.

The container is named, never counted; quantities are Kubernetes'
(https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/); what a LimitRange or a ResourceQuota
would refuse is refused here first, in a sentence.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, model_validator

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.deployment import capacity, gitops, permission, preconditions, proposal
from workers.operations.deployment.estimate import rollout_seconds
from workers.operations.deployment.rollout import state_now
from workers.operations.deployment.template_change import IF_NOT, WAIT, patched, roll
from workers.report import Report, Status
from workers.systems.cluster.fields import Fields
from workers.systems.cluster.quantities import quantity
from workers.wording import NOTHING

if TYPE_CHECKING:
    from workers.systems import Systems

_QUANTITY: Final = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?")
LEAST_MEMORY: Final = 64 * 1024 * 1024
"""Bytes. Less is a slip of the pen: MLflow does not start in it."""
KINDS: Final = ("requests", "limits")


def _well_formed(value: str) -> str:
    if value and not _QUANTITY.fullmatch(value):
        msg = f"“{value[:40]}” is not a quantity: write 500m or 2 for CPUs, 512Mi or 4Gi for memory"
        raise ValueError(msg)
    return value


Quantity = Annotated[str, AfterValidator(_well_formed)]
"""As Kubernetes writes it; empty where it stays as it is."""


class Resources(Operation):
    """Change requests and limits. container: its name; empty for MLflow's own."""

    name: ClassVar[str] = "resources"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    timeout_seconds: ClassVar[int] = 1800

    cpu_request: Quantity = ""
    cpu_limit: Quantity = ""
    memory_request: Quantity = ""
    memory_limit: Quantity = ""
    container: str = ""

    @model_validator(mode="after")
    def _something(self) -> Resources:
        if not (self._wanted("cpu") or self._wanted("memory")):
            msg = "say what to change: --cpu REQUEST:LIMIT, --memory REQUEST:LIMIT"
            raise ValueError(msg)
        return self

    def plan(self, systems: Systems) -> Plan:
        """Before → after of each quantity. Raises OperatorError where it is no possible wish."""
        names = systems.settings.ops.kubernetes
        deployment = systems.cluster.deployment(names.deployment)
        name = self._container(deployment, names.container)
        before = _resources(deployment, name)
        after = self._after(before)
        _sound(after)
        changes = tuple(
            Change(what=f"{resource} {kind[:-1]} of {name}", before=old or NOTHING, after=new or NOTHING)
            for resource in ("cpu", "memory")
            for kind in KINDS
            if _value(old := before.get(kind, {}).get(resource, ""))
            != _value(new := after.get(kind, {}).get(resource, ""))
        )
        if not changes:
            raise AlreadySo(f"The container {name} has these resources already.", "Nothing to do.")
        whose = gitops.proposes(systems, deployment)
        if whose is None:
            permission.require_deployment(systems)
        elif name != names.container:
            message = f"The resources of {name} can't be proposed in Git: ops.yaml names those of {names.container}."
            raise OperatorError(message, "Make the change in Git.")
        replicas = Fields(deployment, "Deployment").number("spec", "replicas", default=1)
        spec = _with(deployment["spec"]["template"]["spec"], name, after)
        template = {**deployment["spec"]["template"], "spec": spec}
        cautions = preconditions.of_template_change(systems, deployment, template)
        room = capacity.room_for(systems.cluster, template)
        if room is not None and room.largest == 0:
            told = f"No node is large enough for one such pod{room.why}."
            raise OperatorError(told, "Ask for less, or add a larger node.")
        plan = Plan(
            title=f"Resources of {names.deployment}",
            summary=f"{', '.join(f'{each.what} {each.before} → {each.after}' for each in changes)}",
            steps=(
                f"Set the resources of the container {name} of deployment/{names.deployment}",
                f"{WAIT}: one rollout",
                f"{IF_NOT}: put the previous resources back, and wait again",
            ),
            changes=changes,
            warnings=cautions,
            undo=f"/mlflow {_words(name, before)}",
            estimate_seconds=rollout_seconds(systems, deployment),
            facts={"container": name, "replicas": replicas},
        )
        if whose is None:
            return plan
        return proposal.proposed(systems, plan, proposal.resources(systems.settings, whose, before, after))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Roll it out; on failure or when it is stopped, put it back."""
        names = systems.settings.ops.kubernetes
        deployment = systems.cluster.deployment(names.deployment)
        name = self._container(deployment, names.container)
        before = _resources(deployment, name)
        containers = [{"name": name, "resources": self._after(before)}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        title, old = f"Resources of {names.deployment}", f"with {_told(before)}"

        def change() -> dict[str, Any]:
            return patched(systems.cluster, names.deployment, patch, lambda now: _resources(now, name) == before)

        rolled = roll(systems, change, progress, ("Rolling the new resources out", "Set the resources"), old)
        if not rolled.well:
            return Report(
                title=title,
                status=Status.FAIL,
                summary=rolled.told("A pod with these resources", old),
                sections=rolled.sections,
                hints=rolled.hints,
            )
        after = _resources(systems.cluster.deployment(names.deployment), name)
        return Report(
            title=title,
            status=Status.WARN if rolled.doubt else Status.OK,
            summary=f"Every pod of {names.deployment} is a new one with {_told(after)}, and {rolled.doubt or 'ready'}.",
            sections=rolled.outcome.sections,
            hints=("health resources",),
            undo=_words(name, before),
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Which resources are wanted, and how many pods have them."""
        return f"{super().aftermath(systems, planned)} {state_now(systems)} To go back: /mlflow rollback."

    def _wanted(self, resource: str) -> dict[str, str]:
        asked = {kind: getattr(self, f"{resource}_{kind[:-1]}") for kind in KINDS}
        return {kind: value for kind, value in asked.items() if value}

    def _after(self, before: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        after = {kind: dict(before.get(kind) or {}) for kind in KINDS}
        for resource in ("cpu", "memory"):
            for kind, value in self._wanted(resource).items():
                after[kind][resource] = value
        return {kind: values for kind, values in after.items() if values}

    def _container(self, deployment: dict[str, Any], default: str) -> str:
        wanted = self.container or default
        containers = Fields(deployment, "Deployment").each("spec", "template", "spec", "containers")
        known = [each.text("name") for each in containers]
        if wanted not in known:
            message = f"The Deployment has no container {wanted}; it has {', '.join(known)}."
            raise OperatorError(message, "Say --container with one of these.")
        return wanted


def _resources(deployment: dict[str, Any], name: str) -> dict[str, dict[str, str]]:
    for container in deployment["spec"]["template"]["spec"]["containers"]:
        if container["name"] == name:
            given = container.get("resources") or {}
            return {kind: {key: str(value) for key, value in (given.get(kind) or {}).items()} for kind in KINDS}
    return {}


def _with(spec: dict[str, Any], name: str, resources: dict[str, Any]) -> dict[str, Any]:
    containers = [{**each, "resources": resources} if each["name"] == name else each for each in spec["containers"]]
    return {**spec, "containers": containers}


def _value(text: str) -> Decimal | None:
    return quantity(text) if text else None


def _sound(resources: dict[str, dict[str, str]]) -> None:
    """Raises OperatorError where a request is above its limit, or nothing can run in it."""
    for resource in ("cpu", "memory"):
        request, limit = (resources.get(kind, {}).get(resource, "") for kind in KINDS)
        low, high = _value(request), _value(limit)
        if low is not None and high is not None and low > high:
            raise OperatorError(
                f"The {resource} request {request} is above its limit {limit}.",
                "Ask for REQUEST:LIMIT with less first.",
            )
        for value, said in ((low, request), (high, limit)):
            if value is not None and value <= 0:
                raise OperatorError(f"{resource} {said} is nothing: no pod runs in it.", "Write 500m, 2, 512Mi or 4Gi.")
            if resource == "memory" and value is not None and value < LEAST_MEMORY:
                message = f"memory {said} is {value:.0f} bytes: MLflow does not start in that."
                raise OperatorError(message, "Write 512Mi or 4Gi.")


def _words(name: str, resources: dict[str, dict[str, str]]) -> str:
    """The command that asks for these resources."""
    words = ["resources"]
    for resource in ("cpu", "memory"):
        request, limit = (resources.get(kind, {}).get(resource, "") for kind in KINDS)
        if request or limit:
            words.append(f"--{resource} {request}:{limit}")
    return " ".join([*words, f"--container {name}"])


def _told(resources: dict[str, dict[str, str]]) -> str:
    told = []
    for resource in ("cpu", "memory"):
        request, limit = (resources.get(kind, {}).get(resource, "") for kind in KINDS)
        if request or limit:
            told.append(f"{resource} {request or NOTHING}:{limit or NOTHING}")
    return ", ".join(told) or "no resources"
