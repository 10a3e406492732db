"""Records: accepted once, announced by somebody, run by one, ended once."""

import threading

import pytest

from workers.records.outbox import Outbox
from workers.records.record import Phase, Record, Records
from workers.rendering.message import Message

ROOT = Message("asked", [])


@pytest.fixture
def records(redis):
    return Records(redis)


def a_record(**changes):
    fields = {"operation": "health", "arguments": {"checks": ["pods"]}, "words": "health pods"}
    return Record(**fields, requester="U0VERA", channel="C0OPS", **changes)


def test_a_record_comes_back_as_it_was(records):
    record = a_record()
    assert records.accept(record, "1", ROOT)
    assert records.get(record.id) == record


def test_a_delivery_that_comes_again_is_accepted_once(records, redis):
    first, again = a_record(), a_record()
    assert records.accept(first, "1", ROOT)
    assert not records.accept(again, "1", ROOT)
    assert records.get(again.id) is None
    assert records.open() == [first.id]
    assert Outbox(redis).take()[0].record_id == first.id
    assert Outbox(redis).length() == 1


def test_everything_in_redis_stands_under_one_prefix_and_is_json(records, redis):
    record = a_record()
    records.accept(record, "1", ROOT)
    records.start(record.id, worker="w")
    assert all(key.startswith(b"mlflow-ops:") for key in redis.keys("*"))
    assert redis.hget(f"mlflow-ops:record:{record.id}", "arguments") == b'{"checks": ["pods"]}'


def test_one_of_many_gets_to_run_a_record(records):
    record = a_record()
    records.accept(record, "1", ROOT)
    gate, won = threading.Barrier(8), []

    def race(name):
        gate.wait()
        if records.start(record.id, worker=name):
            won.append(name)

    threads = [threading.Thread(target=race, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    running = records.get(record.id)
    assert running.phase is Phase.RUNNING
    assert running.worker == won[0]


def test_a_record_ends_once(records):
    record = a_record()
    records.accept(record, "1", ROOT)
    assert records.finish(record.id, Phase.FAILED, "the worker was killed")
    assert not records.finish(record.id, Phase.DONE, "fine")
    assert records.get(record.id).outcome == "the worker was killed"
    assert records.open() == []


def test_what_has_ended_is_not_begun(records):
    record = a_record()
    records.accept(record, "1", ROOT)
    records.finish(record.id, Phase.FAILED, "nobody came")
    assert records.start(record.id, worker="late") is None
    assert not records.renew(record.id)


def test_a_worker_that_says_nothing_is_not_alive(records, redis):
    record = a_record()
    records.accept(record, "1", ROOT)
    assert not records.alive(record.id)
    records.start(record.id, worker="w")
    assert records.alive(record.id)
    assert redis.pttl(f"mlflow-ops:record:{record.id}:alive") <= 15_000
