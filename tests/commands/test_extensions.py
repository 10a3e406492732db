"""Commands of one's own: a package beside the product adds one, and a broken one harms no other."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "extension" / "mlflow-ops-hello"

OPERATIONS = """
from typing import ClassVar
from workers.operation import Operation, Plan, Risk
from workers.report import Report, Status

class Greet(Operation):
    name: ClassVar[str] = "greet"
    risk: ClassVar[Risk] = Risk.READ
    def run(self, systems, progress):
        return Report(title="t", status=Status.OK, summary="s")
"""
COMMANDS = '''
"""Ours: greetings."""
from commands.grammar import command, change

@command("greet", examples=("greet",))
def greet():
    """Say hello."""
    from greetings.operations import Greet
    return Greet()
'''
ASKED = """
import importlib, json, os, sys, traceback
from bot.process import check
from commands import grammar, testing
from workers import registry

def told(folder):
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    return {
        "problems": {each.word: each.problem for each in grammar.load().extensions},
        "words": sorted(grammar.load().commands),
        "operations": sorted(registry.operations()),
        "checks": [each.model_dump(mode="json") for each in check.extensions()],
        "broken": testing.broken("greet"),
    }

for folder in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            with open(os.path.join(folder, "told.json"), "w") as file:
                json.dump(told(folder), file)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.waitpid(child, 0)
"""
"""What the product sees with each folder on its path; all that it imports is imported once, hence the forks."""


def installed(folder, word="greet", package="greetings", operations=OPERATIONS, commands=COMMANDS, name="greetings"):
    """A package as pip leaves it: its modules, and what was written of it beside them."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").touch()
    (folder / package / "py.typed").touch()
    for part, text in (("operations", operations), ("commands", commands)):
        if text is not None:
            (folder / package / f"{part}.py").write_text(text)
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[mlflow_ops.commands]\n{word} = {package}\n")
    return folder


