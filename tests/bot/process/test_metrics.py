"""What Prometheus is shown is what Redis holds, and the process says truly whether it can serve."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bot.process import metrics, readiness
from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.slack.controls import wait_for
from tests.bot.test_away import RedisServer
from workers import settings
from workers.engine import queues
from workers.operations.backup.wal import receiving, state
from workers.operations.history.store import History, Sample
from workers.records import counters
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.rendering import message


@pytest.fixture
def shown(redis):
    """All figures, by name and labels."""

    def shown():
        said = []
        body = b"".join(
            metrics.app(redis, lambda: True)(
                {"PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}, lambda status, _headers: said.append(status)
            )
        )
        assert said == ["200 OK"]
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        }

    return shown


def test_what_has_ended_waits_and_was_sent(redis, shown):
    for _ in range(3):
        counters.ended(redis, "scale", "done", 2.5)
    counters.ended(redis, "scale", "failed", 0.5)
    counters.slack_called(redis, "edit", "ok")
    found = shown()
    assert found["mlflow_ops_operations_total", ("operation", "scale"), ("outcome", "done")] == 3
    assert found["mlflow_ops_operation_seconds_sum", ("operation", "scale")] == 8
    assert found["mlflow_ops_operation_seconds_count", ("operation", "scale")] == 4
    assert found["mlflow_ops_slack_calls_total", ("kind", "edit"), ("result", "ok")] == 1
    assert found["mlflow_ops_queue_jobs", ("queue", "ops")] == 0
    assert found["mlflow_ops_workers", ("queue", "ops")] == 0
    assert found["mlflow_ops_approvals_waiting",] == 0


def test_the_end_of_a_command_is_counted_once(redis, shown, accepted):
    record = accepted()
    assert Records(redis).finish(record.id, Ending(Phase.DONE, "well"))
    assert not Records(redis).finish(record.id, Ending(Phase.FAILED, "again"))
    found = shown()
    assert found["mlflow_ops_operations_total", ("operation", record.operation), ("outcome", "done")] == 1
    assert ("mlflow_ops_operations_total", ("operation", record.operation), ("outcome", "failed")) not in found


@pytest.fixture
def accepted(redis):
    def accepted():
        record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")
        Records(redis).accept(record, "delivery", message.asked(record.words, record.requester))
        return record

    return accepted


def test_what_the_last_health_run_saw(redis, shown):
    assert ("mlflow_ops_backup_age_seconds",) not in shown()
    figures = {"backup.age_seconds": 100.0, "backup.drill_well": 1.0, "ingress.certificate_days": 40.0}
    History(redis).keep(Sample(datetime.now(UTC), figures, {}, {"postgres": "fail", "mlflow": "ok"}))
    found = shown()
    assert 100 <= found["mlflow_ops_backup_age_seconds",] < 160
    assert found["mlflow_ops_drill_well",] == 1
    assert found["mlflow_ops_certificate_left_days",] == 40
    assert found["mlflow_ops_health", ("check", "postgres")] == 3
    assert found["mlflow_ops_health", ("check", "mlflow")] == 0


def test_a_process_that_keeps_the_wal_and_its_silence_are_seen(redis, shown, monkeypatch):
    names = ("mlflow_ops_wal_kept", "mlflow_ops_wal_lag_bytes", "mlflow_ops_recovery_point_seconds")
    assert not {(name,) for name in names} & shown().keys()
    now = time.time()
    state.note(redis, receiving.State(lag_bytes=7, point_at=now - 20))
    found = shown()
    assert (found["mlflow_ops_wal_kept",], found["mlflow_ops_wal_lag_bytes",]) == (1, 7)
    assert 20 <= found["mlflow_ops_recovery_point_seconds",] < 80
    state.note(redis, receiving.State(problem="The server does not answer."))
    found = shown()
    assert found["mlflow_ops_wal_kept",] == 0
    assert found["mlflow_ops_recovery_point_seconds",] >= 20, "the newest moment is still known"
    state.note(redis, receiving.State(point_at=now))
    monkeypatch.setattr(metrics.time, "time", lambda: now + state.SILENT_SECONDS + 30)
    found = shown()
    assert found["mlflow_ops_wal_kept",] == 0
    assert found["mlflow_ops_recovery_point_seconds",] >= state.SILENT_SECONDS


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return None


def test_the_scheduler_serves_them_and_is_not_ready_without_redis(environment, local_slack, tmp_path, free_port):
    own = RedisServer(tmp_path / "own-redis", free_port)
    port = ports.free()
    with local_slack() as slack:
        env = {**os.environ, **environment(slack), "REDIS_URL": own.url}
        command = [sys.executable, "-m", "bot", "scheduler", "--metrics-port", str(port)]
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: asked(port, "/readyz") == (200, b"ok\n"), 20)
            status, body = asked(port, "/metrics")
            assert status == 200
            assert b"mlflow_ops_redis_up 1.0" in body
            assert asked(port, "/other")[0] == 404
            own.stop()
            wait_for(lambda: asked(port, "/readyz") == (503, b"not ready\n"), 20)
            assert asked(port, "/healthz") == (200, b"ok\n")
            assert b"mlflow_ops_redis_up 0.0" in asked(port, "/metrics")[1]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            own.stop()


@pytest.fixture
def another_port():
    return ports.free()


@pytest.mark.slow
def test_the_bot_is_not_ready_without_its_connection_to_slack(environment, local_slack, started, another_port):
    with local_slack() as slack, started("bot", "--metrics-port", str(another_port), env=environment(slack)):
        wait_for(lambda: asked(another_port, "/readyz") == (200, b"ok\n"), 20)
        slack.sandbox.away()
        wait_for(lambda: asked(another_port, "/readyz") == (503, b"not ready\n"), 30)
        assert asked(another_port, "/healthz") == (200, b"ok\n")
        assert b'mlflow_ops_ready{process="bot"} 0.0' in asked(another_port, "/metrics")[1]
        slack.sandbox.away(on=False)
        wait_for(lambda: asked(another_port, "/readyz") == (200, b"ok\n"), 60)


def test_a_worker_serves_them_and_its_work_horse_keeps_nothing_of_it(
    environment, local_slack, started, redis, another_port
):
    def listening(process):
        return [each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]

    with socket.create_server(("127.0.0.1", 0)) as silent, local_slack() as slack:
        address = f"postgresql://mlflow:hunter2@127.0.0.1:{silent.getsockname()[1]}/mlflow"
        env = {**environment(slack), "MLFLOW_OPS_DATABASE_URL": address}
        with started("worker", "--queue", "quick", "--metrics-port", str(another_port), env=env) as running:
            assert asked(another_port, "/readyz") == (200, b"ok\n")
            body = asked(another_port, "/metrics")[1]
            assert b'mlflow_ops_ready{process="worker-quick"} 1.0' in body
            assert b"process_resident_memory_bytes" in body
            assert b"mlflow_ops_redis_up" not in body, "that the bot is down would not be seen"
            record = Record(
                operation="health",
                arguments={"checks": ["postgres"], "deadline_seconds": 30},
                words="health postgres",
                requester="U0VERA",
                channel="C0OPS",
            )
            Records(redis).accept(record, "delivery", message.asked(record.words, record.requester))
            with socket.create_connection(("127.0.0.1", another_port)) as kept_open:
                kept_open.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                assert kept_open.recv(100).startswith(b"HTTP/1.1 200")
                queues.enqueue(record, redis)
                parent = psutil.Process(running.pid)
                (horse,) = wait_for(lambda: parent.children() or None, 20)
                wait_for(lambda: Records(redis).get(record.id).phase is Phase.RUNNING, 20)
                assert listening(parent) == [another_port]
                assert not [each for each in horse.net_connections("tcp") if each.laddr.port == another_port]
            assert asked(another_port, "/readyz") == (200, b"ok\n"), "it answers while a job runs"
            parent.kill()
            running.wait(10)
            assert horse.is_running()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", another_port), timeout=5)
            horse.kill()


def test_whoever_sees_that_a_process_is_ready_hears_it_over_http_at_once(redis_url):
    heard, port = [], ports.free()
    loaded = settings.load({"REDIS_URL": redis_url})

    def said_ready():
        heard.append(asked(port, "/readyz"))

    with readiness.with_metrics(loaded, port, said_ready, "bot") as ready:
        assert asked(port, "/readyz") == (503, b"not ready\n")
        ready()
    assert heard == [(200, b"ok\n")]
