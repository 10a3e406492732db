"""A restore on a whole sandbox, by two people: what was deleted is back, and MLflow is away for the switch only."""

import os
import re
import threading
import time

import psycopg
import pytest
import requests

from deploy.sandbox.slack.client import SlackPerson, words
from deploy.sandbox.wiring import OPS_CHANNEL
from tests.workers.restore.test_recover import delete_everything
from workers import settings
from workers.systems import Systems
from workers.systems.cluster import Cluster

SECONDS = 60
AWAY_SECONDS = 5
MEGABYTES = int(os.environ.get("MLFLOW_OPS_RESTORE_MEGABYTES", "20"))
"""How much is added to the database; by hand also 1,100."""
LONG_SECONDS = SECONDS + MEGABYTES
WRITE_SECONDS = 0.5


@pytest.fixture(scope="module")
def whole(start_sandbox_once, tmp_path_factory):
    return start_sandbox_once(tmp_path_factory.mktemp("restore") / "data")


@pytest.fixture
def people(whole):
    names = {"omar": "U07OMAR0002", "ada": "U07ADAO0003", "ben": "U07BENC0004"}
    return {name: SlackPerson(whole.slack_url, user) for name, user in names.items()}


def now(person, message):
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])


def said(person, text, part, seconds=SECONDS):
    """Type a command and wait until its root message says something."""
    known = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok

    def found():
        fresh = [message for message in person.messages(OPS_CHANNEL) if message["ts"] not in known]
        return next((message for message in fresh if part in words(message)), None)

    return person.wait_for(found, deadline=seconds)


