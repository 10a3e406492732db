"""A change on a whole sandbox: planned, shown with buttons, decided by somebody else, and told."""

import subprocess
import sys
import threading
import time

import pytest
import requests

from deploy.sandbox.slack.client import SlackPerson, wait_for, words
from deploy.sandbox.wiring import OPS_CHANNEL
from workers import settings
from workers.deployment import update
from workers.locks import LEASE_SECONDS
from workers.systems.cluster import Cluster

SECONDS = 20


@pytest.fixture
def people(sandbox):
    names = {"vera": "U07VERA0001", "omar": "U07OMAR0002", "ada": "U07ADAO0003", "ben": "U07BENC0004"}
    return {name: SlackPerson(sandbox.slack_url, user) for name, user in names.items()}


@pytest.fixture
def asked(people):
    """A command of omar's that waits for approval: its root message."""

    def asked(text):
        omar = people["omar"]
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok

        def waiting():
            fresh = [message for message in omar.messages(OPS_CHANNEL) if message["ts"] not in before]
            return next((message for message in fresh if "Waits for approval" in words(message)), None)

        return omar.wait_for(waiting, deadline=SECONDS)

    return asked


def now(person, message):
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])


def becomes(person, message, said):
    return person.wait_for(lambda: said in words(now(person, message)) or None, deadline=SECONDS)


def actions(message):
    return [
        element["action_id"]
        for block in message["blocks"]
        for element in block.get("elements", ())
        if "action_id" in element
    ]


def test_the_plan_says_what_would_change_and_who_may_approve(people, asked):
    message = asked("scale 9")
    said = words(message)
    for part in ("from 2 to 9 replicas", "`2` → `9`", "Wait until every pod is ready", "/mlflow scale 2"):
        assert part in said
    assert "<!subteam^S07APPROVE1>" in said
    assert actions(message) == ["approve", "deny", "withdraw"]
    people["omar"].press(OPS_CHANNEL, message["ts"], "withdraw")
    assert becomes(people["omar"], message, "Withdrawn")


def test_whoever_asked_cannot_approve_and_neither_can_a_viewer(people, asked):
    message = asked("scale 8")
    omar, vera = people["omar"], people["vera"]
    omar.press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "You asked for it yourself"), deadline=SECONDS)
    vera.press(OPS_CHANNEL, message["ts"], "approve")
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "needs the role approver"), deadline=SECONDS)
    vera.press(OPS_CHANNEL, message["ts"], "withdraw")
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "can withdraw it"), deadline=SECONDS)
    assert "Waits for approval" in words(now(omar, message))
    people["ben"].press(OPS_CHANNEL, message["ts"], "deny")
    assert becomes(omar, message, "Denied")
    denied = now(omar, message)
    assert "<@U07BENC0004>" in words(denied)
    assert actions(denied) == ["again"]


def test_a_decision_is_final_and_can_be_asked_for_again(people, asked):
    message = asked("scale 7")
    ada, ben = people["ada"], people["ben"]
    ada.press(OPS_CHANNEL, message["ts"], "deny")
    assert becomes(ada, message, "Denied")
    before = len(ben.messages(OPS_CHANNEL))
    people["omar"].press(OPS_CHANNEL, message["ts"], "again")
    ben.wait_for(lambda: len(ben.messages(OPS_CHANNEL)) > before or None, deadline=SECONDS)
    fresh = ben.wait_for(
        lambda: next((m for m in ben.messages(OPS_CHANNEL)[before:] if "Waits for approval" in words(m)), None),
        deadline=SECONDS,
    )
    people["omar"].press(OPS_CHANNEL, fresh["ts"], "withdraw")
    assert becomes(ben, fresh, "Withdrawn")


def test_what_waits_is_listed_and_can_be_cancelled(people, asked):
    message = asked("scale 0")
    omar, vera = people["omar"], people["vera"]
    assert "MLflow is down for everybody" in words(message)
    (record_id,) = {
        element["value"] for block in message["blocks"] for element in block.get("elements", ()) if "value" in element
    }
    assert vera.command(OPS_CHANNEL, "/mlflow jobs").ok
    vera.wait_for(lambda: vera.find(OPS_CHANNEL, "under way or waiting"), deadline=SECONDS)
    assert vera.command(OPS_CHANNEL, f"/mlflow cancel {record_id}").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "and approvers may stop it"), deadline=SECONDS)
    assert omar.command(OPS_CHANNEL, f"/mlflow cancel {record_id}").ok
    assert becomes(omar, message, "before anything was done")


@pytest.fixture
def cluster(sandbox):
    """The cluster as its administrator sees it; two replicas afterwards."""
    gateway = Cluster.connect(settings.load(sandbox.process_env))
    yield gateway
    set_replicas(gateway, 2)
    wait_for(lambda: ready(gateway) == 2 or None, 60)


def set_replicas(cluster, number):
    scale = cluster.scale("mlflow")
    cluster.set_scale("mlflow", {**scale, "spec": {"replicas": number}})


def ready(cluster):
    status = cluster.deployment("mlflow")["status"]
    return status.get("readyReplicas", 0) if status.get("replicas") == status.get("updatedReplicas") else -1


def test_what_an_operator_may_alone_is_done_and_watched_to_its_end(people, cluster):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, "/mlflow scale 3").ok
    done = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "mlflow has 3 ready replicas; it had 2"), deadline=60)
    assert ready(cluster) == 3
    assert "Omar" not in words(done)
    assert "<@U07OMAR0002>" in words(done)


