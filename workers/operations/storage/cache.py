"""What was measured, kept in Redis: the last for an hour, and one total for each day and experiment to see growth."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from pydantic import BaseModel, ConfigDict, ValidationError
from redis.exceptions import RedisError

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

CACHED_SECONDS: Final = 3600
WEEK_SECONDS: Final = 7 * 86_400
_LAST: Final = PREFIX + "storage:last"
_HISTORY: Final = PREFIX + "storage:history"
_CHANGED: Final = PREFIX + "storage:changed"
_POINTS: Final = 90
"""Days of history; a point has the largest groups only, some 20 kB."""
GROUPS_IN_POINT: Final = 300


class Group(BaseModel):
    """An experiment or a prefix."""

    model_config = ConfigDict(frozen=True)

    name: str
    objects: int
    bytes: int


class Orphan(BaseModel):
    """Artifacts whose owner MLflow does not know, or an owner whose artifacts are gone."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: str
    experiment: str
    objects: int = 0
    bytes: int = 0
    named: str = ""


class Measurement(BaseModel):
    """One listing of the bucket, with what is worth showing. at: since 1970. why_not: why owners are unknown."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    at: float
    took_seconds: float
    objects: int
    bytes: int
    experiments: tuple[Group, ...]
    prefixes: tuple[Group, ...]
    names: dict[str, str]
    versioning: str
    old: int
    old_bytes: int
    markers: int
    uploads: int
    oldest_upload: float | None
    orphan_owners: int
    orphan_objects: int
    orphan_bytes: int
    orphans_cut: bool
    orphans: tuple[Orphan, ...]
    gone_owners: int
    gone: tuple[Orphan, ...]
    why_not: str = ""


class Point(BaseModel):
    """What is kept for comparing later."""

    model_config = ConfigDict(frozen=True)

    bucket: str
    at: float
    objects: int
    bytes: int
    experiments: dict[str, int]
    prefixes: dict[str, int]


def keep(redis: Redis, measurement: Measurement) -> None:
    """Keep it as the last one, and as the point of its day."""
    redis.set(_LAST, measurement.model_dump_json(), ex=CACHED_SECONDS)
    point = Point(
        bucket=measurement.bucket,
        at=measurement.at,
        objects=measurement.objects,
        bytes=measurement.bytes,
        experiments={each.name: each.bytes for each in measurement.experiments[:GROUPS_IN_POINT]},
        prefixes={each.name: each.bytes for each in measurement.prefixes[:GROUPS_IN_POINT]},
    )
    day = int(measurement.at // 86_400)
    with redis.pipeline() as pipe:
        pipe.hset(_HISTORY, str(day), point.model_dump_json())
        pipe.hdel(_HISTORY, *(str(day - _POINTS - n) for n in range(30)))
        pipe.expire(_HISTORY, _POINTS * 86_400)
        pipe.execute()


def stale(redis: Redis) -> None:
    """Artifacts were changed: what was measured before is not what is there. Where Redis is away, nothing is kept."""
    with suppress(RedisError):
        redis.set(_CHANGED, str(time.time()), ex=_POINTS * 86_400)


def changed_since(redis: Redis, at: float) -> bool:
    """Whether a command of ours has changed artifacts since that moment."""
    told = redis.get(_CHANGED)
    return isinstance(told, bytes | str) and float(told) > at


def last(redis: Redis, bucket: str) -> Measurement | None:
    """The last one of that bucket, where it is not older than an hour, and no artifact was changed since."""
    text = redis.get(_LAST)
    if not isinstance(text, bytes | str):
        return None
    try:
        found = Measurement.model_validate_json(text)
    except ValidationError:
        return None
    young = time.time() - found.at < CACHED_SECONDS and not changed_since(redis, found.at)
    return found if found.bucket == bucket and young else None


def points(redis: Redis, bucket: str) -> list[Point]:
    """One of each day on which that bucket was listed, oldest first."""
    found = []
    for text in cast("list[bytes]", redis.hvals(_HISTORY)):
        try:
            found.append(Point.model_validate_json(text))
        except ValidationError:
            continue
    return sorted((each for each in found if each.bucket == bucket), key=lambda each: each.at)


def a_week_before(history: list[Point], measurement: Measurement) -> Point | None:
    """The newest point that is a week older, else the oldest of all; None where there is no older one."""
    older = [each for each in history if each.at < measurement.at - 60]
    before = [each for each in older if each.at <= measurement.at - WEEK_SECONDS]
    return before[-1] if before else older[0] if older else None
