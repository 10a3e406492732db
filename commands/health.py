"""Daily operations: the morning health check."""

from __future__ import annotations

import click

from commands.grammar import OneOf, command
from workers.health import CHECKS, Health


@command("health", examples=("health", "health postgres mlflow", "health --deadline 10"))
@click.argument("checks", nargs=-1, type=OneOf(CHECKS), metavar="[CHECK]…")
@click.option("--deadline", type=click.FloatRange(0.1, 30), metavar="SECONDS", help="For each check.")
def health(checks: tuple[str, ...], deadline: float | None) -> Health:
    """Is MLflow well? Asks pods, deployment, service, ingress, resources, PostgreSQL, storage, MLflow, logs, queues
    and backups at the same time, and says what is wrong, worst first.
    """
    return Health(checks=checks, deadline_seconds=deadline)
