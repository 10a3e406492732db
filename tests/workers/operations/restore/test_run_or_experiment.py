"""One run or experiment comes back as it was, and nothing else is touched."""

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operations.backup.backup import Backup
from workers.operations.backup.wal.archive import moment_of
from workers.operations.restore import events
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.operations.restore.run_or_experiment import RestoreExperiment, RestoreRun
from workers.report import Status

pytestmark = pytest.mark.slow


@pytest.fixture
def systems(in_sandbox):
    return in_sandbox()


@pytest.fixture(scope="module")
def made(sandbox):
    """An experiment of three runs with all that a run may have: its id and theirs."""
    from mlflow.tracking import MlflowClient  # seconds, which those who collect the tests need not wait for

    client = MlflowClient(sandbox.env["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment("one 'by' one; DROP TABLE 🚀", tags={"team": "tests"})
    ids = []
    for number in range(3):
        run = client.create_run(experiment, run_name=f"run {number}").info.run_id
        client.log_param(run, "depth", number)
        for step in range(5):
            client.log_metric(run, "loss", 1 / (step + 1), step=step)
        client.set_tag(run, "kind", "test")
        client.log_text(run, f"model {number}", "model.txt")
        client.set_terminated(run)
        ids.append(run)
    return client, experiment, ids


def shown(client, run):
    found = client.get_run(run)
    text = client.get_metric_history(run, "loss")
    return json.dumps([found.to_dictionary(), [[m.value, m.step, m.timestamp] for m in text]], sort_keys=True)


def purge(systems, table, column, value):
    """As mlflow gc does it: the rows, children first."""
    with psycopg.connect(systems.database.url, autocommit=True) as connection:
        if table == "experiments":
            for (run,) in connection.execute("SELECT run_uuid FROM runs WHERE experiment_id = %s", (value,)).fetchall():
                purge(systems, "runs", "run_uuid", run)
            connection.execute("DELETE FROM experiment_tags WHERE experiment_id = %s", (value,))
        else:
            for child in ("metrics", "latest_metrics", "params", "tags"):
                connection.execute(f"DELETE FROM {child} WHERE run_uuid = %s", (value,))
        connection.execute(f"DELETE FROM {table} WHERE {column} = %s", (value,))


def others(systems, experiment):
    with psycopg.connect(systems.database.url, autocommit=True) as connection:
        return [
            connection.execute(f"SELECT count(*), sum(hashtext(t::text)) FROM {table} t").fetchone()
            for table in ("runs", "metrics", "params", "tags", "experiments")
        ]


def test_a_run_that_was_purged_is_back_with_all_that_was_its(systems, made, progress):
    client, experiment, (first, *_) = made
    Backup(parts=("database", "artifacts")).run(systems, progress)
    before, all_before = shown(client, first), others(systems, experiment)
    with pytest.raises(AlreadySo):
        RestoreRun(run_id=first).plan(systems)
    purge(systems, "runs", "run_uuid", first)
    bucket = systems.settings.ops.storage.artifacts_bucket
    systems.objects.delete(bucket, f"{experiment}/{first}/artifacts/model.txt")
    plan = RestoreRun(run_id=first).plan(systems)
    assert plan.changes[0].before == "gone"
    with pytest.raises(OperatorError, match="give its whole id"):
        RestoreRun(run_id=first[:8]).plan(systems)
    report = RestoreRun(run_id=first).run(systems, progress)
    assert report.status is Status.OK
    assert "1 artifact put back" in report.summary
    assert shown(client, first) == before
    assert others(systems, experiment) == all_before
    assert not systems.database.vitals().beside


def test_a_run_that_is_only_marked_is_brought_back_by_mlflow(systems, made, progress):
    client, _, (_, second, _) = made
    client.delete_run(second)
    assert "only marked as deleted" in RestoreRun(run_id=second[:10]).plan(systems).summary
    RestoreRun(run_id=second[:10]).run(systems, progress)
    assert client.get_run(second).info.lifecycle_stage == "active"


def test_an_experiment_that_was_purged_is_back_with_its_runs(systems, made, progress):
    client, experiment, runs = made
    name = client.get_experiment(experiment).name
    Backup(parts=("database", "artifacts")).run(systems, progress)
    before, all_before = [shown(client, run) for run in runs], others(systems, experiment)
    purge(systems, "experiments", "experiment_id", int(experiment))
    assert client.get_experiment_by_name(name) is None
    with pytest.raises(OperatorError, match=f"restore experiment {experiment}"):
        RestoreRun(run_id=runs[0]).run(systems, progress)
    RestoreExperiment(experiment=name).run(systems, progress)
    assert [shown(client, run) for run in runs] == before
    assert others(systems, experiment) == all_before
    assert client.get_experiment(experiment).tags["team"] == "tests"
    assert int(client.create_experiment("the next one")) > int(experiment)
    with pytest.raises(OperatorError, match="does not hold the experiment “nosuch”"):
        RestoreExperiment(experiment="nosuch").run(systems, progress)


def test_a_name_that_is_held_by_another_is_said(systems, made, progress):
    client, experiment, _ = made
    name = client.get_experiment(experiment).name
    Backup(parts=("database", "artifacts")).run(systems, progress)
    purge(systems, "experiments", "experiment_id", int(experiment))
    client.create_experiment(name)
    with pytest.raises(AlreadySo):
        RestoreExperiment(experiment=name).plan(systems)
    with pytest.raises(OperatorError, match=r"has the name .* now"):
        RestoreExperiment(experiment=experiment).run(systems, progress)


def test_a_moment_may_be_named_by_what_happened_just_after_it(systems, made):
    client, *_ = made
    experiment = client.create_experiment("before the flood")
    client.delete_experiment(experiment)
    gone = datetime.now(UTC)
    for words in ("deleted experiment before the flood", f"delete experiment {experiment}"):
        assert timedelta(0) < gone - events.before(systems, words) < timedelta(seconds=20)
    at = events.before(systems, "deleted before the flood")
    plan = RestoreArtifacts(event="deleted before the flood", experiment="1").plan
    with pytest.raises(AlreadySo) as there:
        plan(systems)
    assert moment_of(at) in there.value.message
    bucket = systems.settings.ops.storage.artifacts_bucket
    systems.objects.write(bucket, "1/x/artifacts/new.txt", b"new")
    asked = RestoreArtifacts(event="deleted before the flood", prefix="1/x/", exact=True)
    made = asked.plan(systems)
    assert RestoreArtifacts.model_validate(made.instead.arguments) == RestoreArtifacts(at=at, prefix="1/x/", exact=True)
    with pytest.raises(OperatorError, match="Nothing that happened in the last 30 days fits"):
        events.before(systems, "deleted experiment after the flood")
