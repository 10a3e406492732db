"""Daily operations: the morning health check, and how its figures went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import Duration, NameOf, OneOf, command
from workers.operations.choices import CHECKS, RECOVERY
from workers.operations.history import metrics

if TYPE_CHECKING:
    from workers.operation import Operation


def _since(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A length of time, or a word for one."""
    words = {"yesterday": "24h", "last-week": "7d"}
    return None if value is None else Duration().convert(words.get(value.lower(), value), parameter, context)


@command("health", examples=("health", "health postgres mlflow", "health --deadline 10", "health --since yesterday"))
@click.argument("checks", nargs=-1, type=OneOf((*CHECKS, RECOVERY)), metavar="[CHECK]…")
@click.option("--deadline", type=click.FloatRange(0.1, 30), metavar="SECONDS", help="For each check.")
@click.option("--since", callback=_since, metavar="WHEN", help="Compare with then: yesterday, last-week, 6h, 3d.")
def health(checks: tuple[str, ...], deadline: float | None, since: float | None) -> Operation:
    """Is MLflow well? Asks pods, deployment, service, ingress, resources, PostgreSQL, storage, MLflow, logs, queues
    and backups at the same time, and says what is wrong, worst first.
    """
    from workers.operations.health import Health

    return Health(checks=checks, deadline_seconds=deadline, since_seconds=since)


@command("trend", examples=("trend", "trend database", "trend latency --days 7", "trend postgres.connections"))
@click.argument("metric", type=NameOf("metric"), default="", metavar="[METRIC]")
@click.option("--days", type=click.IntRange(1, 366), metavar="N", help="How far back; 30 by default, 14 in the list.")
def trend(metric: str, days: int | None) -> Operation:
    """Draw one figure of the health check over days, with a straight line ahead if its limit is known. Without a
    METRIC, list all of them with how they went.
    """
    from workers.operations.history import trend as one
    from workers.operations.history import trends as all_of_them

    if metric:
        return one.Trend(metric=metric, days=days or one.DEFAULT_DAYS)
    return all_of_them.Trends(days=days) if days else all_of_them.Trends()


trend.help = f"{trend.help} METRIC is one of {', '.join(metrics.NAMES)}, or a figure of health --json."
