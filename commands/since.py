"""Times as people say them: 90d, 6h, yesterday, 2026-11-23, 2026-11-23T15:00."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from commands.grammar import Duration

_DAYS: Final = {"today": 0, "yesterday": 1}
_MOST: Final = timedelta(days=3650)


class Since(click.ParamType[float]):
    """How long ago something was, in seconds: a length of time, `today` or `yesterday` (from their beginning), a date
    or a time, both in UTC.
    """

    name = "since"

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, or a usage error that says how it is written."""
        text = re.sub(r"\s*ago$", "", str(value).strip().lower())
        now = self._now()
        if text in _DAYS:
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            moment = midnight - timedelta(days=_DAYS[text])
        elif re.match(r"\d{4}-", text):
            try:
                moment = datetime.fromisoformat(text.upper())
            except ValueError:
                self.fail(f"“{str(value)[:40]}” is not a date; write 2026-11-23 or 2026-11-23T15:00.", param, ctx)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            try:
                return Duration().convert(text, param, ctx)
            except click.BadParameter:
                message = f"“{str(value)[:40]}” is not a time; write 90s, 30m, 6h, 7d, yesterday or 2026-11-23T15:00."
                self.fail(message, param, ctx)
        past = now - moment
        if past <= timedelta(0):
            self.fail(f"“{str(value)[:40]}” is not in the past.", param, ctx)
        if past > _MOST:
            self.fail(f"“{str(value)[:40]}” is more than ten years ago.", param, ctx)
        return past.total_seconds()
