"""Change keys of the ConfigMap: what is asked for, and what would happen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.configuration import values
from workers.operations.configuration.applying import Wanted, apply
from workers.operations.configuration.configmap import ConfigMap, older_pods
from workers.operations.configuration.references import References
from workers.operations.deployment import gitops, permission, preconditions, proposal
from workers.operations.deployment.estimate import rollout_seconds
from workers.operations.deployment.rollout import state_now
from workers.operations.deployment.template_change import IF_NOT, WAIT
from workers.report import Report
from workers.systems.cluster.fields import Fields
from workers.wording import listed

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems


def _a_key(key: str) -> str:
    problem = values.key_problem(key)
    if problem:
        raise ValueError(problem.rstrip("."))
    return key


def _settable(given: dict[str, str]) -> dict[str, str]:
    for key, value in given.items():
        problem = values.value_problem(key, value)
        if problem:
            raise ValueError(problem)
    return given


def _once(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(keys))


Key = Annotated[str, AfterValidator(_a_key)]


class ConfigSet(Operation):
    """Give keys of the ConfigMap these values. What looks like a secret is refused before it is recorded anywhere."""

    name: ClassVar[str] = "config-set"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("deployment", "configuration")
    timeout_seconds: ClassVar[int] = 1800

    pairs: Annotated[
        dict[Key, str], AfterValidator(_settable), Field(min_length=1, max_length=values.MOST_KEYS, repr=False)
    ]

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always, where ops.yaml says nothing of it
        """A wrong value takes MLflow down."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """Before → after of each key. Raises OperatorError where it is so already, or is not allowed."""
        return _plan(systems, dict(self.pairs))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it, watch it, prove it; put back what does not come up."""
        return apply(systems, progress, dict(self.pairs))

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Whether the ConfigMap holds it, and which pods run with it."""
        return f"{super().aftermath(systems, planned)} {_pods_now(systems)}"


class ConfigUnset(Operation):
    """Remove keys from the ConfigMap."""

    name: ClassVar[str] = "config-unset"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("deployment", "configuration")
    timeout_seconds: ClassVar[int] = 1800

    keys: Annotated[tuple[Key, ...], AfterValidator(_once), Field(min_length=1, max_length=values.MOST_KEYS)]

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always, where ops.yaml says nothing of it
        """Without a value that it needs MLflow does not start."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """What each key holds now. Raises OperatorError where it is not there."""
        return _plan(systems, dict.fromkeys(self.keys), why_not="a key is removed in Git by hand")

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it, watch it, prove it; put back what does not come up."""
        return apply(systems, progress, dict.fromkeys(self.keys))

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Whether the ConfigMap holds them, and which pods run without."""
        return f"{super().aftermath(systems, planned)} {_pods_now(systems)}"


_NO_RESTART: Final = "Pods take it when they start. Once it is applied: /mlflow restart, unless your manifests do that."


def _plan(systems: Systems, wanted: Wanted, *, why_not: str = "") -> Plan:
    names = systems.settings.ops.kubernetes
    values.check(systems.settings.ops.configuration, wanted)
    configmap = ConfigMap.read(systems)
    changes = _differing(systems, configmap, wanted)
    deployment = systems.cluster.deployment(names.deployment)
    fields = Fields(deployment, "Deployment")
    preconditions.require_not_paused(systems, deployment)
    whose = gitops.proposes(systems, configmap.item, deployment)
    if whose is None:
        permission.require(systems, "patch", "", "configmaps", names.configmap)
        permission.require_deployment(systems)
    cautions = preconditions.of_template_change(systems, deployment, also=(configmap.item,), why_not=why_not)
    references = References(deployment, names.container, configmap.name)
    before = {key: configmap.data.get(key) for key in changes}
    replicas = fields.number("spec", "replicas", default=1)
    strategy = fields.text("spec", "strategy", "type", default="RollingUpdate")
    gap = (strategy == "Recreate" or replicas == 1) and whose is None
    removed = [key for key, value in changes.items() if value is None]
    verb = "Remove" if removed else "Set"
    plan = Plan(
        title=f"Configure {names.deployment}",
        summary=f"{listed(changes)} in {configmap.name}{', and a rolling restart' if whose is None else ''}",
        steps=(
            f"{verb} {', '.join(changes)} in configmap/{configmap.name}; running pods keep theirs",
            f"Annotate the template of deployment/{names.deployment} with its checksum: the pods are replaced in turn",
            f"{WAIT}, and check that each bears that checksum",
            f"{IF_NOT}: put the ConfigMap back, then the template, and wait again",
        ),
        changes=tuple(
            Change(
                what=f"{key} in configmap/{configmap.name}",
                before=values.shown(configmap.uid, key, before[key]),
                after=values.shown(configmap.uid, key, value),
            )
            for key, value in changes.items()
        ),
        warnings=(
            *references.warnings(removed, [key for key in changes if key not in removed], names.container),
            *((f"MLflow may not answer for a moment (strategy {strategy}, {replicas} replicas).",) if gap else ()),
            *((_NO_RESTART,) if whose is not None else ()),
            *cautions,
        ),
        undo=_undo_sentence(before),
        estimate_seconds=rollout_seconds(systems, deployment),
        facts={"replicas": replicas, "strategy": strategy},
    )
    if whose is None:
        return plan
    wanted_now = {key: value for key, value in changes.items() if value is not None}
    return proposal.proposed(systems, plan, proposal.config(systems.settings, whose, before, wanted_now))


def _differing(systems: Systems, configmap: ConfigMap, wanted: Wanted) -> Wanted:
    """What of the wish is not so already. Raises OperatorError where nothing is, or where it cannot be."""
    if configmap.immutable:
        raise OperatorError(f"The ConfigMap {configmap.name} is immutable.", "It can only be replaced by another one.")
    for key, value in wanted.items():
        if key in configmap.binary:
            raise OperatorError(f"{key} of {configmap.name} holds binary data.", "Change it with kubectl.")
        if value is None and key not in configmap.data:
            known = f"It has {', '.join(sorted(configmap.data))}." if configmap.data else "It is empty."
            raise AlreadySo(f"{configmap.name} has no key {key}.", known)
    differing = {key: value for key, value in wanted.items() if configmap.data.get(key) != value}
    if not differing:
        same = ", ".join(f"{key}={value}" for key, value in wanted.items())
        older = older_pods(systems, configmap)
        raise AlreadySo(
            f"{configmap.name} has {same} already.",
            f"{listed(older, 'were')} started before it was changed: /mlflow restart lets them take it."
            if older
            else "Nothing to do.",
        )
    return differing


def _undo_sentence(before: Mapping[str, str | None]) -> str:
    commands, lost = values.undo_commands(before)
    told = " and ".join(f"/mlflow {command}" for command in commands)
    by_hand = f"put {', '.join(lost)} back by hand: no command shows the value" if lost else ""
    return "; ".join(part for part in (told, by_hand) if part)


def _pods_now(systems: Systems) -> str:
    older = older_pods(systems, ConfigMap.read(systems))
    if older:
        return f"{listed(older, 'were')} started before that: /mlflow restart lets them take it."
    return state_now(systems)
