"""What ops.yaml says about changing what Helm, Argo CD or Flux manages: warn of it, refuse it, or propose it in Git."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.operations.deployment import drift, ownership

if TYPE_CHECKING:
    from workers.operations.deployment.ownership import Owner
    from workers.systems import Systems

Json = dict[str, Any]

_INSTEAD: Final = "To have the bot change it all the same, set kubernetes.gitops to warn in ops.yaml."


def proposes(systems: Systems, *items: Json) -> Owner | None:
    """Who manages the first of these objects that anybody does, if a change of it is proposed in Git; else None."""
    if systems.settings.ops.kubernetes.gitops != "propose":
        return None
    return next(filter(None, map(ownership.owner_of, items)), None)


def cautions(
    systems: Systems, *items: Json, why_not: str = "this change can't be proposed in Git from here"
) -> tuple[str, ...]:
    """Warnings about changing these objects. Raises OperatorError if ops.yaml does not let it.

    why_not: why such a change is not proposed; empty if it is, by the plan that asks.
    """
    mode = systems.settings.ops.kubernetes.gitops
    owned = next(((item, found) for item in items if (found := ownership.owner_of(item))), None)
    if owned is None or mode == "warn":
        return tuple(ownership.warnings(*items))
    item, found = owned
    whose = f"{ownership.name_of(item)} is managed by {found.name}"
    if mode == "refuse":
        raise OperatorError(
            f"Refused: {whose}, and {found.undoes}.", f"Change it where {found.name} reads it. {_INSTEAD}"
        )
    if why_not:
        raise OperatorError(f"Refused: {whose}, and {why_not}.", f"Change it in Git. {_INSTEAD}")
    return ()


def of_replicas(deployment: Json) -> tuple[Json, ...]:
    """The Deployment, if its owner undoes another number of replicas; none if it leaves that to others."""
    return (deployment,) if drift.sets_replicas(deployment) else ()


def left_alone(deployment: Json) -> Iterator[str]:
    """That the owner leaves the number of replicas to others, if it does."""
    owner = ownership.owner_of(deployment)
    if owner is not None and not drift.sets_replicas(deployment):
        named = ownership.name_of(deployment)
        yield f"{named} is managed by {owner.name}, which sets no number of replicas: the change stays."


def scaled_by(deployment: Json) -> str:
    """Who wrote the number of replicas last: their owner, or the name that they write under."""
    owner, writer = ownership.owner_of(deployment), drift.writer_of(deployment, drift.REPLICAS)
    if owner is not None and writer in ownership.managers_of(owner):
        return owner.name
    return writer or "somebody else"
