"""The plan of the house: imports go down only, Block Kit and sizes stay where they belong; each rule can fail."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bot", "commands", "workers")


@pytest.fixture
def copy(tmp_path):
    """The product's packages and their contracts, to be spoiled."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def linted(tree):
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


def test_the_contracts_hold():
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("workers/systems/redis.py", "import workers.records.keys"),
        ("workers/engine/locks.py", "import workers.operations.restore.database"),
        ("workers/wording.py", "from workers import settings"),
        ("commands/policy.py", "import bot.slash"),
        ("workers/operations/health/pods.py", "import slack_sdk"),
        ("workers/engine/queues.py", "import workers.engine.running"),
        ("bot/process/scheduler.py", "import rq"),
        ("workers/new_room.py", '"""A room that is on no floor."""'),
    ],
)
def test_an_import_that_goes_up_or_round_is_found(copy, path, line):
    file = copy / path
    file.write_text(f"{file.read_text() if file.exists() else ''}\n{line}\n")
    done = linted(copy)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout


def test_workers_has_few_doors():
    entries = {each.name for each in (ROOT / "workers").iterdir() if each.name != "__pycache__"}
    assert len(entries) <= 14, sorted(entries)


def test_no_file_is_longer_than_four_hundred_lines():
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines())
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


def types_made(file):
    """What the dictionaries that a module spells out name as their type."""
    pairs = (
        pair
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Dict)
        for pair in zip(node.keys, node.values, strict=True)
    )
    constants = [(key.value, value.value) for key, value in pairs if {type(key), type(value)} == {ast.Constant}]
    return {value for key, value in constants if key == "type"}


KINDS_OF_BLOCKS = {
    "blocks": {"section", "header", "divider", "context", "actions", "input", "button", "modal", "home", "mrkdwn"},
    "richtext": {"rich_text", "rich_text_section", "link", "emoji"},
    "tables": {"table", "data_table", "raw_text", "raw_number"},
    "plans": {"plan", "task_card"},
    "visuals": {"data_visualization", "pie"},
}
"""Each kind of block is made in one module of workers/rendering."""


def test_each_kind_of_block_is_made_in_one_module():
    known = {"image", "video", "file", "overflow", "checkboxes", "radio_buttons", "datepicker"}
    for module, kinds in KINDS_OF_BLOCKS.items():
        assert kinds <= types_made(ROOT / "workers" / "rendering" / f"{module}.py"), module
        known |= kinds
    for file in (file for package in PACKAGES for file in (ROOT / package).rglob("*.py")):
        own = KINDS_OF_BLOCKS.get(file.stem, set()) if file.parent.name == "rendering" else set()
        assert not types_made(file) & known - own, file


def ran(program):
    """In a process that inherits nothing of what this one has told RQ."""
    env = {name: value for name, value in os.environ.items() if name != "RQ_KEY_PREFIX"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", ["bot.process.scheduler", "bot.process.metrics", "bot.app", "workers.engine.worker"])
def test_rq_has_our_prefix_whatever_is_imported_first(module):
    done = ran(f"import {module}, rq.defaults; print(rq.defaults.RQ_KEY_PREFIX)")
    assert done.stdout.strip() == "mlflow-ops:mlflow:rq", done.stderr


def test_rq_that_was_imported_too_early_is_said():
    assert "rq was imported before workers" in ran("import rq, workers.engine.queues").stderr
