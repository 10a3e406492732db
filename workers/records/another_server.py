"""That Redis is another than before, until it was looked for what it has forgotten (see bot.forgotten).

another    when that was found out (epoch seconds), by `Records.doubt`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

ANOTHER: Final = PREFIX + "another"


def since(redis: Redis) -> float | None:
    """When this was found to be another Redis (epoch seconds); None once `settled`."""
    raw: Any = redis.get(ANOTHER)
    return float(raw) if raw else None


def settled(redis: Redis, found: float) -> None:
    """What the Redis that was found to be another then has forgotten was looked for."""
    if since(redis) == found:
        redis.delete(ANOTHER)
