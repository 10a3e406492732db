"""Every health run's figures, kept in Redis as JSON and bounded.

    history:raw    sorted set: one JSON object per run → when it was made, epoch seconds; 14 days of them
    history:days   hash: a day (UTC) → how often, sum, least, most and last of each figure; a year of them
    history:said   hash: a check → what it said last

A day's summary is made from its raw runs once it is over, and making it again gives the same: two workers that do so
at once do no harm, and a day on which nobody looked is made up for within the 14 days. Two health runs of the same
second are two members, as their texts differ in the time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX
from workers.redaction import cleaned

if TYPE_CHECKING:
    from redis import Redis

    from workers.report import Check

RAW_DAYS: Final = 14
DAYS: Final = 366
MOST_RAW: Final = RAW_DAYS * 24 * 6
"""Runs that are kept, one each ten minutes: whoever looks more often keeps fewer days of them."""
NOTES: Final = 10
NOTE_CHARACTERS: Final = 160
MOST_FIGURES: Final = 100

_RAW: Final = PREFIX + "history:raw"
_DAYS: Final = PREFIX + "history:days"
_SAID: Final = PREFIX + "history:said"
_DAY: Final = timedelta(days=1)
_LATEST: Final = 24


@dataclass(frozen=True)
class Sample:
    """One health run. figures: by check and name ("postgres.size_bytes"); notes: what is not a number, likewise;
    verdicts: by check.
    """

    at: datetime
    figures: dict[str, float]
    notes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Day:
    """One figure over one day."""

    day: date
    number: int
    mean: float
    least: float
    most: float
    last: float


@dataclass(frozen=True)
class Point:
    """A figure at a moment; of a day that is over it is the mean, at noon."""

    at: datetime
    value: float


def sample(checks: Iterable[Check], at: datetime) -> Sample:
    """What is kept of a health run; bounded, whatever its checks say."""
    every = tuple(checks)
    figures = {f"{check.name}.{name}": value for check in every for name, value in check.figures.items()}
    notes = {
        f"{check.name}.{name}": tuple(each[:NOTE_CHARACTERS] for each in said[:NOTES])
        for check in every
        for name, said in check.notes.items()
    }
    kept = dict(list(figures.items())[:MOST_FIGURES])
    return Sample(at, kept, notes, {check.name: check.status.value for check in every})


class History:
    """Reads and writes it. Every method raises redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def keep(self, made: Sample) -> None:
        """Add a run, drop what is too old, and sum up the days that are over."""
        body = {
            "at": round(made.at.timestamp(), 3),
            "figures": {name: _short(value) for name, value in made.figures.items()},
            "notes": {name: list(said) for name, said in made.notes.items()},
            "verdicts": made.verdicts,
        }
        pipe = self._redis.pipeline(transaction=True)
        pipe.zadd(_RAW, {json.dumps(cleaned(body), ensure_ascii=False, separators=(",", ":")): made.at.timestamp()})
        pipe.hkeys(_DAYS)
        _, known = pipe.execute()
        summed, old = self._sums({name.decode() for name in known}, made.at)
        pipe = self._redis.pipeline(transaction=True)
        if summed:
            pipe.hset(_DAYS, mapping=summed)
        if old:
            pipe.hdel(_DAYS, *old)
        pipe.zremrangebyscore(_RAW, "-inf", (made.at - RAW_DAYS * _DAY).timestamp())
        pipe.zremrangebyrank(_RAW, 0, -MOST_RAW - 1)
        pipe.execute()

    def say(self, checks: Iterable[Check]) -> None:
        """Keep what each check said; of each, the last sentence only."""
        said = {check.name: cleaned(check.sentence[:NOTE_CHARACTERS]) for check in checks}
        if said:
            self._redis.hset(_SAID, mapping=said)  # type: ignore[arg-type]

    def said(self) -> dict[str, str]:
        """What each check said last, by its name."""
        raw: Any = self._redis.hgetall(_SAID)
        return {name.decode(): sentence.decode() for name, sentence in raw.items()}

    def samples(self, since: datetime, until: datetime) -> list[Sample]:
        """The runs between two moments, oldest first."""
        raw: Any = self._redis.zrangebyscore(_RAW, since.timestamp(), until.timestamp())
        return [_sample(json.loads(each)) for each in raw]

    def near(self, at: datetime, within: timedelta) -> Sample | None:
        """The run nearest to a moment, of those that are not further from it; None where there is none.

        One that asked a few questions only is passed over where another one asked more.
        """
        found = self.samples(at - within, at + within)
        most = max((len(each.figures) for each in found), default=0)
        whole = [each for each in found if len(each.figures) * 2 >= most]
        return min(whole, key=lambda each: abs(each.at - at), default=None)

    def days(self, figure: str, since: date) -> list[Day]:
        """One figure's days that are over, oldest first."""
        raw: Any = self._redis.hgetall(_DAYS)
        found = [
            Day(date.fromisoformat(name.decode()), *known)
            for name, body in raw.items()
            if (known := _of_day(json.loads(body).get(figure))) is not None
        ]
        return sorted((each for each in found if each.day >= since), key=lambda each: each.day)

    def points(
        self, figure: str, since: datetime, now: datetime, samples: Sequence[Sample] | None = None
    ) -> list[Point]:
        """One figure over time: each run of the last 14 days, and before them one point a day.

        samples: those runs, if they were read already.
        """
        raw_from = max(since, now - RAW_DAYS * _DAY)
        known = self.samples(raw_from, now) if samples is None else samples
        runs = [Point(each.at, each.figures[figure]) for each in known if figure in each.figures]
        first = runs[0].at.astimezone(UTC).date() if runs else now.astimezone(UTC).date()
        if first <= since.astimezone(UTC).date():
            return runs
        before = [each for each in self.days(figure, since.astimezone(UTC).date()) if each.day < first]
        return [*(Point(_noon(each.day), each.mean) for each in before), *runs]

    def figures(self) -> list[str]:
        """The names of all figures of the latest runs, in order."""
        return sorted({name for each in self.latest() for name in each.figures})

    def latest(self) -> list[Sample]:
        """The latest runs (two dozen: a day's, where the clock alone asks), oldest first."""
        raw: Any = self._redis.zrange(_RAW, -_LATEST, -1)
        return [_sample(json.loads(each)) for each in raw]

    def _sums(self, known: set[str], now: datetime) -> tuple[dict[Any, str], list[str]]:
        """What is to be kept of the days that are over and not summed up yet; the days that are too old."""
        today = now.astimezone(UTC).date()
        over = [today - number * _DAY for number in range(1, RAW_DAYS)]
        missing = [day for day in over if day.isoformat() not in known]
        pipe = self._redis.pipeline(transaction=False)
        for day in missing:
            begin = datetime.combine(day, datetime.min.time(), UTC)
            pipe.zrangebyscore(_RAW, begin.timestamp(), (begin + _DAY - timedelta(milliseconds=1)).timestamp())
        summed = {
            day.isoformat(): json.dumps(_summed([_sample(json.loads(each)) for each in raw]), separators=(",", ":"))
            for day, raw in zip(missing, pipe.execute(), strict=True)
            if raw
        }
        oldest = (today - DAYS * _DAY).isoformat()
        return summed, [name for name in known if name < oldest]


def _summed(runs: Sequence[Sample]) -> dict[str, list[float]]:
    by_figure: dict[str, list[float]] = {}
    for run in runs:
        for name, value in run.figures.items():
            by_figure.setdefault(name, []).append(value)
    return {
        name: [len(values), *map(_short, (sum(values), min(values), max(values), values[-1]))]
        for name, values in by_figure.items()
    }


def _of_day(known: list[float] | None) -> tuple[int, float, float, float, float] | None:
    if not known:
        return None
    number, total, least, most, last = known
    return int(number), total / number, least, most, last


def _sample(body: dict[str, Any]) -> Sample:
    return Sample(
        at=datetime.fromtimestamp(body["at"], UTC),
        figures=body["figures"],
        notes={name: tuple(said) for name, said in body["notes"].items()},
        verdicts=body["verdicts"],
    )


def _short(value: float) -> float:
    """Seven digits: more are noise and take room."""
    return float(f"{value:.7g}")


def _noon(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), UTC) + _DAY / 2
