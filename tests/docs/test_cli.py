"""docs/cli.md: each command is one, each is named, and the exit codes and streams are those that it says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

from bot.process import commands_reference, manual, reference
from bot.process.cli import main
from commands import grammar


def ran(words, **environment):
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}
    return subprocess.run(
        [sys.executable, "-m", "bot", *words], env={**keep, **environment}, capture_output=True, text=True, check=False
    )


def every_command(group=main, path=()):
    for name, command in group.commands.items():
        yield from every_command(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]


def test_the_table_names_every_command_and_each_can_be_typed(documents):
    typed = [shlex.split(cells[0].strip("`"))[1:] for cells in documents.rows("cli.md", 2)]
    for words in typed:
        assert CliRunner().invoke(main, [*words, "--help"]).exit_code == 0, words
    named = {tuple(words[: len(path)]) for words in typed for path in every_command()}
    assert not set(every_command()) - named


@pytest.mark.parametrize(
    ("words", "environment", "code"),
    [
        (["--version"], {}, 0),
        (["run", "help"], {}, 0),
        (["config", "reference"], {}, 0),
        (["completion", "zsh"], {}, 0),
        (["audit", "verify"], {"REDIS_URL": "redis://127.0.0.1:1/0"}, 1),
        (["run", "heatlh"], {}, 2),
        (["run", "health", "--nonsense"], {}, 2),
        (["nonsense"], {}, 2),
        (["bot"], {}, 2),
        (["worker", "--queue", "ops"], {"MLFLOW_OPS_CONFIG": "/nowhere"}, 2),
        (["run", "health"], {"SLACK_BOT_TOKEN": "wrong"}, 2),
        (["run", "experiments", "list", "--nonsense"], {}, 2),
        (["run", "experiments", "list", "-h"], {}, 0),
        (["man"], {}, 0),
        (["config", "schema"], {}, 0),
        (["run", "-o", "nonsense", "health"], {}, 2),
        (["run", 'scale 4 --break-glass "because of this"'], {}, 2),
    ],
)
def test_exit_codes_and_streams(words, environment, code):
    done = ran(words, **environment)
    assert done.returncode == code, done.stderr
    assert bool(done.stdout) is (code == 0)
    assert bool(done.stderr) is (code != 0)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["run", "health", "-o", "json"], ["check", "--json"]])
def test_where_nothing_could_be_asked_the_code_says_so(words):
    done = ran(words)
    assert done.returncode == 3, done.stderr
    verdicts = {each["status"] for each in json.loads(done.stdout)["checks"]}
    assert "unknown" in verdicts
    assert "fail" not in verdicts


def test_the_exit_codes_of_the_manual_are_those_of_the_document(documents):
    assert [tuple(cells[:2]) for cells in documents.rows("cli.md", 3)] == list(manual.EXIT_CODES)


@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("run --help", 0), ("run helth", 2), ("nonsense", 2)])
def test_help_and_a_typing_mistake_load_click_and_little_else(words, code):
    script = f"""
import sys
from bot.process.cli import main
try:
    main({words.split()}, prog_name="mlflow-ops")
except SystemExit as end:
    assert end.code == {code}, end.code
print("\\nloaded", *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in done.stdout.rpartition("loaded")[2].split()}
    assert "click" in loaded
    assert not loaded & {"pydantic", "structlog", "rich", "slack_bolt", "boto3", "kubernetes", "mlflow", "psycopg"}


