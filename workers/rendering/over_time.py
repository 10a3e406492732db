"""Lines over time as a chart with labels: a point for each day, or for each hour, in the zone that people live in.

The same figures as in the picture beside it, which has every one of them: here a day's figure is the mean of what was
measured on that day. A day on which nothing was measured has none.
"""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from workers.report import Chart, Line
from workers.wording import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.rendering.charts import Series
    from workers.wording import Unit

_AS_MEASURED: Final = 20
_BY_DAY: Final = timedelta(days=3)


def chart(title: str, series: Sequence[Series], zone: tzinfo, *, in_sight: bool = False) -> Chart | None:
    """The lines; None where less than two moments are known."""
    moments = sorted({at for each in series for at, _ in each.points})
    if len(moments) < 2:  # noqa: PLR2004 - a point is no line
        return None
    whole = moments[-1] - moments[0]
    if len(moments) <= _AS_MEASURED:
        begin, note = _minute, ""
        form = "%d %b %H:%M" if whole >= timedelta(hours=20) else "%H:%M"
    elif whole >= _BY_DAY:
        begin, note, form = _day, "mean of each day", "%d %b"
    else:
        begin, note, form = _hour, "mean of each hour", "%d %b %H:%M"
    held = [_held(each.points, zone, begin) for each in series]
    known = sorted({at for each in held for at in each})
    lines = tuple(
        Line(name=each.name, values=tuple(_mean(values.get(at, [])) for at in known))
        for each, values in zip(series, held, strict=True)
    )
    labels = tuple(f"{at:{form}}" for at in known)
    return Chart(title=title, labels=labels, lines=lines, unit=_unit(series), note=note, in_sight=in_sight)


def _unit(series: Sequence[Series]) -> Unit:
    shown = next((each.shown(each.points[-1][1]) for each in series if each.points), "")
    return shown.unit if isinstance(shown, Figure) else "number"


def _held(
    points: Sequence[tuple[datetime, float]], zone: tzinfo, begin: Callable[[datetime], datetime]
) -> dict[datetime, list[float]]:
    held: dict[datetime, list[float]] = defaultdict(list)
    for at, value in points:
        held[begin(at.astimezone(zone).replace(tzinfo=None))].append(value)
    return held


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _day(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
