"""docs/adding-a-command.md, followed word by word in a copy of the tree."""

import os
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]
OPERATION = "workers/operations/deployment/image.py"
TEST = "tests/workers/operations/deployment/test_image.py"


@pytest.fixture(scope="module")
def copy(documents, tmp_path_factory):
    """The tree with the guide's three files in it, and nothing else changed."""
    tree = tmp_path_factory.mktemp("copy") / "tree"
    tree.mkdir()
    for name in ("bot", "commands", "workers", "deploy", "tests"):
        shutil.copytree(documents.ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(documents.ROOT / name, tree)
    text = (documents.DOCS / "adding-a-command.md").read_text()
    files = re.findall(r'^```python title="(\S+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert [path.split("/")[0] for path, _ in files] == ["workers", "commands", "tests"]
    for path, content in files:
        assert not (tree / path).exists()
        (tree / path).write_text(content)
    return tree


def ran(copy, *words, **environment):
    env = {**os.environ, "PYTHONPATH": str(copy), **environment}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=copy, env=env, capture_output=True, text=True, check=False
    )


def test_the_command_works_in_the_terminal_and_help_knows_it(copy, sandbox):
    environment = sandbox.env
    done = ran(copy, "bot", "run", "image", **environment)
    assert done.returncode == 0, done.stderr
    assert "MLflow runs " in done.stdout
    assert "Show which image MLflow runs." in ran(copy, "bot", "run", "help image").stdout
    assert re.search(r"^ *image .*Show which image", ran(copy, "bot", "run", "help").stdout, re.MULTILINE)


def test_the_guides_test_passes(copy):
    done = ran(copy, "pytest", "-q", "-p", "no:cacheprovider", TEST)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "2 passed" in done.stdout


def test_the_linters_and_the_layers_have_nothing_against_it(copy):
    new = (OPERATION, "commands/image.py", TEST)
    checked = ran(copy, "ruff", "check", "--no-cache", *new)
    assert checked.returncode == 0, checked.stdout
    formatted = ran(copy, "ruff", "format", "--no-cache", "--check", *new)
    assert formatted.returncode == 0, formatted.stdout
    typed = ran(copy, "mypy", "--cache-dir", str(copy / ".mypy"), *new[:2])
    assert typed.returncode == 0, typed.stdout


def test_without_the_operation_the_guides_test_fails(copy):
    (copy / OPERATION).unlink()
    assert ran(copy, "pytest", "-q", "-p", "no:cacheprovider", TEST).returncode != 0
