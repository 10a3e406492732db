"""A change on a whole sandbox: planned, shown with buttons, decided by somebody else, and told."""

import re
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import requests

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import wait_for, words
from tests.series import slow
from tests.ways.reading import answered, now
from workers import settings
from workers.operations.deployment import update
from workers.systems.cluster.client import Cluster
from workers.systems.postgres.database import Database

SECONDS = 20


def ends_with(person, message, said, deadline=100):
    """Wait until a message says so; what it says instead is shown where it never does."""
    try:
        person.wait_for(lambda: said in words(now(person, message)) or None, deadline=deadline)
    except TimeoutError:
        pytest.fail(f"it never said “{said}” but:\n{words(now(person, message))}")


def becomes(person, message, said):
    return person.wait_for(lambda: said in words(now(person, message)) or None, deadline=SECONDS)


def deny(person, message, why=""):
    """Press Deny, and say why in the modal."""
    person.press(OPS_CHANNEL, message["ts"], "deny")
    person.wait_for(person.view, deadline=SECONDS)
    assert person.submit_view({"reason": why} if why else {}).ok


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
    assert actions(message) == ["approve", "deny", "withdraw", "details"]
    people["omar"].press(OPS_CHANNEL, message["ts"], "withdraw")
    assert becomes(people["omar"], message, "Withdrawn")


def test_whoever_asked_cannot_approve_and_neither_can_a_viewer(people, asked):
    message = asked("scale 8")
    omar, vera = people["omar"], people["vera"]
    omar.press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "You asked for this yourself"), deadline=SECONDS)
    vera.press(OPS_CHANNEL, message["ts"], "approve")
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the approver role"), deadline=SECONDS)
    vera.press(OPS_CHANNEL, message["ts"], "withdraw")
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "can withdraw it"), deadline=SECONDS)
    assert "Waiting for approval" in words(now(omar, message))
    deny(people["ben"], message, "not today")
    assert becomes(omar, message, "Denied")
    denied = now(omar, message)
    assert "<@U07BENC0004>" in words(denied)
    assert "not today" in words(denied)
    assert actions(denied) == ["again"]


def test_a_decision_is_final_and_can_be_asked_for_again(people, asked):
    message = asked("scale 7")
    ada, ben = people["ada"], people["ben"]
    deny(ada, message)
    assert becomes(ada, message, "Denied")
    before = len(ben.messages(OPS_CHANNEL))
    people["omar"].press(OPS_CHANNEL, message["ts"], "again")
    ben.wait_for(lambda: len(ben.messages(OPS_CHANNEL)) > before or None, deadline=SECONDS)
    fresh = ben.wait_for(
        lambda: next((m for m in ben.messages(OPS_CHANNEL)[before:] if "Waiting for approval" in words(m)), None),
        deadline=SECONDS,
    )
    people["omar"].press(OPS_CHANNEL, fresh["ts"], "withdraw")
    assert becomes(ben, fresh, "Withdrawn")


@pytest.mark.slow
def test_what_waits_is_listed_and_can_be_cancelled(people, asked):
    message = asked("scale 0")
    omar, vera = people["omar"], people["vera"]
    assert "MLflow is down for everyone" in words(message)
    (record_id,) = {
        element["value"] for block in message["blocks"] for element in block.get("elements", ()) if "value" in element
    }
    assert vera.command(OPS_CHANNEL, "/mlflow jobs").ok
    vera.wait_for(lambda: vera.find(OPS_CHANNEL, "running or queued"), deadline=SECONDS)
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
    cluster.patch_deployment("mlflow", {"spec": {"replicas": number}})


def ready(cluster):
    status = cluster.deployment("mlflow")["status"]
    return status.get("readyReplicas", 0) if status.get("replicas") == status.get("updatedReplicas") else -1


@pytest.mark.slow
def test_what_an_operator_may_alone_is_done_and_watched_to_its_end(people, cluster):
    omar = people["omar"]
    done = answered(omar, "scale 3", "mlflow has 3 ready replicas; it had 2", deadline=60)
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
    assert actions(now(people["omar"], message)) == ["again"]
    assert cluster.scale("mlflow")["spec"]["replicas"] == 3


