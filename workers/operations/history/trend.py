"""One figure over days, drawn, with a straight line into the future where its limit is known."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field, field_validator

from workers.errors import OperatorError
from workers.operation import Operation, Progress, Risk
from workers.operations.history import forecast, metrics
from workers.operations.history.forecast import Line
from workers.operations.history.store import DAYS, History, Point
from workers.rendering import charts, over_time
from workers.report import Attachment, Facts, Links, Report, Section, Status
from workers.wording import nearest

if TYPE_CHECKING:
    from workers.operations.history.metrics import Metric
    from workers.settings import Settings
    from workers.systems import Systems

DEFAULT_DAYS: Final = 30
NEAR_DAYS: Final = 14
"""What will be full so soon is a warning."""


class Trend(Operation):
    """Draw a figure. metric: a name as `trend` lists them, or a figure as the history has it. days: how far back."""

    name: ClassVar[str] = "trend"
    risk: ClassVar[Risk] = Risk.READ

    metric: str
    days: Annotated[int, Field(ge=1, le=DAYS)] = DEFAULT_DAYS

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str) -> str:
        if metric not in metrics.BY_NAME and "." not in metric:
            near = nearest(metric, metrics.NAMES)
            right = f"did you mean {near}?" if near else f"known are {', '.join(metrics.NAMES)}"
            raise ValueError(f"“{metric}” is not known; {right}")
        return metric

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read the history and draw it. Raises OperatorError where it has nothing of this figure."""
        progress.step("Reading the history")
        history, now = History(systems.redis), datetime.now(UTC)
        metric = metrics.BY_NAME.get(self.metric) or metrics.of_figure(self.metric)
        over = now - timedelta(days=self.days), now
        points = history.points(metric.figure, *over)
        if not points:
            hint = "Each health check adds to it: /mlflow health."
            known = history.figures()
            if known and metric.figure not in known:
                hint = f"Kept are {', '.join(known)}."
            raise OperatorError(f"The history has nothing of {metric.title} in the last {self.days} days.", hint)
        latest: dict[str, float] = {}
        for run in history.samples(now - timedelta(days=1), now):
            latest.update(run.figures)
        limit = metrics.limit(metric, latest, systems.settings)
        line = forecast.through(points, now)
        progress.step("Drawing it")
        return _report(metric, points, over, limit, line, systems.settings)


def forecast_sentence(metric: Metric, limit: float | None, line: Line | None) -> str:
    """The forecast in a sentence; empty where no limit is known, or it is not in sight."""
    days = line.days_to(limit) if line and limit is not None else None
    if days is None:
        return ""
    return f"{metric.full} now." if days < 1 else f"{metric.full} in about {_roughly(days)}."


def _roughly(days: float) -> str:
    if days < 2:  # noqa: PLR2004
        return "a day"
    return f"{days:.0f} days" if days < 100 else f"{days / 30.4:.0f} months"  # noqa: PLR2004


def _report(  # noqa: PLR0913, PLR0917 - all that is told
    metric: Metric,
    points: list[Point],
    over: tuple[datetime, datetime],
    limit: float | None,
    line: Line | None,
    settings: Settings,
) -> Report:
    values = [point.value for point in points]
    days = line.days_to(limit) if line and limit is not None else None
    items = [
        ("now", metric.shown(values[-1])),
        ("between", f"{metric.shown(min(values))} and {metric.shown(max(values))}"),
        ("figures", f"{len(points):,} since {points[0].at.astimezone(settings.ops.zone):%d %b %Y}"),
    ]
    if line:
        sign = "+" if line.per_day >= 0 else "\u2212"
        items.append(("a day", f"{sign}{metric.shown(abs(line.per_day))}"))
    if limit is not None:
        items.append(("limit", metric.shown(limit)))
    direction = forecast_sentence(metric, limit, line) or _without_end(limit, line)
    panel = _panel(metric, points, limit, line, days)
    chart = over_time.chart(metric.title, panel.series, settings.ops.zone, in_sight=True)
    picture = base64.b64encode(
        charts.draw([panel], settings.ops.zone, over=over, columns=1, wide=6.4, high=2.6)
    ).decode()
    measured_days = max(1, (points[-1].at - points[0].at).days)
    said_of_it = charts.described(f"{metric.title} over {measured_days} days, a line chart", [panel])
    alt = f"{said_of_it} {direction}"[: charts.ALT_CHARACTERS]
    return Report(
        title=metric.title,
        status=Status.WARN if days is not None and days <= NEAR_DAYS else Status.OK,
        summary=f"{metric.shown(values[-1])} now. {direction}",
        sections=(Facts(items=tuple(items)), *((chart,) if chart else ()), *_dashboard(settings)),
        # All that was measured, with the limit and the forecast; the chart has a figure for each day.
        attachments=(Attachment(filename=f"{metric.name}.png", content=picture, alt=alt, in_sight=chart is None),),
    )


def _dashboard(settings: Settings) -> tuple[Section, ...]:
    """The way to the team's Grafana, if ops.yaml says where that is."""
    place = settings.ops.links.grafana
    return (Links(items=(("Grafana", str(place)),)),) if place else ()


def _without_end(limit: float | None, line: Line | None) -> str:
    if line is None:
        return "It has no clear direction yet."
    direction = "rises" if line.per_day > 0 else "falls"
    if limit is None:
        return f"It {direction}; its limit isn't known (ops.yaml: limits)."
    return f"It {direction}; its limit is not in sight."


def _panel(
    metric: Metric, points: list[Point], limit: float | None, line: Line | None, days: float | None
) -> charts.Panel:
    ahead = None
    if line and days:
        # As far ahead as it was looked back, or to the limit where that is nearer.
        far = min(days, max(1.0, (line.at - points[0].at).total_seconds() / 86_400))
        ahead = ((line.at, line.value), (line.at + timedelta(days=far), line.value + line.per_day * far))
    series = charts.Series(metric.title, [(point.at, point.value) for point in points], metric.shown, metric.units)
    return charts.Panel(metric.title, (series,), limit=limit, ahead=ahead)
