"""Runs side by side: what differs, what is best, what is missing; thousands of them in little memory."""

import base64
import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest

from workers.errors import OperatorError
from workers.operations.runs.csv_file import Sheet

ROOT = Path(__file__).parents[4]


def table(report):
    return next(each for each in report.sections if each.kind == "table")


def best(report):
    return dict(next(each for each in report.sections if each.title == "Best").items)


def sheet(report):
    (file,) = report.attachments
    return list(csv.DictReader(io.StringIO(file.content)))


@pytest.fixture
def three(experiment, log_run):
    """Three runs of one experiment, of which the last has no accuracy."""
    return [
        log_run(experiment[0], "a", metrics={"accuracy": 0.8, "rmse": 4, "same": 1}, params={"lr": "0.1", "seed": "1"}),
        log_run(experiment[0], "b", metrics={"accuracy": 0.9, "rmse": 5, "same": 1}, params={"lr": "0.2", "seed": "1"}),
        log_run(experiment[0], "c", metrics={"rmse": 3, "same": 1}, params={"seed": "1", "extra": "x"}),
    ]


def test_what_differs_is_shown_with_the_best_marked_and_the_missing_missing(do, three):
    report = do("runs compare " + " ".join(three))
    rows = {row[0]: row[1:] for row in table(report).rows}
    assert rows["accuracy"] == ("0.8", "0.9 *", "–")  # noqa: RUF001
    assert rows["rmse"] == ("4", "5", "3 *")
    assert rows["lr"] == ("0.1", "0.2", "–")  # noqa: RUF001
    assert rows["extra"] == ("–", "–", "x")  # noqa: RUF001
    assert "same" not in rows
    assert "seed" not in rows
    assert best(report)["rmse"] == f"3 by c ({three[2][:8]}) (lower is better)"
    assert report.summary == "3 runs among these: 2 parameters and 2 metrics differ."


def test_the_file_holds_everything(do, three):
    rows = sheet(do("runs compare " + " ".join(three)))
    assert [row["run_id"] for row in rows] == three
    assert rows[2]["metrics.accuracy"] == ""
    assert rows[2]["metrics.same"] == "1.0"
    assert rows[0]["params.seed"] == "1"


def test_an_experiment_is_compared_best_first(do, experiment, three, log_run):
    for index in range(4):
        log_run(experiment[0], f"d{index}", metrics={"accuracy": 0.1 * index})
    report = do(f"runs compare {experiment[1]} --metrics accuracy,rmse")
    shown = table(report)
    assert shown.columns[:4] == ("run", "id", "accuracy ↑", "rmse ↓")
    assert [row[0] for row in shown.rows][:2] == ["b", "a"]
    assert shown.rows[-1][2] == "–"  # noqa: RUF001
    assert shown.rows[0][2] == "0.9 *"
    assert len(sheet(report)) == 7


def test_the_direction_can_be_said(do, three):
    assert best(do(f"runs compare {' '.join(three)} --lower"))["accuracy"].endswith("(lower is better)")
    assert best(do(f"runs compare {' '.join(three)} --higher"))["rmse"].startswith("5 by b")


def test_a_figure_that_is_none_is_never_the_best(do, experiment, log_run):
    log_run(experiment[0], "a", metrics={"accuracy": "NaN"})
    log_run(experiment[0], "b", metrics={"accuracy": 0.2})
    assert best(do(f"runs compare {experiment[1]}"))["accuracy"].startswith("0.2 by b")


def test_runs_that_are_the_same_are_told_so(do, experiment, log_run):
    runs = [log_run(experiment[0], "x", metrics={"m": 1}, params={"p": "1"}) for _ in range(2)]
    report = do("runs compare " + " ".join(runs))
    assert report.summary == "2 runs among these: 0 parameters and 0 metrics differ."
    assert ("what differs", "nothing: metrics and parameters are the same") in report.sections[-1].items


