"""Changes whose answer from MLflow never came: told as what they became, by every command that changes something."""

import ast
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from commands import grammar
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations import late_answers
from workers.report import Status
from workers.systems.errors import (
    TrackingBehindProxy,
    TrackingInvalid,
    TrackingLate,
    TrackingTimeout,
    TrackingUnreachable,
)

ROOT = Path(__file__).parents[3]
CHANGING = ("create", "update", "delete", "restore", "set-", "log-", "alias", "transition", "rename")
BY_THOUSANDS = "runs/archive.py"
"""It repeats each call until it is answered, and counts by what MLflow has then (runs/pace.py)."""


@dataclass(frozen=True)
class Deaf:
    """The real MLflow, whose answer to a change does not arrive. made: whether the change does."""

    real: object
    error: type
    made: bool = True

    def call(self, method, body, verb="POST"):
        if not any(word in method for word in CHANGING):
            return self.real.call(method, body, verb=verb)
        if self.made:
            self.real.call(method, body, verb=verb)
        raise self.error("MLflow at h:1 does not answer within 10 s.", "Check the Service.")

    def within(self, seconds):
        return replace(self, real=self.real.within(seconds))

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.fixture
def answered_late(mlflow, monkeypatch):
    """Carries out a command whose change is made, or not, and never answered."""
    monkeypatch.setattr(late_answers, "LOOK_SECONDS", 0.01)

    def perform(words, error=TrackingTimeout, *, made=True):
        systems = replace(mlflow)
        vars(systems)["tracking"] = Deaf(mlflow.tracking, error, made)
        return performing.perform_here(grammar.parse(words), words, "olga", systems, Unwatched())

    return perform


@pytest.fixture
def world(mlflow, experiment, log_run):
    """What the commands are about: names in braces of the table below."""
    run = log_run(experiment[0], "a", tags={"old": "1"})
    gone = log_run(experiment[0], "b")
    mlflow.tracking.call("runs/delete", {"run_id": gone})
    model = f"model {experiment[1]}"
    mlflow.tracking.call("registered-models/create", {"name": model})
    for _ in range(2):
        mlflow.tracking.call("model-versions/create", {"name": model, "source": f"runs:/{run}/m", "run_id": run})
    mlflow.tracking.call("registered-models/alias", {"name": model, "alias": "held", "version": "1"})
    mlflow.tracking.call("registered-models/set-tag", {"name": model, "key": "old", "value": "1"})
    yield {"experiment": experiment[1], "run": run, "gone": gone, "model": shlex.quote(model)}
    mlflow.tracking.call("registered-models/delete", {"name": model}, verb="DELETE")


COMMANDS = (
    "experiments create {experiment}-new",
    "experiments rename {experiment} {experiment}-renamed",
    "experiments delete {experiment}",
    "runs tag {run} team=search",
    "runs untag {run} old",
    "runs param {run} seed=1",
    "models alias {model} champion 2",
    "models unalias {model} held",
    "models tag {model} team=search",
    "models untag {model} old",
    "models stage {model} 1 Archived",
    "restore run {gone}",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_change_that_was_made_is_told_as_made_although_no_answer_came(answered_late, world, command):
    report = answered_late(command.format(**world))
    assert (report.status, "does not answer" in report.summary) == (Status.OK, False)
    if report.undo:
        assert answered_late(report.undo).status is Status.OK


@pytest.mark.parametrize("error", [TrackingTimeout, TrackingLate, TrackingUnreachable, TrackingBehindProxy])
def test_a_change_that_is_not_made_is_never_told_as_made(answered_late, world, monkeypatch, error):
    monkeypatch.setattr(late_answers, "LATE_SECONDS", 0.05)
    monkeypatch.setattr(late_answers.change, "__kwdefaults__", {"verb": "POST", "wait_seconds": 0.05})
    waited_for = error in (TrackingTimeout, TrackingLate)
    with pytest.raises(OperatorError, match="it is not done" if waited_for else "does not answer within"):
        answered_late(f"runs tag {world['run']} team=search", error, made=False)


def test_a_refusal_is_a_refusal(answered_late, world):
    with pytest.raises(TrackingInvalid):
        answered_late(f"runs tag {world['run']} team=search", TrackingInvalid, made=False)


def test_what_is_made_later_is_waited_for(mlflow, monkeypatch):
    monkeypatch.setattr(late_answers, "LOOK_SECONDS", 0.01)
    looks = iter([False, OperatorError("MLflow is busy."), False, True])

    def made():
        look = next(looks)
        if isinstance(look, OperatorError):
            raise look
        return look

    late_answers.change(Deaf(mlflow.tracking, TrackingTimeout, made=False), "runs/delete", {}, made, Unwatched())
    assert list(looks) == []


def test_no_command_changes_something_in_another_way():
    """Every call of a changing method goes through `change`, but for the ones that are made by the thousand."""
    found = []
    for path in (ROOT / "workers" / "operations").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call"):
                continue
            method = ast.unparse(node.args[0]) if node.args else ""
            if path.name != "late_answers.py" and any(word in method for word in CHANGING):
                found.append(str(path.relative_to(ROOT / "workers" / "operations")))
    assert set(found) == {BY_THOUSANDS}
