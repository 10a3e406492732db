"""Records: accepted once, announced by somebody, run by one, ended once."""

import threading

import pytest

from workers.state import Accepted, Phase, Record, Records


@pytest.fixture
def records(redis):
    return Records(redis)


def a_record(**changes):
    fields = {"operation": "health", "arguments": {"checks": ["pods"]}, "words": "health pods"}
    return Record(**fields, requester="U0VERA", channel="C0OPS", **changes)


def test_a_record_comes_back_as_it_was(records):
    record = a_record()
    assert records.accept(record, delivery="1")
    assert records.get(record.id) == record


def test_a_delivery_that_comes_again_is_accepted_once(records, redis):
    first, again = a_record(), a_record()
    assert records.accept(first, delivery="1")
    assert not records.accept(again, delivery="1")
    assert records.get(again.id) is None
    assert [record_id for _, record_id in Accepted(redis, "bot").take(wait_seconds=0.01)] == [first.id]


def test_everything_in_redis_stands_under_one_prefix_and_is_json(records, redis):
    record = a_record()
    records.accept(record, delivery="1")
    records.start(record.id, worker="w")
    assert all(key.startswith(b"mlflow-ops:") for key in redis.keys("*"))
    assert redis.hget(f"mlflow-ops:record:{record.id}", "arguments") == b'{"checks": ["pods"]}'


def test_each_accepted_command_goes_to_one_bot(records, redis):
    wanted = {a_record().id for _ in range(20)}
    for record_id in wanted:
        records.accept(a_record(id=record_id), delivery=record_id)
    one, two = Accepted(redis, "one"), Accepted(redis, "two")
    taken = []
    for bot in (one, two):
        for entry, record_id in bot.take(wait_seconds=0.01):
            taken.append(record_id)
            bot.done(entry)
    assert sorted(taken) == sorted(wanted)


def test_a_dead_bots_commands_are_taken_over(records, redis):
    record = a_record()
    records.accept(record, delivery="1")
    assert list(Accepted(redis, "dead").take(wait_seconds=0.01))
    heir = Accepted(redis, "heir", stale_seconds=0)
    ((entry, record_id),) = heir.take(wait_seconds=0.01)
    assert record_id == record.id
    heir.done(entry)
    assert not list(heir.take(wait_seconds=0.01))


def test_one_of_many_gets_to_run_a_record(records):
    record = a_record()
    records.accept(record, delivery="1")
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
    records.accept(record, delivery="1")
    assert records.finish(record.id, Phase.FAILED, "the worker was killed")
    assert not records.finish(record.id, Phase.DONE, "fine")
    assert records.get(record.id).outcome == "the worker was killed"
