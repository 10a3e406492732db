"""What would undo or refuse a change of the pods' template, known before anybody approves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.operations.deployment import capacity, gitops, limit_range, ownership, quota, volumes
from workers.operations.deployment.judging import is_owned, owned, template_to_return_to
from workers.operations.deployment.template_diff import bare, differences

if TYPE_CHECKING:
    from workers.systems import Systems

Json = dict[str, Any]


def require_not_paused(systems: Systems, deployment: Json) -> None:
    """Raise OperatorError if the Deployment is paused: its template could change, and no pod would."""
    names = systems.settings.ops.kubernetes
    if deployment["spec"].get("paused"):
        raise OperatorError(
            f"The Deployment {names.deployment} is paused: no pod would take the change.",
            f"kubectl rollout resume deployment/{names.deployment} -n {names.namespace}",
        )


def of_template_change(
    systems: Systems, deployment: Json, template: Json | None = None, *, also: tuple[Json, ...] = (), why_not: str = ""
) -> tuple[str, ...]:
    """Warnings about a change of the template. template: the new one, as far as it is known.

    also: other objects that change with it. why_not: why it is never proposed in Git, if it is not. Raises
    OperatorError if it could not be rolled out, or if ops.yaml does not let it.
    """
    require_not_paused(systems, deployment)
    whose = gitops.cautions(systems, deployment, *also, why_not=why_not)
    room = _room(systems, deployment, template or deployment["spec"]["template"])
    # What is proposed in Git is put back there, too.
    back = () if gitops.proposes(systems, deployment, *also) else _way_back(systems, deployment, template)
    return (*room, *back, *whose)


def of_restart(systems: Systems, deployment: Json) -> tuple[str, ...]:
    """Warnings about a rolling restart. Raises OperatorError if it could not be rolled out."""
    require_not_paused(systems, deployment)
    return (*_room(systems, deployment, deployment["spec"]["template"]), *ownership.of_restart(deployment))


def _room(systems: Systems, deployment: Json, template: Json) -> tuple[str, ...]:
    """What limits, quotas, volumes, nodes and budgets say. Raises OperatorError if it could not be rolled out."""
    cluster, names = systems.cluster, systems.settings.ops.kubernetes
    sets = owned(deployment, cluster.replica_sets(names.selector))
    limit_range.require_within(systems, template["spec"])
    there = [str(pod["metadata"]["name"]) for pod in cluster.pods(names.selector) if is_owned(pod, sets)]
    return (
        *quota.require_room_for_rollout(systems, deployment, template["spec"]),
        *volumes.of_rollout(cluster, deployment, template["spec"]),
        *capacity.no_place_to_roll(cluster, deployment, template, there),
        *capacity.budgets_in_a_rollout(cluster, deployment, template),
    )


def _way_back(systems: Systems, deployment: Json, template: Json | None) -> Iterator[str]:
    """What happens if it doesn't come up, unless that is simply the template of now."""
    sets = systems.cluster.replica_sets(systems.settings.ops.kubernetes.selector)
    way = template_to_return_to(deployment, sets)
    if way is None:
        yield "No pod is ready now. If the new ones don't come up either, they stay: there is nothing good to put back."
    elif way.revision and (template is None or differences(bare(template), bare(way.template))):
        yield (
            f"The rollout before this one isn't complete, and revision {way.revision} serves. "
            f"If the new pods don't come up, revision {way.revision} is put back."
        )
