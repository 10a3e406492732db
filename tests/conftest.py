"""What all tests share: one sandbox for a process of the run, and single real parts of it for tests that want no more.

A test may pause, kill or restart a part of the shared sandbox; it leaves all parts running.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import hypothesis
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from xdist.scheduler import LoadFileScheduling

from mlflow_ops_sandbox import testing
from mlflow_ops_sandbox.cluster.apiserver import least_privilege
from mlflow_ops_sandbox.fixtures import start_sandbox, start_sandbox_once
from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.patience import stretched
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from workers import redaction, settings
from workers.systems.redis import connect

__all__ = ["start_sandbox", "start_sandbox_once"]

# Hundreds of processes are started: each would compile the product anew, and each of pytest's own the tests.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says how busy the machine is, and nothing of the product.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

collect_ignore = ["extension"]
"""A package of its own, whose tests run where it is installed (docs/test_extending.py)."""
RUN = "MLFLOW_OPS_TESTS_RUN"
"""The folder that all processes of a run share. `.ci/run` makes one for several calls of pytest."""


def pytest_addoption(parser):
    parser.addoption("--part", metavar="I/N", help="of N parts of the files, the I-th; each file is in one of them")
    parser.addoption("--renew-golden", action="store_true", help="write the golden files of messages anew")


def pytest_configure(config):
    """Every API server of this run, in whatever process, notes which permissions the product uses."""
    if not hasattr(config, "workerinput"):
        if RUN not in os.environ:
            os.environ[RUN] = tempfile.mkdtemp(prefix="mlflow-ops-tests-")
            Path(os.environ[RUN]).chmod(0o711)  # PostgreSQL, which another account runs, is in it
            config.add_cleanup(lambda: _forget(Path(os.environ.pop(RUN))))
        run = Path(os.environ[RUN])
        for name in ("permissions", "tests"):
            (run / name).mkdir(exist_ok=True)
        os.environ[least_privilege.FOLDER] = str(run / "permissions")
    os.environ[least_privilege.PROCESS] = os.environ.get("PYTEST_XDIST_WORKER", "")


def _forget(run):
    testing.forget(run / "seeded")
    shutil.rmtree(run, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """When each test ran, so that what an API server noted can be told of a test (see permissions.py)."""
    began = time.time()
    try:
        return (yield)
    finally:
        by = os.environ.get(least_privilege.PROCESS, "")
        line = json.dumps({"test": item.nodeid, "by": by, "began": began, "ended": time.time()})
        with (Path(os.environ[RUN]) / "tests" / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Where tests are skipped, what a whole run used is not all that could be (see permissions.py)."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and "skipped" in reporter.stats:
        (Path(os.environ[RUN]) / "skipped").touch()


def pytest_collection_modifyitems(config, items):
    """The tests of a file stay in one process, as do all that share a sandbox; those that take longest begin first."""
    if part := config.getoption("part"):
        _keep(part, config, items)
    groups, starts = {}, set()
    for item in items:
        path = item.nodeid.partition("::")[0]
        if group := _shared(item):
            groups[path] = group
        if {"start_sandbox", "start_sandbox_once"} & set(item.fixturenames):
            starts.add(path)

    def order(item):
        path = item.nodeid.partition("::")[0]
        return SHARED.index(groups[path]) if path in groups else len(SHARED) + (path not in starts)

    items.sort(key=order)
    if hasattr(config, "workerinput"):
        _groups().with_suffix(f".{os.getpid()}").write_text(json.dumps(groups), encoding="utf-8")
        _groups().with_suffix(f".{os.getpid()}").replace(_groups())


def _keep(part, config, items):
    """Files that follow one another take about as long: each goes to another part."""
    number, parts = map(int, part.split("/"))
    files = sorted({item.path for item in items})
    kept = set(files[number - 1 :: parts])
    config.hook.pytest_deselected(items=[item for item in items if item.path not in kept])
    items[:] = [item for item in items if item.path in kept]


def _groups():
    """Where the processes that collect say to the one that gives the tests out which files belong together."""
    return Path(os.environ[RUN]) / "groups.json"


class _Together(LoadFileScheduling):
    @cached_property
    def groups(self):
        return json.loads(_groups().read_text(encoding="utf-8"))

    def _split_scope(self, nodeid):
        path = super()._split_scope(nodeid)
        return self.groups.get(path, path)


def pytest_xdist_make_scheduler(config, log):
    """In the place of `--dist loadfile`."""
    return _Together(config, log) if config.getvalue("dist") == "loadfile" else None


SHARED = ("ways", "sandbox", "parts")


def _shared(item):
    """Which of the sandboxes that live as long as a process this test uses; None where it uses none of them."""
    for name in ("sandbox", "parts"):
        found = item._fixtureinfo.name2fixturedefs.get(name)
        if found and found[-1].scope == "session":
            return "ways" if name == "sandbox" and "ways" in item.path.parts else name
    return None


@pytest.fixture(autouse=True)
def forgotten():
    """Forget the secrets that a test made up: a process that knows thousands is slow to learn another."""
    known, pattern = set(redaction._known), redaction._pattern
    yield
    redaction._known.clear()
    redaction._known.update(known)
    redaction._pattern = pattern


@pytest.fixture(scope="session")
def seeded():
    """A stopped sandbox that others begin like; None in a run of one process, which starts few.

    The first process that asks makes it, which the others wait for.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return None
    run = Path(os.environ[RUN])
    with (run / "seeded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (run / "seeded.done").exists():
            testing.seed(run / "seeded")
            (run / "seeded.done").touch()
    return run / "seeded"


@pytest.fixture
def golden_in(request):
    """Makes what compares with the golden files of a folder; with the flag, it writes them."""

    def of(folder):
        def same(name, seen):
            text = json.dumps(seen, indent=1, ensure_ascii=False) + "\n"
            file = folder / f"{name}.json"
            if request.config.getoption("--renew-golden"):
                file.write_text(text, encoding="utf-8")
            assert file.exists(), f"new: write it with --renew-golden ({file})"
            assert text == file.read_text(encoding="utf-8"), "meant? then --renew-golden, and read the difference"

        return same

    return of


@pytest.fixture
def free_port():
    """A port on which nothing listens."""
    return ports.free()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """A real Redis server for this run."""
    port = ports.free()
    folder = tmp_path_factory.mktemp("redis")
    server = subprocess.Popen(
        [str(program()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{port}/0"
    began = time.monotonic()
    with Redis.from_url(url) as client:
        while True:
            try:
                client.ping()
                break
            except RedisConnectionError:
                assert time.monotonic() - began < stretched(10)
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
schedule: {backup: null, figures: null, digest: null, drill: null, audit: null}
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
            began = time.monotonic()
            while not ready_file.exists():
                assert running.poll() is None, f"{arguments} ended with {running.returncode}"
                assert time.monotonic() - began < stretched(30), f"{arguments} was not ready in time"
                time.sleep(0.02)
            yield running
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                assert running.wait(stretched(20)) == 0
        finally:
            running.kill()
            running.wait()

    return start


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory, seeded):
    """The sandbox that all tests of a process share."""
    started = testing.start(tmp_path_factory.mktemp("sandbox") / "data", like=seeded)
    yield started
    testing.remove(started)


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """PostgreSQL, Redis, S3 and Kubernetes alone, which the tests of a process share."""
    left_out = ("mlflow", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
    words = (word for part in left_out for word in ("--without", part))
    started = testing.start(tmp_path_factory.mktemp("parts") / "data", *words)
    yield started
    testing.remove(started)
