"""Each command, asked for in a sandbox, says what its golden file says, but for names, figures and moments.

What is kept is what an operation has really said; test_seen.py shows it as people see it. After a change of words:

    pytest -m slow tests/golden/test_said.py --renew-golden && pytest tests/golden/test_seen.py --renew-golden
"""

import re
from contextlib import suppress

import pytest

from commands import grammar
from mlflow_ops_sandbox import testing
from tests.golden import kept
from tests.golden.cases import BACKED_UP, BROKEN, DONE, EMPTY, PLANS, REFUSED, WELL
from workers import settings
from workers.engine import performing
from workers.errors import AlreadySo, OperatorError
from workers.operation import Plan, Risk, Unwatched
from workers.report import Report, Table
from workers.systems import Systems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
WITHOUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")
MOVES = re.compile(r"[0-9a-f]{6,}|[0-9][0-9.,:]*( ?(ms|s|min|h|d|days?|B|KiB|MiB)\b)*|\b(one|an?)\b")
FIGURES = (
    "health",
    "digest",
    "latency",
    "storage",
    "db-",
    "events",
    "top",
    "logs",
    "trend",
    "schedule",
    "backup",
    "audit",
)
"""Whose first line is a figure, or a moment, of the world that it is asked in."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    words = (word for part in WITHOUT for word in ("--without", part))
    started = testing.start(tmp_path_factory.mktemp("golden") / "data", *words)
    yield started
    testing.remove(started)


def said(case, systems, names):
    """What the command says; a change is planned only, unless it is to be done."""
    words = case.words.format(**names)
    asked = grammar.parse(words)
    try:
        if asked.risk is Risk.READ or case.do:
            return words, performing.perform_here(asked, words, "olga", systems, Unwatched())
        return words, asked.plan(systems)
    except AlreadySo as so:
        return words, performing.already(asked, so)
    except OperatorError as error:
        return words, error


def names_in(systems):
    """What the sandbox has, by the names that the cases use."""
    runs = systems.tracking.call("runs/search", {"experiment_ids": _experiments(systems), "max_results": 3})["runs"]
    ids = [run["info"]["run_id"] for run in runs]
    pods = systems.cluster.pods(systems.settings.ops.kubernetes.selector)
    return {"run": ids[0], "runs": " ".join(ids), "pod": pods[0]["metadata"]["name"], "set": ""}


def _experiments(systems):
    found = systems.tracking.call("experiments/search", {"max_results": 50})["experiments"]
    return [each["experiment_id"] for each in found]


def the_set(systems):
    report = performing.perform_here(grammar.parse("backup list"), "backup list", None, systems, Unwatched())
    return next(str(row[0]) for each in report.sections if isinstance(each, Table) for row in each.rows)


def frame(text):
    """What stays the same from one world to another."""
    return MOVES.sub("#", text)


def of(name, what):
    """What of it is compared: its frame, the check's names or the tables' columns, and the steps of a plan."""
    if isinstance(what, OperatorError):
        return ("refused", frame(what.message), frame(what.hint))
    if isinstance(what, Plan):
        return ("plan", what.title, frame(what.summary), [frame(each) for each in what.steps])
    columns = [each.columns for each in what.sections if isinstance(each, Table)]
    summary = () if name.startswith(FIGURES) else (frame(what.summary), str(what.status))
    return ("report", what.title, *summary, columns, [check.name for check in what.checks])


def test_each_command_says_what_its_file_says(world, request, monkeypatch):
    renew = request.config.getoption("--renew-golden")
    for name, value in world.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    systems = Systems(settings.load(world.process_env))
    names, wrong, seen = names_in(systems), [], set()

    def ask(cases):
        for case in cases:
            words, what = said(case, systems, names)
            seen.add(case.name)
            if renew:
                kept.write(case.name, words, what, str(world.path))
                continue
            with suppress(FileNotFoundError):
                if of(case.name, what) == of(case.name, kept.read(case.name)[1]):
                    continue
            wrong.append((case.name, of(case.name, what)))

    ask((*EMPTY, *WELL, *PLANS, *DONE))
    names["set"] = the_set(systems)
    ask((*BACKED_UP, *REFUSED))
    world.pause("postgres")
    try:
        ask(BROKEN)
    finally:
        world.resume("postgres")
    if renew:
        for file in kept.SAID.iterdir():
            if file.stem not in seen:
                file.unlink()
    assert not wrong, "\n".join(map(str, wrong))
    assert {file.stem for file in kept.SAID.iterdir()} == seen
    assert all(isinstance(kept.read(name)[1], (Report, Plan, OperatorError)) for name in seen)
