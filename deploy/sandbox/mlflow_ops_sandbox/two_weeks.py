"""Two weeks of a small MLflow's figures, for what shows a past that a sandbox of some seconds does not have.

The names are those of the product's health checks, in base units (seconds, bytes). The same figures each time, so that
a picture made of them again is the same picture.
"""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

HOURS = 14 * 24


def two_weeks(now: datetime) -> Iterator[tuple[datetime, dict[str, float]]]:
    """Yield the figures of each hour up to the last one, oldest first, with their moment."""
    chance = random.Random(5)  # noqa: S311 - the same each time
    for hours in range(HOURS - 1, 0, -1):
        at = now - timedelta(hours=hours)
        busy = 1 + 0.4 * math.sin(at.hour / 24 * 2 * math.pi)
        yield (
            at,
            {
                "mlflow.p95_seconds": 0.09 * busy + chance.uniform(0, 0.02),
                "mlflow.p50_seconds": 0.05 * busy + chance.uniform(0, 0.005),
                "postgres.size_bytes": 11.6 * 2**20 - hours * 9000,
                "backup.artifacts_bytes": 278 * 1024 - hours * 300,
                "backup.age_seconds": chance.uniform(60, 3500),
                "resources.memory_bytes": (540 + chance.uniform(0, 40)) * 2**20,
                "resources.memory_limit_bytes": 8.0 * 2**30,
                "logs.errors": float(chance.choice([0] * 30 + [2, 14])),
            },
        )
