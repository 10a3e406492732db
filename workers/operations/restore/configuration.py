"""MLflow's objects in the cluster as a set holds them: compared by the server, applied in order, watched, put back.

What is there before is made into a set of its own first, so that `restore config` of that one is the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Progress, Risk, Within
from workers.operations.backup import configuration, sets
from workers.operations.backup.backup import make
from workers.operations.backup.encryption import Keys
from workers.operations.deployment import gitops
from workers.operations.deployment.rollout import Unstoppable, Watched, deployment_now, watch
from workers.operations.restore import cluster_objects
from workers.operations.restore.cluster_objects import Applied
from workers.report import Report, Status
from workers.systems.cluster.annotations import RESTARTED_AT, timestamp
from workers.wording import count, listed

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.operations.deployment.rollout import Outcome
    from workers.systems import Systems

READY_SECONDS: Final = 600.0
CALLS_AT_ONCE: Final = 4
WAIT: Final = "Wait until every pod is ready"
_STARTED_WITH: Final = {"Secret", "ConfigMap"}


class RestoreConfiguration(Operation):
    """Put a set's configuration back. set: an id or latest. only: kinds in lower case; empty for all that it holds."""

    name: ClassVar[str] = "restore-config"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("deployment", "configuration", "backup")
    timeout_seconds: ClassVar[int] = 3600

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    only: tuple[str, ...] = ()
    from_elsewhere: bool = False
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """What the server says would differ. Raises OperatorError and AlreadySo."""
        found, items = self._wanted(systems)
        each = cluster_objects.compared(systems.cluster, items)
        changes = _changes(each)
        left_out = found.configuration.left_out if found.configuration else ()
        passed = sets.cautions(systems, self.set, found, part="config")
        return Plan(
            title="Restore the configuration",
            summary=f"{listed([one.name for one in each if one.changes])} from the backup {found.id}",
            steps=(
                "Make a backup of the configuration that is there",
                *(f"Put {one.name} back" for one in each if one.changes),
                f"{WAIT}; if that fails, put back what was there",
            ),
            changes=changes,
            warnings=(*passed, *left_out, *_owned(systems, each)),
            undo="/mlflow restore config with the id of the backup that is made first",
            facts={
                "set": found.name,
                "only": list(self.only),
                **found.checksums,
                **{f"{one.name} now": one.version for one in each if one.changes},
                **{f"{one.name} in the backup": one.content for one in each if one.changes},
            },
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. Raises OperatorError; Cancelled once everything is put back."""
        found, items = self._wanted(systems)
        each = [one for one in cluster_objects.compared(systems.cluster, items) if one.changes]
        title = "Restore the configuration"
        kept = None
        if any(one.live for one in each):
            progress.step("Backing the configuration up", of="Make a backup")
            kept = make(systems, Within(progress), ("config",))[0]
        try:
            outcome = put(systems, progress, each)
        except BaseException as error:
            progress.ended(well=False)
            back = put_back(systems, progress, each)
            if isinstance(error, Cancelled):
                raise Cancelled(back) from None
            if isinstance(error, OperatorError):
                raise OperatorError(f"{error.message} {back}", error.hint) from None
            raise
        if not outcome.well:
            progress.ended(outcome.why, well=False)
            back = put_back(systems, progress, each)
            summary = f"With it {systems.settings.ops.kubernetes.deployment} does not come up: {outcome.why}. {back}"
            return Report(
                title=title, status=Status.FAIL, summary=summary, sections=outcome.sections, hints=("health pods",)
            )
        summary = (
            f"{listed([one.name for one in each], 'are', most=9)} as in the backup {found.id}, and every pod is ready."
        )
        return Report(
            title=title,
            status=Status.OK,
            summary=summary.replace(" are as", " is as") if len(each) == 1 else summary,
            sections=outcome.sections,
            hints=("health",),
            undo=f"restore config {kept.id}" if kept else "",
        )

    def _wanted(self, systems: Systems) -> tuple[Manifest, list[dict[str, Any]]]:
        found = sets.good(systems, self.set, part="config", unsigned=self.unsigned, from_elsewhere=self.from_elsewhere)
        return found, items_of(systems, found, self.only)


def items_of(systems: Systems, found: Manifest, only: tuple[str, ...]) -> list[dict[str, Any]]:
    """The objects of a set with a configuration, decrypted: of those kinds, or all. Raises WrongKey, OperatorError."""
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.backups_bucket
    assert found.configuration is not None
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        items = configuration.read(found.configuration, Keys.all_of(systems.settings), transfer, bucket)
    blotted = [item for item in items if configuration.LEFT_OUT in str(item)]
    chosen = [item for item in items if not only or item["kind"].lower() in only]
    if not chosen:
        held = listed(sorted({item["kind"].lower() for item in items}), most=9)
        raise OperatorError(f"The backup {found.id} holds none of {listed(only)}.", f"It holds {held}.")
    if any(item in blotted for item in chosen):
        names = listed([cluster_objects.name_of(item) for item in blotted])
        raise OperatorError(
            f"The backup {found.id} was made without a key: values that look like secrets are left out of {names}.",
            "Restore the others with --only, or use a set that was made with MLFLOW_OPS_BACKUP_KEY.",
        )
    return chosen


def put(systems: Systems, progress: Progress, each: list[Applied]) -> Outcome:
    """Apply what differs, in order, and watch MLflow's pods. Raises ClusterError, Cancelled."""
    template_changed = False
    names = systems.settings.ops.kubernetes
    before = deployment_now(systems)
    for number, one in enumerate(each):
        progress.step(f"Putting {one.name} back", of=f"Put {one.name} back")
        progress.checkpoint()
        progress.advance(number, len(each), "objects")
        cluster_objects.apply(systems.cluster, one.wanted)
        template_changed |= one.wanted["kind"] == "Deployment"
    started_with = any(one.wanted["kind"] in _STARTED_WITH for one in each)
    if started_with:
        progress.step(f"Replacing the pods of {names.deployment}: they start with what was put back", of=WAIT)
        annotated = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: timestamp()}}}}}
        systems.cluster.patch_deployment(names.deployment, annotated)
    progress.step(f"Waiting for the pods of {names.deployment}", of=WAIT)
    return watch(Watched.of(systems, READY_SECONDS, before=before), progress)


