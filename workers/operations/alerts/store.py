"""Groups of alerts in Redis, and their messages, written together.

    alerts:group:<id>   JSON: a Group
    alerts:crowd:<id>   JSON: a Crowd
    alerts:groups       sorted set: the groups → when they were last told of
    alerts:firing       sorted set: those that fire → when they were last told of
    alerts:begun        sorted set: the groups that got a message lately → when
    alerts:storm        the crowd of the storm that goes on; there until CALM_SECONDS after it last grew
    alerts:held         set: the groups that are held until a maintenance ends

What changes a group is compared with what was read and written in one step with its words (`swap`), so of two bots
that are told the same at once only one says it. All of it lapses KEEP_SECONDS after it was last told of, and there is a
limit to each number, so memory does not grow with the number of alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from workers.errors import OperatorError
from workers.operations.alerts import message
from workers.operations.alerts.group import Crowd, Group, Silence
from workers.records.audit_log import NOTE
from workers.records.keys import PREFIX
from workers.records.message import Draft, draft
from workers.records.outbox import PUSH
from workers.records.record import Record
from workers.records.store import RECORD_SECONDS, Records

if TYPE_CHECKING:
    from redis import Redis

    from workers.records.message import Message

KEEP_SECONDS: Final = 5 * 24 * 3600
"""As long as Alertmanager knows what it has told (its --data.retention)."""
GROUPS: Final = 2000
BUDGET_SECONDS: Final = 300.0
CALM_SECONDS: Final = 600
"""A storm to which nothing was added for so long is over; the next one gets a message of its own."""
ATTEMPTS: Final = 60

_PLACE: Final = PREFIX + "alerts:"
_SWAP: Final = (
    PUSH
    + NOTE
    + f"local records, record_keep = '{PREFIX}record:', {RECORD_SECONDS}\n"
    + """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if ARGV[6] ~= '' then note(ARGV[6]) end
local i = 7
for _ = 1, tonumber(ARGV[5]) do
  local key, number = records .. ARGV[i], tonumber(ARGV[i + 1])
  for f = i + 2, i + 1 + number, 2 do redis.call('HSET', key, ARGV[f], ARGV[f + 1]) end
  i = i + 2 + number
end
for d = i, #ARGV, 3 do
  redis.call('EXPIRE', records .. ARGV[d], record_keep)
  push(ARGV[d], ARGV[d + 1], ARGV[d + 2], ARGV[4])
end
return 1
"""
)
_BEGIN: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, ARGV[4])
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
"""

Kept = TypeVar("Kept", Group, Crowd)
Said = tuple[str, Draft]
"""Words about a record, by its id."""


class Busy(OperatorError):  # noqa: N818 - what is so now
    """Others change the same group all the time; to be tried again."""

    def __init__(self) -> None:
        super().__init__("So much happens to this alert that its message could not be changed.", "Ask again.")


