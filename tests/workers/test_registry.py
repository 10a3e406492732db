"""The registry finds operations and commands by being there; adding one touches nothing else."""

import importlib
import sys

import pytest

import commands
import workers
from commands import grammar
from workers import registry
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Risk
from workers.report import Report, Status
from workers.systems import Systems

OPERATION = """
from workers.operation import Operation, Risk
from workers.report import Report, Status


class Greet(Operation):
    name = "greet"
    risk = Risk.READ
    who: str

    def run(self, systems, progress):
        return Report(title="Greeting", status=Status.OK, summary=f"Hello {self.who}.")
"""
COMMAND = '''
import click

from commands.grammar import command
from workers.greeting import Greet


@command("greet", examples=("greet Vera",))
@click.argument("who")
def greet(who):
    """Say hello."""
    return Greet(who=who)
'''


@pytest.fixture
def a_new_command(tmp_path, monkeypatch):
    """One module in each package, as somebody would add them."""
    for package, name, source in ((workers, "greeting", OPERATION), (commands, "manners", COMMAND)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    forget()
    yield
    for name in ("workers.greeting", "commands.manners"):
        sys.modules.pop(name, None)
    forget()


def forget():
    importlib.invalidate_caches()
    grammar.load.cache_clear()
    registry.forget()


def test_a_command_is_added_by_one_module_and_one_operation(a_new_command, settings_of_nothing):
    assert ("greet", "Say hello.") in grammar.suggestions()
    operation = grammar.parse("greet Vera")
    again = registry.build(operation.name, operation.model_dump(mode="json"))
    assert again == operation
    report = performing.perform(again, Systems(settings_of_nothing), progress=None)
    assert report.summary == "Hello Vera."
    assert report.status is Status.OK
    with pytest.raises(grammar.UsageError, match="Did you mean “/mlflow greet Vera”"):
        grammar.parse("gret Vera")


def test_it_is_gone_when_its_modules_are():
    assert "greet" not in [path for path, _ in grammar.suggestions()]


def test_every_operation_is_named_and_says_its_risk():
    for name, kind in registry.operations().items():
        assert name == kind.name
        assert isinstance(kind.risk, Risk)
        assert kind.timeout_seconds > 0


def test_an_unknown_operation_and_a_wrong_argument_are_sentences():
    with pytest.raises(OperatorError, match="There is no operation called 'nope'"):
        registry.build("nope", {})
    with pytest.raises(OperatorError, match=r"health: .* is not valid"):
        registry.build("health", {"deadline_seconds": "soon"})


def test_a_report_survives_json():
    report = Report(title="t", status=Status.OK, summary="s", hints=("health",))
    assert Report.model_validate_json(report.model_dump_json()) == report
