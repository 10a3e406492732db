"""Another image, rolled out under watch; what does not come up is put back by itself.

The image is changed by the container's name in a strategic merge patch, never by its place in the list.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk, Unwatched, Within
from workers.operations.backup.backup import LOCK, Backup
from workers.operations.deployment import gitops, permission, preconditions, proposal, schema
from workers.operations.deployment.estimate import rollout_seconds
from workers.operations.deployment.rollout import LOOK_SECONDS, state_now
from workers.operations.deployment.template_change import IF_NOT, WAIT, patched, roll
from workers.report import Report, Status
from workers.settings import SettingsError
from workers.systems.cluster.fields import Fields
from workers.systems.errors import GatewayError
from workers.wording import listed

if TYPE_CHECKING:
    from workers.operations.deployment.schema import Schema
    from workers.systems import Systems

UPGRADE_PATIENCE_SECONDS: Final = 120.0
"""How long what a dead worker has begun may take before it is said that nobody knows how it ended."""
LEAVING_SECONDS: Final = 15.0
"""How long MLflow may give the version of before."""
_BACKUP: Final = "Back the database up"
_TOO_NEW: Final = (
    " The database's schema stays {}: pods that run go on, and one of the version before that is started anew would "
    "not come up."
)

_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE: Final = re.compile(
    r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-][a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""https://github.com/distribution/reference: an image's name, tag and digest."""
_VERSION: Final = re.compile(r":v?(\d+\.\d+\.\d+[a-z0-9]*)(?:@|$)")
"""A tag that is a version; others (latest, v3.17.2-full) claim nothing."""


class Update(Operation):
    """Run another version. image: a tag of the image that runs, or a whole image name."""

    name: ClassVar[str] = "update"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("deployment", LOCK)
    timeout_seconds: ClassVar[int] = 1800

    image: Annotated[str, Field(min_length=1, max_length=300)]

    def plan(self, systems: Systems) -> Plan:
        """Image before → after. Raises OperatorError where it runs already, or is no image's name."""
        names = systems.settings.ops.kubernetes
        deployment = systems.cluster.deployment(names.deployment)
        before = image_of(deployment, names.container)
        after = self._image(before)
        whose = gitops.proposes(systems, deployment)
        if after == before and whose is None:
            raise AlreadySo(f"{names.deployment} runs {before} already.", "Nothing to do.")
        if whose is None:
            permission.require_deployment(systems)
        cautions = preconditions.of_template_change(systems, deployment, _with(deployment, names.container, after))
        schema.require_no_upgrade(systems)
        fields = Fields(deployment, "Deployment")
        needs = schema.ask(systems, Unwatched(), after)
        if whose is not None and needs.upgrade:
            raise OperatorError(
                f"Refused: {after} needs the database's schema {needs.needed}, and a proposal in Git can't upgrade it "
                "before the pods change.",
                f"Upgrade it first ({_BACKUP.lower()}, mlflow db upgrade), or set kubernetes.gitops: warn in ops.yaml.",
            )
        plan = Plan(
            title=f"Update {names.deployment}",
            summary=f"to {after}",
            steps=(
                *(_upgrading(needs, after) if needs.upgrade else ()),
                f"Set the image of the container {names.container} of deployment/{names.deployment}",
                f"{WAIT}: it runs {after}",
                "Ask MLflow for its version",
                f"{IF_NOT}: put the previous image back, and wait again",
            ),
            changes=(
                Change(what=f"image of {names.container}", before=before, after=after),
                *(
                    (Change(what="schema of the database", before=needs.now, after=needs.needed),)
                    if needs.upgrade
                    else ()
                ),
                *(
                    Change(what=f"index {name}", before="made too early", after="made by MLflow")
                    for name in needs.early
                ),
            ),
            warnings=(*_warnings(needs, before), *cautions),
            undo=f"/mlflow update {before}",
            estimate_seconds=rollout_seconds(systems, deployment),
            facts={
                "image": before,
                "replicas": fields.number("spec", "replicas", default=1),
                "schema": needs.now,
                "schema needed": needs.needed or "unknown",
            },
        )
        if whose is None:
            return plan
        return proposal.proposed(systems, plan, proposal.image(systems.settings, whose, before, after))

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Roll it out; on failure or when it is stopped, roll back."""
        names = systems.settings.ops.kubernetes
        before = image_of(systems.cluster.deployment(names.deployment), names.container)
        after = self._image(before)
        title = f"Update {names.deployment}"
        needs = schema.ask(systems, progress, after)
        if needs.upgrade:
            self._upgrade(systems, progress, after, needs)
        containers = [{"name": names.container, "image": after}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}

        def change() -> dict[str, Any]:
            return patched(
                systems.cluster, names.deployment, patch, lambda now: image_of(now, names.container) == before
            )

        rolled = roll(systems, change, progress, (f"Rolling out {after}", "Set the image"), before)
        if not rolled.well:
            return Report(
                title=title,
                status=Status.FAIL,
                summary=rolled.told(after, before) + (_TOO_NEW.format(needs.needed) if needs.upgrade else ""),
                sections=rolled.sections,
                hints=rolled.hints,
            )
        progress.step("Asking MLflow for its version", of="Ask MLflow")
        said, doubt = _told_version(systems, after)
        since = f". Since then: {rolled.doubt}" if rolled.doubt else ""
        return Report(
            title=title,
            status=Status.WARN if doubt or since else Status.OK,
            summary=f"Every pod of {names.deployment} runs {after}; {said}{since}.",
            sections=rolled.outcome.sections,
            hints=("health",),
            undo=f"update {before}",
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Which image is wanted, how many pods run it, and which schema the database has."""
        schema.require_no_upgrade(systems, patience_seconds=UPGRADE_PATIENCE_SECONDS)
        return f"{super().aftermath(systems, planned)} {state_now(systems)} To go back: /mlflow rollback."

    def _upgrade(self, systems: Systems, progress: Progress, image: str, needs: Schema) -> None:
        progress.step(f"{_BACKUP} first", of=_BACKUP)
        made = Backup(parts=("database",)).run(systems, Within(progress))
        if made.status is Status.FAIL:
            raise OperatorError(f"Nothing was changed: the backup failed: {made.summary}", "See /mlflow backup list.")
        for name in needs.early:
            progress.step(f"Dropping the index {name}, which the upgrade makes", of=f"Drop the index {name}:")
            systems.maintenance.drop_index(name)
        progress.step(f"Upgrading the schema from {needs.now} to {needs.needed}", of="Upgrade the database's schema")
        ended = schema.upgrade(systems, progress, image)
        now = systems.database.schema_revision()
        if ended.well and now == needs.needed:
            return
        last = " ".join(ended.lines[-3:])[-400:]
        why = ended.why or f"the schema is {now} afterwards"
        state = "It is as it was" if now == needs.now else f"It is {now} now"
        message = f"The database's schema could not be upgraded: {why}. {state}, and the image is not changed. {last}"
        raise OperatorError(
            message.strip(),
            "See /mlflow health, and MLflow's notes on this version.",
        )

    def _image(self, before: str) -> str:
        """The whole name of what was asked for, beside the image that runs."""
        name = before.partition("@")[0]
        if "/" not in self.image and ":" not in self.image and _TAG.fullmatch(self.image):
            head, slash, tail = name.rpartition("/")
            return f"{head}{slash}{tail.partition(':')[0]}:{self.image}"
        if not _IMAGE.fullmatch(self.image):
            raise OperatorError(
                f"“{self.image}” is neither a tag nor an image's name.",
                "Write v3.17.2, or ghcr.io/mlflow/mlflow:v3.17.2.",
            )
        return self.image


