"""Experiments and runs over Slack, by two people: archived with a file of ids, brought back by a button."""

import time
import uuid

import psycopg
import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words
from tests.ways.reading import now
from workers import settings
from workers.operation import Unwatched
from workers.operations.backup.backup import Backup
from workers.operations.runs.finding import search
from workers.systems import Systems

pytestmark = pytest.mark.slow

SECONDS = 30
RUNS = """
INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, artifact_uri,
                  experiment_id)
SELECT md5(%(seed)s || n), 'run-' || n, 'LOCAL', 'tests', 'FINISHED', %(start)s, %(start)s + 1, 'active', '', %(at)s
FROM generate_series(1, %(number)s) n
"""


@pytest.fixture
def tracking(sandbox):
    return Systems(settings.load(sandbox.process_env)).tracking


@pytest.fixture
def experiment(sandbox, tracking):
    """An experiment with forty old runs: (id, name)."""
    name = f"slack-{uuid.uuid4().hex[:8]}"
    made = tracking.call("experiments/create", {"name": name})["experiment_id"]
    start = int((time.time() - 100 * 86400) * 1000)
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute(RUNS, {"seed": name, "start": start, "at": int(made), "number": 40})
    yield made, name
    tracking.call("experiments/delete", {"experiment_id": made})


def fresh(person, before, said):
    def found():
        new = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if said in words(each)), None)

    return person.wait_for(found, deadline=SECONDS)


def ask(person, text, said):
    """Type it; the root message once it says that."""
    before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok
    return fresh(person, before, said)


def becomes(person, message, said):
    person.wait_for(lambda: said in words(now(person, message)) or None, deadline=SECONDS)
    return now(person, message)


def actions(message):
    blocks = message["blocks"]
    return [each["action_id"] for block in blocks for each in block.get("elements", ()) if "action_id" in each]


def files(person, message):
    return [file["name"] for reply in person.thread(OPS_CHANNEL, message["ts"]) for file in reply.get("files", ())]


def counted(sandbox, experiment):
    """As `active`, asked of the database: quick enough to catch it under way."""
    query = "SELECT count(*) FROM runs WHERE experiment_id = %s AND lifecycle_stage = 'active'"
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        return connection.execute(query, (int(experiment[0]),)).fetchone()[0]


def active(tracking, experiment):
    return sum(1 for _ in search(tracking, [experiment[0]]))


def test_archived_by_two_people_and_brought_back_by_two_others(omar, ada, experiment, tracking):
    asked = ask(omar, f"runs archive --older-than 90d --experiment {experiment[1]}", "Waiting for approval")
    assert "40 runs of 1 experiment that began before" in words(asked)
    assert "40 archived" in words(asked)
    omar.wait_for(lambda: files(omar, asked) or None, deadline=SECONDS)
    assert files(omar, asked)[0].startswith("archive-")
    omar.press(OPS_CHANNEL, asked["ts"], "approve")
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "You asked for this yourself"), deadline=SECONDS)
    assert active(tracking, experiment) == 40
    ada.press(OPS_CHANNEL, asked["ts"], "approve")
    done = becomes(omar, asked, "40 runs are archived under the mark")
    assert actions(done) == ["undo"]
    assert active(tracking, experiment) == 0
    before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, asked["ts"], "undo")
    back = fresh(omar, before, "Waiting for approval")
    assert "40 archived" in words(back)
    ada.press(OPS_CHANNEL, back["ts"], "approve")
    becomes(omar, back, "40 runs are active again")
    assert active(tracking, experiment) == 40


def test_a_run_that_is_new_between_approval_and_archiving_stops_it(omar, ada, experiment, tracking):
    asked = ask(omar, f"runs archive --older-than 90d --experiment {experiment[1]}", "Waiting for approval")
    old = {"experiment_id": experiment[0], "start_time": int((time.time() - 120 * 86400) * 1000)}
    run = tracking.call("runs/create", old)["run"]["info"]["run_id"]
    tracking.call("runs/update", {"run_id": run, "status": "FINISHED"})
    ada.press(OPS_CHANNEL, asked["ts"], "approve")
    stopped = becomes(omar, asked, "things have changed since this was planned")
    assert "runs was 40, now 41" in words(stopped)
    assert active(tracking, experiment) == 41


