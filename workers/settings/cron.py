"""When a cron expression fell due, with a time zone that changes its clocks.

As cron does it (crontab(5), Debian): an entry at fixed hours follows the clock on the wall, and where that jumps it
happens once, neither skipped nor twice; an entry for every hour follows time itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter

_HOUR = 1


def last(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The latest tick that is not after `now` (aware); in UTC."""
    if cron.split()[_HOUR] == "*":
        offset = now.astimezone(zone).utcoffset() or timedelta()
        there = now.astimezone(timezone(offset))
        return _before(cron, there.replace(tzinfo=None)).replace(tzinfo=there.tzinfo).astimezone(UTC)
    wall = now.astimezone(zone).replace(tzinfo=None)
    # Where clocks go back, an hour comes twice and its first time counts: the wall may show less than it did.
    tick = _before(cron, wall + timedelta(hours=2))
    while (at := tick.replace(tzinfo=zone, fold=0).astimezone(UTC)) > now:
        tick = _before(cron, tick - timedelta(seconds=1))
    return at


def next_(cron: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The first tick after `now` (aware); in UTC."""
    if cron.split()[_HOUR] == "*":
        offset = now.astimezone(zone).utcoffset() or timedelta()
        there = now.astimezone(timezone(offset))
        return _after(cron, there.replace(tzinfo=None)).replace(tzinfo=there.tzinfo).astimezone(UTC)
    # Where clocks go forward, the wall shows more than it did; what it skips comes at once.
    tick = _after(cron, now.astimezone(zone).replace(tzinfo=None) - timedelta(hours=2))
    while (at := tick.replace(tzinfo=zone, fold=0).astimezone(UTC)) <= now:
        tick = _after(cron, tick)
    return at


def _after(cron: str, wall: datetime) -> datetime:
    found: datetime = croniter(cron, wall).get_next(datetime)
    return found


def _before(cron: str, wall: datetime) -> datetime:
    found: datetime = croniter(cron, wall + timedelta(seconds=1)).get_prev(datetime)
    return found
