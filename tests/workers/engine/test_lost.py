"""What a dead worker has left is looked at until somebody could look, and by somebody else where a look dies."""

import re
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from workers import settings
from workers.engine import locks, queues, rescuing, running, timeouts
from workers.operation import Plan
from workers.operations.restore.database import RestoreDatabase
from workers.records.record import Phase, Record, Stage
from workers.records.store import Records
from workers.rendering import message
from workers.systems import Systems
from workers.systems.errors import DatabaseUnreachable


@pytest.fixture
def planned(redis, redis_url, monkeypatch):
    """The id of a restore that is planned and waits for this process."""
    monkeypatch.setattr(running, "redis_here", lambda: redis)
    monkeypatch.setattr(RestoreDatabase, "carried_out", lambda *_: "")
    monkeypatch.setattr(running, "systems_here", lambda: Systems(settings.load({"REDIS_URL": redis_url})))
    record = Record(
        operation="restore-database",
        arguments={},
        words="restore database",
        requester="U0OLEG",
        channel="C0OPS",
        stage=Stage.RUN,
        queue=queues.OPS,
        plan=Plan(title="Restore", summary="from the backup abcdef", steps=()).model_dump(mode="json"),
    )
    assert Records(redis).accept(record, record.id, message.asked(record.words, record.requester))
    return record.id


@pytest.fixture
def lost(planned, redis):
    """The id of a restore whose worker has died; this process is the next one."""
    records = Records(redis)
    assert records.start(planned, "dead", Stage.RUN)
    rescuing.tell_lost(records.get(planned), redis, "its process was killed")
    return planned


def swept(redis, record_id):
    """As after the time in which a job that is nowhere counts as lost."""
    Records(redis).update(record_id, queued_at=0)
    rescuing.rescue(redis)
    record = Records(redis).get(record_id)
    return queues.job_id(record) in queues.queue(queues.QUICK, redis).job_ids


def test_it_is_looked_at_until_somebody_could(lost, redis, monkeypatch):
    records, asked = Records(redis), []

    def aftermath(*_):
        asked.append(1)
        if len(asked) < 4:
            raise DatabaseUnreachable("PostgreSQL at db:5432 refuses connections.")
        return "mlflow had been closed to sessions, and is open again."

    monkeypatch.setattr(RestoreDatabase, "aftermath", aftermath)
    for _ in range(3):
        assert running.run(lost) == Phase.QUEUED
        assert records.get(lost).stage is Stage.LOOK
        assert swept(redis, lost)
    assert running.run(lost) == Phase.FAILED
    assert "mlflow had been closed to sessions, and is open again." in records.get(lost).outcome
    assert len(asked) == 4


def test_it_is_looked_at_with_growing_pauses_and_after_a_while_calls_for_somebody(lost, redis, monkeypatch):
    def away(*_):
        raise DatabaseUnreachable("PostgreSQL at db:5432 refuses connections.")

    monkeypatch.setattr(RestoreDatabase, "aftermath", away)
    records, pauses = Records(redis), []
    for _ in range(rescuing.CALL_AFTER + 2):
        began = time.time()
        assert running.run(lost) == Phase.QUEUED
        pauses.append(round(records.get(lost).queued_at + queues.STUCK_SECONDS - began))
    assert pauses[:4] == [10, 20, 40, 80]
    assert pauses[-1] == 600
    said = [raw.decode() for raw in redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{lost}", 0, -1)]
    assert [each.partition(":")[0] for each in said].count("broadcast") == 1
    assert any("could not be looked at yet: PostgreSQL at db:5432 refuses connections." in each for each in said)


def test_a_look_that_dies_is_taken_up_by_another_however_often(lost, redis, monkeypatch):
    records = Records(redis)
    for death in range(12):
        record = records.get(lost)
        assert records.start(lost, f"dead {death}", Stage.LOOK, record.turn)
        rescuing.tell_lost(records.get(lost), redis, "its process was killed")
        assert records.get(lost).phase is Phase.QUEUED
    monkeypatch.setattr(RestoreDatabase, "aftermath", lambda *_: "Nothing had been changed.")
    assert swept(redis, lost)
    assert running.run(lost) == Phase.FAILED
    assert "Nothing had been changed." in records.get(lost).outcome


def test_what_had_been_done_is_not_told_as_failed(lost, redis, monkeypatch):
    monkeypatch.setattr(RestoreDatabase, "aftermath", lambda *_: "The backup abcdef is live.")
    monkeypatch.setattr(RestoreDatabase, "carried_out", lambda *_: "It is live.")
    assert running.run(lost) == Phase.DONE
    assert "The backup abcdef is live." in Records(redis).get(lost).outcome


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ZeroDivisionError("secret"), r"Something unexpected happened \(id [0-9a-f]{8}\)\."),
        (SystemExit(3), r"Something unexpected happened \(id [0-9a-f]{8}\)\."),
        (timeouts.TimedOut(), r"It took longer than allowed and was stopped\."),
        (RedisConnectionError("Connection refused"), r"Redis at \S+ cannot be reached\."),
    ],
)
def test_what_breaks_off_as_nobody_foresaw_is_looked_at_too(planned, redis, monkeypatch, error, why):
    def breaks_off(*_):
        raise error

    monkeypatch.setattr(running, "_carried_out", breaks_off)
    monkeypatch.setattr(RestoreDatabase, "aftermath", lambda *_: "mlflow is as it was.")
    assert running.run(planned) == Phase.QUEUED
    record = Records(redis).get(planned)
    assert record.stage is Stage.LOOK
    assert queues.job_id(record) in queues.queue(queues.QUICK, redis).job_ids
    assert running.run(planned) == Phase.FAILED
    assert re.fullmatch(f"{why} mlflow is as it was\\.", Records(redis).get(planned).outcome)


def test_what_was_done_is_told_as_done_though_redis_went_away_before_its_locks_were_given_back(redis, monkeypatch):
    def away(_self):
        raise RedisConnectionError("Connection refused")

    monkeypatch.setattr(locks.Locks, "give_back", away)
    with locks.held(redis, Record(operation="scale", arguments={}, words="", requester="", channel=""), ["deployment"]):
        done = True
    assert done
