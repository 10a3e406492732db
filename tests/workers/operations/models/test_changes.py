"""Aliases, stages and tags of a real MLflow's models: set, taken away, and brought back from the record."""

from dataclasses import dataclass

import pytest

from commands import grammar
from workers.errors import OperatorError
from workers.operations.models.finding import find, version
from workers.report import Status


@dataclass
class Made:
    """A model with an apostrophe in its name as editors write it. typed: its name as one word of a command."""

    name: str
    tracking: object

    @property
    def typed(self):
        return f"'{self.name}'"

    def __call__(self):
        return find(self.tracking, self.name)


@pytest.fixture
def model(mlflow, experiment, log_run):
    """A model with three versions and no alias, of a name that the record does not know."""
    made = Made(f"l\u2019usine {experiment[1]}", mlflow.tracking)
    run = log_run(experiment[0])
    mlflow.tracking.call("registered-models/create", {"name": made.name})
    for _ in range(3):
        version = {"name": made.name, "source": f"runs:/{run}/model", "run_id": run}
        mlflow.tracking.call("model-versions/create", version)
    yield made
    mlflow.tracking.call("registered-models/delete", {"name": made.name}, verb="DELETE")


def plan(mlflow, words):
    return grammar.parse(words).plan(mlflow)


def test_an_alias_is_moved_and_its_undo_moves_it_back(do, mlflow, model):
    first = do(f"models alias {model.typed} champion 1")
    assert (first.summary, model().aliases) == (
        f"{model.name}@champion is version 1; it was not set.",
        {"champion": "1"},
    )
    planned = plan(mlflow, f"models alias {model.typed} @champion 2")
    assert [(each.before, each.after) for each in planned.changes] == [("version 1", "version 2")]
    assert planned.undo == f"/mlflow models alias '{model.name}' champion 1"
    second = do(f"models alias {model.typed} @champion 2")
    assert model().aliases == {"champion": "2"}
    assert "is version 2 already" in do(f"models alias {model.typed} champion 2").summary
    do(second.undo)
    assert model().aliases == {"champion": "1"}
    do(first.undo)
    assert model().aliases == {}
    assert "has no alias champion" in do(f"models unalias {model.typed} champion").summary


def test_what_is_not_there_is_told_with_what_is(do, model):
    with pytest.raises(OperatorError, match=r"has no version 9\. There are 3, 2, 1"):
        do(f"models alias {model.typed} champion 9")
    with pytest.raises(OperatorError, match="Did you mean"):
        do(f"models alias '{model.name[:-1]}' champion 1")
    # As a keyboard writes it, it is found.
    straight = model.name.replace("\u2019", "'")
    assert do(f'models show "{straight}"').title == f"Model {model.name}"


def test_a_rollback_goes_step_by_step_and_says_where_the_record_ends(do, mlflow, model):
    for number in (1, 2, 3):
        do(f"models alias {model.typed} champion {number}")
    planned = plan(mlflow, f"models rollback {model.typed} champion")
    assert [(each.before, each.after) for each in planned.changes] == [("version 3", "version 2")]
    assert (
        do(f"models rollback {model.typed} champion").summary
        == f"{model.name}@champion is back at version 2; it was version 3."
    )
    again = do(f"models rollback {model.typed} champion")
    assert model().aliases == {"champion": "1"}
    with pytest.raises(OperatorError, match="named no version before 1"):
        do(f"models rollback {model.typed} champion")
    do(again.undo)
    assert model().aliases == {"champion": "2"}


def test_a_removed_alias_comes_back_by_a_rollback(do, model):
    do(f"models alias {model.typed} champion 2")
    do(f"models unalias {model.typed} champion")
    do(f"models rollback {model.typed} champion")
    assert model().aliases == {"champion": "2"}


def test_what_others_have_moved_is_told(do, mlflow, model):
    with pytest.raises(OperatorError, match="does not say which version"):
        do(f"models rollback {model.typed} champion")
    do(f"models alias {model.typed} champion 1")
    mlflow.tracking.call("registered-models/alias", {"name": model.name, "alias": "champion", "version": "3"})
    planned = plan(mlflow, f"models rollback {model.typed} champion")
    assert [(each.before, each.after) for each in planned.changes] == [("version 3", "version 1")]
    assert "Someone has moved champion to 3 without us; 1 is what we set last." in planned.warnings


@pytest.mark.parametrize("of", ["", " --version 2"])
def test_tags_are_set_and_removed(do, mlflow, model, of):
    def tags():
        return version(mlflow.tracking, model(), 2).tags if of else model().tags

    report = do(f"models tag {model.typed}{of} owner=grid why=it's bad")
    assert tags() == {"owner": "grid", "why": "it's bad"}
    changed = do(f"models tag {model.typed}{of} owner=prices")
    do(changed.undo)
    assert tags()["owner"] == "grid"
    assert "has these tags already" in do(f"models tag {model.typed}{of} owner=grid").summary
    removed = do(f"models untag {model.typed} owner nosuch{of}")
    assert tags() == {"why": "it's bad"}
    do(removed.undo)
    do(report.undo)
    assert tags() == {}
    assert "has no tag owner" in do(f"models untag {model.typed} owner{of}").summary


def test_a_version_is_put_into_a_stage_and_back(do, mlflow, model):
    report = do(f"models stage {model.typed} 2 archived")
    assert report.status is Status.OK
    assert version(mlflow.tracking, model(), 2).stage == "Archived"
    assert "Version 2 is in the stage Archived." in plan(mlflow, f"models alias {model.typed} champion 2").warnings
    do(report.undo)
    assert version(mlflow.tracking, model(), 2).stage == "None"


def test_a_prompt_is_no_model(do, mlflow):
    name = "tests prompt"
    body = {"name": name, "tags": [{"key": "mlflow.prompt.is_prompt", "value": "true"}]}
    mlflow.tracking.call("registered-models/create", body)
    try:
        report = do("models list")
        assert name not in str(report.sections[0])
        assert "1 prompt" in str(report.sections[1])
    finally:
        mlflow.tracking.call("registered-models/delete", {"name": name}, verb="DELETE")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("models alias m latest 1", "keeps for itself"),
        ("models alias m v2 1", "keeps for itself"),
        ("models alias m 'a b' 1", "letters, digits"),
        ("models alias m champion 0", "0 is not between"),
        ("models stage m 1 prod", "Production"),
    ],
)
def test_bad_input_is_told_before_anybody_works(words, said):
    with pytest.raises(grammar.UsageError, match=said):
        grammar.parse(words)
