"""The open incident of a channel, in Redis; one at a time.

    incident:<channel>   who opened it, why and when; there while it is open
    incidents            set: the channels that have one

Its id is that of the command that opened it, so that its thread is that command's. What is done meanwhile is not
written here: `timeline` reads it from the audit record, from `after` on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from workers.records import audit_log
from workers.records.keys import PREFIX
from workers.records.record import TERMINAL

if TYPE_CHECKING:
    from redis import Redis

    from workers.operation import Caller
    from workers.records.record import Record
    from workers.records.store import Records
    from workers.settings import Ops

_KEY: Final = PREFIX + "incident:"
_CHANNELS: Final = PREFIX + "incidents"

_OPEN = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX') then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
return 1
"""
_CLOSE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[2])
return 1
"""


class Incident(BaseModel):
    """One that is open. by: who opened it, as in a record. began_at: seconds since the epoch. called: whom it called.

    after: the last entry of the audit record before it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    channel: str
    what: str
    by: str
    began_at: float
    called: tuple[str, ...] = ()
    on_call: str = ""
    after: str = "-"


def place(caller: Caller | None, ops: Ops) -> str:
    """The channel whose incident somebody means: where they ask, or, from a terminal, the first of ops.yaml."""
    if caller is not None and caller.channel != TERMINAL:
        return caller.channel
    return ops.channels[0] if ops.channels else TERMINAL


def current(redis: Redis, channel: str) -> Incident | None:
    """The open one. Raises redis.exceptions.RedisError."""
    raw: Any = redis.get(_KEY + channel)
    return Incident.model_validate_json(raw) if raw else None


def every(redis: Redis, ops: Ops, records: Records) -> tuple[tuple[Incident, str], ...]:
    """The open ones of the channels of ops.yaml, each with the address of its thread. Raises
    redis.exceptions.RedisError.
    """
    found = (current(redis, channel) for channel in ops.channels)
    return tuple((each, _address(records.get(each.id))) for each in found if each)


def _address(record: Record | None) -> str:
    return record.permalink if record else ""


def open_(redis: Redis, incident: Incident) -> Incident:
    """Open it; where there is one already, that one."""
    raw = incident.model_dump_json()
    keys, args = [_KEY + incident.channel, _CHANNELS], [raw, incident.channel]
    while not redis.register_script(_OPEN)(keys=keys, args=args):
        known = current(redis, incident.channel)
        if known is not None:
            return known
    return incident


def close(redis: Redis, incident: Incident) -> bool:
    """Close it; False where somebody else has."""
    keys, args = [_KEY + incident.channel, _CHANNELS], [incident.model_dump_json(), incident.channel]
    return bool(redis.register_script(_CLOSE)(keys=keys, args=args))


def all_open(redis: Redis) -> list[Incident]:
    """Those of all channels."""
    channels: Any = redis.smembers(_CHANNELS)
    found = (current(redis, each.decode()) for each in sorted(channels))
    return [each for each in found if each is not None]


def last_entry(redis: Redis) -> str:
    """The id of the audit record's last entry."""
    found: Any = redis.xrevrange(audit_log.STREAM, count=1)
    return found[0][0].decode() if found else "-"