class AlertStore:
    """Reads and writes groups and crowds. Methods raise redis.exceptions.RedisError where Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._records = Records(redis)
        self._swap = redis.register_script(_SWAP)
        self._begin = redis.register_script(_BEGIN)

    def group(self, group_id: str) -> tuple[str, Group | None]:
        """A group as it is kept (for `swap`), and as it is read; empty and None where there is none."""
        return self._read(f"group:{group_id}", Group)

    def crowd(self, crowd_id: str) -> tuple[str, Crowd | None]:
        """As `group`, for a crowd."""
        return self._read(f"crowd:{crowd_id}", Crowd)

    def groups(self) -> list[Group]:
        """Those that are known, the one told of last first."""
        ids: Any = self._redis.zrevrange(_PLACE + "groups", 0, GROUPS)
        found = (self.group(each.decode())[1] for each in ids)
        return [group for group in found if group is not None]

    def swap(
        self,
        raw: str,
        kept: Group | Crowd,
        now: float,
        records: tuple[Record, ...],
        *said: Said,
        moment: str = "",
    ) -> bool:
        """Write it together with new records, words and a moment of the audit record, unless it is no longer as `raw`
        was; then False.
        """
        name = f"{'group' if isinstance(kept, Group) else 'crowd'}:{kept.id}"
        about: list[Any] = [raw, kept.model_dump_json(), KEEP_SECONDS, now, len(records), moment]
        for record in records:
            about += [record.id, len(record.fields), *record.fields]
        about += [part for record_id, each in said for part in (record_id, *each)]
        if not self._swap(keys=[_PLACE + name], args=about):
            return False
        if isinstance(kept, Group):
            self._touched(kept, now)
        return True

    def heard_of(self, group: Group, now: float) -> None:
        """It was told of again, and nothing has changed."""
        self._redis.expire(f"{_PLACE}group:{group.id}", KEEP_SECONDS)
        self._touched(group, now)

    def _touched(self, group: Group, now: float) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for name in ("groups", "firing"):
            pipe.zadd(_PLACE + name, {group.id: now})
            pipe.zremrangebyscore(_PLACE + name, 0, now - KEEP_SECONDS)
            pipe.zremrangebyrank(_PLACE + name, 0, -GROUPS - 1)
        if group.over is not None or group.unheard_since is not None:
            pipe.zrem(_PLACE + "firing", group.id)
        pipe.execute()

    def unheard(self, since: float) -> list[tuple[str, float]]:
        """Those that fire and were not told of since then, each with when it was. since: seconds since the epoch."""
        found: Any = self._redis.zrangebyscore(_PLACE + "firing", 0, since, withscores=True)
        return [(each.decode(), float(at)) for each, at in found]

    def forget(self, group_id: str) -> None:
        """It has lapsed."""
        self._redis.zrem(_PLACE + "firing", group_id)

    # How many get a message of their own.

    def may_begin(self, group_id: str, limit: int, now: float) -> bool:
        """Whether a new group gets a message of its own: the first `limit` within BUDGET_SECONDS do."""
        return bool(self._begin(keys=[_PLACE + "begun"], args=[group_id, limit, now, now - BUDGET_SECONDS]))

    def storm(self, otherwise: str) -> str:
        """The crowd of the storm that goes on, for all bots the same one; `otherwise` where none does."""
        self._redis.set(_PLACE + "storm", otherwise, nx=True, ex=CALM_SECONDS)
        raw: Any = self._redis.get(_PLACE + "storm")
        return raw.decode() if raw else otherwise

    def storms_on(self) -> None:
        """Something was added to the storm."""
        self._redis.expire(_PLACE + "storm", CALM_SECONDS)

    # What a maintenance holds.

    def hold(self, group_id: str) -> None:
        """Remember that it is held."""
        self._redis.sadd(_PLACE + "held", group_id)
        self._redis.expire(_PLACE + "held", KEEP_SECONDS)

    def held(self) -> list[str]:
        """Those that are held."""
        ids: Any = self._redis.smembers(_PLACE + "held")
        return sorted(each.decode() for each in ids)

    def let_go(self, group_id: str) -> None:
        """It is not held any more."""
        self._redis.srem(_PLACE + "held", group_id)

    # What is said of it.

    def words(self, group: Group, *replies: Message) -> list[Said]:
        """The message of a group as it is now, and replies, for each place where it is told."""
        said: list[Said] = []
        for record_id in group.records:
            record = self._records.get(record_id)
            if record is not None:
                said.append((record_id, draft("edit", message.group(group, record))))
                said += [(record_id, draft("reply", each)) for each in replies]
        return said

    def silenced(self, group_id: str, silence: Silence | None, now: float, by: str = "") -> None:
        """Tell in its message and its thread that it is silenced, or no longer. Raises Busy."""
        for _ in range(ATTEMPTS):
            raw, known = self.group(group_id)
            if known is None or known.silence == silence:
                return
            group = known.model_copy(update={"silence": silence})
            reply = message.silenced(silence) if silence else message.unsilenced(by)
            if self.swap(raw, group, now, (), *self.words(group, reply)):
                return
        raise Busy

    def _read(self, name: str, kind: type[Kept]) -> tuple[str, Kept | None]:
        raw: Any = self._redis.get(_PLACE + name)
        if not raw:
            return "", None
        text = raw.decode()
        return text, _model(kind, text)


def _model(kind: type[Kept], text: str) -> Kept:
    assert issubclass(kind, BaseModel)
    return kind.model_validate_json(text)
