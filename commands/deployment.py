"""Scaling and performance: the running Deployment."""

from __future__ import annotations

import click

from commands.grammar import change
from workers.deployment.restart import Restart
from workers.deployment.scale import Scale
from workers.deployment.update import Update


@change("scale", examples=("scale 4", "scale 4 --dry-run"))
@click.argument("replicas", type=click.IntRange(0, 1000), metavar="REPLICAS")
def scale(replicas: int) -> Scale:
    """Have this many pods of MLflow, and wait until they are ready. 0, and more than ops.yaml's scaling.free_up_to,
    need approval.
    """
    return Scale(replicas=replicas)


@change("restart", examples=("restart", "restart --dry-run"))
def restart() -> Restart:
    """Replace the pods one after the other, as kubectl rollout restart does."""
    return Restart()


@change("update", examples=("update v3.18.0", "update ghcr.io/mlflow/mlflow:v3.18.0 --dry-run"))
@click.argument("image", metavar="TAG|IMAGE")
def update(image: str) -> Update:
    """Roll out another version, and put the one before back by itself where it does not come up. Needs approval."""
    return Update(image=image)
