"""docs/safety.md names tests that exist."""

import ast
import re
import subprocess
import sys

import pytest


def named(documents):
    return documents.rows("safety.md", 3)


def names_in(file):
    return {node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)}


def test_there_are_twelve_rules_and_each_names_tests_that_exist(documents):
    rules = named(documents)
    assert [int(rule.split(".")[0]) for rule, _, _ in rules] == list(range(1, 13))
    missing = []
    for rule, kept, tested in rules:
        assert kept, rule
        references = re.findall(r"`((?:deploy/sandbox/)?tests/[^`:]+)::(test_[a-z0-9_]+)`", tested)
        assert references, rule
        for path, name in references:
            file = documents.ROOT / path
            if not file.exists() or name not in names_in(file):
                missing.append(f"{path}::{name}")
    assert missing == []


@pytest.mark.parametrize(
    "source", ["import os\nos.system('ls')\n", "import subprocess\nsubprocess.run('ls', shell=True)\n"]
)
def test_a_shell_string_would_be_seen(tmp_path, source):
    (tmp_path / "bad.py").write_text(source)
    assert linted(tmp_path, tmp_path).returncode == 1


def test_no_program_gets_a_shell_string(documents):
    done = linted(documents.ROOT, *(documents.ROOT / name for name in ("bot", "commands", "workers", "deploy")))
    assert done.returncode == 0, done.stdout


def linted(folder, *paths):
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "S602,S604,S605"]
    return subprocess.run([*command, *map(str, paths)], cwd=folder, capture_output=True, text=True, check=False)
