"""When a cron expression fell due, or falls due next, with a time zone that changes its clocks.

As cron does it (crontab(5), Debian; cronsim follows it): an entry at fixed times follows the clock on the wall, and
where that jumps it happens once: what was skipped at once after the gap, what comes twice at its first time. One whose
minute or hour begins with a star follows time itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim

_WEEK = timedelta(days=7)
_PUT_BACK = timedelta(hours=3)
"""No clock is put back by more. cronsim reckons from the wall, which then shows less than it did before."""


def last(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The latest tick that is not after `now` (aware); in UTC."""
    ticks = CronSim(cron, (now + _PUT_BACK).astimezone(zone), reverse=True)
    return next(at for at in map(_in_utc, ticks) if at <= now)


def next_(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The first tick after `now` (aware); in UTC."""
    ticks = CronSim(cron, now.astimezone(zone))
    return next(at for at in map(_in_utc, ticks) if at > now)


def widest(cron: str, zone: ZoneInfo, now: datetime) -> timedelta:
    """The longest time between two ticks that follow each other, from the last one before `now` on, for a week."""
    ticks = [last(cron, zone, now)]
    while len(ticks) == 1 or ticks[-1] < now + _WEEK:
        ticks.append(next_(cron, zone, ticks[-1]))
    return max(later - earlier for earlier, later in pairwise(ticks))


def _in_utc(tick: datetime) -> datetime:
    return tick.astimezone(UTC)
