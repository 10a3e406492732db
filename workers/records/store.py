"""The records in Redis: one per accepted command, from its acknowledgement to its end.

    record:<id>        hash, one JSON value per field; kept for 30 days
    record:<id>:claim  hash: which worker runs each stage of it, how it ended; each written once
    record:<id>:alive  there while its worker lives
    record:<id>:step   JSON: what it is doing, and how far it is with it
    open               sorted set: the ids of those that have not ended → when they were accepted
    recent             sorted set: the latest thousand → when they were accepted
    seen:<delivery>    a delivery that was accepted already (Slack delivers again when in doubt)
    outbox:…           what is to be said (see workers.records.outbox)
    rq:…               RQ's own keys

Accepting is one Lua script, and so is ending: a command is recorded together with its first message and ends together
with its last, so nothing that was accepted is lost between two writes, and what happens twice has no effect. (A call
whose answer is lost is made again by the client: each script knows its own first attempt.)
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from workers.records import counters
from workers.records.audit_log import NOTE, note
from workers.records.keys import PREFIX
from workers.records.message import draft
from workers.records.outbox import PUSH, Outbox
from workers.records.record import Phase, Record, Stage, as_kept
from workers.redaction import cleaned, without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from workers.records.message import Draft, Message
    from workers.records.record import Ending

RECORD_SECONDS = 30 * 24 * 3600
SEEN_SECONDS = 3600
"""Slack retries a delivery three times within an hour (https://docs.slack.dev/apis/events-api/#retries)."""
STEP_SECONDS = 24 * 3600
ALIVE_SECONDS = 15.0
"""A worker that says nothing for so long is gone."""

_OPEN = PREFIX + "open"
_RECENT = PREFIX + "recent"
_RECENT_KEPT = 1000

_ACCEPT = (
    PUSH
    + NOTE
    + """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then
  return redis.call('GET', KEYS[1]) == ARGV[1] and 1 or 0
end
for i = 8, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -ARGV[6] - 1)
push(ARGV[1], 'root', ARGV[5], ARGV[4])
note(ARGV[7])
return 1
"""
)

_START = (
    NOTE
    + """
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 then return 0 end
if redis.call('HSETNX', KEYS[2], ARGV[4], ARGV[1]) == 0 and redis.call('HGET', KEYS[2], ARGV[4]) ~= ARGV[1] then
  return 0
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
note(ARGV[5])
return 1
"""
)

_RENEW = """
if redis.call('HEXISTS', KEYS[1], 'ended') == 1 then return 0 end
if redis.call('HGET', KEYS[3], 'stage') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[2], '1', 'PX', ARGV[1])
return 1
"""

_MOVE = (
    PUSH
    + NOTE
    + """
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 then return 0 end
if redis.call('HGET', KEYS[1], 'phase') ~= ARGV[3] then return 0 end
for i = 6, 6 + 2 * ARGV[4] - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('DEL', KEYS[3])
note(ARGV[5])
for i = 6 + 2 * ARGV[4], #ARGV, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
return 1
"""
)

_FINISH = (
    PUSH
    + NOTE
    + """
local now_in = redis.call('HGET', KEYS[1], 'phase')
if ARGV[5] ~= '' and now_in ~= ARGV[5] then return 0 end
if redis.call('HSETNX', KEYS[2], 'ended', ARGV[3]) == 0 then return 0 end
redis.call('EXPIRE', KEYS[2], keep)
for i = 7, 7 + 2 * ARGV[4] - 1, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
note(ARGV[6])
for i = 7 + 2 * ARGV[4], #ARGV, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
return 1
"""
)


class Records:
    """Reads and writes records. Every method raises redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._accept = redis.register_script(_ACCEPT)
        self._start = redis.register_script(_START)
        self._renew = redis.register_script(_RENEW)
        self._move = redis.register_script(_MOVE)
        self._finish = redis.register_script(_FINISH)

    def accept(self, record: Record, delivery: str, root: Message, *, remember_seconds: int = SEEN_SECONDS) -> bool:
        """Record a command together with its first message; False where this delivery was accepted before."""
        body = draft("root", root).body
        keys = [f"{PREFIX}seen:{delivery}", _key(record.id), _OPEN, _RECENT]
        about: list[Any] = [record.id, remember_seconds, RECORD_SECONDS, record.accepted_at, body, _RECENT_KEPT]
        about.append(asked(record))
        return bool(self._accept(keys=keys, args=[*about, *record.fields]))

    def keep(self, record: Record, root: Message) -> None:
        """Keep a record with its first message that no worker runs: of what began elsewhere and has a thread."""
        fields = as_kept(record.model_dump(mode="json"))
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(_key(record.id), mapping=fields)
        pipe.expire(_key(record.id), RECORD_SECONDS)
        pipe.execute()
        Outbox(self._redis).push(record.id, draft("root", root))

    def begin_here(self, record: Record) -> None:
        """Record a command that runs in a terminal: nobody waits for it in Slack, and none of its words go there."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hset(_key(record.id), mapping=as_kept(record.model_dump(mode="json")))
        pipe.expire(_key(record.id), RECORD_SECONDS)
        note(pipe, asked(record))
        note(pipe, _moment("started", record, worker=record.worker, digest=record.digest))
        pipe.execute()

    def get(self, record_id: str) -> Record | None:
        """The record, or None where there is none (any more). What only a later version knows of it is left out."""
        fields: dict[Any, Any] = self._redis.hgetall(_key(record_id))
        if not fields:
            return None
        named = {name.decode(): value for name, value in fields.items()}
        known = {name: json.loads(value) for name, value in named.items() if name in Record.model_fields}
        return Record.model_validate(known)

    def update(self, record_id: str, **fields: Any) -> None:
        """Set fields of a record."""
        self._redis.hset(_key(record_id), mapping=as_kept(fields))

    def open(self) -> list[str]:
        """The ids of those that have not ended, oldest first."""
        ids: Any = self._redis.zrange(_OPEN, 0, -1)
        return [member.decode() for member in ids]

    def recent(self, number: int) -> list[str]:
        """The ids of the latest, newest first."""
        ids: Any = self._redis.zrange(_RECENT, 0, max(0, number - 1), desc=True)
        return [member.decode() for member in ids]

    def pick(self, record_ids: Sequence[str], *fields: str) -> list[tuple[Any, ...]]:
        """Some fields of many records, in one call; None where there is none."""
        pipe = self._redis.pipeline(transaction=False)
        for record_id in record_ids:
            pipe.hmget(_key(record_id), fields)
        return [tuple(json.loads(each) if each else None for each in found) for found in pipe.execute()]

    def tell_step(self, record_id: str, step: str, figure: str = "", share: float | None = None) -> None:
        """Keep what a running one is doing, for whoever looks from elsewhere. share: 0 to 1."""
        body = json.dumps(cleaned({"step": step, "figure": figure, "share": share}), ensure_ascii=False)
        self._redis.set(f"{_key(record_id)}:step", body, ex=STEP_SECONDS)

    def step(self, record_id: str) -> dict[str, Any]:
        """What `tell_step` kept: step, figure and share; empty where nothing was told."""
        raw: Any = self._redis.get(f"{_key(record_id)}:step")
        found: dict[str, Any] = json.loads(raw) if raw else {}
        return found

    def start(self, record_id: str, worker: str, stage: Stage = Stage.RUN, turn: str = "") -> Record | None:
        """Claim a stage of a record: exactly one caller gets it, all others None. turn: the record's, where known."""
        fields = as_kept({"phase": Phase.RUNNING, "started_at": time.time(), "worker": worker})
        claim = f"{worker}/{secrets.token_hex(4)}"
        moment = _moment("planning" if stage is Stage.PLAN else "started", record_id, worker=worker)
        about: list[Any] = [claim, RECORD_SECONDS, int(ALIVE_SECONDS * 1000), turn or stage, moment]
        told = [*about, *(part for pair in fields.items() for part in pair)]
        if not self._start(keys=[_key(record_id), _key(record_id) + ":claim", _alive(record_id)], args=told):
            return None
        return self.get(record_id)

    def renew(self, record_id: str, stage: Stage = Stage.RUN) -> bool:
        """Say that its worker lives; False where somebody has ended it meanwhile, or given it up for lost."""
        keys = [_key(record_id) + ":claim", _alive(record_id), _key(record_id)]
        return bool(self._renew(keys=keys, args=[int(ALIVE_SECONDS * 1000), json.dumps(stage)]))

    def alive(self, record_id: str) -> bool:
        """Whether its worker has said so within ALIVE_SECONDS."""
        return bool(self._redis.exists(_alive(record_id)))

    def claimed(self, record: Record) -> bool:
        """Whether a worker has begun the stage of it that is next."""
        return bool(self._redis.hexists(_key(record.id) + ":claim", record.turn))

    def ask_to_stop(self, record_id: str, user: str) -> None:
        """Ask whoever runs it to stop at the next safe point."""
        self._redis.hsetnx(_key(record_id) + ":claim", "stop", user)

    def asked_to_stop(self, record_id: str) -> str | None:
        """Who asked it to stop."""
        user: Any = self._redis.hget(_key(record_id) + ":claim", "stop")
        return user.decode() if user else None

    def move(self, record_id: str, *drafts: Draft, before: Phase, **fields: Any) -> bool:
        """Change fields (its phase, as a rule) together with words about it; False where it is not in `before`."""
        encoded = as_kept(fields)
        keys = [_key(record_id), _key(record_id) + ":claim", _alive(record_id)]
        moment = _moment(str(fields.get("phase", "changed")), record_id, **_told(fields))
        told: list[Any] = [record_id, time.time(), json.dumps(before), len(encoded), moment]
        pairs = [part for pair in encoded.items() for part in pair]
        return bool(self._move(keys=keys, args=[*told, *pairs, *(part for each in drafts for part in each)]))

    def finish(self, record_id: str, ending: Ending, *, before: Phase | None = None, **more: Any) -> bool:
        """Write the end of a record together with the words about it, once; False where it had ended before.

        before: only where it is in this phase. more: other fields of the record.
        """
        now, outcome = time.time(), without_secrets(ending.outcome)
        fields = as_kept({"phase": ending.phase, "ended_at": now, "outcome": outcome, **more})
        keys = [_key(record_id), _key(record_id) + ":claim", _OPEN, _alive(record_id)]
        only = json.dumps(before) if before else ""
        moment = _moment(ending.phase, record_id, outcome=outcome, **_told(more))
        told: list[Any] = [record_id, now, ending.phase, len(fields), only, moment]
        pairs = [part for pair in fields.items() for part in pair]
        if not self._finish(keys=keys, args=[*told, *pairs, *(part for each in ending.messages for part in each)]):
            return False
        self._count(record_id, ending.phase, now)
        return True

    def _count(self, record_id: str, phase: Phase, now: float) -> None:
        found: Any = self._redis.hmget(_key(record_id), ["operation", "started_at", "accepted_at"])
        operation, *times = [json.loads(each) if each else None for each in found]
        began = next((float(each) for each in times if each), now)
        counters.ended(self._redis, str(operation or "unknown"), phase, now - began)


def _key(record_id: str) -> str:
    return f"{PREFIX}record:{record_id}"


def _alive(record_id: str) -> str:
    return _key(record_id) + ":alive"


def asked(record: Record) -> str:
    """That somebody asked for it, for the audit record."""
    urgent = {"break_glass": record.break_glass} if record.break_glass else {}
    about = {"words": record.words, "requester": record.requester, "channel": record.channel, **urgent}
    return _moment("asked", record, **about)


def _moment(what: str, of: Record | str, **more: Any) -> str:
    """A moment of a command for the audit record."""
    record_id = of if isinstance(of, str) else of.id
    return json.dumps(cleaned({"what": what, "id": record_id, **more}), ensure_ascii=False)


def _told(fields: dict[str, Any]) -> dict[str, Any]:
    """Of what changed, what the audit record keeps."""
    kept = {name: fields[name] for name in ("digest", "decided_by", "reason") if fields.get(name)}
    return kept | ({"by": ", ".join(fields["decided_by"])} if fields.get("decided_by") else {})
