"""What may be named in a command, and how much may be asked for: known without the operation, so that help and a typing
mistake cost none of the libraries behind it.
"""

from __future__ import annotations

from typing import Final, Literal

CHECKS: Final = (
    "pods",
    "deployment",
    "service",
    "ingress",
    "resources",
    "postgres",
    "storage",
    "mlflow",
    "logs",
    "queues",
    "backup",
)
"""The health checks, in the order in which equals are shown."""

RECOVERY: Final = "recovery"
"""One more, asked where recovery.point_in_time is on."""

PARTS: Final = ("database", "artifacts", "config")
"""Of a backup."""

OBJECTS: Final = (
    "secret",
    "configmap",
    "service",
    "deployment",
    "ingress",
    "horizontalpodautoscaler",
    "poddisruptionbudget",
    "cronjob",
    "certificate",
)
"""Kinds of what a backup holds of the cluster."""

ManifestKind = Literal["deployment", "service", "configmap", "secret", "ingress", "pod", "hpa"]
Level = Literal["", "debug", "info", "warning", "error", "critical"]

MOST_LINES: Final = 5000
USUAL_LINES: Final = 200
SETS: Final = 60
"""Backup sets in one list."""
MOST_RUNS: Final = 10_000
HEALTH_PATH: Final = "/health"
"""Of MLflow's own server: what `latency` asks by default."""
