"""Experiments on a real MLflow server: found by name or id, made, renamed, deleted and brought back."""

import re
import shlex
import uuid

import pytest

from commands import grammar
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.report import Status
from workers.systems import Systems
from workers.wording import NOTHING


@pytest.fixture(scope="module")
def systems(sandbox):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in sandbox.process_env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield Systems(settings.load(sandbox.process_env))


@pytest.fixture
def run(systems):
    return lambda words: performing.perform_here(grammar.parse(words), words, "olga", systems, Unwatched())


@pytest.fixture
def name():
    return f"tests {uuid.uuid4().hex[:8]}"


def rows(report):
    return [row for section in report.sections if section.kind == "table" for row in section.rows]


def row(report, name):
    return next(each for each in rows(report) if each[0] == name)


def test_active_ones_are_listed_with_their_runs(run):
    report = run("experiments list")
    assert row(report, "load-forecast-eu")[2:5] == ("active", "10", "0")
    assert row(report, "emissions-anomaly")[2:5] == ("active", "9", "1")
    assert "ranking-prototype" not in {each[0] for each in rows(report)}
    assert row(report, "load-forecast-eu")[5].endswith(" UTC")


def test_sizes_are_those_that_storage_found_last(run, systems):
    empty = run("experiments create " + shlex.quote(f"empty {uuid.uuid4().hex[:6]}"))
    run("storage --fresh")
    report = run("experiments list")
    assert "Sizes of " in report.summary
    assert (
        row(report, "load-forecast-eu")[6]
        == dict(run("experiments show load-forecast-eu").sections[0].items)["artifacts"].partition(", ")[2]
    )
    assert row(report, empty.summary.split("“")[1].split("”")[0])[6] == NOTHING
    alone = Systems(settings.load({"MLFLOW_TRACKING_URI": systems.tracking.base}))
    bare = performing.perform(grammar.parse("experiments list"), alone, Unwatched())
    assert row(bare, "load-forecast-eu")[3:] == (NOTHING,) * 4
    run(empty.undo)


def test_deleted_ones_are_listed_where_asked_for(run):
    assert row(run("experiments search ranking --deleted"), "ranking-prototype")[2:5] == ("deleted", "0", "3")
    assert row(run("experiments search ranking --all"), "ranking-prototype")
    assert "load-forecast-eu" not in {each[0] for each in rows(run("experiments list --deleted"))}


def test_search_looks_at_names_and_tags(run):
    assert {each[0] for each in rows(run("experiments search FORECAST"))} >= {
        "load-forecast-eu",
        "carbon-intensity-forecast",
    }
    assert "contract-extraction" in {each[0] for each in rows(run("experiments search documents"))}
    nothing = run("experiments search nosuchthing")
    assert nothing.summary == "There is no active experiment with “nosuchthing”."
    assert nothing.hints == ("experiments search nosuchthing --all",)


def test_more_than_a_page_is_told_and_can_be_asked_for(run, systems):
    text = f"page{uuid.uuid4().hex[:6]}"
    made = [systems.tracking.call("experiments/create", {"name": f"{text}-{index}"}) for index in range(23)]
    first = run(f"experiments search {text}")
    assert len(rows(first)) == 20
    assert first.hints[0] == f"experiments search {text} --page 2"
    assert [(offer.label, offer.command) for offer in first.offers] == [("Next page", first.hints[0])]
    second = run(first.hints[0])
    assert len(rows(second)) == 3
    assert [(offer.label, offer.command) for offer in second.offers] == [
        ("Previous page", f"experiments search {text}")
    ]
    assert not {each[0] for each in rows(first)} & {each[0] for each in rows(second)}
    with pytest.raises(OperatorError, match="There is no page 3"):
        run(f"experiments search {text} --page 3")
    for each in made:
        systems.tracking.call("experiments/delete", {"experiment_id": each["experiment_id"]})


def test_one_is_shown_by_name_and_by_id(run):
    report = run("experiments show load-forecast-eu")
    assert re.fullmatch(r"It is active and has 10 runs, with \d+ artifacts, [\d.]+ KiB\.", report.summary)
    facts = dict(report.sections[0].items)
    assert ("team", "forecasting") in rows(report)
    assert run(f"experiments show {facts['id']}").title == "Experiment load-forecast-eu"


