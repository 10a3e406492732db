"""Old runs archived and brought back on a real MLflow: all pages, exactly those, also where it was interrupted."""

import csv
import io
import re
import threading
import time

import psycopg
import pytest

from commands import grammar
from mlflow_ops_sandbox.patience import stretched
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Cancelled, Unwatched, planned_with
from workers.operations.runs import archive, batches
from workers.operations.runs.finding import search
from workers.operations.runs.pace import Pace
from workers.records.message import Message
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.report import Status
from workers.systems import Systems


@pytest.fixture
def states(mlflow, experiment):
    """The ids of the active and of the deleted runs of the experiment."""

    def states():
        runs = list(search(mlflow.tracking, [experiment[0]], view="ALL"))
        return {run.id for run in runs if not run.deleted}, {run.id for run in runs if run.deleted}

    return states


@pytest.fixture
def asked(experiment):
    return f"runs archive --older-than 90d --experiment {experiment[1]}"


@pytest.mark.slow
def test_more_than_a_page_is_archived_and_exactly_these_come_back(
    do, mlflow, experiment, many_runs, log_run, states, asked
):
    old = many_runs(experiment[0], 1500)
    young = log_run(experiment[0], days_old=3)
    by_hand = log_run(experiment[0], days_old=200)
    mlflow.tracking.call("runs/delete", {"run_id": by_hand})
    report = do(asked)
    assert report.status is Status.OK
    assert report.summary.startswith("1,500 runs are archived under the mark ")
    assert states() == ({young}, old | {by_hand})
    back = do(report.undo)
    assert back.summary == "1,500 runs are active again."
    assert states() == (old | {young}, {by_hand})
    assert not any(archive.TAG in run.tags for run in search(mlflow.tracking, [experiment[0]], view="ALL"))
    with pytest.raises(OperatorError, match="No run bears the mark"):
        do(report.undo)


def test_the_plan_counts_and_names_what_stays(mlflow, experiment, many_runs, log_run, asked):
    old = many_runs(experiment[0], 30)
    kept = log_run(experiment[0], "kept", days_old=100, tags={"keep": "true"})
    running = log_run(experiment[0], "busy", days_old=100, status="RUNNING")
    failed = log_run(experiment[0], "broken", days_old=100, status="FAILED")
    operation = grammar.parse(f"{asked} --except-tag keep=true --status finished")
    plan = operation.plan(mlflow)
    said = " ".join(plan.warnings)
    assert plan.summary.startswith("30 runs of 1 experiment that began before ")
    assert plan.changes[0].after == "30 archived"
    for words, run in (
        ("because its tag keep is true: kept", kept),
        ("because it is running: busy", running),
        ("because its status is FAILED: broken", failed),
    ):
        assert f"{words} ({run[:8]})" in said
    rows = list(csv.DictReader(io.StringIO(plan.attachments[0].content)))
    assert {row["run_id"] for row in rows} == old
    assert plan.undo == f"/mlflow runs unarchive {operation.mark}"


def test_runs_of_registered_models_stay(mlflow, experiment, log_run, many_runs, asked):
    many_runs(experiment[0], 1)
    run = log_run(experiment[0], "behind a model", days_old=100)
    model = f"model of {experiment[1]}"
    mlflow.tracking.call("registered-models/create", {"name": model})
    try:
        mlflow.tracking.call("model-versions/create", {"name": model, "source": f"runs:/{run}/model", "run_id": run})
        plan = grammar.parse(asked).plan(mlflow)
        assert plan.facts["runs"] == 1
        assert f"a registered model version refers to it: behind a model ({run[:8]}) → {model} 1" in plan.warnings[0]
    finally:
        mlflow.tracking.call("registered-models/delete", {"name": model}, verb="DELETE")


def test_what_was_approved_is_what_runs(mlflow, experiment, many_runs, asked):
    many_runs(experiment[0], 5)
    first = grammar.parse(asked).plan(mlflow)
    time.sleep(1.1)
    assert grammar.parse(asked).plan(mlflow).digest == first.digest
    many_runs(experiment[0], 1)
    later = grammar.parse(asked).plan(mlflow)
    assert later.digest != first.digest
    assert "runs was 5, now 6" in first.difference(later)


def test_nothing_to_archive_is_told_with_the_reasons(do, experiment, log_run, asked):
    log_run(experiment[0], "busy", days_old=100, status="RUNNING")
    assert re.search(r"There is no active run to archive.*it is running: busy", do(asked).summary)
    with pytest.raises(OperatorError, match="There is no experiment “nosuch”"):
        do("runs archive --older-than 90d --experiment nosuch")


@pytest.fixture
def do_by_calls(sandbox):
    """As `do`, for workers that have not got MLflow's database."""
    without = {name: value for name, value in sandbox.process_env.items() if not name.startswith("MLFLOW_OPS_DATABASE")}
    systems = Systems(settings.load(without))
    return lambda words: performing.perform_here(grammar.parse(words), words, "olga", systems, Unwatched())


