"""The sets as a worker saw them last, in Redis: for whoever chooses one and cannot see the bucket, as the bot.

    backup:seen     JSON: when they were looked at, and of each what it is

It says what was there then. A set that is chosen is looked at again before anything is done with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from workers.operations.backup.sets import Found
from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from workers.operations.backup.manifest import Manifest

KEEP_SECONDS: Final = 30 * 24 * 3600
MOST: Final = 60
_log = structlog.get_logger(__name__)

_SEEN: Final = PREFIX + "backup:seen"


@dataclass(frozen=True)
class Seen:
    """A set. begun: epoch seconds. bytes: of its dumps; 0 where it has none. verdict: what is known against it, or that
    it was restored in a drill; empty where it is good and nobody tried.
    """

    id: str
    begun: float
    bytes: int
    verdict: str


def note(redis: Redis, newest: Iterable[tuple[Found, tuple[bool | None, str]]], now: float) -> None:
    """Keep what was found, each with what its last drill said (sets.drilled). newest: the newest first. Where Redis
    does not take it, a menu is older: no reason to fail.
    """
    _keep(redis, [_seen(found, *drill) for found, drill in newest], now)


def made(redis: Redis, manifest: Manifest) -> None:
    """A set was made: it stands before those that were seen. As `note`, where Redis does not take it."""
    try:
        at, sets = known(redis)
    except RedisError:
        return
    found = Found(manifest.name, manifest)
    others = [each for each in sets if each.id != manifest.id]
    _keep(redis, [_seen(found, None, ""), *others], at or manifest.finished_at.timestamp())


def _keep(redis: Redis, sets: Sequence[Seen], now: float) -> None:
    body = {"at": now, "sets": [asdict(each) for each in sets[:MOST]]}
    try:
        redis.set(_SEEN, json.dumps(body, ensure_ascii=False), ex=KEEP_SECONDS)
    except RedisError as error:
        _log.warning("what was seen of the sets is not kept", error=type(error).__name__)


def known(redis: Redis) -> tuple[float, list[Seen]]:
    """When they were looked at, and the sets, the newest first; 0 and none where nobody has looked yet.

    Raises redis.exceptions.RedisError.
    """
    raw: Any = redis.get(_SEEN)
    body: dict[str, Any] = json.loads(raw) if raw else {"at": 0.0, "sets": []}
    return float(body["at"]), [Seen(**each) for each in body["sets"]]


def _seen(found: Found, passed: bool | None, problem: str) -> Seen:  # noqa: FBT001 - as sets.drilled says it
    manifest = found.manifest
    if manifest is None:
        return Seen(found.id, found.begun.timestamp(), 0, f"not good: {found.problem}")
    dumps = [part.dump.bytes for part in (manifest.database, manifest.auth_database) if part]
    said = "shrank" if manifest.shrunk else "" if passed is None else "drill passed" if passed else "drill failed"
    return Seen(found.id, found.begun.timestamp(), sum(dumps), f"{said}: {problem}" if problem else said)
