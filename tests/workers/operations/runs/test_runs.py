"""Runs on a real MLflow server: searched, shown, tagged; parameters that cannot be changed."""

import pytest

from commands import grammar
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.runs.tags import RunParam, RunTag
from workers.report import Status


def table(report, title=""):
    return next(each for each in report.sections if each.kind == "table" and each.title == title)


def test_runs_are_found_by_a_filter_in_the_order_asked_for(do):
    report = do("runs search load-forecast-eu")
    assert report.summary == "10 runs."
    assert len(table(report).rows) == 10
    ordered = do('runs search load-forecast-eu "metrics.rmse > 0" --order-by "metrics.rmse ASC" --max 3')
    shown = table(ordered)
    column = shown.columns.index("rmse")
    values = [float(row[column]) for row in shown.rows]
    assert len(values) == 3
    assert values == sorted(values)
    assert "there are more" in ordered.summary
    assert ordered.hints[0].endswith("--max 30")
    assert len(table(do(ordered.hints[0])).rows) > 3


def test_nothing_found_is_no_failure(do):
    assert do("runs search load-forecast-eu \"params.model = 'none'\"").summary == (
        "There are no active runs that match."
    )


def test_a_broken_filter_is_told_in_mlflows_words(do):
    with pytest.raises(OperatorError, match="MLflow refuses") as told:
        do('runs search load-forecast-eu "accuracy >> 3"')
    assert "metrics.accuracy > 0.9" in told.value.hint
    with pytest.raises(OperatorError, match="MLflow refuses"):
        do('runs search load-forecast-eu --order-by "nonsense here"')


def test_beyond_a_screenful_the_whole_is_a_file(do, experiment, many_runs):
    made = many_runs(experiment[0], 120, metrics=["accuracy"], params=["seed"])
    report = do(f"runs search {experiment[1]} --max 500")
    assert report.summary == "120 runs."
    assert (len(table(report).rows), table(report).screenful) == (120, 50)
    (file,) = report.attachments
    lines = file.content.splitlines()
    assert lines[0] == "run_id,run,status,started,ended,metrics.accuracy,params.seed"
    assert {line.split(",")[0] for line in lines[1:]} == made


def test_a_run_is_shown_by_id_by_its_beginning_and_by_name(do, experiment, log_run, mlflow):
    run = log_run(experiment[0], f"only {experiment[1]}", metrics={"rmse": 1.5}, params={"lr": "0.1"}, tags={"a": "b"})
    for called in (run, run[:8], run.upper(), f'"only {experiment[1]}"'):
        report = do(f"runs show {called}")
        assert report.summary == "FINISHED; 1 metric, 1 parameter, 1 tag."
        assert dict(report.sections[0].items)["id"] == run
        assert table(report, "Metrics (last values)").rows == (("rmse", "1.5"),)
    mlflow.tracking.call("runs/delete", {"run_id": run})
    assert do(f"runs show {run[:8]}").status is Status.WARN
    with pytest.raises(OperatorError, match="is deleted, and MLflow changes nothing of it"):
        do(f"runs tag {run} a=c")


def test_what_is_not_one_run_is_told(do, experiment, log_run):
    first, second = log_run(experiment[0], "twins"), log_run(experiment[0], "twins")
    with pytest.raises(OperatorError, match="not one run but several") as told:
        do("runs show twins")
    assert first in told.value.message
    assert second in told.value.message
    with pytest.raises(OperatorError, match="There is no run 00000000"):
        do("runs show " + "0" * 32)
    with pytest.raises(OperatorError, match="There is no run “nosuchrun”"):
        do("runs show nosuchrun")
    with pytest.raises(OperatorError, match="both kinds of quotes"):
        do("""runs show "a'b\\"c" """)


def test_a_run_is_found_by_its_name_within_an_experiment(do, mlflow, experiment, log_run):
    other = mlflow.tracking.call("experiments/create", {"name": f"{experiment[1]} too"})["experiment_id"]
    try:
        mine, theirs = log_run(experiment[0], "same name"), log_run(other, "same name")
        with pytest.raises(OperatorError, match=r"not one run but several.*--experiment") as told:
            do("runs show 'same name'")
        assert mine in str(told.value)
        assert theirs in str(told.value)
        assert mine[:8] in do(f"runs show 'same name' --experiment {experiment[1]}").title
        assert theirs[:8] in do(f"runs show 'same name' --experiment {other}").title
        with pytest.raises(OperatorError, match=r"no run “mine alone” in that experiment"):
            do(f"runs show 'mine alone' --experiment {other}")
    finally:
        mlflow.tracking.call("experiments/delete", {"experiment_id": other})


