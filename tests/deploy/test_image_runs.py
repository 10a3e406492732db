"""What the Dockerfile's lines make, made here: how large it is, and that each process works with what is in it."""

import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack, contextmanager

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words
from tests.deploy.image import ROOT, TARGETS, stages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

USED = """
import io, zstandard
import bot.app, commands.grammar, commands.testing, workers.engine.running, workers.systems.mlflow.tracking
from workers import registry
from workers.systems.cluster import client, exec, requests
from kubernetes.stream import stream
from kubernetes.utils.quantity import parse_quantity
from mlflow.tracking import MlflowClient
registry.operations()
import boto3
for service in ("s3", "sts", "sso", "sso-oidc"):
    boto3.client(service, region_name="eu-west-1", aws_access_key_id="-", aws_secret_access_key="-")
from workers.rendering import bars, charts
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
figure = Figure()
figure.subplots().plot([1, 2])
FigureCanvasAgg(figure).print_png(io.BytesIO())
assert zstandard.decompress(zstandard.compress(b"x" * 99)) == b"x" * 99
"""
"""What has been made smaller by prune.py is still all that our processes need of it."""

MEBIBYTES = {"bot": 120, "worker": 350}


@pytest.fixture(scope="module")
def environments(tmp_path_factory):
    """Target → its /opt/mlflow-ops: every RUN of the build stages, with the two folders elsewhere."""
    made = {}
    for target in TARGETS:
        folder = tmp_path_factory.mktemp(target)
        source = folder / "source"
        for name in ("bot", "commands", "workers", "deploy/image"):
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        for word, rest in [*stages()["wheel"], *stages()[f"{target}-environment"]]:
            if word == "RUN":
                line = rest.replace("/opt/", f"{folder}/opt/").replace("python -m venv", f"{sys.executable} -m venv")
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", line], cwd=source, capture_output=True, check=False
                )
                assert done.returncode == 0, (line, done.stderr.decode()[-2000:])
        made[target] = folder / "opt" / "mlflow-ops"
    return made


@pytest.mark.parametrize("target", TARGETS)
def test_the_pip_lines_make_a_whole_environment_of_bounded_size(environments, target):
    programs = environments[target] / "bin"
    said = subprocess.run([programs / "mlflow-ops", "--version"], capture_output=True, text=True, check=True, cwd="/")
    assert VERSION in said.stdout
    assert not (programs / "pip").exists()
    (installed,) = (environments[target] / "lib").glob("python*/site-packages")
    assert not [each.name for each in installed.glob("*sandbox*")]
    assert not (installed / "deploy").exists()
    assert not list(installed.rglob("tests"))
    taken = sum(each.stat().st_size for each in installed.rglob("*") if each.is_file())
    assert taken < MEBIBYTES[target] * 2**20, f"{taken / 2**20:.0f} MiB"


def test_what_is_left_of_libraries_is_all_that_a_worker_uses(environments):
    subprocess.run([environments["worker"] / "bin" / "python", "-c", USED], check=True, cwd="/")


PROCESSES = {
    "bot": ("bot", "bot"),
    "scheduler": ("bot", "scheduler"),
    "worker-quick": ("worker", "worker", "--queue", "quick"),
    "worker-ops": ("worker", "worker", "--queue", "ops"),
}
"""Part of the sandbox → the image it is from, and its arguments."""
START_SECONDS = 3.0


@contextmanager
def running(program, arguments, env, ready, log):
    """Seconds until it said that it can serve; ended with the block."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen([program, *arguments], env=env, stdout=output, stderr=output, cwd=ready.parent)
        try:
            while not ready.exists():
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() - began < 60, log.read_text()[-3000:]
                time.sleep(0.01)
            yield time.monotonic() - began
            process.terminate()
            assert process.wait(30) == 0, log.read_text()[-3000:]
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def installed(environments, start_sandbox_once, tmp_path_factory):
    """A sandbox without processes of ours, which run from the images instead, and how long each took to start."""
    folder = tmp_path_factory.mktemp("installed")
    left_out = (word for part in PROCESSES for word in ("--without", part))
    sandbox = start_sandbox_once(folder / "sandbox", *left_out)
    took = {}
    with ExitStack() as ending:
        for part, (target, *arguments) in PROCESSES.items():
            own = folder / part
            own.mkdir()
            env = {name: value for name, value in sandbox.process_env.items() if not name.startswith("PYTHON")}
            env |= {"MLFLOW_OPS_READY_FILE": str(own / "ready"), "PYTHONDONTWRITEBYTECODE": "1"}
            program = environments[target] / "bin" / "mlflow-ops"
            took[part] = ending.enter_context(running(program, arguments, env, own / "ready", own / "log"))
        yield sandbox, took, {part: folder / part / "log" for part in PROCESSES}


def test_each_process_serves_within_seconds(installed):
    _, took, _ = installed
    assert {part: seconds for part, seconds in took.items() if seconds > START_SECONDS} == {}, took


def test_commands_buttons_dialogs_home_and_pictures_work_with_what_the_images_hold(installed):
    sandbox, _, logs = installed
    people = {person["name"]: SlackPerson(sandbox.slack_url, person["id"]) for person in PEOPLE}
    omar, ada = people["omar"], people["ada"]

    def answered(command, said):
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, command).ok

        def there():
            fresh = [message for message in omar.messages(OPS_CHANNEL) if message["ts"] not in before]
            return next((message for message in fresh if said in words(message)), None)

        return omar.wait_for(there, deadline=120)

    answered("/mlflow health", "MLflow")
    answered("/mlflow digest", "Figures")
    waiting = answered("/mlflow restart", "Waiting for approval")
    assert ada.press(OPS_CHANNEL, waiting["ts"], "approve").ok
    for log in logs.values():
        assert "ImportError" not in log.read_text()
        assert "ModuleNotFoundError" not in log.read_text()
