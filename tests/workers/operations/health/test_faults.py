"""Break one thing for real: the report comes in time, its culprit is red and named, and nothing else is."""

import socket
import time
from contextlib import contextmanager

import psutil
import psycopg
import pytest
from psycopg import sql

from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.operation import Unwatched
from workers.operations.health import CHECKS, Health
from workers.report import Status
from workers.systems import Systems

DEADLINE = 5.0


@pytest.fixture(scope="module")
def well(sandbox):
    """How many seconds it takes where nothing is wrong: as a busy machine has it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.process_env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        began = time.monotonic()
        Health().run(Systems(settings.load(sandbox.process_env)), Unwatched())
        return time.monotonic() - began


@pytest.fixture
def report(sandbox, monkeypatch, well):
    """A health report on the sandbox as it is now, with other variables where wanted; and the seconds it took."""

    def report(*checks, **changed):
        environ = sandbox.process_env | changed
        for name, value in environ.items():
            if name.startswith("AWS_"):
                monkeypatch.setenv(name, value)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        systems = Systems(settings.load(environ))
        began = time.monotonic()
        found = Health(checks=checks).run(systems, Unwatched())
        assert time.monotonic() - began < DEADLINE + 1 + well
        assert {check.name for check in found.checks} == set(checks or CHECKS)
        return {check.name: check for check in found.checks}, found

    return report


@pytest.fixture
def paused(sandbox):
    @contextmanager
    def paused(part):
        sandbox.pause(part)
        try:
            yield
        finally:
            sandbox.resume(part)

    return paused


def red(checks):
    return {name for name, check in checks.items() if check.status is Status.FAIL}


def test_all_is_well_to_begin_with(report):
    checks, found = report()
    assert red(checks) == set(), found.summary
    assert all(check.look_further for check in checks.values())
    assert checks["mlflow"].figures["p95_seconds"] > 0
    assert checks["postgres"].figures["size_bytes"] > 0


def test_postgres_hangs(report, paused):
    with paused("postgres"):
        checks, found = report()
    assert red(checks) == {"postgres"}
    assert "PostgreSQL" in found.summary
    assert "does not answer" in checks["postgres"].sentence
    assert "PostgreSQL" in checks["mlflow"].sentence


def test_postgres_is_killed(report, sandbox):
    before, supervisor = sandbox.process("postgres"), psutil.Process(sandbox.supervisor.pid)
    # Paused, the supervisor cannot start another one in the middle of the question.
    supervisor.suspend()
    try:
        sandbox.kill("postgres")
        checks, found = report()
    finally:
        supervisor.resume()
        sandbox.wait_until_ready("postgres", other_than=before)
    assert red(checks) == {"postgres"}
    assert "refuses connections" in checks["postgres"].sentence
    assert "PostgreSQL" in found.summary


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("latest_metrics", "runs can't be read"),
        ("metrics", "the history of a metric can't be read"),
        ("model_versions", "model versions can't be read"),
    ],
)
def test_a_table_that_is_gone_is_found_by_reading(report, sandbox, table, told):
    """A search for experiments is answered as if nothing were wrong."""
    with psycopg.connect(sandbox.process_env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER TABLE {} RENAME TO was_here").format(sql.Identifier(table)))
        try:
            checks, found = report("mlflow", "postgres", "storage")
        finally:
            connection.execute(sql.SQL("ALTER TABLE was_here RENAME TO {}").format(sql.Identifier(table)))
    assert red(checks) == {"mlflow"}
    assert told in checks["mlflow"].sentence
    assert told in found.summary


def test_the_object_store_hangs(report, paused):
    with paused("objects"):
        checks, found = report()
    assert red(checks) == {"storage"}
    assert "object store" in found.summary
    assert checks["backup"].status is Status.UNKNOWN


def test_a_pod_crashes_again_and_again(report, sandbox):
    sandbox.kubernetes_control({"pod": "mlflow/0", "state": "CrashLoopBackOff"})
    try:
        checks, _ = _until(report, lambda checks: checks["pods"].status is Status.FAIL)
    finally:
        sandbox.kubernetes_control({"clear": True})
    assert red(checks) == {"pods"}
    assert "CrashLoopBackOff" in checks["pods"].sentence
    assert "mlflow-" in checks["pods"].sentence
    assert checks["deployment"].status is Status.WARN


def test_metrics_are_missing(report, sandbox):
    sandbox.kubernetes_control({"metrics": "absent"})
    try:
        checks, _ = report()
    finally:
        sandbox.kubernetes_control({"metrics": "present"})
    assert red(checks) == set()
    assert checks["resources"].status is Status.UNKNOWN
    assert "metrics-server" in checks["resources"].sentence


def test_mlflow_is_a_black_hole(report):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hole:
        port = hole.getsockname()[1]
        checks, found = report(MLFLOW_TRACKING_URI=f"http://127.0.0.1:{port}")
    assert red(checks) == {"mlflow"}
    # On a machine that is slow enough, health's own deadline comes first.
    assert found.summary.startswith((f"MLflow at 127.0.0.1:{port} does not answer", "MLflow did not answer within"))


def test_kubernetes_is_a_black_hole(report, paused):
    with paused("kubernetes"):
        checks, found = report("pods", "deployment", "service", "ingress", "resources", "logs", "postgres", "storage")
    assert red(checks) == {"pods"}
    assert found.summary.startswith("Kubernetes at ")
    said = {checks[name].sentence for name in ("pods", "deployment", "service", "ingress", "resources", "logs")}
    assert len(said) == 1


def test_nothing_is_configured(tmp_path, monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    found = Health().run(Systems(settings.load({})), Unwatched())
    said = {check.name: check.sentence for check in found.checks}
    assert {check.status for check in found.checks} == {Status.UNKNOWN}
    assert "KUBECONFIG" in said["pods"]
    assert "MLFLOW_OPS_DATABASE_URL" in said["postgres"]
    assert "AWS_ACCESS_KEY_ID" in said["storage"]
    assert "MLFLOW_TRACKING_URI" in said["mlflow"]
    assert "REDIS_URL" in said["queues"]


def _until(report, good, seconds=30):
    """The first report that is good, or the last within the time: the cluster's status follows a fault in a moment."""
    end = time.monotonic() + stretched(seconds)
    while True:
        checks, found = report()
        if good(checks) or time.monotonic() > end:
            return checks, found