def test_without_the_database_it_is_done_call_by_call(do_by_calls, mlflow, experiment, many_runs, states, asked):
    old = many_runs(experiment[0], 60)
    report = do_by_calls(asked)
    assert report.summary.startswith("60 runs are archived under the mark ")
    assert states() == (set(), old)
    assert do_by_calls(report.undo).summary == "60 runs are active again."
    assert states() == (old, set())
    assert not any(archive.TAG in run.tags for run in search(mlflow.tracking, [experiment[0]], view="ALL"))


@pytest.mark.parametrize("more", ["", " --except-tag keep=yes --except-tag other", " --status KILLED"])
def test_the_tables_and_mlflow_give_the_same_plan(mlflow, sandbox, experiment, many_runs, log_run, asked, more):
    many_runs(experiment[0], 7)
    log_run(experiment[0], "kept", days_old=100, tags={"keep": "yes"})
    log_run(experiment[0], "not kept", days_old=100, tags={"keep": "no", "other": "x"})
    log_run(experiment[0], "killed", days_old=100, status="KILLED")
    log_run(experiment[0], "busy", days_old=100, status="RUNNING")
    log_run(experiment[0], "young")
    without = {name: value for name, value in sandbox.process_env.items() if not name.startswith("MLFLOW_OPS_DATABASE")}
    words = asked + more
    of_tables, of_calls = (grammar.parse(words).plan(each) for each in (mlflow, Systems(settings.load(without))))
    assert of_tables.digest == of_calls.digest
    assert of_tables.warnings == of_calls.warnings


def test_tables_that_mlflow_does_not_use_plan_nothing(mlflow, sandbox, experiment, many_runs, asked):
    """A database that has a run which MLflow has not, or has in another state, is another MLflow's."""
    old = many_runs(experiment[0], 3)
    url = sandbox.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    other = f"other_{experiment[0]}"
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {other} OWNER mlflow")
        try:
            elsewhere = sandbox.env["MLFLOW_OPS_DATABASE_URL"].rpartition("/")[0] + f"/{other}"
            with psycopg.connect(elsewhere, autocommit=True) as made:
                made.execute("CREATE TABLE experiments (experiment_id int, name text, lifecycle_stage text)")
                made.execute("INSERT INTO experiments VALUES (%s, 'x', 'active')", (int(experiment[0]),))
                made.execute(
                    "CREATE TABLE runs (run_uuid text, experiment_id int, name text, status text, start_time bigint, "
                    "lifecycle_stage text)"
                )
                made.execute(
                    "INSERT INTO runs VALUES (%s, %s, 'x', 'FINISHED', 1, 'active')", ("f" * 32, int(experiment[0]))
                )
            systems = Systems(settings.load({**sandbox.process_env, "MLFLOW_OPS_DATABASE_URL": elsewhere}))
            plan = grammar.parse(asked).plan(systems)
            assert plan.facts["runs"] == len(old)
            assert plan.digest == grammar.parse(asked).plan(mlflow).digest
        finally:
            admin.execute(f"DROP DATABASE {other} WITH (FORCE)")


def test_a_plan_says_what_it_is_doing_and_can_be_stopped(mlflow, experiment, many_runs, asked):
    many_runs(experiment[0], 1000)
    said = []

    class Stops(Unwatched):
        def step(self, name, of=""):
            said.append(name)

        def checkpoint(self):
            raise Cancelled

    with planned_with(Stops()), pytest.raises(Cancelled):
        grammar.parse(asked).plan(mlflow)
    assert said == ["Choosing the runs"]


def test_a_database_that_is_not_mlflows_is_left_alone(mlflow, experiment, many_runs):
    (run,) = many_runs(experiment[0], 1)
    assert batches.states(mlflow, [run]) is not None
    assert batches.states(mlflow, ["0" * 32]) is None


def test_what_the_tables_say_is_what_mlflow_would_have_written(mlflow, experiment, many_runs, sandbox):
    """Row by row the same as after MLflow's own calls, but for the moment."""
    first, second = sorted(many_runs(experiment[0], 2))
    store = batches.states(mlflow, [first])

    def rows(run):
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
            runs = connection.execute("SELECT to_jsonb(r) FROM runs r WHERE run_uuid = %s", (run,)).fetchone()[0]
            tags = connection.execute("SELECT to_jsonb(t) FROM tags t WHERE run_uuid = %s", (run,)).fetchall()
        moment = runs.pop("deleted_time")
        same = [{name: value for name, value in tag.items() if name != "run_uuid"} for (tag,) in tags]
        return runs["lifecycle_stage"], moment and abs(moment / 1000 - time.time()) < 60, same

    assert store.archive([first], archive.TAG, "m") == {first}
    mlflow.tracking.call("runs/set-tag", {"run_id": second, "key": archive.TAG, "value": "m"})
    mlflow.tracking.call("runs/delete", {"run_id": second})
    assert rows(first) == rows(second)
    assert store.archive([first], archive.TAG, "m") == set()
    assert store.restore([first], archive.TAG, "m") == {first}
    mlflow.tracking.call("runs/restore", {"run_id": second})
    mlflow.tracking.call("runs/delete-tag", {"run_id": second, "key": archive.TAG})
    assert rows(first) == rows(second)