def test_a_name_that_is_not_there_gets_the_nearest(run):
    with pytest.raises(OperatorError, match="Did you mean load-forecast-eu"):
        run("experiments show load-forcast-eu")
    with pytest.raises(OperatorError, match="There is no experiment “987654321”"):
        run("experiments show 987654321")


@pytest.mark.parametrize(
    ("made", "typed"),
    [("l\u2019usine {}", "l\u2019usine {}"), ("l\u2019usine {}", "l'usine {}"), ("l'usine {}", "l\u2019usine {}")],
)
def test_a_name_with_an_apostrophe_is_found_as_it_is_else_as_a_keyboard_writes_it(run, name, made, typed):
    run(f'experiments create "{made.format(name)}"')
    try:
        assert run(f'experiments show "{typed.format(name)}"').title == f"Experiment {made.format(name)}"
    finally:
        run(f'experiments delete "{made.format(name)}"')


def test_made_renamed_deleted_and_restored(run, name):
    made = run(f'experiments create "{name}" --tag team=tests --tag "why=two words"')
    assert made.undo.startswith("experiments delete ")
    assert ("why", "two words") in rows(run(f'experiments show "{name}"'))
    renamed = run(f'experiments rename "{name}" "{name} b"')
    assert f"called “{name} b”; it was “{name}”" in renamed.summary
    assert run(renamed.undo).summary.endswith(f"called “{name}”; it was “{name} b”.")
    deleted = run(f'experiments delete "{name}"')
    assert run(f'experiments show "{name}"').status is Status.WARN
    assert "deleted already" in run(f'experiments delete "{name}"').summary
    with pytest.raises(OperatorError, match="Bring it back with experiments restore"):
        run(f'experiments rename "{name}" other')
    run(deleted.undo)
    assert "is active" in run(f'experiments restore "{name}"').summary


def test_a_name_held_by_a_deleted_experiment_is_explained_with_two_ways_out(run, name):
    made = run(f'experiments create "{name}"')
    with pytest.raises(OperatorError, match=r"There is an experiment .* already"):
        run(f'experiments create "{name}"')
    run(made.undo)
    for words in (f'experiments create "{name}"', f'experiments rename emissions-anomaly "{name}"'):
        with pytest.raises(OperatorError, match="is held by a deleted experiment") as told:
            run(words)
        assert "experiments restore" in told.value.hint
        assert "choose another name" in told.value.hint


def test_plans_say_before_and_after_and_what_else_comes_back(systems):
    plan = grammar.parse("experiments delete emissions-anomaly").plan(systems)
    assert [(each.before, each.after) for each in plan.changes] == [("active", "deleted")]
    assert plan.summary == "“emissions-anomaly” with 9 runs"
    assert any("would bring these back too" in each for each in plan.warnings)
    assert plan.digest == grammar.parse("experiments delete emissions-anomaly").plan(systems).digest


@pytest.mark.parametrize(
    "odd", ["it's <!channel> *b* `c` é😀", "'; DROP TABLE experiments; --", "line\nbreak", 'double "quotes" 100%']
)
def test_odd_names_are_made_found_and_deleted(run, systems, name, odd):
    word = shlex.quote(f"{name} {odd}")
    made = run(f"experiments create {word}")
    assert run(f"experiments show {word}").title == f"Experiment {name} {odd}"
    assert name in {each[0][: len(name)] for each in rows(run(f"experiments search {shlex.quote(odd)}"))}
    run(made.undo)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("experiments list --all --deleted", "give one of --all and --deleted"),
        ("experiments create x --tag team", "is not KEY=VALUE"),
        ("experiments create x --tag a=1 --tag a=2", "a is given twice"),
        (f"experiments create {'x' * 501}", "the name is 501 characters long; MLflow takes 500"),
        ('experiments create " "', "more than spaces"),
        ("experiments lisst", "Did you mean “/mlflow experiments list”"),
        ("experiments list --page 0", "0 is not in the range"),
    ],
)
def test_bad_input_is_told_before_anybody_works(words, said):
    with pytest.raises(grammar.UsageError, match=said):
        grammar.parse(words)
