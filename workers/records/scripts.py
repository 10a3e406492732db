"""The scripts in Lua by which a record changes: each one whole, or not at all.

A claim is held by its token: a number that only grows, and random digits, since a Redis that lost its last second
counts on from an older number. What belongs to a claim is written by these scripts only, and each of them compares the
token first: a worker that slept while somebody else went on, or ended its record, can write nothing any more.

A call whose answer was lost is made again by the client: each script knows its own first attempt.
"""

from __future__ import annotations

from typing import Final

from workers.records.audit_log import NOTE
from workers.records.keys import PREFIX
from workers.records.outbox import PUSH

FENCE: Final = PREFIX + "fence"
"""How many claims there were."""

RUN_ID: Final = "redis.call('INFO', 'server')"
"""What holds the random name that each process of Redis gives itself (https://redis.io/docs/latest/commands/info/)."""

_SERVER: Final = f"""
local function this_server() return string.match({RUN_ID}, 'run_id:(%x+)') end
local function undoubted(server)
  local known = redis.call('GET', server)
  return not known or known == this_server()
end
"""

_CLAIMS: Final = """
local none = '""'
local function token_of(record) return redis.call('HGET', record, 'token') or none end
local function held(record, claim, token)
  return redis.call('HEXISTS', claim, 'ended') == 0 and token_of(record) == token
end
local function fill(record, from, to)
  for i = from, to, 2 do redis.call('HSET', record, ARGV[i], ARGV[i + 1]) end
end
"""

_ENQUEUE: Final = """
-- From ARGV[from]: RQ's set of queues, the queue, the job's key, its id, which end (L or R), and its fields.
local function enqueue(from)
  if from > #ARGV or redis.call('EXISTS', ARGV[from + 2]) == 1 then return end
  fill(ARGV[from + 2], from + 5, #ARGV)
  redis.call('SADD', ARGV[from], ARGV[from + 1])
  redis.call(ARGV[from + 4] == 'L' and 'LPUSH' or 'RPUSH', ARGV[from + 1], ARGV[from + 3])
end
"""

ACCEPT: Final = (
    PUSH
    + NOTE
    + _CLAIMS
    + _ENQUEUE
    + _SERVER
    + """
-- KEYS: seen, record, open, recent, the person's, the one like it that they asked for last (where records stand: none),
-- of which Redis all is known.
-- ARGV: id, seconds of seen, of the record, when, body, how many of the
-- recent, moment, at most so many of a person (0: any number), where records stand, number of fields, fields, job.
if redis.call('GET', KEYS[7]) ~= this_server() then return -3 end
local known = redis.call('GET', KEYS[1])
if known then return known == ARGV[1] and 1 or 0 end
local like = redis.call('GET', KEYS[6])
if like and redis.call('HGET', ARGV[9] .. like, 'phase') == '"queued"' then
  -- It has not begun: what it will read is as new as what this one would.
  redis.call('HINCRBY', ARGV[9] .. like, 'more', 1)
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
  note('{"what": "asked again", "id": "' .. like .. '"}')
  return -2
end
if tonumber(ARGV[8]) > 0 then
  local going = 0
  for _, id in ipairs(redis.call('ZRANGE', KEYS[5], 0, -1)) do
    local phase = redis.call('HGET', ARGV[9] .. id, 'phase')
    if phase == '"accepted"' or phase == '"queued"' or phase == '"running"' or phase == '"approved"' then
      going = going + 1
    elseif phase ~= '"pending"' and phase ~= '"proposed"' then
      redis.call('ZREM', KEYS[5], id)
    end
  end
  if going >= tonumber(ARGV[8]) then return -1 end
  redis.call('ZADD', KEYS[5], ARGV[4], ARGV[1])
  redis.call('EXPIRE', KEYS[5], ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
if KEYS[6] ~= ARGV[9] then redis.call('SET', KEYS[6], ARGV[1], 'EX', ARGV[2]) end
local last = 10 + 2 * ARGV[10]
fill(KEYS[2], 11, last)
redis.call('EXPIRE', KEYS[2], ARGV[3])
redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -ARGV[6] - 1)
push(ARGV[1], 'root', ARGV[5], ARGV[4])
note(ARGV[7])
enqueue(last + 1)
return 1
"""
)

START: Final = (
    NOTE
    + _CLAIMS
    + f"local fence = '{FENCE}'\n"
    + """
-- KEYS: record, claim, alive. ARGV: who, seconds of the claim, milliseconds of a sign of life, turn, moment, random
-- digits, whether it may be begun in doubt (1 or 0), fields.
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 or redis.call('EXISTS', KEYS[1]) == 0 then return false end
if redis.call('HGET', KEYS[2], ARGV[4]) == ARGV[1] then return token_of(KEYS[1]) end
if ARGV[7] == '0' and (redis.call('HGET', KEYS[1], 'doubted') or 'null') ~= 'null' then return false end
if redis.call('HSETNX', KEYS[2], ARGV[4], ARGV[1]) == 0 then return false end
local token = '"' .. redis.call('INCR', fence) .. '-' .. ARGV[6] .. '"'
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
fill(KEYS[1], 8, #ARGV)
redis.call('HSET', KEYS[1], 'token', token)
note(ARGV[5])
return token
"""
)

RENEW: Final = (
    _CLAIMS
    + """
-- KEYS: record, claim, alive. ARGV: token, milliseconds, turn. 1: it is held; 0: it is not; -1: Redis has lost it.
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 then return 0 end
if token_of(KEYS[1]) == ARGV[1] and redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('SET', KEYS[3], '1', 'PX', ARGV[2])
  return 1
end
return redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 and -1 or 0
"""
)

