"""Times as Kubernetes writes them, and ages as kubectl shows them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]

_NANOSECONDS = re.compile(r"\.(\d{1,9})")
_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_YEAR = 365 * _DAY
_LADDER = (
    (2 * _MINUTE, "s", 1, "", 0),
    (10 * _MINUTE, "m", _MINUTE, "s", 1),
    (3 * _HOUR, "m", _MINUTE, "", 0),
    (8 * _HOUR, "h", _HOUR, "m", _MINUTE),
    (48 * _HOUR, "h", _HOUR, "", 0),
    (8 * _DAY, "d", _DAY, "h", _HOUR),
    (2 * _YEAR, "d", _DAY, "", 0),
    (8 * _YEAR, "y", _YEAR, "d", _DAY),
)
"""Below which age which unit is shown, and which smaller one beside it."""


def system_clock() -> datetime:
    """Return the time of the computer, in UTC."""
    return datetime.now(UTC)


def to_rfc3339(moment: datetime) -> str:
    """Write to the second, as in ``creationTimestamp``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def to_micro_time(moment: datetime) -> str:
    """Write to the microsecond, as in ``eventTime`` and in leases."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> datetime:
    """Read any form that clients send; nanoseconds are cut to microseconds.

    Raises ValueError where the text is no such time.
    """
    cut = _NANOSECONDS.sub(lambda found: "." + found.group(1)[:6].ljust(6, "0"), text.replace(" ", "+"))
    moment = datetime.fromisoformat(cut)
    if moment.tzinfo is None:
        message = f"no time zone in {text!r}"
        raise ValueError(message)
    return moment


def human_duration(seconds: float) -> str:
    """Shorten a duration as kubectl's tables do (k8s.io/apimachinery/pkg/util/duration)."""
    if seconds < -1:
        return "<invalid>"
    whole = max(int(seconds), 0)
    for limit, unit, size, small_unit, small_size in _LADDER:
        if whole < limit:
            small = whole % size // small_size if small_size else 0
            return f"{whole // size}{unit}" + (f"{small}{small_unit}" if small else "")
    return f"{whole // _YEAR}y"


def age(timestamp: str | None, now: datetime) -> str:
    """Return how long ago that was, or ``<unknown>``."""
    if not timestamp:
        return "<unknown>"
    return human_duration((now - from_rfc3339(timestamp)).total_seconds())
