"""What RQ runs: our function and nothing else, each record once, and a death that is told."""

import json
import os
import signal
import socket
import threading

import psutil
import pytest
from rq import Queue
from slack_sdk import WebClient

from bot import sender
from mlflow_ops_sandbox.slack.client import wait_for, words
from workers import settings
from workers.engine import queues
from workers.engine.worker import OperationsWorker
from workers.records.message import Message
from workers.records.outbox import Outbox
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering import message
from workers.settings import Ops
from workers.systems.redis import connect

OTHERS = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ("builtins.eval", "subprocess.call", "workers.engine.worker.work")
]


@pytest.fixture
def slack(local_slack):
    with local_slack() as slack:
        yield slack


@pytest.fixture
def blackhole():
    """An address that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"postgresql://mlflow:hunter2@127.0.0.1:{server.getsockname()[1]}/mlflow"


@pytest.fixture
def worker(slack, environment, started, blackhole):
    env = {**environment(slack), "MLFLOW_OPS_DATABASE_URL": blackhole}
    with started("worker", "--queue", "quick", env=env) as running:
        yield running


@pytest.fixture
def ask(slack, redis):
    """Accept a command, as the bot does; a sender announces it, queues it, and delivers what is said about it."""
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[])
    stop = threading.Event()
    senders = sender.start([client], redis, Ops(), lambda _group: frozenset(), stop)

    def ask(*checks, **arguments):
        record = Record(
            operation="health",
            arguments={"checks": list(checks), **arguments},
            words="health " + " ".join(checks),
            requester="U0VERA",
            channel="C0OPS",
        )
        Records(redis).accept(record, record.id, message.asked(record.words, record.requester))
        return record.id

    yield ask
    stop.set()
    for each in senders:
        each.join(10)


def ended(redis, record_id, deadline=20):
    def look():
        record = Records(redis).get(record_id)
        return record if record and record.phase.ended else None

    return wait_for(look, deadline)


def test_a_record_runs_and_its_end_is_kept(worker, ask, redis):
    record = ended(redis, ask("queues"))
    assert record.phase is Phase.DONE
    assert record.worker
    assert record.started_at <= record.ended_at


@pytest.mark.slow
def test_a_record_that_is_queued_twice_runs_once(worker, ask, redis, slack):
    record_id = ask("queues")
    ended(redis, record_id)
    first = queues.queue("quick", redis).fetch_job(record_id)
    wait_for(lambda: first.get_status(refresh=True) == "finished" or None, 20)
    job = queues.queue("quick", redis).enqueue("workers.engine.running.run", record_id, job_id="again")
    wait_for(lambda: job.get_status(refresh=True) == "finished" or None, 20)
    assert job.return_value() == "claimed before"
    root = wait_for(lambda: Records(redis).get(record_id).root_ts)
    wait_for(lambda: len(slack.person("vera").thread("C0OPS", root)) == 2 or None)
    assert Outbox(redis).length() == 0


def test_a_wrong_argument_in_redis_fails_the_record_with_a_sentence(worker, ask, redis, slack):
    forged = Record(
        operation="health",
        arguments={"checks": "os.system"},
        words="health",
        requester="U0VERA",
        channel="C0OPS",
    )
    Records(redis).accept(forged, forged.id, Message("asked", []))
    assert "is not valid" in ended(redis, forged.id).outcome


@pytest.mark.parametrize("name", ["os.system", *OTHERS])
def test_a_job_that_names_another_function_is_refused_and_does_nothing(worker, redis, tmp_path, name):
    witness = tmp_path / "witness"
    job = Queue("quick", connection=redis, serializer="json").enqueue(name, f"touch {witness}")
    wait_for(lambda: job.get_status(refresh=True) == "failed" or None, 20)
    assert "not a job of ours" in job.latest_result().exc_string
    assert not witness.exists()


def test_a_callback_smuggled_into_a_job_is_not_called(worker, ask, redis, tmp_path):
    witness = tmp_path / "witness"
    job = queues.queue("quick", redis).enqueue("workers.engine.running.run", "nothing", job_id="smuggler")
    redis.hset(f"mlflow-ops:mlflow:rq:job:{job.id}", "success_callback_name", "os.mkdir")
    redis.hset(f"mlflow-ops:mlflow:rq:job:{job.id}", "failure_callback_name", "os.mkdir")
    wait_for(lambda: job.get_status(refresh=True) in {"finished", "failed"} or None, 20)
    assert ended(redis, ask("queues")).phase is Phase.DONE
    assert not witness.exists()


def test_a_pickled_job_is_refused_and_does_nothing(worker, ask, redis, tmp_path):
    witness = tmp_path / "witness"
    job = Queue("quick", connection=redis, serializer="pickle").enqueue(os.system, f"touch {witness}")
    wait_for(lambda: job.get_status(refresh=True) == "failed" or None, 20)
    assert not witness.exists()
    assert ended(redis, ask("queues")).phase is Phase.DONE


def test_a_killed_work_horse_is_told_in_the_thread(worker, ask, redis, slack):
    record_id = ask("postgres", deadline_seconds=25)
    wait_for(lambda: Records(redis).get(record_id).phase is Phase.RUNNING or None, 20)
    (horse,) = wait_for(lambda: psutil.Process(worker.pid).children() or None)
    os.kill(horse.pid, signal.SIGKILL)
    assert ended(redis, record_id).phase is Phase.FAILED
    vera = slack.person("vera")
    root = vera.wait_for(lambda: vera.find("C0OPS", "The worker lost this command"), deadline=10)
    assert "Ask again" in words(root)


def test_sigterm_lets_a_running_command_end(worker, ask, redis):
    record_id = ask("postgres", deadline_seconds=3)
    wait_for(lambda: Records(redis).get(record_id).phase is Phase.RUNNING or None, 20)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert Records(redis).get(record_id).phase is Phase.DONE


@pytest.mark.slow
@pytest.mark.parametrize("_time", range(5))
def test_a_worker_that_is_ended_as_soon_as_it_is_ready_ends_well(slack, environment, started, _time):
    with started("worker", "--queue", "quick", env=environment(slack)):
        pass


def test_a_reply_that_was_not_read_is_not_taken_for_another_when_it_leaves(environment, slack, redis):
    """As where SIGTERM comes between a command and its reply, and the reply comes late."""
    leaving = OperationsWorker("quick", connect(settings.load(environment(slack))))
    leaving.register_birth()
    assert redis.sismember(leaving.redis_workers_keys, leaving.key)
    pool = leaving.connection.connection_pool
    connection = pool.get_connection()
    connection.send_command("BLPOP", "nobody-writes-here", 1)
    pool.release(connection)
    leaving.teardown()
    assert not redis.sismember(leaving.redis_workers_keys, leaving.key)


@pytest.mark.slow
def test_what_does_not_end_within_its_grace_is_stopped_and_told_why(slack, environment, started, blackhole, ask, redis):
    env = {**environment(slack), "MLFLOW_OPS_DATABASE_URL": blackhole, "MLFLOW_OPS_GRACE_SECONDS": "1"}
    with started("worker", "--queue", "quick", env=env) as worker:
        record_id = ask("postgres", deadline_seconds=6)
        wait_for(lambda: Records(redis).get(record_id).phase is Phase.RUNNING or None, 20)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(20) == 0
    record = Records(redis).get(record_id)
    assert record.phase is Phase.FAILED
    assert "because its worker is being replaced" in record.outcome
    vera = slack.person("vera")
    root = vera.wait_for(lambda: vera.find("C0OPS", "its worker is being replaced"), deadline=10)
    assert [each["action_id"] for each in root["blocks"][-1]["elements"]] == ["again"]


def test_what_a_later_version_keeps_of_a_record_is_no_hindrance(ask, redis):
    record_id = ask("queues")
    redis.hset(f"mlflow-ops:mlflow:record:{record_id}", "of_a_later_version", '"something"')
    assert Records(redis).get(record_id).operation == "health"


def test_no_secret_of_the_environment_is_in_redis(worker, ask, redis, slack):
    ended(redis, ask("postgres", deadline_seconds=1))
    dump = json.dumps([repr(redis.dump(key)) for key in redis.keys("*")])
    for secret in ("hunter2", slack.workspace.tokens.bot, slack.workspace.tokens.signing_secret):
        assert secret not in dump


def test_the_queues_are_named_for_what_runs_there(redis):
    assert [queues.queue(name, redis).key for name in queues.QUEUES] == [
        "mlflow-ops:mlflow:rq:queue:quick",
        "mlflow-ops:mlflow:rq:queue:ops",
    ]
