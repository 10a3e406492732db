"""The lines of the workflows: each is typed by a test, or it is said why it can't be here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / ".github" / "workflows"

TYPED = {
    "test": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "python": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "echo": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "mkdir": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "shipped/bin/pip": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "cyclonedx-py": "test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses",
    "mkdocs build": "test_it_is_built_strictly_and_every_document_is_in_it",
    "helm package": "test_the_archive_holds_all_that_the_templates_read",
    "uv pip": "test_the_weekly_jobs_lines_make_the_locks_that_are_here",
    "printf": "test_the_weekly_jobs_lines_make_the_locks_that_are_here",
    "pip-audit": "test_what_is_shipped_is_looked_up_among_known_vulnerabilities",
}
"""How a line begins → the test that types it."""
NOT_HERE = {
    "sudo apt-get": "the machine of CI is made ready; .ci/run does the same with what a machine lacks",
    ".ci/run": "it runs these tests",
    "bash -euo pipefail -c": "the README's test command, which runs these tests",
    "git": "a branch is made and pushed",
    "gh": "GitHub answers nobody but the workflow",
    "cosign sign": "the identity is the workflow's own",
    "helm push": "there is no registry to push to",
    "uv publish": "PyPI takes it from the workflow only",
}
"""How a line begins → why no test types it."""


def lines():
    """(file, line) of every step that runs something."""
    for file in sorted(WORKFLOWS.glob("*.yml")):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            for step in job["steps"]:
                for line in step.get("run", "").splitlines():
                    yield file.name, line.strip()


def begins(line, known):
    return [each for each in known if line == each or line.startswith(f"{each} ")]


def test_each_line_is_typed_by_a_test_or_has_a_reason():
    unknown = [(file, line) for file, line in lines() if not begins(line, TYPED | NOT_HERE)]
    assert unknown == []
    for known in (*TYPED, *NOT_HERE):
        assert any(begins(line, [known]) for _, line in lines()), f"no step begins with {known}"
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in TYPED.values() if f"def {name}(" not in tests} == set()


def program(name):
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not here: pip install '.[release]'")
    return found


@pytest.mark.slow
def test_the_weekly_jobs_lines_make_the_locks_that_are_here(tmp_path):
    """Without --upgrade: uv keeps each pin that still fits, so nothing may change."""
    uv = Path(program("uv")).parent
    (step,) = [
        each["run"]
        for each in yaml.safe_load((WORKFLOWS / "lock.yml").read_text())["jobs"]["renew"]["steps"]
        if "uv pip" in each.get("run", "")
    ]
    locks = ("constraints.txt", "deploy/image/requirements.txt", "deploy/image/bot-requirements.txt")
    for name in ("pyproject.toml", "README.md", "deploy/sandbox/pyproject.toml", *locks):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("bot", "commands", "workers", "deploy/sandbox/mlflow_ops_sandbox"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", step.replace(" --upgrade", "")],
        cwd=tmp_path, env={**os.environ, "PATH": f"{uv}:{os.environ['PATH']}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if "Failed to fetch" in done.stderr or "dns error" in done.stderr:
        pytest.skip("no index of packages can be reached")
    assert done.returncode == 0, done.stderr[-2000:]
    for name in locks:
        assert pins(tmp_path / name) == pins(ROOT / name), name


def pins(file):
    return sorted(line.removesuffix(" \\") for line in file.read_text().splitlines() if "==" in line)


@pytest.mark.slow
def test_what_is_shipped_is_looked_up_among_known_vulnerabilities():
    program("pip-audit")
    (step,) = [line for _, line in lines() if line.startswith("pip-audit ")]
    words = step.replace("deploy/image/requirements.txt", str(ROOT / "deploy" / "image" / "requirements.txt")).split()
    done = subprocess.run([program(words[0]), *words[1:]], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "usage:" not in said, said
    if "not found on PyPI" in said or "onnection" in said:
        pytest.skip("the index that answers here knows no vulnerabilities")
    assert done.returncode == 0, said
