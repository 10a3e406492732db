"""The supervisor as a person meets it, with the two parts that start in a second."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis

from mlflow_ops_sandbox import control
from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import process
from mlflow_ops_sandbox.parts.folder import Folder, read_json

if TYPE_CHECKING:
    from mlflow_ops_sandbox.testing import Sandbox, StartSandbox

KEPT = ("postgres", "redis")
OTHERS = ("mlflow", "objects", "kubernetes", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
SMALL = tuple(word for name in OTHERS for word in ("--without", name))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mlflow_ops_sandbox", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def everything(sandbox: Sandbox) -> list[psutil.Process]:
    """All processes of the parts."""
    return [item for part in KEPT for item in sandbox.family(part)]


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = []
    for item in processes:
        with suppress(psutil.NoSuchProcess):
            if item.is_running() and item.status() != psutil.STATUS_ZOMBIE:
                found.append(item)
    return found


def arguments_of(item: psutil.Process) -> list[str]:
    with suppress(psutil.NoSuchProcess):
        return item.cmdline()
    return []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, start_sandbox_once: StartSandbox) -> Sandbox:
    """One that the tests here share, where they only look or put back what they disturb."""
    return start_sandbox_once(tmp_path_factory.mktemp("small") / "data", *SMALL)


def write_and_read(sandbox: Sandbox, value: str | None = None) -> tuple[str | None, list[tuple[str]]]:
    """Write a value to both stores where one is given; what they hold."""
    client = redis.Redis.from_url(sandbox.env["REDIS_URL"], decode_responses=True)
    with client, psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        if value is not None:
            client.set("kept", value)
            connection.execute("INSERT INTO kept VALUES (%s)", (value,))
        return client.get("kept"), connection.execute("SELECT value FROM kept").fetchall()


def test_it_starts_answers_stops_and_finds_its_data_again(data: Path, start_sandbox: StartSandbox) -> None:
    first = start_sandbox(data, *SMALL)
    assert write_and_read(first, "mine") == ("mine", [("mine",)])
    processes = everything(first)
    said = command("stop", "--data", str(data))
    assert said.returncode == 0
    assert "was stopped in" in said.stdout
    assert first.supervisor.wait(5) == 0
    assert not alive(processes)

    second = start_sandbox(data, *SMALL)
    assert second.env == first.env
    assert write_and_read(second) == ("mine", [("mine",)])


def test_env_prints_lines_for_a_shell_and_one_object_of_the_same_names(small: Sandbox) -> None:
    as_json = json.loads(command("env", "--data", str(small.path), "--json").stdout)
    assert as_json == small.env
    script = f'eval "$("$0" -m mlflow_ops_sandbox env --data {small.path})"; printf %s "$REDIS_URL"'
    shell = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, check=True)
    assert shell.stdout == as_json["REDIS_URL"]


def test_where_none_runs_each_command_says_so_in_one_sentence(tmp_path: Path) -> None:
    for name in ("env", "stop", "status"):
        said = command(name, "--data", str(tmp_path / "nowhere"))
        assert said.returncode == 1
        assert said.stdout == ""
        assert said.stderr.startswith("No sandbox runs on ")
        assert said.stderr.count("\n") == 1


def test_a_sandbox_that_is_starting_is_not_ready(small: Sandbox) -> None:
    state = Folder(small.path).state
    text = state.read_text()
    state.write_text(text.replace('"ready": true', '"ready": false'))
    try:
        with pytest.raises(SandboxError, match="is not ready yet"):
            control.environment(small.path)
    finally:
        state.write_text(text)


def test_a_second_supervisor_on_the_same_folder_is_refused(small: Sandbox) -> None:
    said = command("--data", str(small.path), *SMALL, "--fresh")
    assert said.returncode == 1
    assert said.stderr.startswith(f"A sandbox already runs on {small.path}")
    assert small.supervisor.poll() is None


def test_the_only_one_that_runs_need_not_be_named(
    small: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small.path in control.running()
    nowhere = tmp_path / "nowhere"
    assert control.found(small.path) == small.path
    monkeypatch.setattr(control, "running", lambda: [small.path])
    assert control.found(nowhere) == small.path
    with pytest.raises(SandboxError, match=f"One runs on {small.path}: name it with --data"):
        control.stop(nowhere)
    monkeypatch.setattr(control, "running", lambda: [small.path, nowhere])
    with pytest.raises(SandboxError, match="2 sandboxes run: say which one with --data"):
        control.found(tmp_path)
    monkeypatch.setattr(control, "running", list)
    assert control.found(nowhere) == nowhere


def test_status_names_every_part(small: Sandbox) -> None:
    state = json.loads(command("status", "--data", str(small.path), "--json").stdout)
    assert state["ready"] is True
    assert state["supervisor"] == small.supervisor.pid
    assert {name: part["state"] for name, part in state["parts"].items()} == dict.fromkeys(KEPT, "ready")
    assert "postgres" in command("status", "--data", str(small.path)).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_everything_that_it_started(
    number: signal.Signals, data: Path, start_sandbox: StartSandbox
) -> None:
    sandbox = start_sandbox(data, *SMALL)
    processes = everything(sandbox)
    sandbox.supervisor.send_signal(number)
    assert sandbox.supervisor.wait(30) == 0
    assert not alive(processes)
    assert sandbox.said().endswith("Stopped; the data is kept.\n")


def test_a_paused_part_does_not_hold_up_the_end(data: Path, start_sandbox: StartSandbox) -> None:
    sandbox = start_sandbox(data, *SMALL)
    processes = everything(sandbox)
    sandbox.pause("redis")
    sandbox.stop()
    assert sandbox.supervisor.returncode == 0
    assert not alive(processes)


def test_when_the_supervisor_is_killed_the_next_start_finds_its_data(data: Path, start_sandbox: StartSandbox) -> None:
    first = start_sandbox(data, *SMALL)
    write_and_read(first, "survives")
    stubborn = first.process("redis")
    # It cannot hear the kernel's message that its parent has died.
    stubborn.suspend()
    first.supervisor.kill()
    first.supervisor.wait()
    with pytest.raises(SandboxError, match="No sandbox runs"):
        control.environment(data)

    second = start_sandbox(data, *SMALL)
    assert re.search(r"Ended (a process|\d+ processes) that a killed sandbox had left\.", second.said())
    assert not stubborn.is_running()
    assert write_and_read(second)[1] == [("survives",)]


def test_a_port_that_was_taken_meanwhile_is_chosen_again(data: Path, start_sandbox: StartSandbox) -> None:
    start_sandbox(data, *SMALL).stop()
    remembered = read_json(Folder(data).state)["ports"]
    with socket.create_server(("127.0.0.1", remembered["redis"])):
        second = start_sandbox(data, *SMALL)
    assert str(remembered["redis"]) not in second.env["REDIS_URL"]
    assert str(remembered["postgres"]) in second.env["MLFLOW_OPS_DATABASE_URL"]
    write_and_read(second, "reachable")


def test_a_stale_lock_file_of_the_database_does_not_stop_it(data: Path, start_sandbox: StartSandbox) -> None:
    first = start_sandbox(data, *SMALL)
    cluster = Path(first.process("postgres").cmdline()[2])
    first.stop()
    # The pid of a living process that has nothing to do with it.
    (cluster / "postmaster.pid").write_text(f"{os.getppid()}\n{cluster}\n1\n1\n\nlocalhost\n")
    write_and_read(start_sandbox(data, *SMALL), "reachable")


def test_fresh_starts_over(data: Path, start_sandbox: StartSandbox) -> None:
    first = start_sandbox(data, *SMALL)
    write_and_read(first, "gone")
    first.stop()
    second = start_sandbox(data, *SMALL, "--fresh")
    assert write_and_read(second) == (None, [])
    assert second.env["SLACK_BOT_TOKEN"] != first.env["SLACK_BOT_TOKEN"]


def test_fresh_does_not_delete_what_is_not_a_sandbox(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    said = command("--data", str(tmp_path), "--fresh")
    assert said.returncode == 1
    assert "holds something else than a sandbox" in said.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("part", KEPT)
def test_a_part_that_dies_is_started_again_and_the_terminal_says_so(part: str, small: Sandbox) -> None:
    write_and_read(small, part)
    said = small.said()
    before = small.process(part)
    before.kill()
    small.wait_until_ready(part, other_than=before)
    news = small.said().removeprefix(said)
    assert f"{part:<13} was ended by signal 9; it is started again in" in news
    assert str(Folder(small.path).log(part)) in news
    assert (part,) in write_and_read(small)[1]
    assert small.supervisor.poll() is None


def test_a_part_that_does_not_start_ends_the_rest_and_shows_its_last_lines(
    data: Path, start_sandbox: StartSandbox
) -> None:
    start_sandbox(data, *SMALL).stop()
    (data / "redis" / "appendonly.aof").write_text("not a log of commands at all\r\n")
    sandbox = start_sandbox(data, *SMALL, ready=False)
    assert sandbox.supervisor.wait(60) == 1
    said = sandbox.said()
    assert "redis (Redis, queues and records) ended with exit code 1. Its last lines:" in said
    assert "Bad file format" in said
    assert f"The whole log: {data / 'logs' / 'redis.log'}" in said
    assert "Traceback" not in said
    assert not process.marked(Folder(data))
    assert read_json(Folder(data).state)["parts"] == {}


def test_only_passwords_open_the_stores(small: Sandbox) -> None:
    ports = read_json(Folder(small.path).state)["ports"]
    with pytest.raises(redis.AuthenticationError), redis.Redis(port=ports["redis"]) as client:
        client.ping()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://mlflow:wrong@127.0.0.1:{ports['postgres']}/mlflow")
    with psycopg.connect(small.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], autocommit=True) as admin:
        admin.execute("CREATE DATABASE beside OWNER mlflow")
        admin.execute("ALTER DATABASE beside RENAME TO replaced")
    # What has ended since, as PostgreSQL's sessions do, has no arguments any more; the parts' own processes must.
    arguments = {item.pid: arguments_of(item) for item in everything(small)}
    assert all(arguments[small.process(part).pid] for part in KEPT)
    words = " ".join(word for each in arguments.values() for word in each)
    assert not [secret for secret in read_json(small.path / "secrets.json").values() if secret in words]
