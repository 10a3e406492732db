"""Key metrics: response time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from commands.grammar import command
from workers.operations.choices import HEALTH_PATH

if TYPE_CHECKING:
    from workers.operation import Operation


@command(
    "latency",
    examples=("latency", "latency --requests 200 --path /api/2.0/mlflow/experiments/search?max_results=1"),
)
@click.option("--requests", type=click.IntRange(1), default=100, metavar="N", help="How many; 100 by default.")
@click.option("--concurrency", type=click.IntRange(1), default=10, metavar="N", help="How many at once; 10 by default.")
@click.option("--path", default=HEALTH_PATH, metavar="PATH", help=f"Of MLflow's own server; {HEALTH_PATH} by default.")
def latency(requests: int, concurrency: int, path: str) -> Operation:
    """Measure how quickly MLflow answers: percentiles, errors, requests a second. It is no load test: ops.yaml says how
    much it may ask at most.
    """
    from workers.operations.health.latency import Latency

    return Latency(requests=requests, concurrency=concurrency, path=path)