def test_without_the_sandbox_one_sentence_says_how_to_install_it():
    script = (
        "import importlib.metadata as metadata; metadata.entry_points = lambda **_: ();"
        "from bot.process.cli import main; main(['sandbox', 'status'], prog_name='mlflow-ops')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "pip install mlflow-ops-sandbox" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_says_of_the_sandbox_what_the_sandbox_says():
    (found,) = {point.value: point for point in entry_points(group="mlflow_ops.sandbox", name="sandbox")}.values()
    context = click.Context(main, info_name="mlflow-ops")
    assert main.get_command(context, "sandbox").get_short_help_str(200) == found.load().get_short_help_str(200)
    assert main.resolve_command(context, ["sandbox", "status"]) == ("sandbox", found.load(), ["status"])


def test_a_process_that_was_killed_does_not_make_the_next_one_ready(tmp_path):
    (tmp_path / "ready").touch()
    done = ran(["worker", "--queue", "ops"], MLFLOW_OPS_READY_FILE=str(tmp_path / "ready"))
    assert done.returncode == 2, "it has no Redis"
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(shell, documents):
    assert "_MLFLOW_OPS_COMPLETE" in ran(["completion", shell]).stdout
    asked = {"_MLFLOW_OPS_COMPLETE": f"{shell}_complete", "COMP_WORDS": "mlflow-ops wo", "COMP_CWORD": "1"}
    if shell == "fish":
        asked["COMP_CWORD"] = "wo"
    script = "import sys; sys.argv[0] = 'mlflow-ops'; from bot.process.cli import main; main(prog_name='mlflow-ops')"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert "worker" in done.stdout
    assert "scheduler" not in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not on PATH")
def test_a_shell_that_was_told_completes(tmp_path):
    program = tmp_path / "mlflow-ops"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from bot.process.cli import main; main(prog_name=\'mlflow-ops\')" "$@"\n'
    )
    program.chmod(0o755)
    script = """
        eval "$(mlflow-ops completion bash)"
        complete -p mlflow-ops
        COMP_WORDS=(mlflow-ops worker --queue "") COMP_CWORD=3
        _mlflow_ops_completion mlflow-ops
        echo "${COMPREPLY[@]}"
    """
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euc", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "quick ops"


def test_the_configuration_document_is_current(documents):
    assert (documents.DOCS / "configuration.md").read_text() == reference.markdown() + "\n", (
        "run: mlflow-ops config reference > docs/configuration.md"
    )


def test_the_commands_document_is_current(documents):
    assert (documents.DOCS / "commands.md").read_text() == commands_reference.markdown(), (
        "run: mlflow-ops config commands > docs/commands.md"
    )


def test_the_commands_document_names_every_command_and_who_may(documents):
    rows = documents.rows("commands.md", 3)
    named = {row[0].strip("`").removeprefix("/mlflow ") for row in rows}
    for words, _ in grammar.suggestions():
        assert words == "help" or any(name.startswith(words) for name in named), words
    assert {row[2].split(",")[0].split(";")[0] for row in rows} <= {"viewer", "operator", "approver", "admin"}
    assert [row[0] for row in rows if not row[1]] == []


def test_the_configuration_document_says_something_of_each_variable(documents):
    assert [cells[0] for cells in documents.rows("configuration.md", 2) if not cells[1]] == []


READ_ELSEWHERE = {
    "RQ_WORKER_ID", "KUBERNETES_SERVICE_HOST", "REQUESTS_CA_BUNDLE", "PATH", "MLFLOW_ARTIFACTS_DESTINATION",
}  # fmt: skip
"""Set by RQ and by the kubelet; botocore's own; the system's; written for MLflow's gc in its own pod."""


def test_every_variable_that_a_process_reads_is_in_the_table(documents):
    """Those of the settings come from their model; here is what is read beside it."""
    named = {cells[0].strip("`") for cells in documents.rows("configuration.md", 2)}
    read = set()
    for package in ("bot", "commands", "workers"):
        for file in (documents.ROOT / package).rglob("*.py"):
            read |= set(re.findall(r"""os\.(?:environ(?:\.get\(|\[)|getenv\()["']([A-Z_]+)["']""", file.read_text()))
    assert "MLFLOW_OPS_TARGET" in read, "the pattern finds what it is for"
    assert read - named - READ_ELSEWHERE - {"RQ_KEY_PREFIX"} == set()
    assert {"MLFLOW_OPS_DATABASE_ADMIN_URL", "MLFLOW_OPS_DATABASE_URL", "MLFLOW_OPS_CONFIG"} <= named