def test_an_approved_change_is_done_and_says_so(people, asked, cluster):
    message = asked("scale 7")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    people["omar"].wait_for(lambda: "has 7 ready replicas" in words(now(people["omar"], message)) or None, deadline=90)
    assert ready(cluster) == 7


def image(cluster):
    return update.image_of(cluster.deployment("mlflow"), "mlflow")


def test_an_image_that_is_not_there_is_refused_in_the_registrys_words_and_nobody_is_asked(people, cluster):
    omar, before = people["omar"], image(cluster)
    assert omar.command(OPS_CHANNEL, "/mlflow update v9.9.9").ok
    told = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "ghcr.io/mlflow/mlflow:v9.9.9 can't be pulled"), deadline=60)
    assert "ghcr.io/mlflow/mlflow:v9.9.9: not found" in words(told)
    assert "approve" not in actions(told)
    assert image(cluster) == before


@pytest.mark.slow
def test_an_image_that_does_not_come_up_is_put_back_by_itself(people, asked, cluster):
    before = image(cluster)
    message = asked("update crash")
    assert "`ghcr.io/mlflow/mlflow:crash`" in words(message)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar = people["omar"]
    ends_with(omar, message, "is back, and every pod is ready", 100)
    said = words(now(omar, message))
    assert "crash does not come up" in said
    assert "CrashLoopBackOff" in said
    assert image(cluster) == before
    assert ready(cluster) == 2


@pytest.mark.slow
def test_an_update_says_which_version_answers(people, asked, cluster):
    before = image(cluster)
    message = asked("update v3.18.0")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar = people["omar"]
    ends_with(omar, message, "MLflow says 3.18.0", 100)
    assert image(cluster) == "ghcr.io/mlflow/mlflow:v3.18.0"
    back = asked(f"update {before}")
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    ends_with(omar, back, "Every pod of mlflow runs", 100)
    assert image(cluster) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("update v3.17.2", "runs ghcr.io/mlflow/mlflow:v3.17.2 already"),
        ('update "a b"', "is neither a tag nor an image's name"),
        ("scale 2", "Already at 2 replicas."),
    ],
)
def test_what_cannot_be_planned_is_told_and_nobody_is_asked(people, cluster, text, said):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, said), deadline=SECONDS)


