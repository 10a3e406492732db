"""What a person calls a figure: its name, its unit, and where it must not go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.wording import DAY, Figure, duration, milliseconds, share, size

if TYPE_CHECKING:
    from workers.settings import Settings


def number(value: float) -> str:
    """A bare number."""
    text = f"{value:z,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:z,.1f}"  # noqa: PLR2004
    return Figure(text, value)


def _days(value: float) -> str:
    return Figure(f"{value:z,.0f} day{'' if round(value) == 1 else 's'}", round(value * DAY), "seconds")


@dataclass(frozen=True)
class Metric:
    """One figure. name: as it is typed. figure: where the history has it. shown: how a value is written.

    limit_figure: the figure that holds its limit; else ops.yaml may name one under `limits`. full: what happens there,
    for "… in about 23 days". units: what round values on a scale are multiples of.
    """

    name: str
    title: str
    figure: str
    shown: Callable[[float], str] = number
    limit_figure: str = ""
    units: tuple[float, ...] = (1.0,)
    full: str = "It reaches its limit"


BYTES: Final = tuple(1024.0**power for power in range(5))
SECONDS: Final = (1.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0)
MILLISECONDS: Final = (0.001, 1.0)

METRICS: Final = (
    Metric("latency", "Latency (p95)", "mlflow.p95_seconds", milliseconds, units=MILLISECONDS),
    Metric("latency-p50", "Latency (p50)", "mlflow.p50_seconds", milliseconds, units=MILLISECONDS),
    Metric("database", "Database size", "postgres.size_bytes", size, units=BYTES, full="The database's disk is full"),
    Metric("database-latency", "Database round trip", "postgres.latency_seconds", milliseconds, units=MILLISECONDS),
    Metric(
        "connections",
        "Database connections",
        "postgres.connections",
        limit_figure="postgres.max_connections",
        full="All connections are in use",
    ),
    Metric(
        "storage", "Artifacts size", "backup.artifacts_bytes", size, units=BYTES, full="The artifacts' disk is full"
    ),
    Metric("objects", "Artifacts", "backup.artifacts_objects"),
    Metric("storage-latency", "Storage latency", "storage.latency_seconds", milliseconds, units=MILLISECONDS),
    Metric("errors", "Errors in the logs", "logs.errors"),
    Metric(
        "memory",
        "Memory",
        "resources.memory_bytes",
        size,
        units=BYTES,
        limit_figure="resources.memory_limit_bytes",
        full="MLflow is at its memory limit",
    ),
    Metric("cpu", "CPU cores", "resources.cpu_cores"),
    Metric("restarts", "Restarts", "pods.restarts"),
    Metric("queue", "Waiting jobs", "queues.waiting"),
    Metric("redis", "Redis memory", "queues.used_bytes", size, units=BYTES),
    Metric("backup-age", "Age of the last backup", "backup.age_seconds", duration, units=SECONDS),
    Metric("certificate", "Certificate", "ingress.certificate_days", _days),
)
NAMES: Final = tuple(each.name for each in METRICS)
BY_NAME: Final = {each.name: each for each in METRICS}


def of_figure(figure: str) -> Metric:
    """The metric of a figure; where nobody has named it, one that is called as the figure is."""
    known = next((each for each in METRICS if each.figure == figure), None)
    return known or Metric(figure, figure, figure, _shown_by(figure))


def limit(metric: Metric, latest: dict[str, float], settings: Settings) -> float | None:
    """Where the metric must not go, as ops.yaml says or as the latest run has measured it; None where nobody knows."""
    told = settings.ops.limits.get(metric.name)
    return told if told is not None else latest.get(metric.limit_figure)


def _shown_by(figure: str) -> Callable[[float], str]:
    for ending, shown in (
        ("_bytes", size),
        ("_seconds", _seconds),
        ("_share", share),
        ("_days", _days),
    ):
        if figure.endswith(ending):
            return shown
    return number


def _seconds(value: float) -> str:
    return milliseconds(value) if value < 10 else duration(min(value, 10_000 * DAY))  # noqa: PLR2004
