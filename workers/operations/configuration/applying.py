"""Write the ConfigMap and let the pods take it: one rolling restart, proven, or put back by itself.

The order is what keeps it safe. The ConfigMap first (a merge patch with its resourceVersion: nobody else's change is
lost), while the running pods keep what they were started with; then the pods' template, with the ConfigMap's checksum
as an annotation, so that every pod that bears it was started after the change. A worker that dies in between leaves
the pods in the old state; the cluster finishes a rollout that has begun, and keeps old pods where new ones do not come
up. `config show` tells of pods that are older than the ConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operation import Cancelled, Progress
from workers.operations.configuration import values
from workers.operations.configuration.configmap import CHECKSUM, ConfigMap
from workers.operations.configuration.references import References
from workers.operations.deployment.judging import Way, template_to_return_to
from workers.operations.deployment.rollout import Outcome, Unstoppable, Watched, doubt_now, watch
from workers.operations.deployment.template_change import IF_NOT, WAIT, put_back
from workers.report import Report, Status, Table
from workers.systems.cluster.annotations import RESTARTED_AT, timestamp
from workers.systems.cluster.fields import Fields
from workers.systems.errors import ClusterConflict, ClusterUnreachable
from workers.wording import listed

if TYPE_CHECKING:
    from workers.systems import Systems

READY_SECONDS: Final = 600.0
ATTEMPTS: Final = 5

Wanted = dict[str, str | None]
"""Keys and their new values; None where a key is to be removed."""


@dataclass(frozen=True)
class Edited:
    """What was written, and what was there. annotations: those of the template that are about to change.

    deployment: as it was before. way: the template that was well then, None if none was. rolled: the new template, None
    as long as the Deployment is as it was.
    """

    configmap: ConfigMap
    wanted: Wanted
    before: dict[str, str | None]
    annotations: dict[str, str | None]
    deployment: dict[str, Any] = field(default_factory=dict, repr=False)
    way: Way | None = None
    rolled: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def left(self) -> str:
        """Why it is left as it is though it does not come up; empty if there is something better."""
        return _LEFT if self.rolled is not None and self.way is None else ""


_LEFT: Final = "No pod was ready before it either, so the change was left in place"


def apply(systems: Systems, progress: Progress, wanted: Wanted) -> Report:
    """Do it, watch it, prove it; put back what does not come up, also where it is cancelled. Raises OperatorError."""
    names = systems.settings.ops.kubernetes
    progress.step(f"Changing {names.configmap}", of=f"in configmap/{names.configmap}")
    before = systems.cluster.deployment(names.deployment)
    way = template_to_return_to(before, systems.cluster.replica_sets(names.selector))
    there = Fields(before, "Deployment").labels("spec", "template", "metadata", "annotations")
    annotations = {key: there.get(key) for key in (RESTARTED_AT, CHECKSUM)}
    edited = replace(_write(systems, wanted), annotations=annotations, deployment=before, way=way)
    try:
        edited = replace(edited, rolled=_annotate(systems, progress, edited))
        progress.step("Waiting for the new pods", of=WAIT)
        outcome = watch(Watched.of(systems, READY_SECONDS, before=before), progress)
    except Cancelled:
        if edited.left:
            raise Cancelled(f"{edited.left}.") from None
        progress.ended("stopped", well=False)
        back = _put_back(systems, progress, edited)
        state = "every pod is ready" if back.well else back.why
        raise Cancelled(f"{names.configmap} is as it was, and {state}.") from None
    except OperatorError as error:
        outcome = Outcome(well=False, why=error.message.rstrip("."))
    if not outcome.well:
        return _failed(systems, progress, edited, outcome)
    doubt = _unproven(systems, edited) or doubt_now(systems, edited.rolled or {})
    after = ", ".join(f"{key} {_is(edited, key)}" for key in edited.wanted)
    proof = doubt or f"every pod of {names.deployment} was started with it"
    commands, _ = values.undo_commands(edited.before)
    return Report(
        title=f"Configure {names.deployment}",
        status=Status.WARN if doubt else Status.OK,
        summary=f"{after}, and {proof}.",
        sections=(_changed(systems, edited), *outcome.sections),
        hints=(*commands[1:], "config show"),
        undo=next(iter(commands), ""),
    )


def _is(edited: Edited, key: str) -> str:
    value = edited.wanted[key]
    if value is None:
        return "is removed"
    uid = edited.configmap.uid
    was = values.shown(uid, key, edited.before[key])
    return f"is {values.shown(uid, key, value)} (was {'not set' if was == values.NOT_SET else was})"


def _changed(systems: Systems, edited: Edited) -> Table:
    names = systems.settings.ops.kubernetes
    references = References(systems.cluster.deployment(names.deployment), names.container, edited.configmap.name)
    uid = edited.configmap.uid
    rows = tuple(
        (
            key,
            values.shown(uid, key, edited.before[key]),
            values.shown(uid, key, value),
            references.of(key) or "nowhere",
        )
        for key, value in edited.wanted.items()
    )
    return Table(title="Changed", columns=("key", "before", "after", "arrives as"), rows=rows)


def _write(systems: Systems, wanted: Wanted) -> Edited:
    """Write the keys, whatever else in the ConfigMap is changed meanwhile. A lost answer is looked up."""
    cluster, name = systems.cluster, systems.settings.ops.kubernetes.configmap
    first: dict[str, str | None] | None = None
    trouble: OperatorError | None = None
    for _ in range(ATTEMPTS):
        configmap = _read_again(systems) if trouble else ConfigMap.read(systems)
        now = {key: configmap.data.get(key) for key in wanted}
        if first is not None and now == wanted:
            return Edited(configmap, wanted, first, {})
        if first is not None and now != first:
            break
        first = now
        patch = {"metadata": {"resourceVersion": configmap.version}, "data": wanted}
        try:
            return Edited(ConfigMap.of(cluster.patch_configmap(name, patch)), wanted, first, {})
        except (ClusterConflict, ClusterUnreachable) as error:
            trouble = error
    if isinstance(trouble, ClusterUnreachable):
        raise trouble
    message = f"Nothing was done: someone else changed {name} at the same moment."
    raise OperatorError(message, "Ask again.")


def _read_again(systems: Systems) -> ConfigMap:
    try:
        return ConfigMap.read(systems)
    except ClusterUnreachable as error:
        message = f"{error.message} It is not known whether the ConfigMap was changed; no pod was replaced."
        raise OperatorError(message, "/mlflow config show tells what it holds.") from None


def _annotate(systems: Systems, progress: Progress, edited: Edited) -> dict[str, Any]:
    """Have the pods replaced; the template with which they are."""
    names = systems.settings.ops.kubernetes
    progress.step(f"Replacing the pods of {names.deployment}", of="Annotate the template")
    now = timestamp()
    patch = _annotated({RESTARTED_AT: now, CHECKSUM: edited.configmap.checksum})
    template: dict[str, Any] = systems.cluster.patch_deployment(names.deployment, patch)["spec"]["template"]
    return template


def _annotated(annotations: Mapping[str, str | None]) -> dict[str, Any]:
    return {"spec": {"template": {"metadata": {"annotations": dict(annotations)}}}}


def _unproven(systems: Systems, edited: Edited) -> str:
    """Why it is not certain that every pod runs with it; empty where it is."""
    names = systems.settings.ops.kubernetes
    if ConfigMap.read(systems).checksum != edited.configmap.checksum:
        return f"someone else changed {names.configmap} meanwhile: /mlflow config show tells which pods are older"
    others, owners = [], set()
    for pod in systems.cluster.pods(names.selector):
        fields = Fields(pod, "pod")
        if fields.has("metadata", "deletionTimestamp") or fields.text("status", "phase") == "Succeeded":
            continue
        owners |= {
            owner.text("uid") for owner in fields.each("metadata", "ownerReferences") if owner.flag("controller")
        }
        if fields.labels("metadata", "annotations").get(CHECKSUM) != edited.configmap.checksum:
            others.append(fields.text("metadata", "name"))
    if others or len(owners) > 1:
        return f"{listed(others, 'are') or 'some pods are'} not of the new template"
    return ""


def _failed(systems: Systems, progress: Progress, edited: Edited, outcome: Outcome) -> Report:
    names = systems.settings.ops.kubernetes
    commands, _ = values.undo_commands(edited.before)
    tried = f"With {listed(edited.wanted)} changed, {names.deployment} does not come up: {outcome.why}"
    if edited.left:
        return Report(
            title=f"Configure {names.deployment}",
            status=Status.FAIL,
            summary=f"{tried}. {edited.left}. To take it back: /mlflow {commands[0] if commands else 'rollback'}.",
            sections=(_changed(systems, edited), *outcome.sections),
            hints=(*commands, "config show", "rollback"),
        )
    progress.ended(outcome.why, well=False)
    try:
        back = _put_back(systems, progress, edited)
        end = f"{names.configmap} is as it was, and "
        end += "every pod is ready" if back.well else back.why
        hints: tuple[str, ...] = ("health pods", "config show")
        sections = (*outcome.sections, *(() if back.well else back.sections))
    except OperatorError as error:
        end = f"It could not be put back: {error.message.rstrip('.')}"
        hints, sections = (*commands, "config show"), outcome.sections
    return Report(
        title=f"Configure {names.deployment}",
        status=Status.FAIL,
        summary=f"{tried}. {end}.",
        sections=(_changed(systems, edited), *sections),
        hints=hints,
    )


def _put_back(systems: Systems, progress: Progress, edited: Edited) -> Outcome:
    """The ConfigMap first: pods of the template before must start with what was there before."""
    names = systems.settings.ops.kubernetes
    progress.step(f"Putting {names.configmap} back", of=IF_NOT)
    _restore(systems, edited)
    if edited.rolled is not None and edited.way is not None and edited.way.revision:
        return put_back(systems, progress, edited.way.template, edited.rolled)
    failed = systems.cluster.deployment(names.deployment)
    systems.cluster.patch_deployment(names.deployment, _annotated(edited.annotations))
    if edited.way is None:
        return Outcome(well=False, why="no pod was replaced")
    back = watch(Watched.of(systems, READY_SECONDS, before=failed), Unstoppable(progress))
    progress.ended(back.why, well=back.well)
    return back


def _restore(systems: Systems, edited: Edited) -> None:
    """Put back what is still as we wrote it; what someone else has changed since is theirs."""
    name = systems.settings.ops.kubernetes.configmap
    for _ in range(ATTEMPTS):
        configmap = ConfigMap.read(systems)
        ours = {key: edited.before[key] for key, value in edited.wanted.items() if configmap.data.get(key) == value}
        if not ours:
            return
        patch = {"metadata": {"resourceVersion": configmap.version}, "data": ours}
        try:
            systems.cluster.patch_configmap(name, patch)
        except (ClusterConflict, ClusterUnreachable):
            continue
        return
    raise OperatorError(f"someone else keeps changing {name}.", "Ask again.")
