"""The axis of time below a picture's lines: from two to seven labels, each a round moment that lies on it.

Matplotlib's AutoDateLocator picks from a list that has gaps (two days in four labels are not in it, so it warns and
takes what it has). The steps here leave none: the first one that is not too many labels is never too few. The trap:
labels of the same hour on two days must not read the same.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HOURS: Final = (0.5, 1, 2, 4, 12, 24)
"""From one label to the next, on an axis of a few days."""
MARGIN: Final = timedelta(hours=1)
"""On either side at least, so that no axis is shorter than twice that."""
_FEW_DAYS: Final = 4
_MANY_DAYS: Final = 180
_DAY: Final = timedelta(days=1)
_MONTH: Final = timedelta(days=365.25 / 12)


def between(ax: Axes, begin: datetime, end: datetime, zone: tzinfo) -> None:
    """Lay out the axis for these moments, with a margin; its labels are in that zone."""
    from matplotlib.dates import DateFormatter, DayLocator, HourLocator, MinuteLocator, MonthLocator

    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (begin, end))
    margin = max((last - first) * 0.02, MARGIN)
    left: Any = first - margin
    right: Any = last + margin
    ax.set_xlim(left, right)
    whole = right - left
    locator: Any
    if whole > _MANY_DAYS * _DAY:
        locator, form = MonthLocator(interval=math.ceil(whole / _MONTH / 6)), "%b %Y"  # type: ignore[no-untyped-call]
    elif whole >= _FEW_DAYS * _DAY:
        locator, form = DayLocator(interval=math.ceil(whole / _DAY / 6)), "%d %b"  # type: ignore[no-untyped-call]
    else:
        # A label with its day is twice as wide.
        most, form = (4, "%d %b %H:%M") if whole >= _DAY else (6, "%H:%M")
        hours = next(each for each in HOURS if whole < most * timedelta(hours=each))
        every = range(0, 24, max(1, int(hours)))
        locator = HourLocator(byhour=every) if hours >= 1 else MinuteLocator(byminute=(0, 30))  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(DateFormatter(form))  # type: ignore[no-untyped-call]
