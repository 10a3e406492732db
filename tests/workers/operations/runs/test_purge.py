"""mlflow gc as a Job: exactly the runs that were approved are gone, and a backup brings one back."""

import csv
import io
import time
from pathlib import Path

import psycopg
import pytest

from commands import grammar
from mlflow_ops_sandbox.patience import stretched
from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled
from workers.operations.backup.backup import Backup
from workers.operations.deployment import job as once
from workers.operations.deployment.job import JobSpec
from workers.operations.runs import mlflow_gc
from workers.operations.runs.purge import RunsPurge
from workers.operations.runs.registered import registered_in, registered_runs
from workers.report import Status
from workers.systems.mlflow.run_rows import RunRows

DAY_MS = 24 * 3600 * 1000


class Told:
    """A progress that remembers, and is cancelled once so many runs are gone."""

    def __init__(self, cancelled_at=None):
        self.steps, self.done, self.cancelled_at = [], [], cancelled_at

    def step(self, name, of=""):
        self.steps.append(name)

    def advance(self, done, total, unit):
        self.done.append((done, total, unit))

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        gone = [done for done, _, unit in self.done if unit == "runs"]
        if self.cancelled_at is not None and gone and gone[-1] >= self.cancelled_at:
            raise Cancelled


@pytest.fixture
def systems(in_sandbox):
    return in_sandbox


@pytest.fixture
def client(sandbox):
    from mlflow.tracking import MlflowClient  # seconds, which those who collect the tests need not wait for

    return MlflowClient(sandbox.env["MLFLOW_TRACKING_URI"])


@pytest.fixture
def deleted(client, sandbox):
    """Makes deleted runs with an artifact each, deleted so many days ago; their ids."""

    def make(experiment, number, *, days=40):
        ids = []
        for _ in range(number):
            run = client.create_run(experiment).info.run_id
            client.log_metric(run, "loss", 0.5)
            client.log_text(run, run, "model.txt")
            client.set_terminated(run)
            client.delete_run(run)
            ids.append(run)
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
            values = (int(time.time() * 1000) - days * DAY_MS, ids)
            connection.execute("UPDATE runs SET deleted_time = %s WHERE run_uuid = ANY(%s)", values)
        return ids

    return make


def back_up(systems):
    Backup(parts=("database", "artifacts")).run(systems, Told())


def there(sandbox, ids):
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        return {row[0] for row in connection.execute("SELECT run_uuid FROM runs WHERE run_uuid = ANY(%s)", (ids,))}


@pytest.mark.slow
def test_exactly_what_was_planned_is_gone_and_a_backup_brings_it_back(systems, client, experiment, deleted, sandbox):
    here = systems()
    old, young = deleted(experiment[0], 3), deleted(experiment[0], 1, days=3)
    registered = deleted(experiment[0], 1)
    other = client.create_experiment(f"{experiment[1]} that is deleted")
    asleep = deleted(other, 1)
    client.delete_experiment(other)
    model = f"model of {experiment[1]}"
    client.create_registered_model(model)
    version = {"name": model, "source": f"runs:/{registered[0]}/model", "run_id": registered[0]}
    here.tracking.call("model-versions/create", version)
    back_up(here)
    try:
        asked = grammar.parse(f"runs purge --older-than 30d --experiment {experiment[1]}")
        plan = asked.plan(here)
        assert plan.summary == "3 runs of 1 experiment, for good"
        said = " ".join(plan.warnings)
        assert f"because a registered model version refers to it: {client.get_run(registered[0]).info.run_name}" in said
        assert f"→ {model} 1" in said
        assert "because it was deleted on or after " in said
        assert {row["run_id"] for row in csv.DictReader(io.StringIO(plan.attachments[0].content))} == set(old)
        assert asked.plan(here).digest == plan.digest
        everywhere = grammar.parse("runs purge --older-than 30d").plan(here)
        assert "its experiment is deleted and would come back without it" in " ".join(everywhere.warnings)
        told = Told()
        report = asked.run(here, told)
        assert (report.status, report.summary) == (Status.OK, "3 runs are gone for good, with their artifacts.")
        assert told.done[-1] == (3, 3, "runs")
        assert there(sandbox, [*old, *young, *registered, *asleep]) == {*young, *registered, *asleep}
        assert client.get_experiment(other).lifecycle_stage == "deleted"
        assert here.cluster.jobs("mlflow-ops/purpose=gc") == []
        with pytest.raises(AlreadySo, match=r"no run to purge.*a registered model version"):
            asked.plan(here)
        back = grammar.parse(report.hints[0])
        assert back.run(here, Told()).status is Status.OK
        assert there(sandbox, old) == {back.run_id}
        path = client.download_artifacts(back.run_id, "model.txt")
        assert Path(path).read_text(encoding="utf-8") == back.run_id
    finally:
        client.delete_registered_model(model)