@pytest.fixture
def client(sandbox):
    """Asks MLflow again and again through its Service; how often it was answered, and what went wrong."""
    stop, failed, answered_at = threading.Event(), [], []

    def ask():
        url = sandbox.env["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/experiments/search?max_results=1"
        while not stop.is_set():
            try:
                answer = requests.get(url, timeout=5, headers={"Connection": "close"})
                answer.raise_for_status()
                answered_at.append(time.monotonic())
            except requests.RequestException as error:
                failed.append(str(error))
            time.sleep(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    yield answered_at, failed
    stop.set()
    thread.join()


@pytest.mark.slow
def test_a_restart_drops_no_request(people, cluster, client):
    omar = people["omar"]
    before = {pod["metadata"]["uid"] for pod in cluster.pods("app=mlflow")}
    answered(omar, "restart", "Every pod of mlflow is a new one")
    after = {pod["metadata"]["uid"] for pod in cluster.pods("app=mlflow") if "deletionTimestamp" not in pod["metadata"]}
    assert not before & after
    answered_at, failed = client
    assert len(answered_at) > 20
    assert failed == []


@pytest.mark.slow
def test_an_update_and_other_resources_drop_no_request(people, asked, cluster, client):
    omar, before = people["omar"], cluster.deployment("mlflow")["spec"]["template"]
    for text, said in (
        ("update v3.18.0", "Every pod of mlflow runs"),
        ("resources --cpu 450m:", "Every pod of mlflow is a new one with"),
        ("rollback --to 1", "mlflow is as it was in revision"),
    ):
        number = oldest_like(cluster, before) if text.startswith("rollback") else 0
        message = asked(text.replace("--to 1", f"--to {number}"))
        people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
        ends_with(omar, message, said)
    assert cluster.deployment("mlflow")["spec"]["template"] == before
    answered_at, failed = client
    assert len(answered_at) > 40
    assert failed == []


def oldest_like(cluster, template):
    """The revision whose image and resources are those of a template."""
    wanted = template["spec"]["containers"][0]
    for each in cluster.replica_sets("app=mlflow"):
        there = each["spec"]["template"]["spec"]["containers"][0]
        annotations = each["spec"]["template"]["metadata"].get("annotations") or {}
        if (there["image"], there["resources"]) == (wanted["image"], wanted["resources"]) and annotations == (
            template["metadata"].get("annotations") or {}
        ):
            return each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    raise AssertionError("no such revision")


@pytest.mark.slow
def test_what_waits_survives_a_restart_of_everything(people, asked, cluster, sandbox):
    message = asked("scale 7")
    for part in ("bot", "redis", "worker-ops", "worker-quick", "scheduler"):
        before = sandbox.process(part)
        sandbox.kill(part)
        sandbox.wait_until_ready(part, other_than=before)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    ends_with(people["omar"], message, "has 7 ready replicas")
    assert ready(cluster) == 7


@pytest.mark.slow
def test_of_two_operators_at_the_same_moment_one_is_told_to_look_again(people, cluster, sandbox, tmp_path):
    omar, ada = people["omar"], people["ada"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "bot", "worker", "--queue", "ops"],
        env={**sandbox.process_env, "MLFLOW_OPS_READY_FILE": str(tmp_path / "ready")},
    )
    try:
        wait_for((tmp_path / "ready").exists, 30)
        known = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        threads = [
            threading.Thread(target=person.command, args=(OPS_CHANNEL, f"/mlflow scale {number}"))
            for person, number in ((omar, 4), (ada, 5))
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

        def both():
            fresh = [words(each) for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
            ended = [each for each in fresh if "ready replicas" in each or "failed" in each]
            return ended if len(ended) == 2 else None

        done, refused = sorted(omar.wait_for(both, deadline=90), key=lambda said: "failed" in said)
    finally:
        worker.terminate()
        worker.wait(30)
    assert "ready replicas; it had 2" in done
    assert any(part in refused for part in ("is being changed", "things have changed", "at the same moment"))
    assert cluster.scale("mlflow")["spec"]["replicas"] == (4 if "has 4 ready" in done else 5)


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_no_lock_and_the_thread_says_so(people, cluster, sandbox):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, "/mlflow scale 5").ok
    wait_for(lambda: cluster.scale("mlflow")["spec"]["replicas"] == 5 or None, 30)
    before = sandbox.process("worker-ops")
    sandbox.kill("worker-ops")
    lost = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "It had been carried out: Already at 5"), deadline=60)
    assert ":warning: *Scale mlflow*" in words(lost)
    assert "The worker lost this command" in words(lost)
    sandbox.wait_until_ready("worker-ops", other_than=before)
    assert cluster.scale("mlflow")["spec"]["replicas"] == 5
    answered(omar, "scale 4", "mlflow has 4 ready replicas", deadline=60)


@pytest.mark.slow
def test_a_dry_run_is_for_everybody_who_may_look(people):
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow scale 5").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the operator role"), deadline=SECONDS)
    answered(vera, "scale 5 --dry-run", "from 2 to 5 replicas. Nothing was changed.")


