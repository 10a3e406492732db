"""Which blocks this workspace does not have yet: remembered for a day, and then they are tried again.

slack:lacks:<type>         there while a block of that type is not sent
slack:lacks:home:<type>    likewise, in an App Home: what messages take, a Home may not
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

KEEP_SECONDS: Final = 24 * 3600

MESSAGES, HOME = "", "home:"
"""Where blocks stand."""

_LACKS: Final = PREFIX + "slack:lacks:"


def note(redis: Redis, kinds: Iterable[str], surface: str = MESSAGES) -> None:
    """The workspace does not have these types of blocks. Raises redis.exceptions.RedisError."""
    for kind in kinds:
        redis.set(_LACKS + surface + kind, "1", ex=KEEP_SECONDS)


def lacks(redis: Redis, kinds: Iterable[str], surface: str = MESSAGES) -> bool:
    """Whether it does not have one of these. Raises redis.exceptions.RedisError."""
    keys = [_LACKS + surface + kind for kind in kinds]
    return bool(keys) and bool(redis.exists(*keys))
