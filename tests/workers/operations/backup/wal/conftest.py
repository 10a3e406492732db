"""Real PostgreSQL of each version that is here, an S3 server, and the process that keeps the WAL as a thread."""

import base64
import logging
import os
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import boto3
import psycopg
import pytest
import yaml
from moto.server import ThreadedMotoServer

from mlflow_ops_sandbox.patience import stretched
from tests.world.conftest import FOLDERS, OURS, OWNER, TABLES, serving
from workers import settings
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.backup.wal import access, receiving
from workers.systems import Systems

MAJORS = (15, 16, 18)
REPLICATOR = "replicator"
LIVE = "mlflow"
PLAIN = 16
"""With this version there is no key, so nothing is encrypted."""
KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture(scope="session")
def s3():
    """The address of an S3 server that knows nobody's name."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@contextmanager
def with_roles(major):
    """A server of that version with MLflow's role, ours, and one that may replicate and nothing else."""
    with tempfile.TemporaryDirectory(prefix="mlflow-ops-wal-test-") as folder:
        Path(folder).chmod(0o711)
        with serving(major, Path(folder)) as started:
            started.do(
                f"CREATE ROLE {OWNER} LOGIN",
                f"CREATE ROLE {OURS} LOGIN CREATEDB CREATEROLE",
                f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION",
                f"GRANT {OWNER} TO {OURS}",
            )
            yield started


@pytest.fixture(scope="module", params=MAJORS, ids=lambda major: f"postgres{major}")
def server(request):
    """A server with MLflow's database, and a role that may replicate and nothing else."""
    if request.param not in FOLDERS:
        pytest.skip(f"no server of PostgreSQL {request.param} on this machine")
    with with_roles(request.param) as started:
        yield started


@pytest.fixture
def live(server):
    """MLflow's database, new for each test."""
    server.do(f"CREATE DATABASE {LIVE} OWNER {OWNER}")
    server.do(TABLES, role=OWNER, database=LIVE)
    yield LIVE
    for (each,) in server.do(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{LIVE}')"):
        server.do(f"DROP DATABASE {each} WITH (FORCE)")
    for (slot,) in server.do("SELECT slot_name FROM pg_replication_slots"):
        server.do(f"SELECT pg_drop_replication_slot('{slot}')")


@pytest.fixture
def bucket(s3, monkeypatch):
    """An empty bucket of this test's own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    name = f"backups-{uuid.uuid4().hex[:8]}"
    boto3.session.Session().client("s3", endpoint_url=s3).create_bucket(Bucket=name)
    return name


@pytest.fixture
def client(s3, bucket):
    """A client of that store."""
    return boto3.session.Session().client("s3", endpoint_url=s3)


@pytest.fixture
def systems(server, live, s3, bucket, tmp_path):
    """Makes the systems of a worker, with changes to ops.yaml's recovery and backup, and to the environment."""

    def make(recovery=(), backup=(), **environment):
        ops = {
            "storage": {"backups_bucket": bucket},
            "recovery": {"point_in_time": True, "flush_seconds": 1, **dict(recovery)},
            "backup": dict(backup),
            "channels": ["C0OPS"],
        }
        path = tmp_path / "ops.yaml"
        path.write_text(yaml.safe_dump(ops), encoding="utf-8")
        environ = {
            "MLFLOW_OPS_CONFIG": str(path),
            "MLFLOW_OPS_DATABASE_URL": server.url(OWNER, live),
            "MLFLOW_OPS_DATABASE_ADMIN_URL": server.url(OURS),
            "MLFLOW_OPS_REPLICATION_URL": server.url(REPLICATOR),
            "MLFLOW_OPS_POSTGRES_BIN": str(FOLDERS[max(FOLDERS)]),
            "MLFLOW_OPS_POSTGRES_SERVER_BIN": str(FOLDERS[server.major]),
            "AWS_ENDPOINT_URL_S3": s3,
            **environment,
        }
        if server.major != PLAIN:
            environ["MLFLOW_OPS_BACKUP_KEY"] = KEY
        if os.geteuid() == 0:
            environ["MLFLOW_OPS_POSTGRES_ACCOUNT"] = "postgres"
        return Systems(settings.load(environ))

    return make


@contextmanager
def being_kept(systems, folder):
    """The WAL is kept meanwhile. What it says of itself is in `.said`."""
    stop = threading.Event()
    said = []

    def keep():
        with receiving.keeping(systems, folder) as going:
            while not stop.wait(0.1):
                try:
                    said.append(going.turn().problem)
                except OperatorError as error:
                    said.append(error.message)

    thread = threading.Thread(target=keep)
    thread.start()
    try:
        yield said
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def kept(systems, tmp_path):
    """Systems whose WAL is being kept."""
    made = systems()
    with being_kept(made, tmp_path / "spool"):
        yield made


@pytest.fixture
def progress():
    """Nobody looks."""
    return Unwatched()


def until(condition, seconds=60.0):
    """Wait until that is true; what it was."""
    deadline = time.monotonic() + stretched(seconds)
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.05)
    return found


def now(server):
    """The server's time."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        return connection.execute("SELECT clock_timestamp()").fetchone()[0].astimezone(UTC)


def add_run(server, live, name):
    """A run, committed at once; the server's time just after."""
    server.do(f"INSERT INTO runs VALUES ('{name}', 1, 0, 'note')", role=OWNER, database=live)
    return now(server)


def runs(server, database):
    """The runs that tests have added."""
    query = "SELECT run_uuid FROM runs WHERE starts_with(run_uuid, 'run ') ORDER BY 1"
    return [name for (name,) in server.do(query, role=OWNER, database=database)]


def purged_experiment(server, live):
    """Experiment 77 with a run is made, and purged; the server's time in between."""
    server.do("INSERT INTO experiments VALUES (77, 'churn', 1)", role=OWNER, database=live)
    server.do("INSERT INTO runs VALUES ('run churn', 77, 0, '')", role=OWNER, database=live)
    there = now(server)
    time.sleep(0.05)
    server.do("DELETE FROM runs WHERE experiment_id = 77", role=OWNER, database=live)
    server.do("DELETE FROM experiments WHERE experiment_id = 77", role=OWNER, database=live)
    return there


def reaches(systems, at):
    """Whether what is kept reaches that moment."""
    point = access.archive(systems).point()
    return point is not None and point.at >= at