class StopsAfter(Unwatched):
    """Somebody asks it to stop once so many runs are done."""

    def __init__(self, runs):
        self.runs = runs
        self.done = 0

    def advance(self, done, total, unit):
        self.done = done

    def checkpoint(self):
        if self.done >= self.runs:
            raise Cancelled


def test_stopped_in_the_middle_it_goes_on_under_the_same_mark(do, mlflow, experiment, many_runs, states, asked):
    old = many_runs(experiment[0], 200)
    with pytest.raises(Cancelled, match="runs unarchive") as stopped:
        performing.perform_here(grammar.parse(asked), asked, "olga", mlflow, StopsAfter(60))
    active, deleted = states()
    assert active
    assert len(deleted) >= 60
    assert f"{len(deleted)} runs of 200 are archived" in stopped.value.left
    told = grammar.parse(asked).aftermath(mlflow, grammar.parse(asked).plan(mlflow))
    assert f"{len(deleted)} runs are archived under the mark" in told
    report = do(asked)
    assert report.summary.startswith(f"{200 - len(deleted)} runs are archived")
    assert states() == (set(), old)
    assert do(report.undo).summary == "200 runs are active again."
    assert states() == (old, set())


def test_a_run_that_others_delete_meanwhile_is_told_and_stays_deleted(do, mlflow, experiment, many_runs, states, asked):
    old = many_runs(experiment[0], 20)
    operation = grammar.parse(asked)
    operation.plan(mlflow)
    lost = min(old)
    mlflow.tracking.call("runs/delete", {"run_id": lost})
    report = operation.run(mlflow, Unwatched())
    assert report.status is Status.WARN
    assert "19 runs are archived" in report.summary
    assert "1 run had been deleted by others meanwhile" in report.summary
    do(report.undo)
    assert states() == (old - {lost}, {lost})


def test_a_mark_left_by_a_killed_worker_is_taken_away(do, mlflow, experiment, many_runs, states, asked):
    old = many_runs(experiment[0], 3)
    operation = grammar.parse(asked)
    stray, *_ = sorted(old)
    mlflow.tracking.call("runs/set-tag", {"run_id": stray, "key": archive.TAG, "value": operation.mark})
    undo = f"runs unarchive {operation.mark}"
    assert "are active" in do(undo).summary
    do(asked)
    assert do(undo).summary == "3 runs are active again."
    assert states() == (old, set())


def test_runs_of_a_deleted_experiment_wait_for_it(do, mlflow, experiment, many_runs, asked):
    many_runs(experiment[0], 3)
    report = do(asked)
    mlflow.tracking.call("experiments/delete", {"experiment_id": experiment[0]})
    try:
        with pytest.raises(OperatorError, match="belong to deleted experiments"):
            do(report.undo)
    finally:
        mlflow.tracking.call("experiments/restore", {"experiment_id": experiment[0]})


@pytest.mark.slow
def test_mlflow_restarted_in_the_middle_is_waited_for(do, experiment, many_runs, states, sandbox, asked):
    old = many_runs(experiment[0], 400)
    known = sandbox.process("mlflow")
    reports = []
    worker = threading.Thread(target=lambda: reports.append(do(asked)))
    worker.start()
    deadline = time.monotonic() + stretched(30)
    while len(states()[1]) < 50:
        assert time.monotonic() < deadline
    sandbox.kill("mlflow")
    sandbox.wait_until_ready("mlflow", other_than=known, seconds=100)
    worker.join(100)
    assert reports[0].status is Status.OK
    assert states() == (set(), old)


def test_the_pace_grows_while_answers_are_quick_and_is_halved_when_they_are_not():
    pace = Pace(most=8)

    def told(seconds):
        for _ in range(16):
            pace.took(seconds)
        return pace.width

    assert [told(0.01) for _ in range(9)] == [2, 3, 4, 5, 6, 7, 8, 8, 8]
    assert [told(0.05) for _ in range(3)] == [4, 2, 1]
    assert pace.rest_seconds == 0
    assert told(0.05) == 1
    assert pace.rest_seconds == 0.05
    assert told(0.01) == 2
    assert pace.rest_seconds == 0


def test_an_archiving_is_brought_back_by_the_id_of_its_command(do, mlflow, experiment, many_runs, states, asked):
    old = many_runs(experiment[0], 3)
    operation = grammar.parse(asked)
    arguments = operation.model_dump(mode="json")
    record = Record(operation=operation.name, arguments=arguments, words=asked, requester="U0OMAR", channel="C0OPS")
    other = Record(operation="restart", arguments={}, words="restart", requester="U0OMAR", channel="C0OPS")
    for each in (record, other):
        assert Records(mlflow.redis).accept(each, each.id, Message("x", []))
    do(asked)
    assert states() == (set(), old)
    for id_ in (other.id, "0123456789"):
        with pytest.raises(OperatorError, match=f"No command {id_} is known that has archived runs"):
            do(f"runs unarchive --operation {id_}")
    assert do(f"runs unarchive --operation {record.id}").summary == "3 runs are active again."
    assert states() == (old, set())
    for each in (record, other):
        Records(mlflow.redis).finish(each.id, Ending(Phase.DONE, "told"))