def test_what_was_approved_is_what_runs_or_nothing(people, asked, cluster):
    message = asked("scale 9")
    set_replicas(cluster, 3)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    assert becomes(people["omar"], message, "things have changed since this was planned")
    said = words(now(people["omar"], message))
    assert "planned 2 → 9, now 3 → 9" in said
    assert cluster.scale("mlflow")["spec"]["replicas"] == 3


def test_an_approved_change_is_done_and_says_so(people, asked, cluster):
    message = asked("scale 7")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: "has 7 ready replicas" in words(now(people["omar"], message)) or None, deadline=90)
    assert ready(cluster) == 7


def image(cluster):
    return update.image_of(cluster.deployment("mlflow"), "mlflow")


def test_an_image_that_does_not_come_up_is_put_back_by_itself(people, asked, cluster):
    before = image(cluster)
    message = asked("update v9.9.9")
    assert "`ghcr.io/mlflow/mlflow:v9.9.9`" in words(message)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar = people["omar"]
    omar.wait_for(lambda: "is back, and every pod is ready" in words(now(omar, message)) or None, deadline=100)
    said = words(now(omar, message))
    assert "v9.9.9 does not come up" in said
    assert "ImagePullBackOff" in said
    assert image(cluster) == before
    assert ready(cluster) == 2


def test_an_update_says_which_version_answers(people, asked, cluster):
    before = image(cluster)
    message = asked("update v3.18.0")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar = people["omar"]
    omar.wait_for(lambda: "MLflow says 3.18.0" in words(now(omar, message)) or None, deadline=100)
    assert image(cluster) == "ghcr.io/mlflow/mlflow:v3.18.0"
    back = asked(f"update {before}")
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    omar.wait_for(lambda: "Every pod of mlflow runs" in words(now(omar, back)) or None, deadline=100)
    assert image(cluster) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("update v3.17.2", "runs ghcr.io/mlflow/mlflow:v3.17.2 already"),
        ('update "a b"', "is neither a tag nor an image's name"),
        ("scale 2", "has 2 replicas already"),
    ],
)
def test_what_cannot_be_planned_is_told_and_nobody_is_asked(people, cluster, text, said):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, said), deadline=SECONDS)


def test_a_restart_drops_no_request(people, cluster, sandbox):
    stop, failed, asked_times = threading.Event(), [], []

    def client():
        url = sandbox.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1"
        while not stop.is_set():
            try:
                answer = requests.get(url, timeout=5, headers={"Connection": "close"})
                answer.raise_for_status()
                asked_times.append(time.monotonic())
            except requests.RequestException as error:
                failed.append(str(error))
            time.sleep(0.05)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        omar = people["omar"]
        before = {pod["metadata"]["uid"] for pod in cluster.pods("app=mlflow")}
        assert omar.command(OPS_CHANNEL, "/mlflow restart").ok
        omar.wait_for(lambda: omar.find(OPS_CHANNEL, "Every pod of mlflow is a new one"), deadline=90)
    finally:
        stop.set()
        thread.join()
    after = {pod["metadata"]["uid"] for pod in cluster.pods("app=mlflow") if "deletionTimestamp" not in pod["metadata"]}
    assert not before & after
    assert len(asked_times) > 20
    assert failed == []


def test_a_worker_that_is_killed_leaves_no_lock_and_the_thread_says_so(people, cluster, sandbox):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, "/mlflow scale 5").ok
    wait_for(lambda: cluster.scale("mlflow")["spec"]["replicas"] == 5 or None, 30)
    before = sandbox.process("worker-ops")
    sandbox.kill("worker-ops")
    lost = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "/mlflow scale 5` failed"), deadline=60)
    assert "The worker lost this command" in words(lost)
    sandbox.wait_until_ready("worker-ops", other_than=before)
    assert cluster.scale("mlflow")["spec"]["replicas"] == 5
    time.sleep(LEASE_SECONDS / 2)
    assert omar.command(OPS_CHANNEL, "/mlflow scale 4").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, "mlflow has 4 ready replicas"), deadline=60)


def test_a_dry_run_is_for_everybody_who_may_look(people):
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow scale 5").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "needs the role operator"), deadline=SECONDS)
    assert vera.command(OPS_CHANNEL, "/mlflow scale 5 --dry-run").ok
    vera.wait_for(lambda: vera.find(OPS_CHANNEL, "from 2 to 5 replicas. Nothing was changed."), deadline=SECONDS)


def test_all_of_it_is_in_the_audit_record_which_is_unbroken(people, asked, sandbox):
    message = asked("scale 11")
    people["ada"].press(OPS_CHANNEL, message["ts"], "deny")
    assert becomes(people["ada"], message, "Denied")
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow audit --since 1h --command scale").ok
    root = vera.wait_for(lambda: vera.find(OPS_CHANNEL, "Audit"), deadline=SECONDS)
    assert "the record is as it was written" in words(root)
    details = vera.wait_for(lambda: vera.thread(OPS_CHANNEL, root["ts"])[1:] or None, deadline=SECONDS)
    assert any("scale 11" in words(reply) for reply in details)
    verified = subprocess.run(
        [sys.executable, "-m", "bot", "audit", "verify"],
        env=sandbox.process_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "unbroken" in verified.stdout
