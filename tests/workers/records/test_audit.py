"""The audit record holds each moment, and each is sealed with a key that Redis does not hold."""

import base64
import json
import random

import pytest

from workers import settings
from workers.engine.sealing import Sealing
from workers.records import audit_chain, audit_log, audit_seals
from workers.records.audit_seals import SealKeys
from workers.records.message import Message
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records

ROOT = Message("asked", [])
OURS = SealKeys((b"o" * 32,))


def some_commands(redis, number=5):
    records = Records(redis)
    for each in range(number):
        record = Record(operation="health", arguments={}, words=f"health {each}", requester="U0VERA", channel="C0OPS")
        records.accept(record, record.id, ROOT)
        records.start(record.id, worker="w")
        records.finish(record.id, Ending(Phase.DONE, "all is well"))


def all_sealed(redis, keys=OURS):
    while audit_seals.seal(redis, keys):
        pass


def keys_of(**secrets):
    encoded = {name: ",".join(base64.b64encode(each).decode() for each in found) for name, found in secrets.items()}
    return SealKeys.of(settings.load(encoded))


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
        some_commands(redis, 180)
        all_sealed(redis)
    found = audit_chain.verify(redis, OURS)
    assert (found.entries, found.proven, found.faults, found.last.number) == (1620, 1620, (), 1620)
    assert audit_seals.seal(redis, OURS) == []


def test_two_that_seal_at_once_make_one_chain(redis):
    some_commands(redis, 100)
    one, two = Sealing(redis, OURS), Sealing(redis, OURS)
    for _ in range(5):
        some_commands(redis, 3)
        one.step(), two.step()
    found = audit_chain.verify(redis, OURS)
    assert (found.faults, found.proven, found.waiting) == ((), 345, 0)


def test_who_read_an_older_last_seal_writes_none(redis, monkeypatch):
    some_commands(redis, 2)
    audit_seals.seal(redis, OURS)
    stale = audit_seals.last(redis)
    some_commands(redis, 2)
    audit_seals.seal(redis, OURS)
    some_commands(redis, 1)
    monkeypatch.setattr(audit_seals, "last", lambda _: stale)
    assert audit_seals.seal(redis, OURS) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("deed", ["edit", "remove", "remove with its seal", "seal anew", "swap", "take the seal off"])
def test_tampering_shows_in_redis_alone(redis, deed, seed):
    some_commands(redis)
    all_sealed(redis)
    chance = random.Random(seed)
    entries, seals = redis.xrange(audit_log.STREAM), redis.xrange(audit_seals.SEALED)
    at = chance.randrange(len(entries) - 1)
    match deed:
        case "edit" | "seal anew":
            changed = json.dumps({"what": "nothing", "requester": "U0MALLORY"})
            entries[at] = entries[at][0], {b"e": changed.encode()}
            if deed == "seal anew":
                before = audit_seals.at(redis, entries[at - 1][0].decode()) if at else audit_seals.NOTHING_BEFORE
                own = SealKeys((b"attacker" * 4,)).seal(before, audit_log.Entry(entries[at][0].decode(), changed))
                seals[at] = seals[at][0], {b"s": own.text.encode()}
        case "remove":
            del entries[at]
        case "remove with its seal":
            del entries[at], seals[at]
        case "swap":
            entries[at], entries[at + 1] = (entries[at][0], entries[at + 1][1]), (entries[at + 1][0], entries[at][1])
        case "take the seal off":
            del seals[at]
    redis.delete(audit_log.STREAM, audit_seals.SEALED)
    for stream, rows in ((audit_log.STREAM, entries), (audit_seals.SEALED, seals)):
        for entry_id, fields in rows:
            redis.xadd(stream, fields, id=entry_id)
    assert audit_chain.verify(redis, OURS).faults


def test_what_comes_after_the_last_seal_is_no_fault(redis):
    some_commands(redis)
    all_sealed(redis)
    some_commands(redis, 1)
    found = audit_chain.verify(redis, OURS)
    assert (found.faults, found.waiting) == ((), 3)


def test_keys_change_and_old_seals_are_verified(redis):
    old, new = b"1" * 32, b"2" * 32
    some_commands(redis, 2)
    all_sealed(redis, keys_of(MLFLOW_OPS_BACKUP_KEY=[old]))
    some_commands(redis, 2)
    all_sealed(redis, keys_of(MLFLOW_OPS_AUDIT_KEY=[new], MLFLOW_OPS_BACKUP_KEY=[old]))
    some_commands(redis, 2)
    all_sealed(redis, keys_of(MLFLOW_OPS_AUDIT_KEY=[old, new]))
    found = audit_chain.verify(redis, keys_of(MLFLOW_OPS_AUDIT_KEY=[new, old]))
    assert (found.faults, found.proven) == ((), 18)


def test_without_our_key_nothing_is_proven_and_nothing_is_said_to_be_wrong(redis):
    some_commands(redis)
    all_sealed(redis)
    found = audit_chain.verify(redis, SealKeys())
    assert (found.faults, found.proven, found.unproven) == ((), 0, 15)


def test_seals_that_need_no_key_do_not_follow_those_that_do(redis):
    some_commands(redis, 1)
    all_sealed(redis, SealKeys())
    some_commands(redis, 1)
    all_sealed(redis)
    found = audit_chain.verify(redis, OURS)
    assert (found.faults, found.keyless, found.proven) == ((), 3, 3)
    some_commands(redis, 1)
    all_sealed(redis, SealKeys())
    (fault,) = audit_chain.verify(redis, OURS).faults
    assert "sealed anew without our key" in fault


def test_no_key_shows_itself_or_is_used_as_it_is():
    key = b"o" * 32
    assert "oooo" not in repr(OURS)
    assert audit_seals._derived(key) != key
