"""One read of each kind, as the MLflows that people run answer it."""

import pytest

from workers.operations.health import reading
from workers.systems.errors import TrackingUnavailable

HISTORIES = {
    "2.11: all of it, whatever is asked for": lambda points, _: points,
    "3.1: a number that is not said is none": lambda points, asked: points[: int(asked or 0)],
    "3.17: so many, else all": lambda points, asked: points[: int(asked)] if asked else points,
}


def read(tracking):
    return reading.together(reading.runs(tracking), reading.models(tracking))


class Tracking:
    """MLflow with one run. history: what it answers of so many points, asked for so many."""

    def __init__(self, history, points):
        self.history = lambda asked: history([{"value": n} for n in range(points)], asked)
        self.asked = []

    def call(self, method, body):
        self.asked.append(method)
        if method == "experiments/search":
            return {"experiments": [{"experiment_id": "1"}]}
        if "1" not in body["experiment_ids"]:
            return {}
        return {"runs": [{"info": {"run_id": "a" * 32}, "data": {"metrics": [{"key": "loss", "value": 1}]}}]}

    def ask(self, method, **query):
        if method == "metrics/get-history":
            return {"metrics": self.history(query.get("max_results"))}
        return {"model_versions": [{"name": "m", "version": "1"}]}


@pytest.mark.parametrize("version", HISTORIES)
def test_a_metrics_history_is_read_on_every_version(version):
    found = read(Tracking(HISTORIES[version], 3))
    assert found.trouble == ""
    assert ("a metric's history", "loss, 3 points") in found.facts


def test_no_more_is_asked_for_than_shows_that_it_is_there():
    assert ("a metric's history", "loss, at least 100 points") in read(
        Tracking(HISTORIES["3.17: so many, else all"], 5000)
    ).facts


@pytest.mark.parametrize("version", HISTORIES)
def test_a_history_that_is_gone_is_trouble(version):
    assert "its history is empty" in read(Tracking(HISTORIES[version], 0)).trouble


def test_a_table_that_is_gone_is_trouble_in_mlflows_words():
    class Broken(Tracking):
        def ask(self, method, **query):
            raise TrackingUnavailable("MLflow at h:1 answers 500: INTERNAL_ERROR.")

    trouble = read(Broken(HISTORIES["3.17: so many, else all"], 1)).trouble
    said = "can't be read: MLflow at h:1 answers 500: INTERNAL_ERROR"
    assert trouble == f"the history of a metric {said}; model versions {said}"


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ([], ["experiments/search", "runs/search"]),
        ([{"experiment_id": "1"}], ["runs/search"]),
        ([{"experiment_id": "2"}], ["runs/search", "experiments/search", "runs/search"]),
    ],
    ids=["none is known", "one with a run", "one without a run"],
)
def test_a_run_is_looked_for_in_the_experiment_that_is_known_and_then_in_others(known, asked):
    mlflow = Tracking(HISTORIES["3.17: so many, else all"], 3)
    found = reading.runs(mlflow, known)
    assert ("a run", "a" * 32) in found.facts
    assert mlflow.asked == asked


@pytest.mark.parametrize("known", [[{}], [{"id": 1}], ["an experiment"]])
def test_what_is_no_experiment_is_trouble(known):
    found = reading.runs(Tracking(HISTORIES["3.17: so many, else all"], 3), known)
    assert found.trouble == "what it says of runs is not what MLflow says"
