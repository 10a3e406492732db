"""The recovery point, measured: kills at random moments cost seconds of what was committed, and leave no gap."""

import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from tests.workers.operations.backup.wal.conftest import (  # noqa: F401 - fixtures
    bucket,
    live,
    now,
    progress,
    reaches,
    s3,
    server,
    systems,
    until,
)
from tests.world.conftest import FOLDERS, OWNER
from workers.operations.backup.wal import access, archive
from workers.operations.backup.wal.base import BackupBase
from workers.operations.restore.database import RestoreDatabase
from workers.systems.s3.transfer import Transfer

pytestmark = [pytest.mark.slow, pytest.mark.bench, pytest.mark.timeout(1800)]
KILLS = int(os.environ.get("MLFLOW_OPS_TESTS_KILLS", "10"))
VICTIMS = ("process", "receiver", "connections", "server")
FLUSH_SECONDS = 3.0
SEED = int(os.environ.get("MLFLOW_OPS_TESTS_SEED", "22"))


class Writing(threading.Thread):
    """Commits a row about every 20 ms. last: the server's time of the last one."""

    def __init__(self, url):
        super().__init__()
        self.url, self.over, self.last, self.rows = url, threading.Event(), None, 0

    def is_writing(self):
        """Whether it has committed something since."""
        before = self.rows
        time.sleep(0.1)
        return self.rows > before

    def run(self):
        while not self.over.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
                    while not self.over.wait(0.02):
                        query = "INSERT INTO written (number) VALUES (%s) RETURNING clock_timestamp()"
                        self.last = connection.execute(query, (self.rows + 1,)).fetchone()[0]
                        self.rows += 1
            except psycopg.Error:
                self.over.wait(0.2)


@pytest.mark.parametrize("server", [max(FOLDERS)], indirect=True)
def test_kills_at_random_moments(server, live, systems, bucket, redis, redis_url, progress, tmp_path, monkeypatch, say):  # noqa: F811
    made = systems(recovery={"flush_seconds": FLUSH_SECONDS}, REDIS_URL=redis_url)
    server.do("CREATE TABLE written (number int PRIMARY KEY)", role=OWNER, database=live)
    chance = random.Random(SEED)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    environ = {**os.environ, **{
        field.alias: str(value.get_secret_value() if hasattr(value, "get_secret_value") else value)
        for name, field in type(made.settings.environment).model_fields.items()
        if (value := getattr(made.settings.environment, name)) is not None
    }, "MLFLOW_OPS_CONFIG": str(tmp_path / "ops.yaml")}  # fmt: skip
    behind = []
    process = started(environ)
    writing = Writing(server.url(OWNER, live))
    try:
        until(lambda: access.replication(made).look())
        BackupBase(now=True).run(made, progress)
        writing.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.5, 3 * FLUSH_SECONDS))
            victim = chance.choice(VICTIMS)
            until(writing.is_writing)
            committed = writing.last
            kill(victim, process, server, live)
            point = access.archive(made).point()
            behind.append(max(0.0, (committed - point.at).total_seconds()))
            if victim == "process":
                process = started(environ)
        time.sleep(1)
        writing.over.set()
        writing.join()
        last = now(server)
        until(lambda: reaches(made, last), seconds=120)
        where = access.places(made)
        with Transfer.of(made.backups, 2) as transfer:
            gaps = archive.list_wal(transfer, bucket, where).gaps(access.archive(made).bases()[0].first)
        assert gaps == (), SEED
        RestoreDatabase(at=last, beside="mlflow_then").run(made, progress)
    finally:
        writing.over.set()
        process.kill()
        process.wait()
    query = "SELECT count(*), max(number) FROM written"
    (held,) = server.do(query, role=OWNER, database="mlflow_then")
    (there,) = server.do(query, role=OWNER, database=live)
    say(f"{KILLS} kills: median {statistics.median(behind):.1f} s, worst {max(behind):.1f} s; {there[0]} rows")
    assert held == there, SEED
    # Of a busy machine: one flush, and what storing it takes.
    assert statistics.median(behind) < 3 * FLUSH_SECONDS, SEED


def kill(victim, process, there, database):
    """Kill it, as nobody expects it. there: the server."""
    if victim == "process":
        process.send_signal(signal.SIGKILL)
        process.wait()
    elif victim == "receiver":
        for pid in children(process.pid):
            os.kill(pid, signal.SIGKILL)
    elif victim == "server":
        crash(there.url("postgres", database))
    else:
        there.do("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def crash(url):
    """Of one process that is killed so, PostgreSQL ends all the others, and recovers; when it has."""
    with psycopg.connect(url, autocommit=True) as watching:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        os.kill(watching.execute(query).fetchone()[0], signal.SIGKILL)
        until(lambda: not answers(watching))

    def back():
        try:
            with psycopg.connect(url, connect_timeout=5) as again:
                return answers(again)
        except psycopg.Error:
            return False

    until(back)


def answers(connection):
    """Whether it is of use still."""
    try:
        return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def started(environ):
    """The process that keeps the WAL."""
    return subprocess.Popen([sys.executable, "-m", "bot", "wal"], env=environ)


def children(pid):
    """The pids of a process's children."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
