"""A release: one version everywhere, notes, licenses, and the commands of its workflow, typed here as they stand."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from bot.process import version

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "release" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


versions, notes, licenses = script("version"), script("notes"), script("licenses")


def test_the_version_is_the_same_everywhere():
    assert versions.others(versions.version()) == []


def test_a_place_that_says_another_version_is_found_and_written(tmp_path, monkeypatch):
    for name in versions.PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    wrong = versions.others("9.8.7")
    assert {each.split(":")[0] for each in wrong} == set(versions.PLACES)
    versions.write("9.8.7")
    assert versions.version() == "9.8.7"
    assert versions.others("9.8.7") == []
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert versions.others("9.8.7") == ["Dockerfile: nothing"]


def test_the_program_says_its_version_and_the_commit_it_was_made_from(monkeypatch, tmp_path):
    monkeypatch.setattr(version, "_REVISION", tmp_path / "revision.txt")
    assert version.text() == f"mlflow-ops {versions.version()}"
    (tmp_path / "revision.txt").write_text("unknown\n")
    assert version.text() == f"mlflow-ops {versions.version()}"
    (tmp_path / "revision.txt").write_text(f"{'0123456789' * 4}\n")
    assert version.text() == f"mlflow-ops {versions.version()} (revision 012345678901)"
    done = subprocess.run(
        [sys.executable, "-m", "bot", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.startswith(f"mlflow-ops {versions.version()}")


def test_the_changelogs_section_is_the_releases_text(tmp_path, monkeypatch):
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        "# Changelog\n\n## [0.2.0] - 2027-01-02\n\nNew.\n\n### Added\n- It.\n\n## [0.1.0] - Unreleased\n\nOld.\n"
    )
    monkeypatch.setattr(notes, "CHANGELOG", log)
    assert notes.section("0.2.0") == "New.\n\n### Added\n- It."
    for wrong, said in (("0.1.0", "has no date but 'Unreleased'"), ("0.3.0", "says nothing of 0.3.0")):
        with pytest.raises(SystemExit, match=said):
            notes.section(wrong)
    assert notes.section("0.1.0", draft=True) == "Old."


def test_this_versions_section_is_there():
    assert len(notes.section(versions.version(), draft=True)) > 100


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ([{"license": {"id": "MIT"}}], True),
        ([{"expression": "Apache-2.0 OR BSD-3-Clause"}], True),
        ([{"expression": "(GPL-2.0-only OR MIT) AND PSF-2.0"}], True),
        ([{"license": {"name": "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)"}}], True),
        ([{"license": {"name": "Apache License, Version 2.0"}}], True),
        ([{"license": {"id": "GPL-3.0-only"}}], False),
        ([{"expression": "MIT AND GPL-3.0-only"}], False),
        ([{"license": {"name": "Our own"}}], False),
        ([], False),
    ],
)
def test_only_licenses_of_the_list_are_shipped(said, allowed):
    bill = {"components": [{"name": "x", "version": "1", "licenses": said}]}
    assert (licenses.refusals(bill) == []) is allowed


@pytest.mark.parametrize(("name", "allowed"), [("psycopg", True), ("another", False)])
def test_the_lesser_gpl_is_for_libraries_that_are_named(name, allowed):
    said = [{"license": {"name": "GNU Library or Lesser General Public License (LGPL)"}}]
    bill = {"components": [{"name": name, "version": "1", "licenses": said}]}
    assert (licenses.refusals(bill) == []) is allowed


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_every_action_is_named_by_its_commit_and_every_job_by_what_it_may(file):
    found = re.findall(r"uses: (\S+)(.*)", file.read_text())
    assert found
    for action, comment in found:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    workflow = yaml.safe_load(file.read_text())
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert "permissions" in job, name
        assert job["timeout-minutes"] <= 90, name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("words", [("actionlint",), ("zizmor", "--offline", "--quiet")])
def test_the_workflows_are_well_formed_and_safe(words):
    program = shutil.which(words[0], path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{words[0]} is not here: pip install '.[release]'")
    done = subprocess.run([program, *words[1:], *WORKFLOWS], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_action_by_its_tag_is_not_let_pass(tmp_path):
    program = shutil.which("zizmor", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip("zizmor is not here: pip install '.[release]'")
    text = WORKFLOWS[0].read_text()
    (tmp_path / "ci.yml").write_text(re.sub(r"(actions/checkout)@[0-9a-f]{40}", r"\1@v7", text))
    done = subprocess.run([program, "--offline", tmp_path / "ci.yml"], capture_output=True, text=True, check=False)
    assert "unpinned-uses" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_workflows_commands_make_packages_a_bill_of_materials_and_the_list_of_licenses(tmp_path):
    """Every `run` of the job `packages`, in a copy of what is committed, with the changelog's date as of a release."""
    tree = tmp_path / "tree"
    subprocess.run(["git", "clone", "--quiet", ROOT, tree], check=True)
    log = tree / "CHANGELOG.md"
    wanted = versions.version()
    log.write_text(log.read_text().replace(f"## [{wanted}] - Unreleased", f"## [{wanted}] - 2027-01-02"))
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]["packages"]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "tools"], check=True)
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    } | {
        "PATH": f"{tmp_path / 'tools' / 'bin'}:{os.environ['PATH']}",
        "GITHUB_REF_NAME": f"v{wanted}",
        "GITHUB_SHA": "0123456789" * 4,
    }  # fmt: skip
    for step in job["steps"]:
        if "run" in step:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", step["run"]], cwd=tree, env=environment, capture_output=True,
                text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (step, done.stdout[-2000:], done.stderr[-2000:])
    made = {each.name for each in (tree / "dist").iterdir()}
    assert made == {
        f"mlflow_ops-{wanted}-py3-none-any.whl", f"mlflow_ops-{wanted}.tar.gz",
        f"mlflow_ops_sandbox-{wanted}-py3-none-any.whl", f"mlflow_ops_sandbox-{wanted}.tar.gz",
    }  # fmt: skip
    said = subprocess.run(
        [tree / "shipped" / "bin" / "mlflow-ops", "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert said.stdout.strip() == f"mlflow-ops {wanted} (revision 012345678901)"
    bill = json.loads((tree / "bill" / "mlflow-ops.cdx.json").read_text())
    components = {canonicalize_name(each["name"]): each["version"] for each in bill["components"]}
    assert components["mlflow-ops"] == wanted
    assert {"slack-sdk", "boto3", "kubernetes", "psycopg"} <= set(components)
    assert not {"pytest", "mlflow", "pip"} & set(components)
    listed = (tree / "bill" / "licenses.txt").read_text().splitlines()
    assert len(listed) == len(bill["components"])
    assert (tree / "notes.md").read_text().startswith("The first release.")
