"""What is to be said in Slack, kept in Redis until Slack has it.

    outbox:thread:<record id>   list: the messages of one command, oldest first
    outbox:thread:<id>.aside    list: its files and pins that Slack didn't take yet: words don't wait for them
    outbox:due                  sorted set: record id → when its first message may be tried, epoch seconds;
                                infinity while it stands in a line
    outbox:pace:<limit>         how far the allowance of one of Slack's limits is used up
    outbox:line:<limit>         sorted set: the threads that wait for this allowance, in the order of their turns
    outbox:shares:<limit>       hash: who has words in this line → their latest turn; `.`: the turn that was last
    outbox:lines                sorted set: limit → when the first of its line may be tried, epoch seconds
    outbox:wake                 a token while there is something new

Only the first message of a thread is ever tried, so a thread is told in order, whatever Slack answers. An edit that
nobody has tried yet is replaced by a newer one: progress never piles up. Whoever takes a thread holds it for
`LEASE_SECONDS`; where he dies, another goes on and finds by the mark `tried` that Slack may have the message already.
Where a limit is used up, threads stand in its line and only the first is tried: however many wait, each second has the
same work. Turns are shared: first what calls somebody, then what approvers are asked, then the rest, in which people
take turns, however many words one of them has in the line; an ending costs its person less of a turn than a beginning.
What Slack refuses is replaced by other messages in its place, in one step (`instead`).
Pushing is a function in Lua (`PUSH`), so that a record's change and the words about it are written together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

    from workers.records.message import Draft, Kind

LEASE_SECONDS: Final = 60.0
TURN_SECONDS: Final = 1.0
"""How long a line waits for the thread whose turn it is, should that have nothing to ask for."""
KEEP_SECONDS: Final = 30 * 24 * 3600

_OUTBOX: Final = PREFIX + "outbox:"
_ASIDE_OF: Final = ".aside"

PUSH: Final = (
    f"local box = '{_OUTBOX}'\nlocal keep = {KEEP_SECONDS}\n"
    """
local function push(id, kind, body, now)
  local thread = box .. 'thread:' .. id
  local last = redis.call('LINDEX', thread, -1)
  local of, tried = string.match(last or '', '^(%a+):(%d+):')
  local number = redis.call('INCR', box .. 'number')
  if kind == 'edit' and tried == '0' and (of == 'edit' or of == 'root') then
    -- Another number: a sender that holds the older words finds that they are no longer to be sent.
    redis.call('LSET', thread, -1, of .. ':0:' .. number .. ':' .. body)
  else
    redis.call('RPUSH', thread, kind .. ':0:' .. number .. ':' .. body)
    redis.call('EXPIRE', thread, keep)
  end
  redis.call('ZADD', box .. 'due', 'NX', now, id)
  redis.call('LPUSH', box .. 'wake', '1')
  redis.call('LTRIM', box .. 'wake', 0, 7)
end
"""
)

_PUSH_ALL = (
    PUSH
    + """
for i = 3, #ARGV, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
"""
)

_TAKE = """
local box, now = ARGV[1], tonumber(ARGV[2])
local due, lines = box .. 'due', box .. 'lines'
local open, first = redis.call('ZRANGE', lines, 0, 0, 'WITHSCORES'), redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')
local turn, id = open[1] or '', first[1]
if turn ~= '' and tonumber(open[2]) <= now then
  local next = redis.call('ZPOPMIN', box .. 'line:' .. turn)
  id = next[1]
  if id then redis.call('HSET', box .. 'shares:' .. turn, '.', tonumber(next[2]) % 1e9) end
  if redis.call('EXISTS', box .. 'line:' .. turn) == 0 then
    redis.call('ZREM', lines, turn)
    redis.call('DEL', box .. 'shares:' .. turn)
  else redis.call('ZADD', lines, now + tonumber(ARGV[4]), turn) end
elseif id and tonumber(first[2]) <= now then turn = ''
elseif id then return {tostring(math.min(tonumber(first[2]), tonumber(open[2] or first[2])))}
else return {} end
local raw = id and redis.call('LINDEX', box .. 'thread:' .. id, 0)
if not raw then redis.call('ZREM', due, id or '') return {ARGV[2]} end
redis.call('ZADD', due, now + tonumber(ARGV[3]), id)
return {ARGV[2], id, raw, turn}
"""

_MARK = """
local raw = redis.call('LINDEX', KEYS[1], 0)
local of, tried, number, body = string.match(raw or '', '^(%a+):(%d+):(%d+):(.*)$')
if number ~= ARGV[1] then return 0 end
redis.call('LSET', KEYS[1], 0, of .. ':' .. ARGV[2] .. ':' .. number .. ':' .. body)
return 1
"""

_DONE = """
local number = string.match(redis.call('LINDEX', KEYS[1], 0) or '', '^%a+:%d+:(%d+):')
if number == ARGV[1] then redis.call('LPOP', KEYS[1]) end
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[2])
else redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2]) end
"""

_INSTEAD = """
local number = string.match(redis.call('LINDEX', KEYS[1], 0) or '', '^%a+:%d+:(%d+):')
if number ~= ARGV[1] then return 0 end
redis.call('LPOP', KEYS[1])
for i = #ARGV - 1, 6, -2 do
  redis.call('LPUSH', KEYS[1], ARGV[i] .. ':0:' .. redis.call('INCR', ARGV[5]) .. ':' .. ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[2])
else redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2]) end
return 1
"""

_ASIDE = """
local raw = redis.call('LINDEX', KEYS[1], 0)
if string.match(raw or '', '^%a+:%d+:(%d+):') ~= ARGV[1] then return 0 end
redis.call('RPUSH', KEYS[2], redis.call('LPOP', KEYS[1]))
redis.call('EXPIRE', KEYS[2], ARGV[6])
redis.call('ZADD', KEYS[3], 'NX', ARGV[5], ARGV[3])
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('ZREM', KEYS[3], ARGV[2])
else redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2]) end
return 1
"""

_PACE = (
    f"""
local records = '{PREFIX}record:'
"""
    """
local box, now, id, number, turn = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local wait, before = 0, nil
-- A turn in a line: one after the latest of the same person, and not before the one that was last.
local function turn_of(limit)
  local about = redis.call('HMGET', records .. string.match(id, '^[^.]*'), 'requester', 'calls', 'phase')
  local who, phase, shares = about[1] or '', about[3] or '', box .. 'shares:' .. limit
  local weight, costs = 2, 1
  if about[2] and about[2] ~= '[]' then weight = 0
  elseif phase == '"pending"' then weight = 1
  elseif phase ~= '"accepted"' and phase ~= '"queued"' and phase ~= '"running"' then costs = 0.25 end
  local last = redis.call('HMGET', shares, '.', weight .. who)
  -- Who had a turn and came too early has it still.
  if limit == turn then return weight * 1e9 + tonumber(last[1] or '0') end
  local latest = math.max(tonumber(last[1] or '0'), tonumber(last[2] or '0')) + costs
  redis.call('HSET', shares, weight .. who, latest)
  redis.call('EXPIRE', shares, 3600)
  return weight * 1e9 + latest
end
for i = 6, #ARGV, 3 do
  local limit, every, burst = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local used = math.max(tonumber(redis.call('GET', box .. 'pace:' .. limit) or '0'), now)
  local opens = math.max(0, used - now - every * (burst - 1))
  local stands = id ~= '' and limit ~= turn and redis.call('EXISTS', box .. 'line:' .. limit) == 1
  if opens > wait or (stands and not before) then wait, before = opens, limit end
end
if before and id ~= '' then
  if not redis.call('ZSCORE', box .. 'line:' .. before, id) then
    redis.call('ZADD', box .. 'line:' .. before, turn_of(before), id)
  end
  redis.call('ZADD', box .. 'lines', now + wait, before)
  redis.call('ZADD', box .. 'due', 'inf', id)
end
if before then return tostring(math.max(wait, 0.001)) end
for i = 6, #ARGV, 3 do
  local limit, every, burst = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local used = math.max(tonumber(redis.call('GET', box .. 'pace:' .. limit) or '0'), now) + every
  redis.call('SET', box .. 'pace:' .. limit, tostring(used), 'EX', 3600)
  if redis.call('EXISTS', box .. 'line:' .. limit) == 1 then
    redis.call('ZADD', box .. 'lines', math.max(now, used - every * (burst - 1)), limit)
  end
end
return '0'
"""
)


@dataclass(frozen=True)
class Limit:
    """One of Slack's limits: a call each `every` seconds, of which `burst` may come at once."""

    name: str
    every: float
    burst: int = 1


@dataclass(frozen=True)
class Entry:
    """The first message of a thread. `tried`: how often Slack was asked to take it without a clear answer; `turn`:
    the limit in whose line it was the first. `to`: of a direct message, for whom, where not for who asked: a person or
    a user group; `form`: in which it is, after how many were refused; `apart`: not in the thread, which takes no reply.
    """

    thread_id: str
    number: int
    kind: Kind
    tried: int
    text: str
    blocks: list[dict[str, Any]]
    filename: str = ""
    content: str = ""
    alt: str = ""
    turn: str = ""
    to: str = ""
    form: int = 0
    apart: bool = False

    @property
    def record_id(self) -> str:
        """The record whose words these are."""
        return self.thread_id.removesuffix(_ASIDE_OF)

    @property
    def aside(self) -> bool:
        """Whether nothing but files and pins waits behind it."""
        return self.thread_id.endswith(_ASIDE_OF)


