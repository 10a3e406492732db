"""How fast an autoscaler may change a size: the policies of its `behavior`, and what it has changed lately.

A policy allows so many pods, or so many percent of those at the start of its period, in that period. `selectPolicy`
says which policy counts: that with the largest change, that with the smallest, or none at all.
Source: pkg/controller/podautoscaler/horizontal.go of Kubernetes (calculateScaleUpLimitWithScalingRules and its twin).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from mlflow_ops_sandbox.cluster.api.objects import Object

UP, DOWN = "scaleUp", "scaleDown"
LONGEST: Final = timedelta(seconds=1800)
"""The longest period that a policy may have."""


@dataclass(slots=True)
class Changes:
    """What one autoscaler has changed within the longest period: when, and by how many pods (up is positive)."""

    made: list[tuple[datetime, int]] = field(default_factory=list)

    def note(self, now: datetime, by: int) -> None:
        """Remember a change; what no policy asks about any more is forgotten."""
        self.made = [*(each for each in self.made if each[0] + LONGEST > now), (now, by)]

    def since(self, now: datetime, seconds: int) -> int:
        """Return by how many pods the size has changed in so many seconds."""
        return sum(by for at, by in self.made if at > now - timedelta(seconds=seconds))


def limit(rules: Object, side: str, replicas: int, changes: Changes, now: datetime) -> int:
    """Return the size that the rules of a side allow now: the highest (UP) or the lowest (DOWN).

    rules: with their defaults (defaulting.default_behavior).
    """
    if rules["selectPolicy"] == "Disabled":
        return replicas
    allowed = [_allowed(policy, side, replicas, changes, now) for policy in rules["policies"]]
    largest_change = rules["selectPolicy"] != "Min"
    found = max(allowed) if largest_change == (side == UP) else min(allowed)
    return max(found, replicas) if side == UP else min(found, replicas)


def _allowed(policy: Object, side: str, replicas: int, changes: Changes, now: datetime) -> int:
    at_start = replicas - changes.since(now, policy["periodSeconds"])
    sign = 1 if side == UP else -1
    if policy["type"] == "Pods":
        return at_start + sign * int(policy["value"])
    share = at_start * (100 + sign * int(policy["value"])) / 100
    return math.ceil(share) if side == UP else int(share)
