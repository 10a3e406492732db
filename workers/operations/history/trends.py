"""Every figure that the health check keeps, with how it went, in a line each: what `trend` says without a metric."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.history import metrics
from workers.operations.history.store import DAYS, RAW_DAYS, History
from workers.rendering import sparkline
from workers.report import Report, Status, Table
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.history.store import Point
    from workers.systems import Systems

PLACES: Final = 14


class Trends(Operation):
    """List the figures with their sparklines. days: how far back."""

    name: ClassVar[str] = "trends"
    risk: ClassVar[Risk] = Risk.READ

    days: Annotated[int, Field(ge=1, le=DAYS)] = RAW_DAYS

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return "Trends"

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read the history once. Raises redis.exceptions.RedisError."""
        progress.step("Reading the history")
        history, now = History(systems.redis), datetime.now(UTC)
        since = now - timedelta(days=self.days)
        runs = history.samples(max(since, now - timedelta(days=RAW_DAYS)), now)
        found = [(each, history.points(each.figure, since, now, runs)) for each in metrics.METRICS]
        measured = [(metric, points) for metric, points in found if points]
        if not measured:
            summary = "No figures yet. Each health check adds to them."
            return Report(title=self.title, status=Status.OK, summary=summary, hints=("health",))
        columns = ("metric", "now", "trend", "lowest", "highest", "what it is")
        table = Table(
            columns=columns,
            rows=tuple(_row(metric, points, since, now) for metric, points in measured),
            numeric=("now", "lowest", "highest"),
            spare=("what it is", "lowest", "highest"),
        )
        summary = f"{count(len(measured), 'figure')} over the last {count(self.days, 'day')}."
        return Report(
            title=self.title,
            status=Status.OK,
            summary=summary,
            sections=(table,),
            hints=(f"trend {measured[0][0].name} --days {self.days}",),
        )


def _row(metric: metrics.Metric, points: list[Point], since: datetime, now: datetime) -> tuple[str, ...]:
    values = [point.value for point in points]
    seen = [(point.at.timestamp(), point.value) for point in points]
    line = sparkline.drawn(sparkline.averaged(seen, since.timestamp(), now.timestamp(), PLACES))
    return (
        metric.name,
        metric.shown(values[-1]),
        line,
        metric.shown(min(values)),
        metric.shown(max(values)),
        metric.title,
    )
