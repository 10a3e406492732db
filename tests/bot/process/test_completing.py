"""What Tab offers after `mlflow-ops run`: words, options, their values, and names of what there is."""

import shutil
import subprocess
import sys

import click
import pytest

from bot.process import completing
from commands import grammar
from workers.operations.history import metrics

THERE = {
    "experiment": [("load-forecast-eu", "3"), ("12", "day ahead"), ("price", "4")],
    "set": [("latest", ""), ("1a2b3c", "2026-11-23 12:00 UTC")],
    "pod": [("mlflow-7c9d-x7k2p", "Running")],
    "metric": [(each.name, each.title) for each in metrics.METRICS],
}


def offered(line):
    *words, last = line.split(" ")
    return [value for value, _ in completing.candidates(words, last, THERE.__getitem__)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("exp", ["experiments"]),
        ("EXP", ["experiments"]),
        ("experiments re", ["rename", "restore"]),
        ("help exp", ["experiments"]),
        ("experiments list --", ["--all", "--deleted", "--page", "--help"]),
        ("experiments list --all --", ["--deleted", "--page", "--help"]),
        ("experiments show ", ["load-forecast-eu", "12", "price"]),
        ("runs search lo", ["load-forecast-eu"]),
        ("runs compare price load-forecast-eu ", ["load-forecast-eu", "12", "price"]),
        ("backup d", ["database"]),
        ("backup show ", ["latest", "1a2b3c"]),
        ("restore database 1", ["1a2b3c"]),
        ("restore run abc --from l", ["latest"]),
        ("logs --pod ", ["mlflow-7c9d-x7k2p"]),
        ("logs --pod mlflow --level wa", ["warning"]),
        ("describe pod ml", ["mlflow-7c9d-x7k2p"]),
        ("health pods po", ["pods", "postgres"]),
        ("trend cer", ["certificate"]),
        ("nonsense ", []),
        ("experiments show price x", []),
    ],
)
def test_what_may_follow(line, expected):
    assert offered(line) == expected


def leaves(command=None, path=()):
    command = command or grammar.load()
    for name, each in command.commands.items():
        if isinstance(each, click.Group):
            yield from leaves(each, (*path, name))
        else:
            yield (*path, name), each


def test_every_command_can_be_reached_by_tab_and_so_can_its_options():
    for path, command in leaves():
        for at in range(len(path)):
            assert path[at] in offered(" ".join((*path[:at], path[at][:1])))
        options = {each.opts[0] for each in command.params if isinstance(each, click.Option)}
        assert set(offered(" ".join((*path, "--")))) == options | {"--help"}, path


def test_every_kind_of_name_can_be_asked_for():
    kinds = {
        each.type.of for _, command in leaves() for each in command.params if isinstance(each.type, grammar.NameOf)
    }
    assert kinds == set(completing._ASKING) == set(THERE)


def test_words_in_quotes_are_completed_too():
    (found,) = completing.items((), '"experiments sh')
    assert found.value == '"experiments show'
    assert [each.value for each in completing.items(("experiments",), "sh")] == ["show"]


def test_what_does_not_answer_completes_nothing_and_says_nothing(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert completing.remembered("experiment") == []
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert completing.remembered("experiment") == []
    assert capfd.readouterr() == ("", "")


def test_names_are_asked_for_once_a_minute(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(completing, "asked", lambda kind: asked.append(kind) or [("a", "1")])
    assert completing.remembered("pod") == completing.remembered("pod") == [("a", "1")]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    completing.remembered("pod")
    assert asked == ["pod", "pod"], "another installation has other names"
    monkeypatch.setattr(completing, "KEPT_SECONDS", 0.0)
    completing.remembered("pod")
    assert len(asked) == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told(shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on PATH")
    program = tmp_path / "mlflow-ops"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from bot.process.cli import main; main(prog_name=\'mlflow-ops\')" "$@"\n'
    )
    program.chmod(0o755)
    ask = {
        "bash": f'PATH={tmp_path}:$PATH; eval "$(mlflow-ops completion bash)"; COMP_WORDS=(mlflow-ops run exp);'
        ' COMP_CWORD=2; _mlflow_ops_completion mlflow-ops; echo "${COMPREPLY[@]}"',
        "fish": f"set -x PATH {tmp_path} $PATH; mlflow-ops completion fish | source; complete -C 'mlflow-ops run exp'",
        "zsh": f"PATH={tmp_path}:$PATH; autoload -U compinit; compinit -u; compdef() {{ :; }};"
        ' eval "$(mlflow-ops completion zsh)"; _MLFLOW_OPS_COMPLETE=zsh_complete COMP_WORDS="mlflow-ops run exp"'
        " COMP_CWORD=2 mlflow-ops",
    }[shell]
    done = subprocess.run([shell, "-c", ask], capture_output=True, text=True, check=False)
    assert "experiments" in done.stdout, done.stderr