def test_a_name_with_an_apostrophe_is_found_as_it_is_else_as_a_keyboard_writes_it(do, experiment, log_run):
    curly, straight = log_run(experiment[0], "l\u2019usine"), log_run(experiment[0], "l'atelier")
    within = f"--experiment {experiment[1]}"
    for typed, wanted in (
        ("l\u2019usine", curly),
        ("l'usine", curly),
        ("l'atelier", straight),
        ("l\u2019atelier", straight),
    ):
        assert wanted[:8] in do(f'runs show "{typed}" {within}').title
    both = log_run(experiment[0], "l'usine")
    assert both[:8] in do(f'runs show "l\'usine" {within}').title
    assert curly[:8] in do(f'runs show "l\u2019usine" {within}').title


def test_a_mistyped_name_gets_the_nearest(do, experiment, log_run):
    log_run(experiment[0], "baseline-2026")
    with pytest.raises(OperatorError, match=r"Did you mean baseline-2026\?"):
        do(f"runs show basline-2026 --experiment {experiment[1]}")


def test_tags_are_set_changed_and_put_back(do, experiment, log_run, mlflow):
    run = log_run(experiment[0], tags={"stage": "old"})
    plan = grammar.parse(f'runs tag {run} "stage=new one" --dry-run').run(mlflow, _silent())
    assert ("tag stage", "old", "new one") in table(plan, "Would change").rows
    report = do(f'runs tag {run} "stage=new one"')
    assert report.undo == f"runs tag {run} stage=old"
    assert "has these tags already" in do(f'runs tag {run} "stage=new one"').summary
    do(report.undo)
    assert ("stage", "old") in table(do(f"runs show {run}"), "Tags").rows
    added = do(f"runs tag {run} fresh=1 other=2")
    assert added.undo == f"runs untag {run} fresh other"
    gone = do(added.undo)
    assert gone.undo == f"runs tag {run} fresh=1 other=2"
    assert "has no tag fresh" in do(f"runs untag {run} fresh").summary
    with pytest.raises(OperatorError, match="has no tag fresh"):
        do(f"runs untag {run} stage fresh")
    assert do(f"runs tag {run} stage=x third=3").undo == ""


def test_a_parameter_is_logged_once_and_never_changed(do, experiment, log_run):
    run = log_run(experiment[0], params={"lr": "0.1"})
    with pytest.raises(OperatorError, match=r"is 0\.1, and MLflow never changes a parameter") as told:
        do(f"runs param {run} lr=0.2")
    assert told.value.hint.endswith(f"runs tag {run[:8]} lr=0.2")
    assert "already" in do(f"runs param {run} lr=0.1").summary
    assert "dataset=2026-08, for good" in do(f"runs param {run} dataset=2026-08").summary
    assert ("dataset", "2026-08") in table(do(f"runs show {run}"), "Parameters").rows


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("runs tag abcd1234 novalue", "is not KEY=VALUE"),
        ("runs tag abcd1234", "Missing argument"),
        (f"runs tag abcd1234 {'k' * 251}=v", "is 251 characters long; MLflow takes 250"),
        ('runs tag abcd1234 "a$b=v"', "may hold letters, digits"),
        ("runs tag abcd1234 ../x=v", "is a path"),
        ("runs param abcd1234 lr", "is not KEY=VALUE"),
        ("runs archive", "--older-than"),
        ("runs archive --older-than lately", "is not a time"),
        ("runs archive --older-than 90d --status RUNNING", "is not known here"),
        ("runs archive --older-than 90d --except-tag =x", "is not KEY=VALUE"),
        ("runs unarchive everything", "mark"),
        ("runs compare", "Missing argument"),
        ("runs compare a --higher --lower", "Give one of --higher and --lower"),
        ("runs serch x", "Did you mean “/mlflow runs search x”"),
    ],
)
def test_bad_input_is_told_before_anybody_works(words, said):
    with pytest.raises(grammar.UsageError) as told:
        grammar.parse(words)
    assert said in str(told.value)


def test_what_mlflow_would_cut_is_refused():
    with pytest.raises(ValueError, match="MLflow would cut it at 8,000"):
        RunTag(run_id="a", tags={"k": "v" * 8001})
    with pytest.raises(ValueError, match="MLflow would cut it at 6,000"):
        RunParam(run_id="a", key="k", value="v" * 6001)


def _silent():
    return Unwatched()
