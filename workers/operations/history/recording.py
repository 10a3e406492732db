"""A health run looks back: its figures are kept, and compared with earlier ones where somebody asks.

Redis may be what is ill: then the report says nothing of the past, and is hardly later for it.
"""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import structlog
from redis.exceptions import RedisError

from workers.operations.history import comparison
from workers.operations.history.store import History, sample
from workers.report import Section, Status, Text
from workers.settings import SettingsError
from workers.systems.redis import connect

if TYPE_CHECKING:
    from workers.report import Check
    from workers.settings import Settings

PATIENCE_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)


def record_and_compare(
    checks: tuple[Check, ...], settings: Settings, now: datetime, since_seconds: float | None
) -> tuple[Section, ...]:
    """Keep what was measured; the comparison that was asked for. Raises nothing."""
    made = sample(checks, now)
    if any(check.name == "queues" and check.status is Status.FAIL for check in checks):
        return _nothing(since_seconds, "Redis does not answer.")
    try:
        redis = connect(settings, answer_within_seconds=PATIENCE_SECONDS)
        with redis:
            history = History(redis)
            before = (
                history.near(now - timedelta(seconds=since_seconds), _about(since_seconds)) if since_seconds else None
            )
            history.keep(made)
            history.say(checks)
    except SettingsError:
        return _nothing(since_seconds, "there is no Redis here.")
    except RedisError as error:
        _log.warning("figures were not kept", error=type(error).__name__)
        return _nothing(since_seconds, "Redis does not answer.")
    if since_seconds is None:
        return ()
    if before is None:
        return _nothing(since_seconds, "no health check of then is kept.")
    return comparison.table(before, made, settings)


def typical(settings: Settings, figure: str, now: datetime) -> tuple[float, int]:
    """The median of a figure over the last week, and of how many; of none where Redis is away. Raises nothing."""
    try:
        with connect(settings, answer_within_seconds=PATIENCE_SECONDS) as redis:
            values = [point.value for point in History(redis).points(figure, now - timedelta(days=7), now)]
    except (SettingsError, RedisError):
        return 0.0, 0
    return (statistics.median(values) if values else 0.0), len(values)


def _about(seconds: float) -> timedelta:
    """How near to the moment that was asked for a run must be: half the time, and half a day at most."""
    return timedelta(seconds=min(seconds / 2, 43_200))


def _nothing(since_seconds: float | None, why: str) -> tuple[Section, ...]:
    return (Text(text=f"There is nothing to compare with: {why}"),) if since_seconds else ()
