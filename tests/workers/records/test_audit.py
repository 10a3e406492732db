"""The audit record holds each moment, and an edit shows."""

import json
import random

import pytest

from workers.records import audit_log
from workers.records.message import Message
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records

ROOT = Message("asked", [])


def some_commands(redis, number=5):
    records = Records(redis)
    for each in range(number):
        record = Record(operation="health", arguments={}, words=f"health {each}", requester="U0VERA", channel="C0OPS")
        records.accept(record, record.id, ROOT)
        records.start(record.id, worker="w")
        records.finish(record.id, Ending(Phase.DONE, "all is well"))
    audit_log.seal(redis)


def test_each_moment_of_a_command_is_there(redis):
    some_commands(redis, 1)
    moments = [entry.event for entry in audit_log.entries(redis)]
    assert [moment["what"] for moment in moments] == ["asked", "started", "done"]
    assert moments[0]["words"] == "health 0"
    assert moments[0]["requester"] == "U0VERA"
    assert moments[2]["outcome"] == "all is well"
    assert len({moment["id"] for moment in moments}) == 1


def test_an_unbroken_record_is_unbroken_however_it_grows(redis):
    for _ in range(3):
        some_commands(redis, 200)
    found = audit_log.verify(redis)
    assert (found.entries, found.sealed, found.broken) == (1800, 1800, "")
    assert audit_log.seal(redis) == 0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("deed", ["edit", "remove", "remove the end", "seal anew"])
def test_tampering_shows(redis, deed, seed):
    some_commands(redis)
    chance = random.Random(seed)
    every = list(audit_log.entries(redis))
    victim = every[-1] if deed == "remove the end" else chance.choice(every[:-1])
    seals = {key.decode(): value.decode() for key, value in redis.hgetall(audit_log.SEALS).items()}
    if deed in {"remove the end", "remove"}:
        redis.xdel(audit_log.STREAM, victim.id)
        redis.hdel(audit_log.SEALS, victim.id)
    else:
        changed = json.dumps({**victim.event, "requester": "U0MALLORY", "what": "nothing"})
        entries = redis.xrange(audit_log.STREAM)
        redis.delete(audit_log.STREAM)
        for raw_id, fields in entries:
            text = changed.encode() if raw_id.decode() == victim.id else fields[b"e"]
            redis.xadd(audit_log.STREAM, {"e": text}, id=raw_id)
        if deed == "seal anew":
            before = seals.get(every[every.index(victim) - 1].id, "") if every.index(victim) else ""
            redis.hset(audit_log.SEALS, victim.id, audit_log._over(before, audit_log.Entry(victim.id, changed, {})))
    assert audit_log.verify(redis).broken


def test_what_comes_after_the_last_seal_is_no_break(redis):
    some_commands(redis)
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")
    Records(redis).accept(record, record.id, ROOT)
    found = audit_log.verify(redis)
    assert not found.broken
    assert found.entries == found.sealed + 1
