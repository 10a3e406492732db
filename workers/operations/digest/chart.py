"""The digest's picture: what matters over 14 days, small charts over the same time."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.history import metrics
from workers.rendering import charts, over_time
from workers.rendering.blocks import CHARTS
from workers.report import Attachment, Chart

if TYPE_CHECKING:
    from workers.operations.history.store import History
    from workers.settings import Settings

DAYS: Final = 14
_PANELS: Final = (
    ("Latency", (("p95", "latency"), ("p50", "latency-p50"))),
    ("Errors in the logs", (("errors", "errors"),)),
    ("Database size", (("size", "database"),)),
    ("Artifacts size", (("size", "storage"),)),
    ("Memory", (("memory", "memory"),)),
    ("Age of the last backup", (("age", "backup-age"),)),
)


def drawn(history: History, settings: Settings, now: datetime) -> tuple[tuple[Attachment, ...], tuple[Chart, ...]]:
    """One picture, and the first of its panels as charts for the thread; none where nothing is kept yet."""
    since = now - timedelta(days=DAYS)
    runs = history.samples(since, now)
    if not runs:
        return (), ()
    latest: dict[str, float] = {}
    for run in runs:
        latest.update(run.figures)
    panels = []
    for title, lines in _PANELS:
        series = []
        for name, metric_name in lines:
            metric = metrics.BY_NAME[metric_name]
            points = [(run.at, run.figures[metric.figure]) for run in runs if metric.figure in run.figures]
            series.append(charts.Series(name, points, metric.shown, metric.units))
        panels.append(charts.Panel(title, tuple(series), limit=_limit(lines[0][1], latest, settings)))
    content = base64.b64encode(charts.draw(panels, settings.ops.zone, over=(since, now))).decode()
    alt = charts.described(f"MLflow over {DAYS} days, six line charts", panels)
    picture = Attachment(filename=f"mlflow-{now:%Y-%m-%d}.png", content=content, alt=alt, in_sight=True)
    made = (over_time.chart(each.title, each.series, settings.ops.zone) for each in panels[:CHARTS])
    return (picture,), tuple(each for each in made if each)


def _limit(name: str, latest: dict[str, float], settings: Settings) -> float | None:
    if name == "backup-age":
        return float(settings.ops.health.thresholds.backup_age_fail_seconds)
    return metrics.limit(metrics.BY_NAME[name], latest, settings)
