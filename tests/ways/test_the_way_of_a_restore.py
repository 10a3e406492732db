"""A restore on a whole sandbox, by two people: what was deleted is back, and MLflow is away for the switch only."""

import os
import re
import threading
import time
from pathlib import Path

import psycopg
import pytest
import requests

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words
from tests.bench import seed_database
from tests.series import slow
from tests.ways.reading import answered, now
from tests.workers.operations.restore.test_recover import delete_everything
from workers import settings
from workers.systems import Systems
from workers.systems.cluster.client import Cluster

pytestmark = pytest.mark.slow

SECONDS = 60
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""
AWAY_SECONDS = 5
MEGABYTES = int(os.environ.get("MLFLOW_OPS_RESTORE_MEGABYTES", "20"))
"""How much is added to the database; by hand also 1,100."""
LONG_SECONDS = SECONDS + MEGABYTES
WRITE_SECONDS = 0.5


@pytest.fixture(scope="module")
def sandbox(start_sandbox_once, tmp_path_factory, seeded):
    return start_sandbox_once(tmp_path_factory.mktemp("restore") / "data", like=seeded)


def approved(people, text, part, seconds=SECONDS):
    message = answered(people["omar"], text, "Waiting for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: part in words(now(people["omar"], message)) or None, deadline=seconds)
    return now(people["omar"], message)


def runs(sandbox):
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        return connection.execute("SELECT count(*) FROM runs").fetchone()[0]


class Client:
    """Asks MLflow every 100 ms; for how many seconds in total it had no answer."""

    def __init__(self, url):
        self.url = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
        self.stop = threading.Event()
        self.away = 0.0
        self.answers = 0
        self.thread = threading.Thread(target=self.ask)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def ask(self):
        refused_since = None
        while not self.stop.is_set():
            asked = time.monotonic()
            try:
                requests.get(self.url, timeout=10, headers={"Connection": "close"}).raise_for_status()
            except requests.RequestException:
                refused_since = refused_since or asked
            else:
                self.away += time.monotonic() - refused_since if refused_since else 0
                refused_since = None
                self.answers += 1
            self.stop.wait(0.1)


def test_deleted_runs_are_back_and_the_restore_can_be_undone(sandbox, people):
    omar = people["omar"]
    answered(omar, "backup database", "read back and compared")
    before = runs(sandbox)
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("TRUNCATE runs CASCADE")
    assert runs(sandbox) == 0
    plan = words(answered(omar, "restore database --dry-run", "Nothing was changed"))
    assert "Restore the database mlflow" in plan
    with Client(sandbox.env["MLFLOW_TRACKING_URI"]) as client:
        done = approved(people, "restore database latest", "ms of downtime")
    assert runs(sandbox) == before
    assert client.answers > 10
    assert client.away < AWAY_SECONDS
    known = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, done["ts"], "undo")

    def proposed():
        fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
        return next((each for each in fresh if "Waiting for approval" in words(each)), None)

    back = omar.wait_for(proposed, deadline=SECONDS)
    assert "What was written since the restore is no longer in the live database" in words(back)
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    omar.wait_for(lambda: "is the database from before the restore" in words(now(omar, back)) or None, deadline=SECONDS)
    assert runs(sandbox) == 0
    again = approved(people, "restore database latest", "ms of downtime")
    assert "mlflow is the backup" in words(again)
    assert runs(sandbox) == before


def picture(page, name):
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"restore-{name}.png")


@pytest.mark.slow
def test_damage_done_in_the_page_is_mended_by_two_people_in_the_page(sandbox, people, open_page):
    expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
    ms = SECONDS * 1000
    view = {"viewport": {"width": 1440, "height": 1000}}
    omar = open_page(sandbox.slack_url, "?person=U07OMAR0002&theme=light", OPS_CHANNEL, **view)
    ada = open_page(sandbox.slack_url, "?person=U07ADAO0003&theme=dark", OPS_CHANNEL, **view)

    def typed(words, part):
        mine = omar.locator("#main .message").nth(omar.locator("#main .message").count())
        omar.fill("#composer", f"/mlflow {words}")
        omar.keyboard.press("Enter")
        expect(mine).to_contain_text(part, timeout=ms)
        return mine

    def metrics():
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
            return connection.execute("SELECT to_regclass('metrics')").fetchone()[0]

    typed("backup", "read back and compared")
    for what, part in (("list", "the newest"), ("show latest", "PostgreSQL")):
        typed(f"backup {what}", "asked by").locator(".replies").click()
        expect(omar.get_by_label("Thread", exact=True)).to_contain_text(part, timeout=ms)
        picture(omar, f"backup-{what.split()[0]}")
    ada.locator("#panel-rail").click()
    for thing, done in (("table", "dropped"), ("artifacts", "deleted"), ("config", "broken, at")):
        ada.locator(f"[data-thing={thing}] [data-action=do]").click()
        expect(ada.locator(f"[data-thing={thing}]")).to_contain_text(done, timeout=ms)
    picture(ada, "damage")
    ada.locator("#panel-rail").click()
    assert metrics() is None
    plan = typed("restore database latest", "Waiting for approval")
    expect(plan).to_contain_text("Restore the database mlflow")
    picture(omar, "plan")
    ada.locator("#main [data-action=approve]").last.click()
    expect(omar.locator("#main .message").last).to_contain_text("ms of downtime", timeout=ms)
    assert metrics() == "metrics"
    omar.locator("#main .message").last.locator(".replies").click()
    expect(omar.get_by_label("Thread", exact=True)).to_contain_text("as in the manifest: 65 tables", timeout=ms)
    picture(omar, "done")
    for what, part in (("artifacts", "each was compared"), ("config", "as in the backup")):
        typed(f"restore {what} latest", "Waiting for approval")
        ada.locator("#main [data-action=approve]").last.click()
        expect(omar.locator("#main .message").last).to_contain_text(part, timeout=ms)
    picture(ada, "all")
    cluster = Cluster.connect(settings.load(sandbox.process_env))
    assert "broken" not in cluster.configmap("mlflow-config")["data"].values()


