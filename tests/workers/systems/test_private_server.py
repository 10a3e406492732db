"""A private server and its folder are gone afterwards, whoever was killed."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.errors import OperatorError
from workers.systems.postgres import private_server

OWNER = """
import sys, time
from workers import settings
from workers.systems.postgres import private_server
with private_server.prepared(settings.load({"MLFLOW_OPS_POSTGRES_ACCOUNT": "nobody"})) as server:
    told = '{"command": ["sleep", "1000"], "account": null}\\n'
    server._guard.stdin.write(told.encode()); server._guard.stdin.flush()
    print(server.folder, server._guard.pid, flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where temporary files go."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def owner(place):
    """A process that has a private server: it, its folder, and its guard's pid."""
    environ = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, env=environ) as process:
        folder, guard = process.stdout.readline().split()
        until(lambda: servers(guard))
        yield process, Path(folder), int(guard)
        process.kill()


def until(condition):
    deadline = time.monotonic() + stretched(30)
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def servers(guard):
    """The pids of a guard's children."""
    try:
        return Path(f"/proc/{guard}/task/{guard}/children").read_text().split()
    except FileNotFoundError:
        return []


def runs(pid):
    return Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() != b""


@pytest.mark.slow
def test_of_a_killed_worker_nothing_is_left(owner):
    process, folder, guard = owner
    (server,) = servers(guard)

    process.kill()

    until(lambda: not folder.exists())
    until(lambda: not runs(server))


def test_of_a_killed_worker_and_its_killed_guard_the_next_one_removes_what_is_left(owner):
    process, folder, guard = owner
    (server,) = servers(guard)
    os.kill(guard, signal.SIGKILL)
    process.kill()
    process.wait()
    assert folder.exists()
    # As PostgreSQL names itself: with its folder in its arguments.
    # It heeds SIGQUIT, as PostgreSQL does, also where what began these tests in the background had it ignored.
    with subprocess.Popen(
        ["bash", "-c", 'exec -a "postgres -D $0" sleep 1000', str(folder)],
        preexec_fn=lambda: signal.signal(signal.SIGQUIT, signal.SIG_DFL),  # noqa: PLW1509 - no threads yet
    ) as left:
        until(lambda: b"postgres -D" in Path(f"/proc/{left.pid}/cmdline").read_bytes())
        (folder / "data").mkdir(exist_ok=True)
        (folder / "data" / "postmaster.pid").write_text(f"{left.pid}\n")
        # A child of ours stays a zombie until it is waited for.
        ended = threading.Thread(target=left.wait)
        ended.start()
        assert private_server.sweep() == 1
        ended.join(10)
        assert left.returncode == -signal.SIGQUIT
    os.kill(int(server), signal.SIGKILL)

    assert not folder.exists()


def test_a_folder_whose_guard_lives_is_left_alone(owner):
    _, folder, _ = owner

    assert private_server.sweep() == 0
    assert folder.exists()


def test_a_folder_that_has_no_guard_yet_is_left_alone_for_an_hour(place):
    folder = place / f"{private_server.FOLDER}x"
    folder.mkdir()

    assert private_server.sweep() == 0
    assert private_server.sweep(now=lambda: time.time() + private_server.FORGOTTEN_SECONDS + 1) == 1
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told that PostgreSQL does not run as root")
def test_root_is_told_what_to_do():
    with pytest.raises(OperatorError, match="runs as root") as told:
        private_server.refuse_root(settings.load({}))
    assert "MLFLOW_OPS_POSTGRES_ACCOUNT" in told.value.hint
    with pytest.raises(OperatorError, match="no system account nobody-here"):
        private_server.refuse_root(settings.load({"MLFLOW_OPS_POSTGRES_ACCOUNT": "nobody-here"}))


def test_a_server_of_another_version_is_not_taken():
    with pytest.raises(OperatorError, match="no server program of PostgreSQL 9 here") as told:
        private_server.find(settings.load({}), 9)
    assert "POSTGRES_SERVER=9" in told.value.hint
