"""A straight line through a figure's past, and when it would reach a limit.

Least squares over time. A line is told only where it means something: enough points, over long enough, and a slope
that stands out of the scatter (more than twice its own standard error); a figure that goes up and down by the hour
would else "be full in 23 days" each morning anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from workers.wording import DAY

if TYPE_CHECKING:
    from workers.operations.history.store import Point

FEWEST_POINTS: Final = 4
SHORTEST_SECONDS: Final = 2 * DAY
FURTHEST_DAYS: Final = 730
"""Nobody plans by a line that is longer."""
_SURE: Final = 2.0


@dataclass(frozen=True)
class Line:
    """value: at `at`. per_day: how it changes."""

    at: datetime
    value: float
    per_day: float

    def days_to(self, limit: float) -> float | None:
        """Days until it rises to the limit; 0 where it is there; None where it does not within two years."""
        if self.value >= limit:
            return 0.0
        if self.per_day <= 0:
            return None
        days = (limit - self.value) / self.per_day
        return days if days <= FURTHEST_DAYS else None


def through(points: Sequence[Point], now: datetime) -> Line | None:
    """The line through points (oldest first), as it stands now; None where they do not make one."""
    if len(points) < FEWEST_POINTS or (points[-1].at - points[0].at).total_seconds() < SHORTEST_SECONDS:
        return None
    xs = [(point.at - now).total_seconds() / DAY for point in points]
    ys = [point.value for point in points]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    slope = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread
    left = sum((y - middle_y - slope * (x - middle_x)) ** 2 for x, y in zip(xs, ys, strict=True))
    error = math.sqrt(left / (len(xs) - 2) / spread)
    if abs(slope) <= _SURE * error:
        return None
    return Line(now, middle_y - slope * middle_x, slope)
