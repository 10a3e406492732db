"""/mlflow hello keeps the contracts of the product's own commands, and does what it says."""

import os

import pytest

from commands import testing
from workers import settings
from workers.systems import Systems


def test_it_keeps_the_contracts():
    assert testing.broken("hello") == []


@pytest.fixture
def systems():
    """Those of `mlflow-ops sandbox env`, or of your own staging."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        pytest.skip('eval "$(mlflow-ops sandbox env)" first')
    return Systems(settings.load())


def test_hello_counts(systems):
    report = testing.ran(testing.asked("hello"), systems)
    assert report.summary.startswith("Hello! MLflow has ")


def test_a_playground_is_planned_made_and_there(systems):
    operation = testing.asked("hello play test")
    plan = testing.planned(operation, systems)
    assert [change.what for change in plan.changes] == ["experiment playground-test"]
    assert testing.ran(operation, systems).status == "ok"
    assert "already there" in testing.refused(operation, systems)