def approved(people, text, part, seconds=SECONDS):
    message = said(people["omar"], text, "Waits for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: part in words(now(people["omar"], message)) or None, deadline=seconds)
    return now(people["omar"], message)


def runs(whole):
    with psycopg.connect(whole.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM runs").fetchone()[0]


class Client:
    """Asks MLflow again and again; the longest time without a good answer."""

    def __init__(self, url):
        self.url = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
        self.stop = threading.Event()
        self.longest = 0.0
        self.answers = 0
        self.thread = threading.Thread(target=self.ask)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def ask(self):
        last = time.monotonic()
        while not self.stop.is_set():
            try:
                requests.get(self.url, timeout=10, headers={"Connection": "close"}).raise_for_status()
            except requests.RequestException:
                time.sleep(0.02)
                continue
            moment = time.monotonic()
            self.longest, last, self.answers = max(self.longest, moment - last), moment, self.answers + 1
            time.sleep(0.05)


def test_deleted_runs_are_back_and_the_restore_can_be_undone(whole, people):
    omar = people["omar"]
    said(omar, "backup database", "read back and compared")
    before = runs(whole)
    with psycopg.connect(whole.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("TRUNCATE runs CASCADE")
    assert runs(whole) == 0
    plan = words(said(omar, "restore database --dry-run", "Nothing was changed"))
    assert "Restore the database mlflow" in plan
    with Client(whole.env["MLFLOW_TRACKING_URI"]) as client:
        done = approved(people, "restore database latest", "nobody could get in for")
    assert runs(whole) == before
    assert client.answers > 10
    assert client.longest < AWAY_SECONDS
    known = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, done["ts"], "undo")

    def proposed():
        fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
        return next((each for each in fresh if "Waits for approval" in words(each)), None)

    back = omar.wait_for(proposed, deadline=SECONDS)
    assert "What was written since the restore is no longer in the live database" in words(back)
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    omar.wait_for(lambda: "is the database of before the restore" in words(now(omar, back)) or None, deadline=SECONDS)
    assert runs(whole) == 0
    again = approved(people, "restore database latest", "nobody could get in for")
    assert "mlflow is the backup" in words(again)
    assert runs(whole) == before


class Writer:
    """Begins a run again and again; those that MLflow has taken, and how many tries failed."""

    def __init__(self, url):
        self.url = f"{url}/api/2.0/mlflow/runs/create"
        self.stop = threading.Event()
        self.taken, self.failed = [], 0
        self.thread = threading.Thread(target=self.write)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def write(self):
        while not self.stop.is_set():
            body = {"experiment_id": "0", "start_time": int(time.time() * 1000)}
            try:
                answer = requests.post(self.url, json=body, timeout=10, headers={"Connection": "close"})
                answer.raise_for_status()
                self.taken.append(answer.json()["run"]["info"]["run_id"])
            except requests.RequestException:
                self.failed += 1
            self.stop.wait(WRITE_SECONDS)


def there(whole, ids):
    with psycopg.connect(whole.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute("SELECT run_uuid FROM runs WHERE run_uuid = ANY(%s)", (ids,)).fetchall()
    return {run for (run,) in found}


def test_what_is_lost_is_what_was_told(whole, people, record_testsuite_property):
    with psycopg.connect(whole.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        (run,) = connection.execute("SELECT run_uuid FROM runs LIMIT 1").fetchone()
        connection.execute(
            "INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
            "SELECT md5((n %% 100)::text), random(), n, %s, n, false FROM generate_series(1, %s) n",
            (run, MEGABYTES * 5000),
        )
    said(people["omar"], "backup database", "read back and compared", LONG_SECONDS)
    with Writer(whole.env["MLFLOW_TRACKING_URI"]) as writer, Client(whole.env["MLFLOW_TRACKING_URI"]) as client:
        done = approved(people, "restore database latest", "nobody could get in for", LONG_SECONDS)
        time.sleep(3 * WRITE_SECONDS)
    lost = set(writer.taken) - there(whole, writer.taken)
    assert client.longest < AWAY_SECONDS
    told = int(re.search(r"([\d,]+) runs? and", words(done))[1].replace(",", ""))
    record_testsuite_property(
        "away", f"{MEGABYTES} MB: {client.longest:.2f} s; {told} of {len(writer.taken)} runs lost"
    )
    assert 0 < len(lost) <= told <= len(lost) + writer.failed
    assert there(whole, writer.taken[-1:])
    said(people["omar"], "restore prune --all --dry-run", "Nothing was changed")


@pytest.mark.parametrize("step", ["Making", "Restoring"])
def test_a_worker_killed_on_the_way_leaves_the_live_one_and_says_so(whole, people, step):
    omar, before = people["omar"], runs(whole)
    said(omar, "backup database", "read back and compared")
    message = said(omar, "restore database latest", "Waits for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: step in words(now(omar, message)) or "nobody could" in words(now(omar, message)) or None, 60)
    known = whole.process("worker-ops")
    whole.kill("worker-ops")
    omar.wait_for(
        lambda: (
            ("The worker lost this command" in words(now(omar, message)) and "failed" in words(now(omar, message)))
            or "nobody could" in words(now(omar, message))
            or None
        ),
        deadline=SECONDS,
    )
    whole.wait_until_ready("worker-ops", other_than=known)
    assert runs(whole) == before
    requests.get(
        whole.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1", timeout=10
    ).raise_for_status()


def test_without_a_set_there_is_a_sentence(whole, people):
    said(people["omar"], "restore database abcdef", "There is no backup abcdef")


def test_what_comes_back_can_be_chosen_in_a_window(whole, people):
    omar = people["omar"]
    said(omar, "backup database", "read back and compared")
    assert omar.command(OPS_CHANNEL, "/mlflow restore").ok
    view = omar.wait_for(omar.view, deadline=SECONDS)
    assert "From which backup?" in words(view)
    assert "Say which run" in str(omar.submit_view({"what": "run"}).errors)
    known = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
    assert omar.submit_view({"what": "experiment", "name": "no such; thing", "set": "latest"}).ok

    def asked():
        fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
        return next((each for each in fresh if "restore experiment 'no such; thing'" in words(each)), None)

    message = omar.wait_for(asked, deadline=SECONDS)
    omar.wait_for(lambda: "Waits for approval" in words(now(omar, message)) or None, deadline=SECONDS)
    omar.press(OPS_CHANNEL, message["ts"], "withdraw")


def test_a_broken_configuration_is_put_back_by_the_workers_own_account(whole, people):
    said(people["omar"], "backup config", "read back and compared")
    cluster = Cluster.connect(settings.load(whole.process_env))
    before = cluster.configmap("mlflow-config")["data"]
    cluster.patch_configmap("mlflow-config", {"data": {"BROKEN": "yes"}})
    done = approved(people, "restore config --only configmap", "is as in the backup")
    assert "configmap/mlflow-config is as in the backup" in words(done)
    assert cluster.configmap("mlflow-config")["data"] == before


def test_everything_is_gone_and_two_people_bring_it_back(whole, people, monkeypatch):
    for name, value in whole.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    said(people["omar"], "backup", "read back and compared")
    before = runs(whole)
    delete_everything(whole, Systems(settings.load(whole.process_env)))
    message = said(people["omar"], "recover", "Waits for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: "1 of 2" in words(now(people["omar"], message)) or None, deadline=SECONDS)
    people["ben"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(
        lambda: "MLflow is back after" in words(now(people["omar"], message)) or None, deadline=3 * SECONDS
    )
    assert runs(whole) >= before
    details = "\n".join(map(words, people["omar"].thread(OPS_CHANNEL, message["ts"])))
    assert "made, read back and deleted" in details
    requests.get(
        whole.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1", timeout=10
    ).raise_for_status()