def image_of(deployment: dict[str, Any], container: str) -> str:
    """The image of a container by its name. Raises OperatorError where there is none of that name."""
    containers = Fields(deployment, "Deployment").each("spec", "template", "spec", "containers")
    for each in containers:
        if each.text("name") == container:
            return each.text("image")
    known = ", ".join(each.text("name") for each in containers)
    raise OperatorError(
        f"The Deployment has no container {container}; it has {known}.", "Set kubernetes.container in ops.yaml."
    )


def _with(deployment: dict[str, Any], container: str, image: str) -> dict[str, Any]:
    """The Deployment's template with another image."""
    template = deployment["spec"]["template"]
    each = template["spec"]["containers"]
    containers = [{**one, "image": image} if one["name"] == container else one for one in each]
    return {**template, "spec": {**template["spec"], "containers": containers}}


def _upgrading(needs: Schema, image: str) -> tuple[str, ...]:
    drops = (f"Drop the index {name}: it was made too early, and the upgrade would stop at it" for name in needs.early)
    return (_BACKUP, *drops, f"Upgrade the database's schema: mlflow db upgrade, in {image}")


def _warnings(needs: Schema, before: str) -> tuple[str, ...]:
    if needs.upgrade:
        told = f"The schema changes with it: {before} does not start on {needs.needed}."
        slow = (
            f"Until the upgrade has made it again, what {listed(needs.early)} makes fast is slow."
            if needs.early
            else ""
        )
        return (f"{told} Going back then means restoring the database too.", *((slow,) if slow else ()))
    if needs.why:
        return (f"Which schema it needs could not be found out: {needs.why}. A newer one would keep it from starting.",)
    return ()


def _answer(version: str, image: str) -> tuple[str, bool]:
    """What MLflow says of itself after the update, and whether that is not what the image's tag says."""
    if not version:
        return "MLflow could not be asked for its version", True
    tagged = _VERSION.search(image)
    if tagged and tagged[1] != version:
        return f"but MLflow says {version}, and not {tagged[1]}", True
    return f"MLflow says {version}", False


def _told_version(systems: Systems, image: str) -> tuple[str, bool]:
    """As `_answer`, once the pods that are leaving have had a moment to leave: they may still answer meanwhile."""
    ends = time.monotonic() + LEAVING_SECONDS
    while True:
        said, doubt = _answer(_version(systems), image)
        if not doubt or time.monotonic() >= ends:
            return said, doubt
        time.sleep(LOOK_SECONDS)


def _version(systems: Systems) -> str:
    try:
        # Over a connection of its own: one that is kept may lead to a pod that is leaving.
        return systems.tracking.afresh().version()
    except (GatewayError, SettingsError):
        return ""
