"""The sets as a worker saw them last, in Redis: for whoever chooses one and cannot see the bucket, as the bot.

    backup:seen     JSON: when they were looked at, and of each what it is

It says what was there then. A set that is chosen is looked at again before anything is done with it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog
from redis.exceptions import RedisError

from workers.operations.backup import sets
from workers.operations.backup.sets import Found
from workers.records.keys import PREFIX
from workers.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis import Redis

    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems

KEEP_SECONDS: Final = 30 * 24 * 3600
MOST: Final = 60
AGAIN_SECONDS: Final = 24 * 3600
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


def note(systems: Systems, newest: Iterable[tuple[Found, tuple[bool | None, str]]], now: float) -> None:
    """Keep what was found, each with what its last drill said (sets.drilled). newest: the newest first. Where Redis
    is not there or does not take it, a menu is older: no reason to fail.
    """
    with suppress(SettingsError):
        _keep(systems.redis, [_seen(found, *drill) for found, drill in newest], now)


def look(systems: Systems, now: float) -> None:
    """Look at the newest sets, unless that was done within a day. For whatever is at the bucket anyway, so that a menu
    has them before anybody asks for a list, and after Redis was lost. As `note`. Raises ObjectsError.
    """
    try:
        at, _ = known(systems.redis)
    except (RedisError, SettingsError):
        return
    if now - at < AGAIN_SECONDS:
        return
    found = sets.every(systems, MOST)[::-1]
    bucket = systems.settings.ops.storage.backups_bucket
    drills = sets.verdicts(systems.backups, bucket, [each.name for each in found])
    note(systems, zip(found, drills, strict=True), now)


def made(systems: Systems, manifest: Manifest) -> None:
    """A set was made: it stands before those that were seen. As `note`. Raises ObjectsError."""
    now = manifest.finished_at.timestamp()
    look(systems, now)
    try:
        at, others = known(systems.redis)
    except (RedisError, SettingsError):
        return
    others = [each for each in others if each.id != manifest.id]
    _keep(systems.redis, [_seen(Found(manifest.name, manifest), None, ""), *others], at or now)


def _keep(redis: Redis, newest: Sequence[Seen], now: float) -> None:
    body = {"at": now, "sets": [asdict(each) for each in newest[:MOST]]}
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
