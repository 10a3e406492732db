"""What the Dockerfile's lines make, made here: how large it is, and that each process works with what is in it."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
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


IMAGES = {"bot": "bot", "scheduler": "bot", "worker-quick": "worker", "worker-ops": "worker"}
"""Process → the image that it can be from."""
START_SECONDS = 3.0
"""Of a processor until it can serve. How many others want that at the same moment says nothing of ours."""
USUAL_SECONDS = 0.09
"""What `pace` takes on a machine with nothing else to do; a slower one has its bound in proportion."""


def pace():
    """How much slower this machine is just now than usual, 1 at least."""
    began = time.process_time()
    sum(number * number for number in range(1_500_000))
    return max(1.0, (time.process_time() - began) / USUAL_SECONDS)


@contextmanager
def running(program, arguments, env, ready, log):
    """Seconds of a processor until it said that it can serve, and this machine's pace; ended with the block."""
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen([program, *arguments], env=env, stdout=output, stderr=output, cwd=ready.parent)
        try:
            while not ready.exists():
                assert process.poll() is None, log.read_text()[-3000:]
                assert time.monotonic() - began < 180, log.read_text()[-3000:]
                time.sleep(0.01)
            used = psutil.Process(process.pid).cpu_times()
            yield used.user + used.system + used.children_user + used.children_system, pace()
            process.terminate()
            assert process.wait(30) == 0, log.read_text()[-3000:]
        finally:
            process.kill()
            process.wait()


def kubectl(sandbox, *arguments):
    done = subprocess.run(["kubectl", *arguments], env=sandbox.process_env, capture_output=True, text=True, check=True)
    return done.stdout


def as_it_is_written(sandbox, folder):
    """Type the shell lines of docs/real-cluster.md, with this sandbox's credentials, people and channel."""
    shutil.copytree(ROOT / "deploy" / "kubernetes", folder / "deploy" / "kubernetes")
    shutil.copytree(ROOT / "deploy" / "grafana", folder / "deploy" / "grafana")
    shutil.copy(
        sandbox.env["MLFLOW_OPS_CONFIG"], folder / "deploy" / "kubernetes" / "overlays" / "minimal" / "ops.yaml"
    )
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / "docs" / "real-cluster.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(blocks) > 1
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)], env=sandbox.process_env, cwd=folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def told(sandbox, name, folder):
    """The arguments and variables that the cluster gives to a process, by its Deployment, Secrets and ConfigMap."""
    get = ("get", "-n", "data-platform", "-o", "json")
    pod = json.loads(kubectl(sandbox, *get, "deployment", f"mlflow-ops-{name}"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    secrets = {}
    for each in json.loads(kubectl(sandbox, *get, "secret"))["items"]:
        data = {key: base64.b64decode(value).decode() for key, value in (each.get("data") or {}).items()}
        secrets[each["metadata"]["name"]] = data
    variables = {}
    for each in container.get("envFrom", ()):
        variables |= secrets[each["secretRef"]["name"]]
    for each in container["env"]:
        source = each.get("valueFrom", {})
        if "secretKeyRef" in source:
            variables[each["name"]] = secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        elif "value" in each:
            variables[each["name"]] = each["value"]
    (volume,) = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
    config = folder / "ops.yaml"
    config.write_text(json.loads(kubectl(sandbox, *get, "configmap", volume))["data"]["ops.yaml"])
    return container["args"], variables | {"MLFLOW_OPS_CONFIG": str(config)}


def of_this_machine(sandbox, name, folder):
    """What stands for the names and files that a pod would find, on a machine that has no pods of ours."""
    here = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "REDIS_URL": sandbox.env["REDIS_URL"],
        "MLFLOW_OPS_READY_FILE": str(folder / "ready"),
        "MLFLOW_OPS_METRICS_PORT": "0",
    }
    if name == "bot":
        return here | {"SLACK_API_URL": sandbox.env["SLACK_API_URL"]}
    if name == "scheduler":
        return here
    account = Path(sandbox.env["KUBECONFIG"]).with_name("kubeconfig-worker")
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_OPS_POSTGRES_BIN")
    return here | {each: sandbox.env[each] for each in names} | {"KUBECONFIG": str(account)}


@pytest.fixture(scope="module")
def installed(environments, start_sandbox_once, tmp_path_factory):
    """A sandbox without processes of ours: these are installed as the document says, and run from the images.

    Besides it how long each took to start, its log, and its environment.
    """
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    folder = tmp_path_factory.mktemp("installed")
    sandbox = start_sandbox_once(folder / "sandbox", *(word for part in IMAGES for word in ("--without", part)))
    as_it_is_written(sandbox, folder)
    took, known = {}, {}
    with ExitStack() as ending:
        for name, target in IMAGES.items():
            own = folder / name
            own.mkdir()
            arguments, variables = told(sandbox, name, own)
            known[name] = variables | of_this_machine(sandbox, name, own)
            program = environments[target] / "bin" / "mlflow-ops"
            took[name] = ending.enter_context(running(program, arguments, known[name], own / "ready", own / "log"))
        yield sandbox, took, {name: folder / name / "log" for name in IMAGES}, known


def test_each_process_serves_within_seconds(installed):
    _, took, _, _ = installed
    assert {part: seconds for part, (seconds, slower) in took.items() if seconds > START_SECONDS * slower} == {}, took


def test_commands_buttons_dialogs_home_and_pictures_work_with_what_the_images_hold(installed):
    sandbox, _, logs, _ = installed
    people = {person["name"]: SlackPerson(sandbox.slack_url, person["id"]) for person in PEOPLE}
    omar, ada = people["omar"], people["ada"]

    def answered(command, said):
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, command).ok

        def there():
            fresh = [message for message in omar.messages(OPS_CHANNEL) if message["ts"] not in before]
            return next((message for message in fresh if said in words(message)), None)

        return omar.wait_for(there, deadline=120)

    answered("/mlflow health", "MLflow health")
    answered("/mlflow digest", "Digest, ")
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, "MLflow over 14 days"), deadline=120)
    answered("/mlflow experiments create of-an-image", "is there, with the id")
    waiting = answered("/mlflow experiments delete of-an-image", "Waiting for approval")
    assert ada.press(OPS_CHANNEL, waiting["ts"], "approve").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, "approved by"), deadline=120)
    assert omar.command(OPS_CHANNEL, "/mlflow restore").ok
    assert omar.wait_for(omar.view, deadline=60)
    omar.open_home()
    assert omar.wait_for(omar.home, deadline=60)
    for log in logs.values():
        assert "ImportError" not in log.read_text()
        assert "ModuleNotFoundError" not in log.read_text()


def test_check_in_a_workers_pod_asks_every_system(installed, environments):
    *_, known = installed
    program = environments["worker"] / "bin" / "mlflow-ops"
    done = subprocess.run([program, "check"], env=known["worker-quick"], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, 3}, done.stderr[-2000:]
    for system in ("Redis", "Kubernetes", "PostgreSQL", "MLflow"):
        assert system in done.stdout, system
    assert "Traceback" not in done.stderr
