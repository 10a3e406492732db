"""Each command, asked for in a sandbox, says what its golden file says, but for what moves (`frames`).

What is kept is what an operation has really said; test_seen.py shows it as people see it. After a change of words:

    pytest -m slow tests/golden/test_said.py --renew-golden && pytest tests/golden/test_seen.py --renew-golden
"""

import pytest

from commands import grammar
from mlflow_ops_sandbox import testing
from tests.golden import kept
from tests.golden.cases import BACKED_UP, BROKEN, DONE, EMPTY, PLANS, REFUSED, WELL
from tests.golden.frames import alike, of
from workers import settings
from workers.engine import performing
from workers.errors import AlreadySo, OperatorError
from workers.operation import Plan, Risk, Unwatched
from workers.operations.history.store import History
from workers.records.keys import PREFIX
from workers.report import Report, Table
from workers.settings.people import Called
from workers.systems import Systems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
WITHOUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")


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


def unmeasured(systems):
    """As before the first health check: that of the sandbox's own start, which comes when it is ready, is forgotten."""
    testing.wait_for(lambda: History(systems.redis).said(), "the sandbox's own health report", 60)
    systems.redis.delete(*systems.redis.scan_iter(f"{PREFIX}history:*"))


def at_any_hour(told):
    """These settings, by which the same people are called day and night."""
    escalation = told.ops.escalation.model_copy(update={"devops": Called()})
    return told.model_copy(update={"ops": told.ops.model_copy(update={"escalation": escalation})})


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


def test_each_command_says_what_its_file_says(world, request, monkeypatch):
    renew = request.config.getoption("--renew-golden")
    for name, value in world.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    systems = Systems(at_any_hour(settings.load(world.process_env)))
    unmeasured(systems)
    names, wrong, seen = names_in(systems), [], set()

    def ask(cases):
        for case in cases:
            words, what = said(case, systems, names)
            seen.add(case.name)
            if renew:
                kept.write(case.name, words, what, str(world.path))
                continue
            before = kept.read(case.name)[1] if (kept.SAID / f"{case.name}.json").exists() else None
            if not alike(grammar.parse(words), what, before):
                wrong.append((case.name, of(what), before and of(before)))

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
    # Two targets may share a Redis: whatever a command keeps there bears its target's name, or is RQ's.
    ours = (f"mlflow-ops:{systems.settings.environment.target}:", "rq:")
    assert [key for key in map(bytes.decode, systems.redis.scan_iter()) if not key.startswith(ours)] == []
    assert not wrong, "\n".join(map(str, wrong))
    assert {file.stem for file in kept.SAID.iterdir()} == seen
    assert all(isinstance(kept.read(name)[1], (Report, Plan, OperatorError)) for name in seen)