@pytest.mark.slow
def test_a_killed_worker_has_left_some_archived_and_asked_again_it_goes_on(omar, ada, experiment, tracking, sandbox):
    start = int((time.time() - 100 * 86400) * 1000)
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute(RUNS, {"seed": "more", "start": start, "at": int(experiment[0]), "number": 1500})
    text = f"runs archive --older-than 90d --experiment {experiment[1]}"
    asked = ask(omar, text, "1,540 runs")
    becomes(omar, asked, "Waiting for approval")
    ada.press(OPS_CHANNEL, asked["ts"], "approve")
    omar.wait_for(lambda: counted(sandbox, experiment) < 1500 or None, deadline=SECONDS)
    known = sandbox.process("worker-ops")
    sandbox.kill("worker-ops")
    told = words(becomes(omar, asked, "runs are archived under the mark"))
    left = active(tracking, experiment)
    assert 0 < left < 1500
    assert f"{1540 - left:,} runs are archived under the mark" in told
    sandbox.wait_until_ready("worker-ops", other_than=known)
    again = ask(omar, text, "Waiting for approval")
    assert f"{left:,} runs of 1 experiment" in words(again)
    ada.press(OPS_CHANNEL, again["ts"], "approve")
    done = becomes(omar, again, f"{left:,} runs are archived under the mark")
    assert active(tracking, experiment) == 0
    mark = words(done).split("under the mark ")[1][:13]
    back = ask(omar, f"runs unarchive {mark}", "Waiting for approval")
    assert "1,540 runs" in words(back)
    omar.press(OPS_CHANNEL, back["ts"], "withdraw")


@pytest.fixture
def deleted(experiment, sandbox, monkeypatch):
    """The experiment with eight of its runs deleted forty days ago, and a backup that holds them."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = %s, "
            "artifact_uri = 'mlflow-artifacts:/' || experiment_id || '/' || run_uuid || '/artifacts' "
            "WHERE experiment_id = %s AND name < 'run-17'",
            (int((time.time() - 40 * 86400) * 1000), int(experiment[0])),
        )
    for name, value in sandbox.process_env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    Backup(parts=("database", "artifacts")).run(Systems(settings.load(sandbox.process_env)), Unwatched())
    return experiment


def left(tracking, experiment):
    return sum(1 for _ in search(tracking, [experiment[0]], view="ALL"))


def test_purged_once_two_have_approved_and_nobody_can_undo_it(omar, ada, ben, deleted, tracking):
    text = f"runs purge --experiment {deleted[1]}"
    asked = ask(omar, text, "needs 2 people of")
    assert "8 runs of 1 experiment, for good" in words(asked)
    assert "mlflow gc" in words(asked)
    omar.wait_for(lambda: files(omar, asked) or None, deadline=SECONDS)
    assert files(omar, asked) == ["purge.csv"]
    ada.press(OPS_CHANNEL, asked["ts"], "approve")
    becomes(omar, asked, "1 of 2")
    assert left(tracking, deleted) == 40
    ben.press(OPS_CHANNEL, asked["ts"], "approve")
    omar.wait_for(lambda: "8 runs are gone for good" in words(now(omar, asked)) or None, deadline=150)
    assert actions(now(omar, asked)) == []
    assert left(tracking, deleted) == 32
    assert ask(omar, text, "There is no run to purge")


def test_a_comparison_comes_with_its_file(vera):
    report = ask(vera, "runs compare load-forecast-eu --metrics accuracy,rmse", "10 runs in load-forecast-eu")
    vera.wait_for(lambda: files(vera, report) or None, deadline=SECONDS)
    assert files(vera, report)[0] == "compare.csv"
    assert vera.find_reply(OPS_CHANNEL, report["ts"], "higher is better")


def test_what_can_be_read_is_read_and_what_cannot_is_refused(omar, vera, experiment):
    assert ask(vera, "experiments list", "Experiments")
    assert ask(vera, "experiments show ranking-prototype", "It is deleted and has")
    assert ask(vera, "models show carbon-intensity", "2 versions")
    assert ask(vera, "runs show nosuchrun", "There is no run “nosuchrun”")
    assert ask(omar, "experiments create ranking-prototype", "is held by a deleted experiment")
    assert vera.command(OPS_CHANNEL, f"/mlflow experiments rename {experiment[1]} other").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the operator role"), deadline=SECONDS)


def test_an_odd_name_neither_pings_nor_breaks_the_message(omar, tracking):
    name = f"it's <!channel> *bold* `code` é😀 {uuid.uuid4().hex[:6]}"
    made = tracking.call("experiments/create", {"name": name})["experiment_id"]
    shown = ask(omar, f"experiments show {made}", "It is active and has 0 runs")
    assert "<!channel>" not in str(shown["blocks"])
    assert "&lt;!channel&gt;" in str(shown["blocks"])
    tracking.call("experiments/delete", {"experiment_id": made})


def test_tags_are_set_and_undone(omar, experiment, tracking):
    run = next(iter(search(tracking, [experiment[0]])))
    done = ask(omar, f"runs tag {run.id} reviewed=yes", "has reviewed=yes")
    assert actions(done) == ["undo"]
    before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, done["ts"], "undo")
    assert fresh(omar, before, "no longer has reviewed")
