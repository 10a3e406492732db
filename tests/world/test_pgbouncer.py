"""Debian's PgBouncer between MLflow and its database: recognised, and its clients kept waiting while it is switched."""

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from mlflow_ops_sandbox.parts import accounts, ports
from mlflow_ops_sandbox.slack.controls import wait_for
from tests.world.conftest import FOLDERS, OURS, OWNER
from workers.errors import AlreadySo, OperatorError
from workers.operations.health import postgres
from workers.operations.health.questions import Asking
from workers.operations.preflight import roles
from workers.operations.restore import switching
from workers.operations.restore.repair import RestoreRepair
from workers.report import Status
from workers.systems.errors import DatabasePooled
from workers.systems.postgres import pooler
from workers.systems.postgres.pooler import PgBouncer
from workers.systems.postgres.switch import Names

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = [
    pytest.mark.parametrize("live", ["public"], indirect=True, ids=["in_public"]),
    pytest.mark.parametrize("server", [max(FOLDERS, default=18)], indirect=True, ids=lambda major: f"postgres{major}"),
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(PROGRAM is None, reason="no PgBouncer on this machine (Debian's package pgbouncer)"),
]
CONSOLE = "operator"


@pytest.fixture(params=["session", "transaction"])
def bouncer(server, live, request, tmp_path):
    """A PgBouncer before that server; makes the address of a database for a role."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    port = ports.free()
    ignored = "extra_float_digits" + (",options" if request.param == "session" else "")
    config, users = tmp_path / "pgbouncer.ini", tmp_path / "users.txt"
    users.write_text("".join(f'"{each}" ""\n' for each in (OWNER, OURS, CONSOLE)))
    config.write_text(
        # One that is known by its name, as people have it; one that is not is forgotten once nobody uses it.
        f"[databases]\n{live} = host=127.0.0.1 port={server.port}\n* = host=127.0.0.1 port={server.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {users}\nadmin_users = {CONSOLE}\npool_mode = {request.param}\n"
        f"ignore_startup_parameters = {ignored}\n"
    )
    account = accounts.unprivileged(tmp_path / "home")
    lent = {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([PROGRAM, config], stdout=log, stderr=log, cwd="/", **lent)
    url = "postgresql://{}@127.0.0.1:" + str(port) + "/{}"
    try:
        console = PgBouncer(url.format(CONSOLE, "pgbouncer"))

        def serves():
            assert running.poll() is None, (tmp_path / "log").read_text()
            with suppress(OperatorError):
                return console.version()
            return None

        assert "PgBouncer" in wait_for(serves, 20)
        yield request.param, lambda role, database="pgbouncer": url.format(role, database)
    finally:
        running.kill()
        running.wait()


@pytest.fixture
def through(bouncer, made, live, server):
    """Systems whose MLflow goes through the pooler; ours goes directly."""
    mode, url = bouncer
    return made(MLFLOW_OPS_PGBOUNCER_URL=url(CONSOLE)), mode, url(OWNER, live)


def test_it_is_recognised_and_what_to_do_is_told(bouncer, made, live, server):
    _, url = bouncer
    for changed in (
        {"MLFLOW_OPS_DATABASE_URL": url(OWNER, live)},
        {"MLFLOW_OPS_DATABASE_ADMIN_URL": url(OURS, "postgres")},
    ):
        systems = made(**changed)
        with pytest.raises(DatabasePooled) as told:
            switching.refuse_obstacles(systems)
        assert "Connect directly to PostgreSQL, not through a pooler" in told.value.hint
        asking = Asking(systems, 30)
        try:
            with suppress(DatabasePooled):
                answer = roles.ask(asking)
                assert answer.status is Status.FAIL
                assert "behind a pooler" in answer.sentence
        finally:
            asking.close()
    direct = made()
    assert not pooler.between(direct.database)
    assert not pooler.between(direct.admin_database)


def test_its_refusal_of_settings_is_told_as_what_it_is(bouncer, made, live):
    mode, url = bouncer
    if mode == "session":
        pytest.skip("this one ignores them")
    with pytest.raises(DatabasePooled, match="is a pooler"):
        made(MLFLOW_OPS_DATABASE_URL=url(OWNER, live)).database.vitals()


def test_its_clients_wait_while_the_database_is_switched(through, server, live):
    systems, mode, url = through
    fresh, aside = f"{live}_restore_abcdef", f"{live}_before_abcdef"
    server.do(f"CREATE DATABASE {fresh} OWNER {OWNER}")
    server.do("CREATE TABLE fresh (n int)", role=OWNER, database=fresh)
    stop, failed, asked = threading.Event(), [], []

    def work():
        while not stop.is_set():
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=30, prepare_threshold=None) as connection:
                    # A client in session mode keeps its server; the others share theirs.
                    for _ in range(1 if mode == "session" else 50):
                        row = connection.execute("SELECT to_regclass('fresh') IS NOT NULL").fetchone()
                        asked.append((time.monotonic(), row[0]))
                        if stop.wait(0.01):
                            return
            except psycopg.Error as error:
                failed.append(str(error))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
    for each in threads:
        each.start()
    try:
        wait_for(lambda: len(asked) > 50 or None, 20)
        gap = switching.do(systems, Names(live, fresh, aside), {})
        since = time.monotonic()
        wait_for(lambda: len([1 for at, new in asked if at > since and new]) > 50 or None, 30)
    finally:
        stop.set()
        for each in threads:
            each.join(30)
    assert gap < 5
    assert not any(not new for at, new in asked if at > since + 0.5)
    assert PgBouncer.connect(systems.settings).paused_of(live) == ()
    if mode == "transaction":
        assert failed == []


def test_where_only_the_pooler_can_be_reached(bouncer, made, server, live):
    mode, url = bouncer
    if mode != "session":
        pytest.skip("what a session sets would stay for MLflow's")
    ours = {"MLFLOW_OPS_DATABASE_URL": url(OWNER, live), "MLFLOW_OPS_DATABASE_ADMIN_URL": url(OURS, "postgres")}
    systems = made(MLFLOW_OPS_PGBOUNCER_URL=url(CONSOLE), **ours)
    fresh, aside = f"{live}_restore_abcdef", f"{live}_before_abcdef"
    server.do(f"CREATE DATABASE {fresh} OWNER {OWNER}")
    assert switching.refuse_obstacles(systems) == ()
    idle = psycopg.connect(url(OWNER, live), autocommit=True)
    idle.execute("SELECT 1")
    switching.do(systems, Names(live, fresh, aside), {})
    idle.close()
    assert aside in systems.server.databases()


def test_a_session_that_stays_does_not_keep_the_switch_waiting(through, server, live):
    systems, _, url = through
    fresh, aside = f"{live}_restore_abcdef", f"{live}_before_abcdef"
    server.do(f"CREATE DATABASE {fresh} OWNER {OWNER}")
    idle = psycopg.connect(url, autocommit=True)
    idle.execute("SELECT 1")
    began = time.monotonic()
    switching.do(systems, Names(live, fresh, aside), {})
    assert time.monotonic() - began < 15
    idle.close()
    with psycopg.connect(url, connect_timeout=10) as again:
        assert again.execute("SELECT current_database()").fetchone() == (live,)


def test_clients_that_a_killed_switch_keeps_waiting_are_let_go_by_whoever_sees_it(through, live):
    systems, _, url = through
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT 1")
    with psycopg.connect(systems.settings.environment.pgbouncer_url.get_secret_value(), autocommit=True) as console:
        console.execute(f"PAUSE {live}")
    asking = Asking(systems, 30)
    try:
        answer = postgres.ask(asking)
    finally:
        asking.close()
    assert answer.status is Status.FAIL
    assert [offer.command for offer in answer.offers] == ["restore repair"]
    assert RestoreRepair().plan(systems).changes
    assert "lets them go on" in switching.mended(systems)
    with psycopg.connect(url, connect_timeout=10) as again:
        again.execute("SELECT 1")
    with pytest.raises(AlreadySo):
        RestoreRepair().plan(systems)


def test_a_console_that_is_not_there_is_told(made, free_port):
    systems = made(MLFLOW_OPS_PGBOUNCER_URL=f"postgresql://{CONSOLE}:hunter2@127.0.0.1:{free_port}/pgbouncer")
    with pytest.raises(OperatorError, match="PgBouncer's console at 127") as told:
        switching.mended(systems)
    assert "hunter2" not in str(told.value)
