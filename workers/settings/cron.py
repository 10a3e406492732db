"""When a cron expression fell due, or falls due next, with a time zone that changes its clocks.

As cron does it (crontab(5), Debian; cronsim follows it): an entry at fixed times follows the clock on the wall, and
where that jumps it happens once: what was skipped at once after the gap, what comes twice at its first time. One whose
minute or hour begins with a star follows time itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

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


def _in_utc(tick: datetime) -> datetime:
    return tick.astimezone(UTC)