@pytest.mark.slow
def test_all_of_it_is_in_the_audit_record_which_is_unbroken(people, asked, sandbox):
    message = asked("scale 11")
    deny(people["ada"], message)
    assert becomes(people["ada"], message, "Denied")
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow audit --since 1h --command scale").ok
    root = vera.wait_for(lambda: vera.find(OPS_CHANNEL, "Audit"), deadline=SECONDS)
    assert "the record in Redis is as it was written" in words(root)
    details = vera.wait_for(lambda: vera.thread(OPS_CHANNEL, root["ts"])[1:] or None, deadline=SECONDS)
    assert any("scale 11" in words(reply) for reply in details)
    verified = subprocess.run(
        [sys.executable, "-m", "bot", "audit", "verify"],
        env=sandbox.process_env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "are as they were written" in verified.stdout


def test_an_admin_may_break_the_glass_and_everybody_is_told(people, cluster):
    omar, noor = people["omar"], people["noor"]
    text = '/mlflow scale 8 --break-glass "training is stuck"'
    assert omar.command(OPS_CHANNEL, text).ok
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "need the admin role for --break-glass"), deadline=SECONDS)
    assert noor.command(OPS_CHANNEL, "/mlflow scale 8 --break-glass no").ok
    noor.wait_for(lambda: noor.find_ephemeral(OPS_CHANNEL, "say why in 10 letters or more"), deadline=SECONDS)
    done = answered(noor, text.removeprefix("/mlflow "), "mlflow has 8 ready replicas", deadline=60)
    alarm = noor.wait_for(lambda: noor.find_reply(OPS_CHANNEL, done["ts"], "uses break-glass"), deadline=SECONDS)
    assert "<!channel>" in words(alarm)
    assert any(each.get("subtype") == "thread_broadcast" for each in noor.messages(OPS_CHANNEL))
    assert "training is stuck" in words(alarm)
    root = answered(noor, "audit --by U07NOOR0005", "Audit")
    noor.wait_for(lambda: noor.find_reply(OPS_CHANNEL, root["ts"], "break-glass: training is stuck"), deadline=SECONDS)


@pytest.mark.slow
def test_all_that_a_plan_rests_on_is_a_press_away(people, asked):
    message = asked("scale 10")
    vera = people["vera"]
    vera.press(OPS_CHANNEL, message["ts"], "details")
    view = vera.wait_for(vera.view, deadline=SECONDS)
    assert "replicas: `2`" in words(view)
    assert "Digest" in words(view)
    vera.close_view()
    people["omar"].press(OPS_CHANNEL, message["ts"], "withdraw")


@pytest.mark.slow
def test_what_runs_can_be_stopped_with_a_button_and_is_put_back(people, asked, cluster):
    before, omar, vera = image(cluster), people["omar"], people["vera"]
    message = asked("update slow")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: "cancel" in actions(now(omar, message)) or None, deadline=60)
    vera.press(OPS_CHANNEL, message["ts"], "cancel")
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "and approvers may stop it"), deadline=SECONDS)
    omar.press(OPS_CHANNEL, message["ts"], "cancel")
    ends_with(omar, message, f"What ran before, {before}, is back.", 60)
    assert "stopped at a safe point, as <@U07OMAR0002> asked" in words(now(omar, message))
    assert image(cluster) == before
    assert ready(cluster) == 2


@pytest.mark.slow
def test_a_restart_cannot_be_stopped_and_says_why(people, cluster):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, "/mlflow restart").ok
    root = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "Waiting for the new pods"), deadline=SECONDS)
    assert "cancel" not in actions(root)
    (record_id,) = running(people["vera"], "restart")
    assert omar.command(OPS_CHANNEL, f"/mlflow cancel {record_id}").ok
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "It cannot be stopped: Kubernetes"), deadline=SECONDS)
    ends_with(omar, root, "Every pod of mlflow is a new one", 90)


def running(person, command):
    """The ids of such commands that run, as jobs lists them."""
    root = answered(person, "jobs", "running or queued")
    listed = person.wait_for(lambda: person.find_reply(OPS_CHANNEL, root["ts"], "running"), deadline=SECONDS)
    return re.findall(rf"\b([0-9a-f]{{10}})\n{command}\b", words(listed))


