"""The records in Redis: one per accepted command, from its acknowledgement to its end.

    record:<id>        hash, one JSON value per field; kept for 30 days
    record:<id>:claim  hash: which worker runs each stage of it, how it ended; each written once
    fence              how many claims there were: the number in each claim's token
    server             the Redis of which all is known (see `doubt`)
    record:<id>:alive  there while its worker lives
    record:<id>:step   JSON: what it is doing, and how far it is with it
    open               sorted set: the ids of those that have not ended → when they were accepted
    recent             sorted set: the latest thousand → when they were accepted
    person:<who>       sorted set: what somebody has under way → when it was accepted
    person:<who>:like:<what>   the record of the last read of this kind, which more like it may join
    seen:<delivery>    a delivery that was accepted already (Slack delivers again when in doubt)
    outbox:…           what is to be said (see workers.records.outbox)
    rq:…               RQ's own keys

Accepting is one Lua script, and so is ending: a command is recorded together with its first message and its job, and
ends together with its last words, so nothing that was accepted is lost between two writes, and what happens twice has
no effect. What a worker writes of its claim bears the claim's token (see workers.records.scripts).

Redis may lose what it was told: its last second, or all since a snapshot. A worker whose claim is lost writes it anew;
what else was open then is doubted, and is looked at in the world before anything is done or said about it.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workers.errors import OperatorError
from workers.records import counters, scripts
from workers.records.another_server import ANOTHER
from workers.records.audit_log import note
from workers.records.keys import PREFIX
from workers.records.message import draft
from workers.records.outbox import Outbox
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
_MERGED = -2
_ANOTHER_SERVER = -3
_SERVER = PREFIX + "server"


class TooMany(OperatorError):  # noqa: N818 - its message is a sentence for people
    """Somebody has as many commands under way as one person may."""


class Merged(OperatorError):  # noqa: N818 - its message is a sentence for people
    """The same person waits for the same answer already."""


@dataclass(frozen=True)
class Job:
    """What puts a record on its queue, for the script that writes the record. parts: as `scripts` takes them."""

    parts: tuple[Any, ...] = ()


NO_JOB = Job()


class Records:
    """Reads and writes records. Every method raises redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._accept = redis.register_script(scripts.ACCEPT)
        self._start = redis.register_script(scripts.START)
        self._renew = redis.register_script(scripts.RENEW)
        self._assert = redis.register_script(scripts.ASSERT)
        self._update = redis.register_script(scripts.UPDATE)
        self._say = redis.register_script(scripts.SAY)
        self._give_way = redis.register_script(scripts.GIVE_WAY)
        self._move = redis.register_script(scripts.MOVE)
        self._finish = redis.register_script(scripts.FINISH)
        self._doubt = redis.register_script(scripts.DOUBT)
        self._grace = redis.register_script(scripts.GRACE)

    def accept(  # noqa: PLR0913 - all but the first three by name
        self,
        record: Record,
        delivery: str,
        root: Message,
        *,
        remember_seconds: int = SEEN_SECONDS,
        job: Job = NO_JOB,
        at_most: int = 0,
        like: str = "",
    ) -> bool:
        """Record a command together with its first message and its job; False where this delivery was accepted before.

        at_most: so many commands of one person may be under way; 0: any number. like: what it shares with others that
        have the same answer, where they are to be told as one. Raises TooMany, Merged.
        """
        body = draft("root", root).body
        keys = [f"{PREFIX}seen:{delivery}", _key(record.id), _OPEN, _RECENT, f"{PREFIX}person:{record.requester}"]
        # Without anything like it, a key that is never there.
        keys += [f"{keys[-1]}:like:{like}" if like else _key(""), _SERVER]
        about: list[Any] = [record.id, remember_seconds, RECORD_SECONDS, record.accepted_at, body, _RECENT_KEPT]
        fields = record.fields
        about += [asked(record), at_most, _key(""), len(fields) // 2]
        about += [*fields, *job.parts]
        while (answer := int(self._accept(keys=keys, args=about))) == _ANOTHER_SERVER:
            # Before it is there: what this Redis was told itself is not in doubt.
            self.doubt()
        if answer == _MERGED:
            raise Merged("You asked for the same a moment ago, and it hasn't begun yet: its answer will be for both.")
        if answer < 0:
            raise TooMany(
                f"You have {at_most} commands under way, which is as many as one person may.",
                "Wait until one of them has ended; /mlflow jobs lists them.",
            )
        return bool(answer)

    def keep(self, record: Record, root: Message) -> None:
        """Keep a record with its first message that no worker runs: of what began elsewhere and has a thread."""
        fields = as_kept(record.model_dump(mode="json"))
        pipe = self.redis.pipeline(transaction=True)
        pipe.hset(_key(record.id), mapping=fields)
        pipe.expire(_key(record.id), RECORD_SECONDS)
        pipe.execute()
        Outbox(self.redis).push(record.id, draft("root", root))

    def begin_here(self, record: Record) -> None:
        """Record a command that runs in a terminal: nobody waits for it in Slack, and none of its words go there."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hset(_key(record.id), mapping=as_kept(record.model_dump(mode="json")))
        pipe.expire(_key(record.id), RECORD_SECONDS)
        note(pipe, asked(record))
        note(pipe, _moment("started", record, worker=record.worker, digest=record.digest))
        pipe.execute()

    def get(self, record_id: str) -> Record | None:
        """The record, or None where there is none (any more). What only a later version knows of it is left out."""
        fields: dict[Any, Any] = self.redis.hgetall(_key(record_id))
        if not fields:
            return None
        named = {name.decode(): value for name, value in fields.items()}
        known = {name: json.loads(value) for name, value in named.items() if name in Record.model_fields}
        return Record.model_validate(known)

    def update(self, record_id: str, **fields: Any) -> None:
        """Set fields of a record, if there is one (any more)."""
        self._update(keys=[_key(record_id)], args=[part for pair in as_kept(fields).items() for part in pair])

    def open(self) -> list[str]:
        """The ids of those that have not ended, oldest first."""
        ids: Any = self.redis.zrange(_OPEN, 0, -1)
        return [member.decode() for member in ids]

    def recent(self, number: int) -> list[str]:
        """The ids of the latest, newest first."""
        ids: Any = self.redis.zrange(_RECENT, 0, max(0, number - 1), desc=True)
        return [member.decode() for member in ids]

    def pick(self, record_ids: Sequence[str], *fields: str) -> list[tuple[Any, ...]]:
        """Some fields of many records, in one call; None where there is none."""
        pipe = self.redis.pipeline(transaction=False)
        for record_id in record_ids:
            pipe.hmget(_key(record_id), fields)
        return [tuple(json.loads(each) if each else None for each in found) for found in pipe.execute()]

    def tell_step(self, record_id: str, step: str, figure: str = "", share: float | None = None) -> None:
        """Keep what a running one is doing, for whoever looks from elsewhere. share: 0 to 1."""
        body = json.dumps(cleaned({"step": step, "figure": figure, "share": share}), ensure_ascii=False)
        self.redis.set(f"{_key(record_id)}:step", body, ex=STEP_SECONDS)

    def step(self, record_id: str) -> dict[str, Any]:
        """What `tell_step` kept: step, figure and share; empty where nothing was told."""
        raw: Any = self.redis.get(f"{_key(record_id)}:step")
        found: dict[str, Any] = json.loads(raw) if raw else {}
        return found

    def tell(
        self,
        record: Record,
        *drafts: Draft,
        step: str,
        figure: str = "",
        share: float | None = None,
    ) -> bool:
        """Words of a running one about what it is doing, there and for whoever looks from elsewhere. share: 0 to 1.

        False where its claim does not hold any more: then nothing was said.
        """
        about_it = {"step": step, "figure": figure, "share": share}
        body = json.dumps(cleaned(about_it), ensure_ascii=False)
        keys = [_key(record.id), _claim(record.id), f"{_key(record.id)}:step"]
        about: list[Any] = [record.id, time.time(), _token(record), body, STEP_SECONDS]
        return bool(self._say(keys=keys, args=[*about, *(part for each in drafts for part in each)]))

    def start(self, record_id: str, worker: str, stage: Stage = Stage.RUN, turn: str = "") -> Record | None:
        """Claim a stage of a record: exactly one caller gets it, all others None. turn: the record's, where known.

        What is in doubt is not begun: it is looked at first.
        """
        began, digits = time.time(), secrets.token_hex(4)
        fields = as_kept({"phase": Phase.RUNNING, "started_at": began, "worker": worker})
        moment = _moment("planning" if stage is Stage.PLAN else "started", record_id, worker=worker)
        about: list[Any] = [
            f"{worker}/{digits}",
            RECORD_SECONDS,
            int(ALIVE_SECONDS * 1000),
            turn or stage,
            moment,
            digits,
        ]
        told = [*about, int(stage is Stage.LOOK), *(part for pair in fields.items() for part in pair)]
        raw: Any = self._start(keys=[_key(record_id), _claim(record_id), _alive(record_id)], args=told)
        record = self.get(record_id) if raw else None
        # Read again, it may be somebody else's already: what this caller has claimed bears its own token.
        mine = {"phase": Phase.RUNNING, "started_at": began, "worker": worker}
        return record and record.model_copy(update={**mine, "token": json.loads(raw)})

    def renew(self, record: Record) -> bool:
        """Say that its worker lives; False where somebody has ended it meanwhile, or given it up for lost.

        A claim that Redis has lost is written anew, with all that this worker knows of its record.
        """
        keys = [_key(record.id), _claim(record.id), _alive(record.id)]
        milliseconds = int(ALIVE_SECONDS * 1000)
        answer = int(self._renew(keys=keys, args=[_token(record), milliseconds, record.turn]))
        if answer >= 0:
            return bool(answer)
        moment = _moment("claimed again", record.id, worker=record.worker)
        about: list[Any] = [
            record.id,
            _token(record),
            milliseconds,
            record.turn,
            RECORD_SECONDS,
            record.accepted_at,
            moment,
        ]
        return bool(self._assert(keys=[*keys, _OPEN, _RECENT], args=[*about, *record.fields]))

    def holds(self, record: Record) -> bool:
        """Whether the claim with which this record was got still holds."""
        pipe = self.redis.pipeline(transaction=True)
        pipe.hget(_key(record.id), "token")
        pipe.hexists(_claim(record.id), "ended")
        token, ended = pipe.execute()
        if token is not None and token.decode() == _token(record):
            return not ended
        return self.renew(record)

    def give_way(self, record: Record, token: str) -> bool:
        """Give a claim back to the earlier one with that token, which Redis had lost and whose worker still works."""
        keys = [_key(record.id), _claim(record.id), _alive(record.id)]
        return bool(self._give_way(keys=keys, args=[_token(record), json.dumps(token), int(ALIVE_SECONDS * 1000)]))

    def doubt(self) -> bool:
        """Doubt what is open if this is another Redis than before: one that began anew, or a replica. Whether so."""
        about: list[Any] = [json.dumps(time.time()), _key(""), int(ALIVE_SECONDS * 1000)]
        return bool(self._doubt(keys=[_SERVER, _OPEN, ANOTHER], args=about))

    def grace(self) -> None:
        """Give all that run time for a sign of life: for whoever could not write either for a while."""
        self._grace(keys=[_OPEN], args=[_key(""), int(ALIVE_SECONDS * 1000)])

    def alive(self, record_id: str) -> bool:
        """Whether its worker has said so within ALIVE_SECONDS."""
        return bool(self.redis.exists(_alive(record_id)))

    def claimed(self, record: Record) -> bool:
        """Whether a worker has begun the stage of it that is next."""
        return bool(self.redis.hexists(_claim(record.id), record.turn))

    def ask_to_stop(self, record_id: str, user: str) -> None:
        """Ask whoever runs it to stop at the next safe point."""
        self.redis.hsetnx(_claim(record_id), "stop", user)

    def asked_to_stop(self, record_id: str) -> str | None:
        """Who asked it to stop."""
        user: Any = self.redis.hget(_claim(record_id), "stop")
        return user.decode() if user else None

    def move(
        self,
        record_id: str,
        *drafts: Draft,
        before: Phase,
        claim: Record | None = None,
        job: Job = NO_JOB,
        **fields: Any,
    ) -> bool:
        """Change fields (its phase, as a rule) together with words about it; False where it is not in `before`.

        claim: only where the claim with which this record was got holds. job: puts it on its queue at the same moment.
        """
        if "phase" in fields:
            fields = {"token": "", **fields}
        encoded = as_kept(fields)
        keys = [_key(record_id), _claim(record_id), _alive(record_id), _SERVER]
        moment = _moment(str(fields.get("phase", "changed")), record_id, **_told(fields))
        token = _token(claim) if claim else ""
        told: list[Any] = [record_id, time.time(), json.dumps(before), token, moment, len(encoded), len(drafts)]
        pairs = [part for pair in encoded.items() for part in pair]
        args = [*told, *pairs, *(part for each in drafts for part in each), *job.parts]
        return bool(self._move(keys=keys, args=args))

    def finish(
        self,
        record_id: str,
        ending: Ending,
        *,
        before: Phase | None = None,
        claim: Record | None = None,
        as_read: Record | None = None,
        **more: Any,
    ) -> bool:
        """Write the end of a record together with the words about it, once; False where it had ended before.

        before: only where it is in this phase. claim: as with `move`. as_read: only where it waits for the same turn as
        when it was read, and is not in doubt. more: other fields of the record.
        """
        now, outcome = time.time(), without_secrets(ending.outcome)
        more |= {"refused": True} if ending.refused else {}
        fields = as_kept({"phase": ending.phase, "ended_at": now, "outcome": outcome, **more})
        keys = [_key(record_id), _claim(record_id), _OPEN, _alive(record_id), _SERVER]
        only = json.dumps(before) if before else ""
        moment = _moment(ending.phase, record_id, outcome=outcome, **_told(more))
        told: list[Any] = [record_id, now, ending.phase, only, _token(claim) if claim else "", moment]
        told += [*([json.dumps(as_read.stage), json.dumps(as_read.handovers)] if as_read else ["", ""]), len(fields)]
        pairs = [part for pair in fields.items() for part in pair]
        args = [*told, *pairs, *(part for each in ending.messages for part in each)]
        if not self._finish(keys=keys, args=args):
            return False
        self._count(record_id, ending.phase, now)
        return True

    def _count(self, record_id: str, phase: Phase, now: float) -> None:
        found: Any = self.redis.hmget(_key(record_id), ["operation", "started_at", "accepted_at"])
        operation, *times = [json.loads(each) if each else None for each in found]
        began = next((float(each) for each in times if each), now)
        counters.ended(self.redis, str(operation or "unknown"), phase, now - began)


def _key(record_id: str) -> str:
    return f"{PREFIX}record:{record_id}"


def _claim(record_id: str) -> str:
    return _key(record_id) + ":claim"


def _token(record: Record) -> str:
    """As it stands in Redis."""
    return json.dumps(record.token)


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
