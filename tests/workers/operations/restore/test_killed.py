"""A restore that is killed at any moment: the live database is whole, old or new, and the next restore succeeds.

MLFLOW_OPS_CHAOS_KILLS says how many moments; each has a seed, which a failure names.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest
from redis import Redis

from mlflow_ops_sandbox.slack.controls import wait_for
from tests.series import slow
from workers.operations.backup.backup import Backup
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.undo import RestoreUndo
from workers.records.keys import PREFIX

pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[4]
KILLS = int(os.environ.get("MLFLOW_OPS_CHAOS_KILLS", "8"))
FEW = 4
ROWS = 200_000
KINDS = ("worker", "pg_restore", "postgres", "redis")
RUN = """
from workers import settings
from workers.engine import performing
from workers.operations.restore.database import RestoreDatabase
from workers.systems import Systems

class Printing:
    def step(self, name, of=""): print(name, flush=True)
    def advance(self, done, total, unit): pass
    def ended(self, said="", *, well=True):
        pass
    def checkpoint(self): pass

# As from a terminal: with its locks, and a note in the audit record, in Redis.
done = performing.perform_here(RestoreDatabase(), "restore database", "chaos", Systems(settings.load()), Printing())
print(done.summary, flush=True)
"""


def content(url):
    with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
        tables = ("experiments", "runs", "metrics")
        return tuple(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)


def restoring(environ):
    env = {**os.environ, **environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", RUN], env=env, stdout=subprocess.PIPE, text=True)


def victim(kind, running, parts):
    """The process that is killed: the worker's, its pg_restore, PostgreSQL itself, or Redis."""
    if kind == "worker":
        return psutil.Process(running.pid)
    if kind == "pg_restore":
        with suppress(psutil.NoSuchProcess):
            return next((each for each in psutil.Process(running.pid).children() if each.name() == "pg_restore"), None)
        return None
    return parts.process(kind)


def unlock(environ):
    """As after the 30 s in which a dead worker's locks lapse."""
    redis = Redis.from_url(environ["REDIS_URL"])
    for key in redis.scan_iter(f"{PREFIX}lock:*"):
        redis.delete(key)


def answers(url):
    with suppress(psycopg.Error):
        return content(url)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(FEW), *slow(range(FEW, KILLS))], ids=["a few times", "many times"])
def test_killed_at_any_moment(systems, environ, parts, database_url, progress, seeds):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO metrics SELECT md5((1 + n % 500)::text), 'loss', random(), n "
            f"FROM generate_series(1, {ROWS}) n"
        )
        connection.execute("CREATE INDEX ON metrics (run_uuid, key, step)")
    made = systems()
    Backup(parts=("database",)).run(made, progress)
    new = content(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE metrics")
        connection.execute("INSERT INTO experiments VALUES (900, 'newer')")
    old = content(database_url)
    began = time.monotonic()
    assert restoring(environ).wait(120) == 0
    whole = time.monotonic() - began
    assert content(database_url) == new
    RestoreUndo().run(made, progress)
    assert content(database_url) == old
    outcomes = set()
    for seed in seeds:
        chance = random.Random(seed)
        kind = KINDS[seed % len(KINDS)]
        plan = RestoreDatabase().plan(made)
        running = restoring(environ)
        time.sleep(chance.uniform(0.25 * whole, whole))
        process = victim(kind, running, parts)
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        running.wait(120)
        parts.wait_until_ready("postgres")
        parts.wait_until_ready("redis")
        unlock(environ)
        said = wait_for(partial(said_of, made, plan), 60)
        held = wait_for(lambda: answers(database_url), 30)
        outcomes.add((kind, held == new))
        assert held in {old, new}, f"seed {seed}, {kind}: {held}, {said}"
        server, live = made.server, made.database.name
        if f"{live}_before_{plan.facts['set'][-7:-1]}" in server.databases():
            assert held == new, f"seed {seed}, {kind}: {said}"
            RestoreUndo().run(made, progress)
        assert content(database_url) == old
        RestoreDatabase().run(made, progress)
        assert content(database_url) == new
        RestoreUndo().run(made, progress)
        left = [name for name in server.databases() if name.startswith(f"{live}_restore_")]
        assert len(left) <= 1, f"seed {seed}, {kind}: {left}"
    assert len(outcomes) > 2, outcomes


def said_of(made, plan):
    try:
        return RestoreDatabase().aftermath(made, plan)
    except Exception as error:  # noqa: BLE001 - the server may not be back yet; then it is asked again
        return None if "does not accept" in str(error) or "refuses" in str(error) else f"{error!r}"
