"""The records in Redis: one per accepted command, and the stream through which the bot announces them.

    mlflow-ops:record:<id>      hash, one JSON value per field; kept for 30 days
    mlflow-ops:seen:<delivery>  a delivery that was accepted already (Slack delivers again when in doubt)
    mlflow-ops:accepted         stream of record ids, from acknowledgement to the message in the channel
    mlflow-ops:rq:…             RQ's own keys

Accepting is one Lua script: a command is either recorded and on the stream, or neither; so what Slack was told is
accepted cannot be lost between two writes, and a delivery that comes twice is accepted once.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

if TYPE_CHECKING:
    from workers.settings import Settings

PREFIX = "mlflow-ops:"
RECORD_SECONDS = 30 * 24 * 3600
SEEN_SECONDS = 3600
"""Slack retries a delivery three times within an hour (https://docs.slack.dev/apis/events-api/#retries)."""

_STREAM = PREFIX + "accepted"
_GROUP = "announcers"

_ACCEPT = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return 0 end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('XADD', KEYS[3], '*', 'id', ARGV[1])
return 1
"""


def connect(settings: Settings, *, answer_within_seconds: float = 10.0) -> Redis:
    """A client for the Redis at REDIS_URL. Raises SettingsError where that is not set.

    answer_within_seconds: how long one call may take before redis.exceptions.TimeoutError; keep it under Slack's
    three seconds where somebody waits for an acknowledgement. A lost connection is tried once more.
    """
    settings.environment.require("redis_url")
    url = settings.environment.redis_url
    assert url is not None
    return Redis.from_url(
        url.get_secret_value(),
        socket_timeout=answer_within_seconds,
        socket_connect_timeout=min(answer_within_seconds, 3.0),
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 1),
        health_check_interval=30,
    )


class Phase(StrEnum):
    """Where a command is on its way. Everything from `done` on is an end."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """True where nothing more will happen."""
        return self in {Phase.DONE, Phase.FAILED}


def new_id() -> str:
    """An id for a record, short enough to be typed: 40 random bits, as RQ allows them in job ids."""
    return secrets.token_hex(5)


class Record(BaseModel):
    """One accepted command. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(default_factory=new_id)
    operation: str
    arguments: dict[str, Any]
    words: str
    requester: str
    channel: str
    phase: Phase = Phase.ACCEPTED
    root_ts: str | None = None
    accepted_at: float = Field(default_factory=time.time)
    started_at: float | None = None
    ended_at: float | None = None
    worker: str | None = None
    outcome: str | None = None


class Records:
    """Reads and writes records. Every method raises redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accept = redis.register_script(_ACCEPT)

    def accept(self, record: Record, delivery: str) -> bool:
        """Record a command and put it on the stream; False where this delivery was accepted before."""
        fields = [part for pair in _encode(record.model_dump(mode="json")).items() for part in pair]
        keys = [f"{PREFIX}seen:{delivery}", _key(record.id), _STREAM]
        return bool(self._accept(keys=keys, args=[record.id, SEEN_SECONDS, RECORD_SECONDS, *fields]))

    def get(self, record_id: str) -> Record | None:
        """The record, or None where there is none (any more)."""
        fields: dict[Any, Any] = self._redis.hgetall(_key(record_id))
        if not fields:
            return None
        return Record.model_validate({name.decode(): json.loads(value) for name, value in fields.items()})

    def update(self, record_id: str, **fields: Any) -> None:
        """Set fields of a record."""
        self._redis.hset(_key(record_id), mapping=_encode(fields))

    def start(self, record_id: str, worker: str) -> Record | None:
        """Claim a record for running: exactly one caller gets it, all others None."""
        if not self._redis.hsetnx(_key(record_id) + ":claim", "worker", worker):
            return None
        self._redis.expire(_key(record_id) + ":claim", RECORD_SECONDS)
        self.update(record_id, phase=Phase.RUNNING, started_at=time.time(), worker=worker)
        return self.get(record_id)

    def finish(self, record_id: str, phase: Phase, outcome: str) -> bool:
        """Write the end of a record, once; False where it had ended before."""
        if not self._redis.hsetnx(_key(record_id) + ":claim", "ended", phase):
            return False
        self.update(record_id, phase=phase, ended_at=time.time(), outcome=outcome)
        return True


class Accepted:
    """The stream of accepted commands, read by any number of bots, each command by one of them.

    A bot that dies with a command in its hands leaves it pending; another one takes it over after
    `stale_seconds` (XAUTOCLAIM), and the dead one's successor takes it up at once where it bears the same name.
    """

    def __init__(self, redis: Redis, consumer: str, *, stale_seconds: float = 15.0) -> None:
        self._redis = redis
        self._consumer = consumer
        self._stale_ms = int(stale_seconds * 1000)
        try:
            redis.xgroup_create(_STREAM, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def take(self, *, wait_seconds: float) -> Iterator[tuple[bytes, str]]:
        """Stale entries of others, then new ones: pairs of entry and record id. Waits so long for the first."""
        answer = self._redis.xautoclaim(_STREAM, _GROUP, self._consumer, self._stale_ms, count=50)
        yield from _entries(answer[1])
        fresh: Any = self._redis.xreadgroup(
            _GROUP, self._consumer, {_STREAM: ">"}, count=50, block=max(1, int(wait_seconds * 1000))
        )
        for _, entries in fresh or ():
            yield from _entries(entries)

    def done(self, entry: bytes) -> None:
        """The entry was dealt with; nobody gets it again."""
        pipe = self._redis.pipeline()
        pipe.xack(_STREAM, _GROUP, entry)
        pipe.xdel(_STREAM, entry)
        pipe.execute()


def _entries(raw: Any) -> Iterator[tuple[bytes, str]]:
    return ((entry, fields[b"id"].decode()) for entry, fields in raw if fields)


def _key(record_id: str) -> str:
    return f"{PREFIX}record:{record_id}"


def _encode(fields: dict[str, Any]) -> dict[Any, Any]:
    return {name: json.dumps(value) for name, value in fields.items()}
