"""The list of MLflow's indexes by revision, and what a migration would stop at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.operations.database import mlflow_indexes
from workers.operations.database.mlflow_indexes import INDEXES, REVISIONS

OF_2_11_3, OF_2_22, OF_3_1 = "acf3f17fdcc7", "0584bdc529eb", "bda7b8c39065"


def names(revision):
    return {each.name for each in mlflow_indexes.of(revision)}


def test_each_version_has_those_that_its_migrations_have_made():
    assert names(OF_2_11_3) == {
        "index_params_run_uuid",
        "index_metrics_run_uuid",
        "index_latest_metrics_run_uuid",
        "index_tags_run_uuid",
        "index_datasets_dataset_uuid",
        "index_datasets_experiment_id_dataset_source_type",
        "index_inputs_destination_type_destination_id_source_type",
        "index_inputs_input_uuid",
    }
    assert names(OF_2_11_3) < names(OF_2_22) <= names(OF_3_1)
    assert not names("ffffffffffff")


@given(revision=st.sampled_from(REVISIONS))
def test_no_revision_has_two_of_one_name(revision):
    found = mlflow_indexes.of(revision)
    assert len(found) == len({each.name for each in found})


@given(now=st.sampled_from(REVISIONS), needed=st.sampled_from(REVISIONS), data=st.data())
def test_too_early_is_what_lies_between_two_revisions_and_nothing_that_is_right_now(now, needed, data):
    there = data.draw(st.sets(st.sampled_from([each.name for each in INDEXES] + ["by_hand"])))
    early = mlflow_indexes.too_early(now, there, up_to=needed)
    begin, end = REVISIONS.index(now), REVISIONS.index(needed)
    between = {each.name for each in INDEXES if begin < each.since <= end}
    assert set(early) == (there & between) - names(now)
    assert not mlflow_indexes.too_early(now, names(now))


@pytest.mark.parametrize("revision", ["", "ffffffffffff"])
def test_of_a_revision_that_is_not_known_nothing_is_too_early(revision):
    assert mlflow_indexes.too_early(revision, [each.name for each in INDEXES]) == ()