def test_what_cannot_be_compared_is_told(do, experiment, three):
    with pytest.raises(OperatorError, match=r"None of the runs has a metric acuracy\. Did you mean accuracy"):
        do(f"runs compare {experiment[1]} --metrics acuracy")
    with pytest.raises(OperatorError, match="one run among these only"):
        do(f"runs compare {three[0]} {three[0][:8]}")
    with pytest.raises(OperatorError, match="There is no experiment “nosuch”"):
        do("runs compare nosuch")
    with pytest.raises(OperatorError, match="There is no run"):
        do(f"runs compare {three[0]} nosuch")
    with pytest.raises(OperatorError, match="is deleted, and its runs with it"):
        do("runs compare ranking-prototype")


def test_a_formula_is_text_for_a_spreadsheet_and_a_number_stays_one():
    made = Sheet(("=a", "b"))
    made.row(("=HYPERLINK(1)", -0.5))
    made.row(("@x", None))
    assert made.file("x.csv").content == "'=a,b\n'=HYPERLINK(1),-0.5\n'@x,\n"


def test_a_file_that_would_be_too_large_ends_and_says_so():
    made = Sheet(("a",), most=20)
    for index in range(10):
        made.row((f"value {index}",))
    assert made.left_out == 7
    assert made.file("x.csv").content.count("\n") == 4


COMPARE = """
import sys
from tests.peak_memory import peak_memory
from commands import grammar
from workers import settings
from workers.operation import Unwatched
from workers.systems import Systems

systems = Systems(settings.load())
systems.tracking.version()
report = grammar.parse("runs compare " + sys.argv[1]).run(systems, Unwatched())
print(report.attachments[0].content.count("\\n"), peak_memory() // 1_000_000, report.attachments[1].filename)
print(report.summary)
"""


@pytest.mark.slow
def test_ten_thousand_runs_stay_within_memory(sandbox, experiment, many_runs, mlflow):
    ids = many_runs(experiment[0], 10_000, metrics=[f"m{i}" for i in range(8)], params=[f"p{i}" for i in range(8)])
    steps = [{"key": "m0", "value": 1.5 + step, "timestamp": step, "step": step} for step in range(4)]
    mlflow.tracking.call("runs/log-batch", {"run_id": min(ids), "metrics": steps})
    ended = subprocess.run(
        [sys.executable, "-c", COMPARE, experiment[1]],
        env={**sandbox.process_env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines, megabytes = map(int, ended.stdout.split()[:2])
    assert lines == 10_001
    assert "10,000 runs" in ended.stdout
    assert "compare.png" in ended.stdout
    assert megabytes < 300


def test_metrics_with_steps_are_drawn_and_told_in_words(do, experiment, log_run, mlflow):
    ids = [log_run(experiment[0], f"run {n}", metrics={"final": 0.5 + n / 10}) for n in range(2)]
    for number, run in enumerate(ids):
        points = [{"key": "loss", "value": (number + 1) / (n + 1), "timestamp": n, "step": n} for n in range(20)]
        mlflow.tracking.call("runs/log-batch", {"run_id": run, "metrics": points})
    report = do(f"runs compare {ids[0]} {ids[1]}")
    (picture,) = [each for each in report.attachments if each.alt]
    assert base64.b64decode(picture.content).startswith(b"\x89PNG")
    assert f"run 1 ({ids[1][:8]}) from 2 to 0.1 in 20 steps" in picture.alt
    assert "final" not in picture.alt


def test_of_many_runs_the_best_are_drawn(do, experiment, log_run, mlflow):
    ids = [log_run(experiment[0], f"日本 {n}") for n in range(6)]
    for number, run in enumerate(ids):
        points = [{"key": "loss", "value": 1 + number - n / 10, "timestamp": n, "step": n} for n in range(5)]
        mlflow.tracking.call("runs/log-batch", {"run_id": run, "metrics": points})
    (picture,) = [each for each in do(f"runs compare {experiment[1]}").attachments if each.alt]
    assert [run[:8] in picture.alt for run in ids] == [True] * 4 + [False] * 2
