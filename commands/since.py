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


_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


class At(click.ParamType["datetime | str"]):
    """A moment that is past: a time of day in UTC (the last one), a date with a time, or how long ago it is.

    others: words that are taken as they are.
    """

    name = "at"

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), *, others: tuple[str, ...] = ()
    ) -> None:
        self._now, self._others = now, others

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime | str:
        """The moment, or a usage error that says how it is written."""
        if isinstance(value, datetime) or value in self._others:
            return value  # type: ignore[no-any-return]
        text, now = str(value).strip(), self._now()
        if clock := _CLOCK.fullmatch(text.upper().removesuffix("Z")):
            hour, minute, second = (int(each or 0) for each in clock.groups())
            today = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return today if today <= now else today - timedelta(days=1)
        if re.match(r"\d{4}-", text):
            try:
                moment = datetime.fromisoformat(text.upper().replace(" ", "T"))
            except ValueError:
                self.fail(f"“{text[:40]}” is not a time; write 14:05, 14:05:30 or 2026-11-23T14:05Z.", param, ctx)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            if moment > now:
                self.fail(f"“{text[:40]}” is not in the past.", param, ctx)
            return moment.astimezone(UTC)
        try:
            ago = Duration().convert(re.sub(r"\s*ago$", "", text.lower()), param, ctx)
        except click.BadParameter:
            message = f"“{text[:40]}” is not a time; write 14:05, 14:05:30, 2026-11-23T14:05Z or 10m."
            self.fail(message, param, ctx)
        return now - timedelta(seconds=ago)
