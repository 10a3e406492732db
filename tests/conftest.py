"""What all tests share: one sandbox for the whole run, and single real parts of it for tests that want no more.

A test may pause, kill or restart a part of the shared sandbox; it leaves all parts running.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from deploy.sandbox import testing
from deploy.sandbox.kubernetes import least_privilege
from deploy.sandbox.redis import program
from deploy.sandbox.slack.testing import example, serving
from deploy.sandbox.slack.workspace import Workspace
from workers import settings
from workers.records.record import connect

ROLES = sorted((Path(__file__).parents[1] / "deploy" / "kubernetes").glob("*/*role.yaml"))


def pytest_configure(config):
    """Every API server of this run, in whatever process, notes which permissions the product uses."""
    if not hasattr(config, "workerinput"):
        os.environ[least_privilege.FOLDER] = tempfile.mkdtemp(prefix="permissions-")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """After all the tests together: the Roles grant what was used, and nothing else, or the run fails.

    A part of the tests does not tell, nor do those of a machine where some are skipped: there it is only said.
    """
    config = session.config
    if hasattr(config, "workerinput"):
        return
    folder = Path(os.environ.pop(least_privilege.FOLDER))
    found = least_privilege.differences(least_privilege.granted(ROLES), least_privilege.used(folder))
    shutil.rmtree(folder, ignore_errors=True)
    chosen = config.option
    part = chosen.keyword or chosen.ignore or chosen.ignore_glob or chosen.deselect
    whole = config.args_source is config.ArgsSource.TESTPATHS and not part
    if whole and chosen.markexpr in {"", "not bench"} and session.exitstatus == pytest.ExitCode.OK:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line("")
        for sentence in found or ["The Roles grant exactly what these tests used."]:
            reporter.write_line(sentence, red=bool(found), green=not found)
        if found and "skipped" not in reporter.stats:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture
def free_port():
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """A real Redis server for this run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        [str(program()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    deadline = time.monotonic() + 10
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                break
            except RedisConnectionError:
                assert time.monotonic() < deadline
            time.sleep(0.02)
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def redis(redis_url):
    """A client of that server, which is empty."""
    client = connect(settings.load({"REDIS_URL": redis_url}))
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def settings_of_nothing():
    """Settings where neither the environment nor a file says anything."""
    return settings.load({})


OPS_YAML = """
channels: [C0OPS]
roles:
  viewer: {users: [U0VERA]}
  operator: {users: [U0OLEG]}
  approver: {groups: [S0APPROVE]}
# a test that crosses the hour is the same as one that does not
schedule: {backup: null, figures: null, digest: null, drill: null}
"""


@pytest.fixture
def local_slack(tmp_path):
    """Makes a local Slack: a context manager that takes the workspace's changed fields."""

    def make(**changed):
        return serving(Workspace.from_json(example(**changed)), tmp_path / "slack")

    return make


@pytest.fixture
def environment(tmp_path, redis_url, redis):
    """Makes the environment of our processes for a local Slack."""
    config = tmp_path / "ops.yaml"
    config.write_text(OPS_YAML, encoding="utf-8")
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "PYTHONPATH"}}

    def make(slack):
        tokens = slack.workspace.tokens
        return {
            **keep,
            "SLACK_API_URL": slack.api,
            "SLACK_BOT_TOKEN": tokens.bot,
            "SLACK_APP_TOKEN": tokens.app,
            "SLACK_SIGNING_SECRET": tokens.signing_secret,
            "REDIS_URL": redis_url,
            "MLFLOW_OPS_CONFIG": str(config),
        }

    return make


@pytest.fixture
def started(tmp_path):
    """Starts `mlflow-ops …` and waits until it is ready; ends it by SIGTERM, which must be heard."""

    @contextmanager
    def start(*arguments, env):
        ready_file = tmp_path / f"ready-{'-'.join(arguments)}"
        running = subprocess.Popen(
            [sys.executable, "-m", "bot", *arguments], env={**env, "MLFLOW_OPS_READY_FILE": str(ready_file)}
        )
        try:
            deadline = time.monotonic() + 30
            while not ready_file.exists():
                assert running.poll() is None, f"{arguments} ended with {running.returncode}"
                assert time.monotonic() < deadline, f"{arguments} was not ready in time"
                time.sleep(0.02)
            yield running
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                assert running.wait(20) == 0
        finally:
            running.kill()
            running.wait()

    return start


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory):
    """The sandbox that all tests of a run share."""
    started = testing.start(tmp_path_factory.mktemp("sandbox") / "data")
    yield started
    testing.remove(started)


def _starting():
    started = []

    def start(path, *arguments, ready=True):
        started.append(testing.start(path, *arguments, ready=ready))
        return started[-1]

    yield start
    for item in started:
        testing.remove(item)


@pytest.fixture
def start_sandbox():
    """Starts further sandboxes, and ends them with the test."""
    yield from _starting()


@pytest.fixture(scope="module")
def start_sandbox_once():
    """Starts further sandboxes, and ends them with the module."""
    yield from _starting()