def container(cluster):
    return cluster.deployment("mlflow")["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.slow
def test_resources_are_changed_in_one_rollout_and_put_back_with_a_button(people, asked, cluster):
    before = container(cluster)["resources"]
    revisions = len(cluster.replica_sets("app=mlflow"))
    message = asked("resources --cpu 300m: --memory :3Gi")
    assert "cpu request of mlflow" in words(message)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    omar = people["omar"]
    ends_with(omar, message, "Every pod of mlflow is a new one with", 100)
    assert container(cluster)["resources"]["requests"]["cpu"] == "300m"
    assert container(cluster)["resources"]["limits"]["memory"] == "3Gi"
    assert len(cluster.replica_sets("app=mlflow")) == revisions + 1
    assert actions(now(omar, message)) == ["undo"]
    known = {each["ts"] for each in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, message["ts"], "undo")

    def proposed():
        fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
        return next((each for each in fresh if "Waiting for approval" in words(each)), None)

    back = omar.wait_for(proposed, deadline=SECONDS)
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    ends_with(omar, back, "Every pod of mlflow is a new one with", 100)
    assert container(cluster)["resources"] == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources --cpu 1", "must be REQUEST:LIMIT"),
        ("resources --cpu one:2", "is not a quantity"),
        ("scale -1", "A number below 0 means nothing here"),
        ("scale four", "“four” is not a whole number; it must be one between 0 and 1,000."),
        ("rollback --to 0", "--to: 0 is not 1 or more"),
    ],
)
def test_what_is_no_possible_wish_is_said_to_its_sender_only(people, text, said):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, said), deadline=SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources --cpu 3:2", "The cpu request 3 is above its limit 2"),
        ("resources --memory 4m:", "MLflow does not start in that"),
        ("resources --cpu 500:600", "No node is large enough"),
        ("resources --cpu 1: --container sidecar", "has no container sidecar; it has mlflow"),
        ("rollback --to 999", "There is no revision 999"),
    ],
)
def test_what_the_cluster_cannot_bear_is_told_and_nobody_is_asked(people, cluster, text, said):
    omar, before = people["omar"], cluster.deployment("mlflow")["metadata"]["generation"]
    assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok
    omar.wait_for(lambda: omar.find(OPS_CHANNEL, said), deadline=SECONDS)
    assert cluster.deployment("mlflow")["metadata"]["generation"] == before


@pytest.mark.slow
def test_a_limit_range_and_a_quota_are_respected_before_anybody_is_asked(people, cluster):
    limits = {"metadata": {"name": "small"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "1500m"}}]}}
    path = f"/api/v1/namespaces/{cluster.namespace}/limitranges"
    cluster.requests.send(path, "POST", {"apiVersion": "v1", "kind": "LimitRange", **limits})
    omar = people["omar"]
    try:
        assert omar.command(OPS_CHANNEL, "/mlflow resources --cpu 1800m:1900m").ok
        said = "LimitRange small allows 1500m of cpu at most, not 1800m"
        omar.wait_for(lambda: omar.find(OPS_CHANNEL, said), deadline=SECONDS)
    finally:
        cluster.requests.send(f"{path}/small", "DELETE")


@pytest.mark.slow
def test_going_back_to_an_earlier_revision(people, asked, cluster):
    omar, before = people["omar"], image(cluster)
    message = asked("update v3.16.0")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    ends_with(omar, message, "Every pod of mlflow runs", 100)
    told = answered(omar, "history", "Revisions of mlflow")
    omar.wait_for(lambda: omar.find_reply(OPS_CHANNEL, told["ts"], "v3.16.0"), deadline=SECONDS)
    back = asked("rollback")
    assert f"`ghcr.io/mlflow/mlflow:v3.16.0` → `{before}`" in words(back)
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    ends_with(omar, back, "mlflow is as it was in revision", 100)
    assert image(cluster) == before
    assert answered(omar, "rollout status", "mlflow is rolled out: 2 of 2 pods")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "step", "left"),
    [
        ("update slow", "Rolling out", "It had been carried out: mlflow runs ghcr.io/mlflow/mlflow:slow already"),
        *slow(
            (
                "resources --cpu 350m:",
                "Waiting for the new pods",
                "The container mlflow has these resources already",
            ),
            (
                "update crash",
                "Rolling out",
                "It had been carried out: mlflow runs ghcr.io/mlflow/mlflow:crash already",
            ),
        ),
    ],
)
def test_a_worker_killed_in_a_step_leaves_old_or_new_and_says_which(people, asked, cluster, sandbox, text, step, left):
    omar = people["omar"]
    before = cluster.deployment("mlflow")["spec"]["template"]
    message = asked(text)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    ends_with(omar, message, step, 60)
    known = sandbox.process("worker-ops")
    sandbox.kill("worker-ops")
    ends_with(omar, message, left, 60)
    assert "pods are new and ready" in words(now(omar, message))
    sandbox.wait_until_ready("worker-ops", other_than=known)
    if cluster.deployment("mlflow")["spec"]["template"] == before:
        return
    back = asked("rollback")
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    ends_with(omar, back, "mlflow is as it was in revision", 100)
    assert cluster.deployment("mlflow")["spec"]["template"] == before