ASSERT: Final = (
    NOTE
    + _CLAIMS
    + """
-- A claim that Redis has lost is written anew by its worker, unless somebody else has one meanwhile.
-- KEYS: record, claim, alive, open, recent. ARGV: id, token, milliseconds, turn, seconds, when, moment, fields.
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 or redis.call('HEXISTS', KEYS[2], ARGV[4]) == 1 then return 0 end
local earlier = redis.call('HGET', KEYS[1], 'stage') == '"plan"' and ARGV[4] ~= 'plan'
if token_of(KEYS[1]) ~= none and token_of(KEYS[1]) ~= ARGV[2] and not earlier then return 0 end
fill(KEYS[1], 8, #ARGV)
-- Its turns are counted from this one again: a look that somebody has had meanwhile is to be had again.
for _, turn in ipairs(redis.call('HKEYS', KEYS[2])) do
  if turn ~= 'stop' then redis.call('HDEL', KEYS[2], turn) end
end
redis.call('HSET', KEYS[2], ARGV[4], 'again')
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('EXPIRE', KEYS[2], ARGV[5])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[1])
redis.call('ZADD', KEYS[5], ARGV[6], ARGV[1])
note(ARGV[7])
return 1
"""
)

UPDATE: Final = (
    _CLAIMS
    + """
-- KEYS: record. ARGV: fields. A record that Redis has lost is not begun anew by a few fields of it.
if redis.call('EXISTS', KEYS[1]) == 1 then fill(KEYS[1], 1, #ARGV) end
return 1
"""
)

SAY: Final = (
    PUSH
    + _CLAIMS
    + """
-- KEYS: record, claim, step. ARGV: id, now, token, the step (may be empty), its seconds, drafts.
if not held(KEYS[1], KEYS[2], ARGV[3]) then return 0 end
for i = 6, #ARGV, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[5]) end
return 1
"""
)

GIVE_WAY: Final = (
    _CLAIMS
    + """
-- KEYS: record, claim, alive. ARGV: our token, the other claim's, milliseconds.
if not held(KEYS[1], KEYS[2], ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[2])
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
return 1
"""
)

MOVE: Final = (
    PUSH
    + NOTE
    + _CLAIMS
    + _ENQUEUE
    + _SERVER
    + """
-- KEYS: record, claim, alive, of which Redis all is known. ARGV: id, now, the phase before, token (empty: of whichever
-- claim, unless this is another Redis than the one that it was read from), moment, number of fields, number of drafts,
-- fields, drafts, job.
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 then return 0 end
if redis.call('HGET', KEYS[1], 'phase') ~= ARGV[3] then return 0 end
if ARGV[4] ~= '' and token_of(KEYS[1]) ~= ARGV[4] then return 0 end
if ARGV[4] == '' and not undoubted(KEYS[4]) then return 0 end
local fields, drafts = 7 + 2 * ARGV[6], 7 + 2 * ARGV[6] + 2 * ARGV[7]
fill(KEYS[1], 8, fields)
redis.call('DEL', KEYS[3])
note(ARGV[5])
for i = fields + 1, drafts, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
enqueue(drafts + 1)
return 1
"""
)

FINISH: Final = (
    PUSH
    + NOTE
    + _CLAIMS
    + _SERVER
    + """
-- KEYS: record, claim, open, alive, of which Redis all is known. ARGV: id, now, phase, the phase before (may be empty),
-- token (the same; without one only where this is no other Redis than the one that the record was read from), moment,
-- the stage and how often it was handed over (the same: as it was read, and not in doubt), number of fields, fields,
-- drafts.
if redis.call('HEXISTS', KEYS[2], 'ended') == 1 or redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[4] ~= '' and redis.call('HGET', KEYS[1], 'phase') ~= ARGV[4] then return 0 end
if ARGV[5] ~= '' and token_of(KEYS[1]) ~= ARGV[5] then return 0 end
if ARGV[5] == '' and not undoubted(KEYS[5]) then return 0 end
if ARGV[7] ~= '' then
  local now = redis.call('HMGET', KEYS[1], 'stage', 'handovers', 'doubted')
  if now[1] ~= ARGV[7] or now[2] ~= ARGV[8] or (now[3] or 'null') ~= 'null' then return 0 end
end
redis.call('HSET', KEYS[2], 'ended', ARGV[3])
redis.call('EXPIRE', KEYS[2], keep)
local last = 9 + 2 * ARGV[9]
fill(KEYS[1], 10, last)
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('DEL', KEYS[4])
note(ARGV[6])
for i = last + 1, #ARGV, 2 do push(ARGV[1], ARGV[i], ARGV[i + 1], ARGV[2]) end
return 1
"""
)

DOUBT: Final = (
    _SERVER
    + """
-- KEYS: of which Redis all is known, open, when that was found out. ARGV: now, where records stand, milliseconds.
local known, this = redis.call('GET', KEYS[1]), this_server()
if known == this then return 0 end
redis.call('SET', KEYS[1], this)
redis.call('SET', KEYS[3], ARGV[1])
if not known then return 0 end
local open = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, id in ipairs(open) do
  local record = ARGV[2] .. id
  if redis.call('EXISTS', record) == 1 then redis.call('HSET', record, 'doubted', ARGV[1]) end
  if redis.call('HGET', record, 'phase') == '"running"' then
    redis.call('SET', record .. ':alive', '1', 'PX', ARGV[3])
  end
end
return #open
"""
)

GRACE: Final = """
-- KEYS: open. ARGV: where records stand, milliseconds.
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local record = ARGV[1] .. id
  if redis.call('HGET', record, 'phase') == '"running"' then
    redis.call('SET', record .. ':alive', '1', 'PX', ARGV[2])
  end
end
return 1
"""