@pytest.mark.slow
def test_it_stops_between_two_jobs_and_goes_on(systems, experiment, deleted, sandbox, monkeypatch):
    monkeypatch.setattr(mlflow_gc, "CHUNK", 1)
    here = systems()
    ids = deleted(experiment[0], 2, days=0)
    back_up(here)
    asked = grammar.parse(f"runs purge --run {ids[0]} --run {ids[1][:12]}")
    planned = asked.plan(here)
    with pytest.raises(Cancelled) as stopped:
        asked.run(here, Told(cancelled_at=1))
    assert stopped.value.left == "1 of 2 runs are purged, the others are as they were."
    assert len(there(sandbox, ids)) == 1
    with pytest.raises(OperatorError, match="There is no run"):
        asked.plan(here)
    assert asked.aftermath(here, planned).startswith("1 of 2 runs are purged")
    (left,) = there(sandbox, ids)
    broken = systems(kubernetes={"backend_store_variable": "NOSUCH"})
    report = grammar.parse(f"runs purge --run {left}").run(broken, Told())
    assert report.status is Status.FAIL
    assert "It broke off after 0 runs of 1: mlflow gc has left 1 run of 1" in report.summary
    assert "NOSUCH" in report.summary
    assert there(sandbox, ids) == {left}


@pytest.mark.slow
def test_a_job_whose_worker_died_is_waited_for_and_then_swept_up(systems, experiment, deleted, sandbox):
    """As a killed worker leaves one: it runs on, and nobody is there to remove it."""
    here = systems()
    (run,) = deleted(experiment[0], 1, days=0)
    back_up(here)
    deployment = here.cluster.deployment("mlflow")
    image = "ghcr.io/mlflow/mlflow:v3.17.2"
    job = once.manifest(deployment, "mlflow", "mlflow-gc-lost", JobSpec(image, ("sleep", "3"), "gc", 60))
    here.cluster.create_job(job)
    asked = grammar.parse(f"runs purge --run {run}")
    report = asked.run(here, Told())
    assert report.status is Status.FAIL
    assert "A Job of an earlier purge is still at its runs." in report.summary
    assert there(sandbox, [run]) == {run}
    deadline = time.monotonic() + stretched(30)
    while once.sweep(here.cluster, "gc"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert here.cluster.jobs("mlflow-ops/purpose=gc") == []


@pytest.mark.slow
def test_nothing_is_purged_on_an_old_backup_nor_what_it_does_not_hold(
    systems, experiment, deleted, log_run, client, tmp_path
):
    here = systems()
    empty = systems(storage={"backups_bucket": "mlflow-artifacts"})
    with pytest.raises(
        OperatorError, match="without a backup of database and artifacts, and mlflow-artifacts has none"
    ):
        grammar.parse("runs purge").plan(empty)
    back_up(here)
    Backup(parts=("database",)).run(here, Told())
    (late,) = deleted(experiment[0], 1, days=0)
    with pytest.raises(AlreadySo, match="deleted after the last backup started"):
        grammar.parse(f"runs purge --run {late}").plan(here)
    active = log_run(experiment[0], "active")
    with pytest.raises(OperatorError, match="only what is deleted can be purged"):
        grammar.parse(f"runs purge --run {active}").plan(here)
    time.sleep(1.1)
    strict = systems(health={"thresholds": {"backup_age_fail_seconds": 1}})
    with pytest.raises(OperatorError, match="Nothing is purged on a backup that is") as refused:
        grammar.parse(f"runs purge --run {late}").plan(strict)
    assert refused.value.hint == "Make one: /mlflow backup."


def test_a_version_refers_to_a_run_however_it_says_so(mlflow, client, experiment, log_run, sandbox):
    """By its id, by runs:/, by a path, and by a logged model of MLflow 3; versions of old do not all have an id."""
    runs = [log_run(experiment[0], f"behind {number}") for number in range(3)]
    logged = client.create_logged_model(experiment[0], source_run_id=runs[2])
    model = f"model of {experiment[1]}"
    client.create_registered_model(model)
    sources = (f"runs:/{runs[0]}/model", f"mlflow-artifacts:/1/{runs[1]}/artifacts/model", f"models:/{logged.model_id}")
    try:
        for run in runs:
            version = {"name": model, "source": f"runs:/{run}/model", "run_id": run}
            mlflow.tracking.call("model-versions/create", version)
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
            for number, source in enumerate(sources, 1):
                connection.execute(
                    "UPDATE model_versions SET run_id = NULL, source = %s, storage_location = %s "
                    "WHERE name = %s AND version = %s",
                    (source, source, model, number),
                )
        found = registered_runs(mlflow.tracking)
        assert [found.get(run) for run in runs] == [f"{model} {number}" for number in (1, 2, 3)]
        assert registered_in(RunRows(mlflow.database)) == found
    finally:
        client.delete_registered_model(model)


def test_two_must_approve_and_thirty_days_are_the_default():
    asked = grammar.parse("runs purge")
    assert isinstance(asked, RunsPurge)
    assert asked.approvers == 2
    assert asked.gated(None)
    assert grammar.parse("runs purge --older-than 30d") == asked
    assert grammar.parse("runs purge --run 0b41f7d2").before is None
