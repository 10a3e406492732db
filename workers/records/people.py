"""What people are called, by their Slack ids: the bot writes down who types and who presses, and lists show names.

Slack sends a person's name with each command and each press, so that nobody must be looked up. A name is for reading
only: rights and approvals rest on ids.

    people   hash: a Slack id → the name that came with it last
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX
from workers.records.requester import BY_TERMINAL, is_person

if TYPE_CHECKING:
    from redis import Redis

_KEY: Final = PREFIX + "people"
NAME_CHARACTERS: Final = 80


def remember(redis: Redis, user: str, name: str) -> None:
    """Write down what somebody is called. Raises redis.exceptions.RedisError."""
    redis.hset(_KEY, user, name[:NAME_CHARACTERS])


def names(redis: Redis, requesters: Iterable[str]) -> Callable[[str], str]:
    """What tells a requester's name: the one that Slack has sent, else what the record says. One look into Redis.

    Raises redis.exceptions.RedisError.
    """
    ids = sorted({each for each in requesters if each and is_person(each)})
    found: Any = redis.hmget(_KEY, ids) if ids else []
    known: dict[str, str] = {each: name.decode() for each, name in zip(ids, found, strict=True) if name}

    def called(requester: str) -> str:
        if requester.startswith(BY_TERMINAL):
            return f"{requester.removeprefix(BY_TERMINAL)} (terminal)"
        return known.get(requester, requester)

    return called
