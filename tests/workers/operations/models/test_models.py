"""The registry of a real MLflow server."""

import pytest

from workers.errors import OperatorError


def table(report):
    return next(each for each in report.sections if each.kind == "table")


def test_models_are_listed_with_aliases(do):
    report = do("models list")
    row = next(each for each in table(report).rows if each[0] == "carbon-intensity")
    assert row[1:3] == ("2", "champion → 2")


def test_one_is_shown_with_its_versions_and_their_runs(do):
    report = do("models show carbon-intensity")
    assert report.summary == "2 versions, 1 with an alias."
    newest, older = table(report).rows
    assert newest[:4] == ("2", "champion", "–", "ready")  # noqa: RUF001
    assert older[0] == "1"
    assert do(report.hints[0]).title.startswith("Run carbon-intensity-forecast-09")


def test_a_model_that_is_not_there_gets_the_nearest(do):
    with pytest.raises(OperatorError, match="Did you mean carbon-intensity"):
        do("models show carbon-intensty")


def test_a_model_without_versions(do, mlflow):
    mlflow.tracking.call("registered-models/create", {"name": "tests empty"})
    try:
        assert do('models show "tests empty"').summary == "0 versions, 0 with an alias."
        assert next(each for each in table(do("models list")).rows if each[0] == "tests empty")[1] == "–"  # noqa: RUF001
    finally:
        mlflow.tracking.call("registered-models/delete", {"name": "tests empty"}, verb="DELETE")
