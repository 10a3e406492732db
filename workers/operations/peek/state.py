"""What is said of a peek, in Redis, as JSON: `peek`, what was asked for, and `peek:host`, how its database's host is.

`peek` ends with the time that was asked for. What its host says is renewed every few seconds and fades otherwise: where
there is no such key, nobody hosts anything.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

ASKED: Final = f"{PREFIX}peek"
HOST: Final = f"{PREFIX}peek:host"
HOST_SECONDS: Final = 20
_LEAST_SECONDS: Final = 1


class Asked(BaseModel):
    """A peek. at: the moment. until: when it ends, in seconds since 1970. job: of the cluster. url: for a browser."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    at: datetime
    until: float
    job: str = ""
    url: str = ""
    opened: bool = False


class Host(BaseModel):
    """How its host is. step: what it is doing. address: where the database is, once it is there. problem: why not.

    of: the step of the plan that it belongs to.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    step: str = ""
    of: str = ""
    address: str = ""
    problem: str = ""
    hint: str = ""


def asked(redis: Redis) -> Asked | None:
    """The peek that is asked for; None where there is none. Raises RedisError."""
    raw: Any = redis.get(ASKED)
    try:
        return Asked.model_validate_json(raw) if raw else None
    except ValidationError:
        return None


def ask(redis: Redis, wanted: Asked, now: float) -> None:
    """Ask for it, or say more of it. now: in seconds since 1970."""
    redis.set(ASKED, wanted.model_dump_json(), ex=max(_LEAST_SECONDS, int(wanted.until - now)))


def withdraw(redis: Redis) -> None:
    """Ask for none any more: whoever hosts one ends."""
    redis.delete(ASKED)


def host(redis: Redis) -> Host | None:
    """What the host says; None where there is none. Raises RedisError."""
    raw: Any = redis.get(HOST)
    try:
        return Host.model_validate_json(raw) if raw else None
    except ValidationError:
        return None


def say(redis: Redis, how: Host) -> None:
    """The host says how it is; that it is alive."""
    redis.set(HOST, how.model_dump_json(), ex=HOST_SECONDS)


def silent(redis: Redis) -> None:
    """The host is gone."""
    redis.delete(HOST)
