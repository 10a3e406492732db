"""Another image, rolled out under watch; what does not come up is put back by itself.

The image is changed by the container's name in a strategic merge patch, never by its place in the list.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from pydantic import Field

from workers.deployment.rollout import Outcome, Watched, watch
from workers.health.fields import Fields
from workers.operation import Cancelled, Change, Operation, OperatorError, Plan, Progress, Report, Risk, Status
from workers.systems.errors import GatewayError

if TYPE_CHECKING:
    from workers.systems import Systems

READY_SECONDS: Final = 600.0
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_IMAGE: Final = re.compile(
    r"(?:[a-z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-][a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
"""https://github.com/distribution/reference: an image's name, tag and digest."""


class Update(Operation):
    """Run another version. image: a tag of the image that runs, or a whole image name."""

    name: ClassVar[str] = "update"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("deployment",)
    timeout_seconds: ClassVar[int] = 1800

    image: Annotated[str, Field(min_length=1, max_length=300)]

    def plan(self, systems: Systems) -> Plan:
        """Image before → after. Raises OperatorError where it runs already, or is no image's name."""
        names = systems.settings.ops.kubernetes
        deployment = systems.cluster.deployment(names.deployment)
        before = image_of(deployment, names.container)
        after = self._image(before)
        if after == before:
            raise OperatorError(f"{names.deployment} runs {before} already.", "Nothing is to be done.")
        fields = Fields(deployment, "Deployment")
        return Plan(
            title=f"Update {names.deployment}",
            summary=f"to {after}",
            steps=(
                f"Set the image of the container {names.container} of deployment/{names.deployment}",
                "Wait until every pod runs it and is ready",
                "Ask MLflow for its version",
                "Where that does not happen: put the image before back, and wait again",
            ),
            changes=(Change(what=f"image of {names.container}", before=before, after=after),),
            warnings=("A newer MLflow may need another database schema: mlflow db upgrade is not run.",),
            undo=f"/mlflow update {before}",
            facts={"image": before, "replicas": fields.number("spec", "replicas", default=1)},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Roll it out; on failure or when it is stopped, roll back."""
        names = systems.settings.ops.kubernetes
        before = image_of(systems.cluster.deployment(names.deployment), names.container)
        after = self._image(before)
        title = f"Update {names.deployment}"
        progress.step(f"Rolling out {after}")
        try:
            outcome = _roll(systems, after, progress)
        except Cancelled:
            progress.step(f"Stopped: putting {before} back")
            _put_back(systems, before)
            raise
        if outcome.well:
            version = _version(systems)
            return Report(
                title=title,
                status=Status.OK,
                summary=f"Every pod of {names.deployment} runs {after}{f'; MLflow says {version}' if version else ''}.",
                sections=outcome.sections,
                hints=(f"update {before}", "health"),
            )
        progress.step(f"It does not come up: putting {before} back")
        back = _put_back(systems, before)
        end = f"{before} is back, and every pod is ready" if back.well else f"and with {before} back, {back.why}"
        return Report(
            title=title,
            status=Status.FAIL,
            summary=f"{after} does not come up: {outcome.why}. {end}.",
            sections=(*outcome.sections, *(() if back.well else back.sections)),
            hints=("health pods",),
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


def _roll(systems: Systems, image: str, progress: Progress) -> Outcome:
    names = systems.settings.ops.kubernetes
    containers = [{"name": names.container, "image": image}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    systems.cluster.patch_deployment(names.deployment, patch)
    return watch(Watched.of(systems, READY_SECONDS), progress)


class _Deaf:
    """Putting back is not stopped half way."""

    def step(self, name: str) -> None:
        """Say nothing."""

    def advance(self, done: int, total: int, unit: str) -> None:
        """Say nothing."""

    def checkpoint(self) -> None:
        """Hear nothing."""


def _put_back(systems: Systems, image: str) -> Outcome:
    return _roll(systems, image, _Deaf())


def _version(systems: Systems) -> str:
    try:
        return systems.tracking.version()
    except GatewayError:
        return ""
