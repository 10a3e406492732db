"""The queues check on a real Redis with real RQ queues, and without one."""

import socket
import subprocess
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from redis.exceptions import RedisError
from rq import Worker

from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.engine import queues
from workers.errors import OperatorError
from workers.operations.health.questions import Asking
from workers.operations.health.queues import ask as queues_check
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import Unreachable

PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("redis")
    port = ports.free()
    told = f"port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nappendonly yes\ndir {folder}\n"
    process = subprocess.Popen([program(), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(told.encode())
    process.stdin.close()
    client = Redis(port=port, password=PASSWORD)
    end = time.monotonic() + stretched(20)
    while time.monotonic() < end:
        try:
            client.ping()
            break
        except RedisError:
            time.sleep(0.02)
    yield port
    client.close()
    process.terminate()
    process.wait(10)


@pytest.fixture
def redis(server):
    client = Redis(port=server, password=PASSWORD)
    client.flushall()
    yield client
    client.close()


def ask(url, now=None):
    systems = Systems(settings.load({"REDIS_URL": url}))
    return queues_check(Asking(systems, 3.0, now or datetime.now(UTC)))


@pytest.fixture
def url(server):
    return f"redis://:{PASSWORD}@127.0.0.1:{server}/0"


def enqueue(redis, name="quick"):
    return queues.queue(name, redis).enqueue(
        "workers.engine.running.run", "some-id", failure_ttl=queues.FAILURE_SECONDS
    )


def test_an_empty_queue_without_workers_is_a_warning(redis, url):
    answer = ask(url)
    assert (answer.status, answer.sentence) == (Status.WARN, "No worker serves quick and ops.")
    assert dict(answer.details[0].items)["append-only file"] == "on"
    assert answer.figures["used_bytes"] > 0


def test_waiting_jobs_that_nobody_serves_fail_and_their_age_is_told(redis, url):
    enqueue(redis)
    enqueue(redis)
    answer = ask(url, datetime.now(UTC) + timedelta(minutes=10))
    assert (answer.status, answer.sentence) == (Status.FAIL, "2 jobs wait on quick and no worker serves it.")
    assert answer.figures["oldest_waiting_seconds"] == pytest.approx(600, abs=5)


def test_workers_and_the_failures_of_a_day_are_counted(redis, url):
    for name in queues.QUEUES:
        Worker([queues.queue(name, redis)], connection=redis, serializer="json").register_birth()
    job = enqueue(redis)
    queue = queues.queue("quick", redis)
    redis.delete(queue.key)
    queue.failed_job_registry.add(job, ttl=queues.FAILURE_SECONDS)
    answer = ask(url)
    assert (answer.status, answer.sentence) == (Status.WARN, "1 job failed within a day.")
    assert answer.figures["workers"] == 2
    tomorrow = ask(url, datetime.now(UTC) + timedelta(days=1, minutes=1))
    assert tomorrow.status is Status.OK


def test_looking_changes_nothing(redis, url):
    job = enqueue(redis)
    before = {key: redis.dump(key) for key in sorted(redis.keys())}
    ask(url)
    assert {key: redis.dump(key) for key in sorted(redis.keys())} == before
    assert job.get_status() == "queued"


def test_a_wrong_password_is_told_without_it(server, redis):
    with pytest.raises(OperatorError, match="does not accept our password") as caught:
        ask(f"redis://:wr0ng@127.0.0.1:{server}/0")
    assert "wr0ng" not in str(caught.value)


def test_nobody_there_is_told_with_the_address():
    port = ports.free()
    with pytest.raises(Unreachable, match=rf"Redis at 127\.0\.0\.1:{port} refuses connections\."):
        ask(f"redis://127.0.0.1:{port}/0")


def test_garbage_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        with pytest.raises(OperatorError, match=rf"Redis at 127\.0\.0\.1:{port}"):
            ask(f"redis://127.0.0.1:{port}/0")
        listener.shutdown(socket.SHUT_RDWR)
