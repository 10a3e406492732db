"""`mlflow-ops check` on the sandbox: all is well, and each thing that is not says what to do."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from workers.operations.preflight import redis


@contextmanager
def answering(bodies):
    """The address of a server that answers these paths, and 404 to all others."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            body = bodies.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@pytest.fixture
def check(sandbox):
    def check(**changed):
        env = {name: value for name, value in (sandbox.process_env | changed).items() if value is not None}
        command = [sys.executable, "-m", "bot", "check", "--json"]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert ended.stdout, ended.stderr
        assert "Connection pool is full" not in ended.stderr
        report = json.loads(ended.stdout)
        return {each["name"]: each for each in report["checks"]}, ended.returncode

    return check


@pytest.mark.slow
def test_the_sandbox_is_set_up_well(check):
    checks, code = check()
    # How fast MLflow answers says how busy this machine is.
    assert checks["mlflow"]["status"] == "ok" or "MLflow is slow" in checks["mlflow"]["sentence"]
    checks["mlflow"]["status"] = "ok"
    assert {name: each["status"] for name, each in checks.items()} == dict.fromkeys(
        (
            *("slack", "redis", "kubernetes", "roles", "storage", "backups", "places", "programs", "restorable"),
            *("mlflow", "on-call"),
        ),
        "ok",
    ) | {"alertmanager": "warn"}
    assert "refuses connections. " in checks["alertmanager"]["sentence"], (
        "the sandbox has an address and no Alertmanager"
    )
    assert code == 0


@pytest.mark.slow
def test_an_alertmanager_is_asked_where_there_is_one(check):
    assert "alertmanager" not in check(MLFLOW_OPS_ALERTMANAGER_URL=None)[0]
    with answering({"/api/v2/alerts": b'[{"labels": {"alertname": "One"}}]'}) as url:
        found = check(MLFLOW_OPS_ALERTMANAGER_URL=url)[0]["alertmanager"]
    assert (found["status"], found["figure"]) == ("ok", "1 alert")
    with answering({}) as url:
        checks, code = check(MLFLOW_OPS_ALERTMANAGER_URL=url)
    assert (checks["alertmanager"]["status"], code) == ("fail", 1)
    assert "answers 404" in checks["alertmanager"]["sentence"]


@pytest.mark.slow
def test_nobody_on_call_is_told(check, tmp_path):
    (tmp_path / "ops.yaml").write_text("channels: [C0OPS]\n")
    checks, code = check(MLFLOW_OPS_CONFIG=str(tmp_path / "ops.yaml"))
    assert (checks["on-call"]["status"], code) == ("warn", 0)
    assert "Name users or groups under escalation: in ops.yaml." in checks["on-call"]["sentence"]
    told = check(MLFLOW_OPS_CONFIG=str(tmp_path / "ops.yaml"), MLFLOW_OPS_PAGERDUTY_KEY="0" * 32)[0]["on-call"]
    assert told["sentence"].startswith("PagerDuty is told, but no one is mentioned in Slack.")


@pytest.mark.slow
def test_what_is_missing_is_named_with_what_to_do(check, sandbox):
    checks, code = check(
        SLACK_BOT_TOKEN="xoxb-wrong",
        MLFLOW_OPS_DATABASE_ADMIN_URL=sandbox.env["MLFLOW_OPS_DATABASE_URL"],
        MLFLOW_TRACKING_URI=None,
        AWS_SECRET_ACCESS_KEY="wrong",
    )
    assert code == 1
    assert "Slack refuses the token: invalid_auth" in checks["slack"]["sentence"]
    assert "ALTER ROLE mlflow CREATEDB" in checks["roles"]["sentence"]
    assert checks["mlflow"]["status"] == "unknown"
    assert "MLFLOW_TRACKING_URI is not set" in checks["mlflow"]["sentence"]
    assert checks["redis"]["status"] == "ok"


@pytest.mark.slow
def test_backups_need_programs_that_are_not_too_old_and_a_key(check, tmp_path):
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) 15.2"\n')
        (tmp_path / name).chmod(0o755)
    assert "older than the server" in check(MLFLOW_OPS_POSTGRES_BIN=str(tmp_path))[0]["programs"]["sentence"]
    checks, code = check(MLFLOW_OPS_BACKUP_KEY=None)
    assert (checks["programs"]["status"], code) == ("warn", 0)
    assert "WITHOUT SECRETS" in checks["programs"]["sentence"]


@pytest.mark.slow
def test_an_account_without_rights_is_told_which_it_lacks(check, sandbox, tmp_path):
    worker = (sandbox.path / "kubernetes" / "kubeconfig-worker").read_text()
    assert check(KUBECONFIG=str(sandbox.path / "kubernetes" / "kubeconfig-worker"))[0]["kubernetes"]["status"] == "ok"
    elsewhere = tmp_path / "ops.yaml"
    elsewhere.write_text("kubernetes: {namespace: kube-system}\n")
    (tmp_path / "kubeconfig").write_text(worker)
    checks, code = check(KUBECONFIG=str(tmp_path / "kubeconfig"), MLFLOW_OPS_CONFIG=str(elsewhere))
    assert code == 1
    assert "may not get pods/log, list services" in checks["kubernetes"]["sentence"]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"redis_version": "6.0.16"}, "too old"),
        ({"aof_enabled": 0}, "appendonly yes"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction, not allkeys-lru"),
    ],
)
def test_a_redis_that_forgets_is_found(changed, sentence):
    told = {"redis_version": "7.2.4", "aof_enabled": 1, "maxmemory_policy": "noeviction", **changed}
    assert sentence in redis.judge(told).sentence