def test_an_approval_is_for_the_set_that_was_shown(sandbox, people):
    omar = people["omar"]
    answered(omar, "backup database", "read back and compared")
    message = answered(omar, "restore database latest", "Waiting for approval")
    answered(omar, "backup database", "read back and compared")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: "things have changed since" in words(now(omar, message)) or None, deadline=SECONDS)
    assert "Nothing was done" in words(now(omar, message))


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


def there(sandbox, ids):
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute("SELECT run_uuid FROM runs WHERE run_uuid = ANY(%s)", (ids,)).fetchall()
    return {run for (run,) in found}


@pytest.mark.slow
def test_what_is_lost_is_what_was_told(sandbox, people, record_testsuite_property):
    seed_database.seed(sandbox.env["MLFLOW_OPS_DATABASE_URL"], MEGABYTES)
    answered(people["omar"], "backup database", "read back and compared", LONG_SECONDS)
    with Writer(sandbox.env["MLFLOW_TRACKING_URI"]) as writer, Client(sandbox.env["MLFLOW_TRACKING_URI"]) as client:
        done = approved(people, "restore database latest", "ms of downtime", LONG_SECONDS)
        time.sleep(3 * WRITE_SECONDS)
    lost = set(writer.taken) - there(sandbox, writer.taken)
    assert client.away < AWAY_SECONDS
    told = int(re.search(r"([\d,]+) runs? and", words(done))[1].replace(",", ""))
    record_testsuite_property("away", f"{MEGABYTES} MB: {client.away:.2f} s; {told} of {len(writer.taken)} runs lost")
    assert 0 < len(lost) <= told <= len(lost) + writer.failed
    assert there(sandbox, writer.taken[-1:])
    answered(people["omar"], "restore prune --all --dry-run", "Nothing was changed")


@pytest.fixture
def marked_after(sandbox):
    """Makes a table that the backup does not hold, and what tells by it whether the old database is live."""

    def old():
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
            return connection.execute("SELECT to_regclass('newer_than_the_backup') IS NOT NULL").fetchone()[0]

    def mark():
        with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CREATE TABLE newer_than_the_backup (n int)")
        return old

    yield mark
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS newer_than_the_backup")


@pytest.mark.parametrize(
    ("victim", "step"),
    [("worker-ops", "Restoring"), *slow(("worker-ops", "Making"), ("redis", "Restoring"), ("redis", "Switching"))],
)
def test_killed_on_the_way_the_thread_tells_which_database_is_live(sandbox, people, marked_after, victim, step):
    omar = people["omar"]
    answered(omar, "backup database", "read back and compared")
    before, old = runs(sandbox), marked_after()
    message = answered(omar, "restore database latest", "Waiting for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: step in words(now(omar, message)) or "nobody could" in words(now(omar, message)) or None, 60)
    known = sandbox.process(victim)
    sandbox.kill(victim)

    def ended():
        text = words(now(omar, message))
        return text if "nobody could" in text or "failed" in text else None

    told = omar.wait_for(ended, deadline=2 * SECONDS)
    sandbox.wait_until_ready(victim, other_than=known)
    assert old() == ("nobody could" not in told), told
    assert runs(sandbox) == before
    requests.get(
        sandbox.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1", timeout=10
    ).raise_for_status()
    if victim == "redis":
        approved(people, "restore database latest", "ms of downtime")
        assert not old()


def test_without_a_set_there_is_a_sentence(sandbox, people):
    answered(people["omar"], "restore database abcdef", "There is no backup abcdef")


def test_what_comes_back_can_be_chosen_in_a_window(sandbox, people):
    omar = people["omar"]
    answered(omar, "backup database", "read back and compared")
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
    omar.wait_for(lambda: "Waiting for approval" in words(now(omar, message)) or None, deadline=SECONDS)
    omar.press(OPS_CHANNEL, message["ts"], "withdraw")


def test_a_broken_configuration_is_put_back_by_the_workers_own_account(sandbox, people):
    answered(people["omar"], "backup config", "read back and compared")
    cluster = Cluster.connect(settings.load(sandbox.process_env))
    before = cluster.configmap("mlflow-config")["data"]
    cluster.patch_configmap("mlflow-config", {"data": {"BROKEN": "yes"}})
    done = approved(people, "restore config --only configmap", "is as in the backup")
    assert "configmap/mlflow-config is as in the backup" in words(done)
    assert cluster.configmap("mlflow-config")["data"] == before


@pytest.mark.slow
def test_everything_is_gone_and_two_people_bring_it_back(sandbox, people, monkeypatch):
    for name, value in sandbox.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    answered(people["omar"], "backup", "read back and compared")
    before = runs(sandbox)
    delete_everything(sandbox, Systems(settings.load(sandbox.process_env)))
    message = answered(people["omar"], "recover", "Waiting for approval")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: "1 of 2" in words(now(people["omar"], message)) or None, deadline=SECONDS)
    people["ben"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(
        lambda: "MLflow is back after" in words(now(people["omar"], message)) or None, deadline=3 * SECONDS
    )
    assert runs(sandbox) >= before
    details = "\n".join(map(words, people["omar"].thread(OPS_CHANNEL, message["ts"])))
    assert "made, read back and deleted" in details
    requests.get(
        sandbox.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1", timeout=10
    ).raise_for_status()