ALEMBIC = """
import os, sys
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
command.downgrade(_get_alembic_config(os.environ["DATABASE"].replace("%", "%%")), "-1")
"""


@pytest.fixture
def older_schema(sandbox):
    """Puts the database's schema back by one revision: (the revision it has now, the newest one, the database)."""
    database = Database.connect(settings.load(sandbox.process_env))
    head = database.schema_revision()
    subprocess.run([sys.executable, "-c", ALEMBIC], env={**sandbox.process_env, "DATABASE": database.url}, check=True)
    older = database.schema_revision()
    assert older != head
    return older, head, database


def jobs(cluster):
    listed = cluster.every("jobs", "apis/batch/v1")
    return [each["metadata"]["name"] for each in listed if "mlflow-" in each["metadata"]["name"]]


@pytest.fixture
def held_up(sandbox):
    """A table that pg_dump has to wait for, and no plan: those read indexes, and it has none."""
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE held_up ()")
        connection.commit()
        connection.execute("LOCK TABLE held_up IN ACCESS EXCLUSIVE MODE")
        yield connection
        connection.rollback()
        connection.execute("DROP TABLE held_up")


@pytest.mark.slow
def test_a_worker_killed_in_the_backup_has_changed_nothing_and_one_killed_in_the_upgrade_waits_for_it(
    people, asked, cluster, sandbox, older_schema, held_up
):
    omar, before, (older, head, database) = people["omar"], image(cluster), older_schema

    def killed_in(step, left):
        message = asked("update v3.18.0")
        people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
        ends_with(omar, message, step, 60)
        known = sandbox.process("worker-ops")
        sandbox.kill("worker-ops")
        ends_with(omar, message, left, 100)
        found = database.schema_revision(), image(cluster), jobs(cluster)
        sandbox.wait_until_ready("worker-ops", other_than=known)
        return found

    assert killed_in("Database mlflow: dumping", "Nothing had been changed.") == (older, before, [])
    held_up.rollback()
    upgrading = f"Upgrading the schema from {older} to {head}"
    assert killed_in(upgrading, "It had begun: schema of the database") == (head, before, [])


@pytest.mark.slow
def test_an_update_to_another_schema_upgrades_it_first(people, asked, cluster, older_schema):
    before, (older, head, database) = image(cluster), older_schema
    omar = people["omar"]
    message = asked("update v3.18.0")
    said = words(message)
    assert f"schema of the database: `{older}` → `{head}`" in said
    assert "mlflow db upgrade" in said
    assert "Going back then means restoring the database too" in said
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    ends_with(omar, message, "Every pod of mlflow runs", 120)
    assert database.schema_revision() == head
    assert jobs(cluster) == []
    back = asked(f"update {before}")
    people["ben"].press(OPS_CHANNEL, back["ts"], "approve")
    ends_with(omar, back, "Every pod of mlflow runs", 100)


@pytest.mark.slow
def test_maintenance_is_pinned_and_ended(people):
    omar = people["omar"]
    assert omar.command(OPS_CHANNEL, '/mlflow maintenance start "new disks" --for 1h').ok
    root = omar.wait_for(lambda: omar.find(OPS_CHANNEL, "scheduled jobs and alerts are paused"), deadline=SECONDS)
    assert actions(root) == ["undo"]
    omar.wait_for(lambda: now(omar, root).get("pinned_to") or None, deadline=SECONDS)
    omar.press(OPS_CHANNEL, root["ts"], "undo")
    omar.wait_for(lambda: omar.find_reply(OPS_CHANNEL, root["ts"], "The maintenance is over"), deadline=SECONDS)
    omar.wait_for(lambda: not now(omar, root).get("pinned_to") or None, deadline=SECONDS)
