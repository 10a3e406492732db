"""Records: accepted once, announced by somebody, run by one, ended once."""

import os
import subprocess
import sys
import threading

import pytest

from workers import settings
from workers.records.message import Message
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records

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
    assert all(key.startswith(b"mlflow-ops:mlflow:") for key in redis.keys("*"))
    assert redis.hget(f"mlflow-ops:mlflow:record:{record.id}", "arguments") == b'{"checks": ["pods"]}'


@pytest.mark.parametrize("target", ["", "mlflow-2"])
def test_the_keys_and_the_queues_of_a_target_bear_its_name(target):
    program = "from workers.engine import queues; from workers.records import keys; import redis\n"
    program += "print(keys.PREFIX, queues.queue('ops', redis.Redis()).key)"
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "MLFLOW_OPS_TARGET": target},
        capture_output=True,
        text=True,
        check=True,
    )
    named = f"mlflow-ops:{target or 'mlflow'}:"
    assert told.stdout.split() == [named, f"{named}rq:queue:ops"]


@pytest.mark.parametrize("target", ["mlflow:b", "MLflow", "it's", "a" * 41, " "])
def test_a_target_that_is_no_name_is_refused(target):
    with pytest.raises(settings.SettingsError) as refused:
        settings.load({"MLFLOW_OPS_TARGET": target})
    assert str(refused.value) == (
        f"MLFLOW_OPS_TARGET is wrong: {target!r} is not a name of up to 40 lower-case letters, digits and hyphens."
    )


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
    assert records.finish(record.id, Ending(Phase.FAILED, "the worker was killed"))
    assert not records.finish(record.id, Ending(Phase.DONE, "fine"))
    assert records.get(record.id).outcome == "the worker was killed"
    assert records.open() == []


def test_what_has_ended_is_not_begun(records):
    record = a_record()
    records.accept(record, "1", ROOT)
    records.finish(record.id, Ending(Phase.FAILED, "nobody came"))
    assert records.start(record.id, worker="late") is None
    assert not records.renew(record)


def test_a_worker_that_says_nothing_is_not_alive(records, redis):
    record = a_record()
    records.accept(record, "1", ROOT)
    assert not records.alive(record.id)
    records.start(record.id, worker="w")
    assert records.alive(record.id)
    assert redis.pttl(f"mlflow-ops:mlflow:record:{record.id}:alive") <= 15_000
