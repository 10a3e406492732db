"""Scaling and performance: the running Deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Whole, change, command, group_that_acts

if TYPE_CHECKING:
    from workers.operation import Operation


@change("scale", examples=("scale 4", "scale 4 --dry-run"))
@click.argument("replicas", type=Whole(0, 1000), metavar="REPLICAS")
def scale(replicas: int) -> Operation:
    """Have this many pods of MLflow, and wait until they are ready. 0, and more than ops.yaml's scaling.free_up_to,
    need approval.
    """
    from workers.operations.deployment.scale import Scale

    return Scale(replicas=replicas)


@change("restart", examples=("restart", "restart --dry-run"))
def restart() -> Operation:
    """Replace the pods one after the other, as kubectl rollout restart does."""
    from workers.operations.deployment.restart import Restart

    return Restart()


@change("update", examples=("update v3.18.0", "update ghcr.io/mlflow/mlflow:v3.18.0 --dry-run"))
@click.argument("image", metavar="TAG|IMAGE")
def update(image: str) -> Operation:
    """Roll out another version, and roll back by itself if it doesn't come up. Needs approval."""
    from workers.operations.deployment.update import Update

    # Slack makes an address of ghcr.io/….
    return Update(image=image.removeprefix("http://"))


@change("resources", examples=("resources --cpu 1:2 --memory 4Gi:8Gi", "resources --memory :8Gi --dry-run"))
@click.option("--cpu", metavar="REQUEST:LIMIT", default="", help="In CPUs: 500m:2. What is left out stays.")
@click.option("--memory", metavar="REQUEST:LIMIT", default="", help="In bytes: 4Gi:8Gi. What is left out stays.")
@click.option("--container", metavar="NAME", default="", help="By default the one that ops.yaml names.")
def resources(cpu: str, memory: str, container: str) -> Operation:
    """Change requests and limits in one rollout; rolled back by itself if it doesn't come up. Needs approval."""
    cpu_request, cpu_limit = _pair("--cpu", cpu)
    memory_request, memory_limit = _pair("--memory", memory)

    from workers.operations.deployment.resources import Resources

    return Resources(
        cpu_request=cpu_request,
        cpu_limit=cpu_limit,
        memory_request=memory_request,
        memory_limit=memory_limit,
        container=container,
    )


def _pair(option: str, text: str) -> tuple[str, str]:
    request, colon, limit = text.partition(":")
    if text and (not colon or ":" in limit):
        message = f"“{text[:40]}” must be REQUEST:LIMIT, such as 1:2; write 1: or :2 to change one of them only."
        raise click.BadParameter(message, param_hint=option)
    return request.strip(), limit.strip()


@command("status", examples=("rollout status",))
def _status() -> Operation:
    """Show how far the rollout is: pods old and new, conditions and reasons."""
    from workers.operations.deployment.status import RolloutStatus

    return RolloutStatus()


def _revisions() -> Operation:
    """List the revisions of the Deployment, and what changed from one to the next."""
    from workers.operations.deployment.history import History

    return History()


history = command("history", examples=("history",))(_revisions)


@change("rollback", examples=("rollback", "rollback --to 3 --dry-run"))
@click.option("--to", type=Whole(1), default=None, metavar="REVISION", help="By default the one before.")
def rollback(to: int | None) -> Operation:
    """Go back to an earlier revision, as kubectl rollout undo does. Needs approval."""
    from workers.operations.deployment.history import Rollback

    return Rollback(to=to or 0)


@change("restart", examples=("rollout restart",))
def _restart() -> Operation:
    """Replace the pods one after the other: the same as restart."""
    from workers.operations.deployment.restart import Restart

    return Restart()


@change("undo", examples=("rollout undo", "rollout undo --to-revision 3 --dry-run"))
@click.option(
    "--to-revision", "--to", type=Whole(1), default=None, metavar="REVISION", help="By default the one before."
)
def _undo(to_revision: int | None) -> Operation:
    """Go back to an earlier revision: the same as rollback. Needs approval."""
    from workers.operations.deployment.history import Rollback

    return Rollback(to=to_revision or 0)


rollout = group_that_acts(
    "rollout",
    _status,
    command("history", examples=("rollout history",))(_revisions),
    *(_restart, _undo),
    takes=(),
    meaning="How far the rollout is; and, as kubectl says it, rollout history, rollout restart and rollout undo.",
)
