"""Numbers of pods that may be written as percentages, and what a rolling update makes of them."""

from __future__ import annotations

import math

from mlflow_ops_sandbox.cluster.api.objects import Object


def scaled(value: int | str | None, total: int, *, rounded_up: bool) -> int:
    """Return a number of pods that may be written as a percentage of ``total``."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    exact = int(value.rstrip("%")) * total / 100
    return math.ceil(exact) if rounded_up else math.floor(exact)


def is_rolling(deployment: Object) -> bool:
    """Say whether the Deployment replaces its pods little by little."""
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def surge_and_unavailable(deployment: Object) -> tuple[int, int]:
    """Return maxSurge and maxUnavailable in pods; where both come to 0, maxUnavailable is 1."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    replicas = int(deployment["spec"]["replicas"])
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, rounded_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, rounded_up=False)
    if not surge and not unavailable:
        unavailable = 1
    return surge, min(unavailable, replicas)
