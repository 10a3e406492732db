"""One change per part of MLflow at a time, over all workers: each lock has an owner and a lease; a dead one's lapses.

    lock:<part>         the record that holds it, and the token of the claim; it lapses unless its worker renews it, and
                        counts for nothing once that record has ended or its run was given up for lost
    lock:<part>:fence   how often it was taken

A holder that slept until its lock lapsed may have it again only where nobody had it meanwhile. A record does not take
its own lock twice: where another claim of the same record has it, Redis had lost that claim, and its worker goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError

from workers.errors import OperatorError
from workers.records.keys import PREFIX
from workers.records.record import Record
from workers.records.store import ALIVE_SECONDS, Records

if TYPE_CHECKING:
    from redis import Redis

LEASE_SECONDS = 2 * ALIVE_SECONDS
"""Longer than a sign of life: a record is ended before its locks lapse."""

_log = structlog.get_logger(__name__)

_TAKE = """
local function over(holder)
  local id, token = string.match(holder, '^(%S+) ?(%S*)$')
  return redis.call('HEXISTS', ARGV[3] .. id .. ':claim', 'ended') == 1
    or redis.call('HGET', ARGV[3] .. id, 'stage') == '"look"'
      and redis.call('HGET', ARGV[3] .. id, 'token') ~= '"' .. token .. '"'
end
for i = 1, #KEYS do
  local holder = redis.call('GET', KEYS[i])
  if holder and holder ~= ARGV[1] and not over(holder) then return {KEYS[i], holder} end
end
local tokens = {}
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2])
  tokens[i] = redis.call('INCR', KEYS[i] .. ':fence')
end
return tokens
"""

_RENEW = """
for i = 1, #KEYS do
  local holder = redis.call('GET', KEYS[i])
  local newest = tonumber(redis.call('GET', KEYS[i] .. ':fence') or '0')
  if holder and holder ~= ARGV[1] or newest > tonumber(ARGV[2 + i]) then return {KEYS[i], holder or ''} end
end
for i = 1, #KEYS do redis.call('SET', KEYS[i], ARGV[1], 'PX', ARGV[2]) end
return {}
"""

_GIVE_BACK = """
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[1] then redis.call('DEL', KEYS[i]) end
end
"""


class Held(OperatorError):  # noqa: N818 - its message is a sentence for people
    """Somebody else holds a lock. requester: who asked for what they do; empty where nobody knows."""

    def __init__(self, message: str, hint: str, requester: str = "") -> None:
        super().__init__(message, hint)
        self.requester = requester


class TakenByItself(OperatorError):  # noqa: N818 - the same
    """Another claim of the same record has a lock: its worker still works, and Redis had lost its claim."""

    def __init__(self, token: str) -> None:
        super().__init__("Another worker is doing it.")
        self.token = token


class Locks:
    """The locks of one claim of a record. Every method raises redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis, record_id: str, parts: Sequence[str], token: str = "") -> None:
        self._redis = redis
        self._record_id = record_id
        self._mine = f"{record_id} {token}".rstrip()
        self._keys = [f"{PREFIX}lock:{part}" for part in parts]
        self._mutex = threading.Lock()
        self._given_back = False
        self._tokens: list[int] = []
        self._take = redis.register_script(_TAKE)
        self._renew = redis.register_script(_RENEW)
        self._give_back = redis.register_script(_GIVE_BACK)

    def take(self) -> None:
        """Take all of them or none. Raises Held, and TakenByItself."""
        if not self._keys:
            return
        answer: list[Any] = self._take(
            keys=self._keys, args=[self._mine, int(LEASE_SECONDS * 1000), f"{PREFIX}record:"]
        )
        self._refused(answer)
        self._tokens = [int(token) for token in answer]

    def renew(self) -> None:
        """Keep them, from another thread; without effect once they were given back. Raises Held where one was lost."""
        with self._mutex:
            if self._tokens and not self._given_back:
                lease = int(LEASE_SECONDS * 1000)
                self._refused(self._renew(keys=self._keys, args=[self._mine, lease, *self._tokens]))

    def give_back(self) -> None:
        """Let others have them."""
        with self._mutex:
            self._given_back = True
            if self._keys:
                self._give_back(keys=self._keys, args=[self._mine])

    def _refused(self, answer: list[Any]) -> None:
        if answer and isinstance(answer[0], bytes):
            key, holder = (each.decode() for each in answer)
            by, _, token = holder.partition(" ")
            if by == self._record_id:
                raise TakenByItself(token)
            raise _held(key.rsplit(":", 1)[-1], Records(self._redis).get(by))


def holder(redis: Redis, part: str) -> str | None:
    """The id of the record that holds the lock of a part now."""
    raw: Any = redis.get(f"{PREFIX}lock:{part}")
    return raw.decode().partition(" ")[0] if raw else None


@contextmanager
def held(redis: Redis, record: Record, parts: Sequence[str]) -> Iterator[Locks]:
    """Hold locks within; they lapse unless somebody renews them. Raises OperatorError where somebody else does."""
    locks = Locks(redis, record.id, parts, record.token)
    locks.take()
    try:
        yield locks
    finally:
        try:
            locks.give_back()
        except RedisError as error:
            # What was done within is done; they lapse, and whoever wants them sees that their record has ended.
            _log.warning("the locks were not given back", record_id=record.id, why=str(error))


def _held(part: str, holder: Record | None) -> Held:
    if holder is None:
        return Held(f"The {part} is being changed by someone else.", "Ask again in a minute.")
    since = datetime.fromtimestamp(holder.started_at or time.time(), UTC)
    return Held(
        f"The {part} is being changed: “/mlflow {holder.words}” (id {holder.id}) runs since {since:%H:%M} UTC.",
        f"Wait for it, or stop it: /mlflow cancel {holder.id}.",
        holder.requester,
    )