def python(folder, *words, **environment):
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *words], env={**os.environ, "PYTHONPATH": path, **environment}, capture_output=True,
        text=True, check=False, cwd=ROOT,
    )  # fmt: skip


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the product sees, by what is installed."""
    folders = {what: tmp_path_factory.mktemp("installed") for what in ("nothing", "whole", "twice", *BROKEN, *UNKEPT)}
    installed(folders["whole"])
    installed(folders["twice"], name="a-first")
    again = OPERATIONS.replace("Greet", "Again")
    installed(folders["twice"], "greet", "seconds", again, COMMANDS.replace("greetings", "seconds"), "b-second")
    for what, (given, _) in BROKEN.items():
        installed(folders[what], "wave", "waves", like_wave(OPERATIONS), like_wave(COMMANDS), "waves")
        installed(folders[what], **given)
    for what, (commands, _) in UNKEPT.items():
        installed(folders[what], commands=commands)
    done = python("", "-c", ASKED, *map(str, folders.values()))
    assert (done.returncode, done.stderr) == (0, "")
    return {what: json.loads((folder / "told.json").read_text()) for what, folder in folders.items()}


def like_wave(text):
    return text.replace("greetings", "waves").replace("greet", "wave").replace("Greet", "Wave")


@pytest.fixture
def alone(seen):
    """What there is without any."""
    return seen["nothing"]


def test_without_one_there_is_nothing_to_say(alone):
    assert alone["problems"] == {}
    assert alone["checks"] == []
    assert alone["broken"] == ["No installed package has an entry point greet of the group mlflow_ops.commands."]


def test_a_package_adds_its_word_and_its_operation_and_nothing_else(seen, alone):
    found = seen["whole"]
    assert found["problems"] == {"greet": ""}
    assert set(found["words"]) - set(alone["words"]) == {"greet"}
    assert set(found["operations"]) - set(alone["operations"]) == {"greet"}
    assert [each["status"] for each in found["checks"]] == ["ok"]
    assert found["checks"][0]["sentence"] == "Added: greet (greetings 1.0)."
    assert found["broken"] == []


def changed(text, old, new):
    assert old in text
    return text.replace(old, new)


BROKEN = {
    "that cannot be imported": (
        {"operations": "import nowhere"}, "cannot be imported: ModuleNotFoundError: No module named 'nowhere'",
    ),
    "that ends the process": ({"operations": "raise SystemExit(3)"}, "cannot be imported: SystemExit: 3"),
    "that shows a password": (
        {"operations": "raise ValueError('password=hunter2')"}, "cannot be imported: ValueError: password=***",
    ),
    "without operations": ({"operations": ""}, "It has no operation"),
    "without the module": ({"operations": None}, "No module named 'greetings.operations'"),
    "whose commands cannot be imported": ({"commands": "1/0"}, "ZeroDivisionError"),
    "without its command": ({"commands": ""}, "has no command greet"),
    "with a second word": (
        {"commands": COMMANDS + '@command("other")\ndef other():\n    """Other."""\n'},
        "other must be under the word greet",
    ),
    "without help": ({"commands": changed(COMMANDS, '    """Say hello."""\n', "")}, "has no docstring"),
    "whose operation bears another's name": (
        {"operations": changed(OPERATIONS, '"greet"', '"restart"')}, "its name must be greet, or begin with greet-",
    ),
    "whose change has no plan": (
        {"operations": changed(OPERATIONS, "Risk.READ", "Risk.CHANGE")}, "what changes something must define plan",
    ),
    "whose operation says no risk": (
        {"operations": changed(OPERATIONS, "    risk: ClassVar[Risk] = Risk.READ\n", "")},
        "its risk must be one of Risk",
    ),
    "whose operation does nothing": (
        {"operations": OPERATIONS[: OPERATIONS.index("    def run")]}, "it must define run",
    ),
    "whose operation takes anything": (
        {"operations": changed(OPERATIONS, "class Greet(Operation):\n",
                               "class Greet(Operation):\n    model_config = {'extra': 'allow'}\n")},
        "it must stay frozen, and refuse fields that it does not know",
    ),
    "with a word of ours": ({"word": "scale", "operations": changed(OPERATIONS, '"greet"', '"scale-greet"')},
                            "scale is one of the product's own commands"),
    "with an operation of ours": (
        {"word": "scale", "operations": changed(OPERATIONS, '"greet"', '"scale"')}, "is one of the product's",
    ),
    "with a word that is none": ({"word": "Greet!"}, "is no word such as hello"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_package_is_left_out_with_why_and_the_rest_stays(seen, alone, what):
    given, said = BROKEN[what]
    found = seen[what]
    word = given.get("word", "greet")
    assert said in found["problems"][word]
    assert found["problems"]["wave"] == ""
    assert set(found["words"]) == {*alone["words"], "wave"}
    (check,) = found["checks"]
    assert check["status"] == "fail"
    assert found["problems"][word] in check["sentence"]
    assert "Added: wave (waves 1.0)." in check["sentence"]


def test_of_two_packages_with_one_word_the_first_is_added(seen, alone):
    found = seen["twice"]
    assert "a-first 1.0 adds greet as well: uninstall one of them." in found["checks"][0]["sentence"]
    assert set(found["words"]) == {*alone["words"], "greet"}


UNKEPT = {
    "an example that is none": (changed(COMMANDS, '("greet",)', '("greet twice",)'), "its example: 'greet twice'"),
    "no example": (changed(COMMANDS, ', examples=("greet",)', ""), "greet has no example."),
    "Slack": ("import slack_sdk\n" + COMMANDS, "slack_sdk is imported; an operation knows nothing of Slack."),
    "a read that is made as a change": (changed(COMMANDS, '@command("greet"', '@change("greet"'), "greet only reads"),
}


@pytest.mark.parametrize("what", UNKEPT)
def test_the_kit_tells_of_a_contract_that_is_not_kept(seen, what):
    _, said = UNKEPT[what]
    found = seen[what]
    assert found["problems"] == {"greet": ""}
    assert said in " ".join(found["broken"])


def test_help_completion_and_the_reference_know_the_sample(tmp_path):
    shutil.copytree(SAMPLE / "mlflow_ops_hello", tmp_path / "mlflow_ops_hello")
    about = tmp_path / "mlflow_ops_hello-1.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.4\nName: mlflow-ops-hello\nVersion: 1.0.0\n")
    (about / "entry_points.txt").write_text("[mlflow_ops.commands]\nhello = mlflow_ops_hello\n")
    assert "Hello from MLflow" in python(tmp_path, "-m", "bot", "run", "help").stdout
    assert "hello play ada --dry-run" in python(tmp_path, "-m", "bot", "run", "hello play --help").stdout
    assert (
        "| `/mlflow hello play NAME` | Make an experiment to play with. | operator |"
        in python(tmp_path, "-m", "bot", "config", "commands").stdout
    )
    mistake = python(tmp_path, "-m", "bot", "run", "hello pley ada")
    assert mistake.returncode == 2
    assert "hello play" in mistake.stderr
    said = python(tmp_path, "-c", "from commands.testing import broken; print(broken('hello'))")
    assert said.stdout.strip() == "[]", said.stderr