class Outbox:
    """Every method raises redis.exceptions.RedisError where Redis is away. clock: seconds since the epoch."""

    def __init__(self, redis: Redis, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._clock = clock
        self._push = redis.register_script(_PUSH_ALL)
        self._take = redis.register_script(_TAKE)
        self._mark = redis.register_script(_MARK)
        self._done = redis.register_script(_DONE)
        self._instead = redis.register_script(_INSTEAD)
        self._aside = redis.register_script(_ASIDE)
        self._pace = redis.register_script(_PACE)

    def push(self, record_id: str, *drafts: Draft) -> None:
        """Put messages at the end of a thread."""
        self._push(keys=[], args=[record_id, self._clock(), *(part for each in drafts for part in each)])

    def take(self) -> tuple[Entry | None, float]:
        """The first message of a thread that is due, held for LEASE_SECONDS; else None, and seconds until one is."""
        answer: list[bytes] = self._take(args=[_OUTBOX, self._clock(), LEASE_SECONDS, TURN_SECONDS])
        if not answer:
            return None, float("inf")
        if len(answer) == 1:
            return None, max(0.001, float(answer[0]) - self._clock())
        return _entry(*(part.decode() for part in answer[1:])), 0.0

    def tried(self, entry: Entry, times: int) -> bool:
        """Note how often it was tried without a clear answer: to be called before Slack is.

        False where it is not the first of its thread any more: newer words have taken its place.
        """
        return bool(self._mark(keys=[_thread(entry.thread_id)], args=[entry.number, times]))

    def done(self, entry: Entry) -> None:
        """Slack has it: on to the next message of its thread."""
        keys = [_thread(entry.thread_id), _OUTBOX + "due"]
        self._done(keys=keys, args=[entry.number, entry.thread_id, self._clock()])

    def later(self, entry: Entry, seconds: float) -> None:
        """Try its thread again after so long."""
        self._redis.zadd(_OUTBOX + "due", {entry.thread_id: self._clock() + seconds}, xx=True)

    def instead(self, entry: Entry, *drafts: Draft) -> None:
        """Put these in its place, before all that follows; nothing, where it is not to be said."""
        keys = [_thread(entry.thread_id), _OUTBOX + "due"]
        about: list[Any] = [entry.number, entry.thread_id, self._clock(), KEEP_SECONDS, _OUTBOX + "number"]
        self._instead(keys=keys, args=[*about, *(part for each in drafts for part in each)])

    def put_aside(self, entry: Entry, seconds: float) -> None:
        """Let the words behind a file or a pin go on without it; it is tried again after so long."""
        aside, now = entry.record_id + _ASIDE_OF, self._clock()
        keys = [_thread(entry.thread_id), _thread(aside), _OUTBOX + "due"]
        self._aside(keys=keys, args=[entry.number, entry.thread_id, aside, now, now + seconds, KEEP_SECONDS])

    def some_aside(self, entry: Entry) -> bool:
        """Whether files or pins of its record wait already."""
        return bool(self._redis.exists(_thread(entry.record_id + _ASIDE_OF)))

    def refused(self, entry: Entry) -> int:
        """Count that Slack refused it in a way that it doesn't document; how often that was."""
        key = f"{_OUTBOX}refused:{entry.number}"
        times: Any = self._redis.incr(key)
        self._redis.expire(key, 3600)
        return int(times)

    def allowance(self, *limits: Limit) -> float:
        """0 where a call may be made now, which is then counted under each limit; else the seconds to wait."""
        return self._paced(None, limits)

    def admitted(self, entry: Entry, *limits: Limit) -> bool:
        """Whether it may be sent now, which is then counted under each limit; else its thread stands in the line of
        the limit that lasts longest, and whoever holds it lets go.
        """
        return self._paced(entry, limits) == 0

    def _paced(self, entry: Entry | None, limits: Sequence[Limit]) -> float:
        whose = (entry.thread_id, entry.number, entry.turn) if entry else ("", 0, "")
        figures = [figure for limit in limits for figure in (limit.name, limit.every, limit.burst)]
        return float(self._pace(args=[_OUTBOX, self._clock(), *whose, *figures]))

    def used_up(self, limit: Limit, seconds: float) -> None:
        """Slack says that a limit is reached: nobody calls for so long."""
        until = self._clock() + seconds + limit.every * (limit.burst - 1)
        self._redis.set(f"{_OUTBOX}pace:{limit.name}", str(until), ex=3600)

    def note(self, entry: Entry, value: str) -> None:
        """Keep something about a message that is being delivered (a reserved file's id)."""
        self._redis.set(f"{_OUTBOX}note:{entry.number}", value, ex=KEEP_SECONDS)

    def noted(self, entry: Entry) -> str | None:
        """What `note` kept."""
        value = self._redis.get(f"{_OUTBOX}note:{entry.number}")
        return value.decode() if isinstance(value, bytes) else None

    def wait(self, seconds: float) -> None:
        """Return after so long, or as soon as something is pushed."""
        self._redis.blpop([_OUTBOX + "wake"], timeout=max(0.01, seconds))

    def length(self) -> int:
        """How many threads have something to say."""
        return int(self._redis.zcard(_OUTBOX + "due"))


def _entry(thread_id: str, raw: str, turn: str) -> Entry:
    kind, tried, number, body = raw.split(":", 3)
    return Entry(thread_id, int(number), kind, int(tried), turn=turn, **json.loads(body))  # type: ignore[arg-type]


def _thread(thread_id: str) -> str:
    return f"{_OUTBOX}thread:{thread_id}"