def put_back(systems: Systems, progress: Progress, each: list[Applied]) -> str:
    """Have what was there before, in a sentence on how that went. What was made newly stays."""
    before = [configuration.clean(one.live | _head(one)) for one in each if one.live is not None]
    progress.step("Putting back what was there")
    try:
        failed = deployment_now(systems)
        for item in before:
            cluster_objects.apply(systems.cluster, item)
        outcome = watch(Watched.of(systems, READY_SECONDS, before=failed), Unstoppable(progress))
    except OperatorError as error:
        progress.ended(error.message, well=False)
        return f"It could not be put back: {error.message}"
    progress.ended(outcome.why, well=outcome.well)
    told = f"{count(len(before), 'object')} that were there before are back"
    return f"{told}, and every pod is ready." if outcome.well else f"{told}, but {outcome.why}."


def _owned(systems: Systems, each: list[Applied]) -> tuple[str, ...]:
    """Who manages what would change, and undoes that. Raises OperatorError if ops.yaml does not let it."""
    live = [one.live | _head(one) for one in each if one.live is not None and one.changes]
    return gitops.cautions(systems, *live, why_not="a backup's objects stand in no file: revert the commits instead")


def _head(one: Applied) -> dict[str, Any]:
    return {"apiVersion": one.wanted["apiVersion"], "kind": one.wanted["kind"]}


def _changes(each: list[Applied]) -> tuple[Change, ...]:
    changes = tuple(change for one in each for change in one.changes)
    if not changes:
        raise AlreadySo(f"All {count(len(each), 'object', 'are')} as the backup holds them.", "Nothing to do.")
    return changes
