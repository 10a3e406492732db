"""A worker outlives a Redis that refuses it, says why once, and goes on."""

import time

import pytest
from redis.exceptions import OutOfMemoryError

from mlflow_ops_sandbox.slack.client import wait_for
from workers.engine import patience, queues
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering import message

TROUBLES = {
    "full": (lambda redis: redis.config_set("maxmemory", "1"), lambda redis: redis.config_set("maxmemory", "0")),
    "a replica": (lambda redis: redis.replicaof("127.0.0.1", 1), lambda redis: redis.replicaof("NO", "ONE")),
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_worker_outlives_it_and_takes_what_comes_afterwards(local_slack, environment, started, redis, trouble):
    begins, ends = TROUBLES[trouble]
    with local_slack() as slack, started("worker", "--queue", "quick", env=environment(slack)) as worker:
        try:
            begins(redis)
            time.sleep(8)
            assert worker.poll() is None
        finally:
            ends(redis)
        about = {"operation": "health", "arguments": {"checks": ["queues"]}, "words": "health queues"}
        record = Record(**about, requester="U0VERA", channel="C0OPS")
        assert queues.accept(record, record.id, message.asked(record.words, record.requester), redis)
        ended = wait_for(lambda: ((known := Records(redis).get(record.id)).phase.ended and known) or None, 40)
        assert ended.phase is Phase.DONE


def test_the_end_of_a_command_waits_for_a_redis_that_is_full():
    now, tried = [0.0], []

    def write():
        tried.append(now[0])
        if now[0] < 20:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
        return "written"

    def sleep(seconds):
        now[0] += seconds

    assert patience.patiently(write, monotonic=lambda: now[0], sleep=sleep) == "written"
    assert len(tried) < 12
    now[0] = 0.0
    with pytest.raises(OutOfMemoryError):
        patience.patiently(write, seconds=10, monotonic=lambda: now[0], sleep=sleep)
