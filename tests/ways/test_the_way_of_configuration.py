"""Configuration and certificate on a whole sandbox: asked by one, approved by another, done and proven, or put back."""

import pytest
from redis import Redis

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import wait_for, words
from tests.ways.reading import now
from workers import settings
from workers.operations.certificate import details
from workers.operations.configuration.configmap import CHECKSUM
from workers.operations.configuration.values import checksum
from workers.systems.cluster.client import Cluster

pytestmark = pytest.mark.slow

SECONDS = 20


@pytest.fixture
def cluster(sandbox):
    """The cluster as its administrator sees it; the first values and pods at rest afterwards."""
    gateway = Cluster.connect(settings.load(sandbox.process_env))
    first = gateway.configmap("mlflow-config")["data"]
    yield gateway
    gone = dict.fromkeys(set(gateway.configmap("mlflow-config")["data"]) - set(first))
    gateway.patch_configmap("mlflow-config", {"data": {**gone, **first}})
    wait_for(lambda: at_rest(gateway) or None, 60)


def at_rest(cluster):
    deployment = cluster.deployment("mlflow")
    status = deployment["status"]
    counted = [status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")]
    return counted == [2, 2, 2] and status["observedGeneration"] == deployment["metadata"]["generation"]


def checksums(cluster):
    pods = [pod["metadata"] for pod in cluster.pods("app=mlflow") if "deletionTimestamp" not in pod["metadata"]]
    return {pod.get("annotations", {}).get(CHECKSUM) for pod in pods}


def becomes(person, message, said, seconds=SECONDS):
    person.wait_for(lambda: said in words(now(person, message)) or None, deadline=seconds)
    return words(now(person, message))


def test_a_value_is_set_by_two_people_and_undone_by_the_command_that_the_report_names(people, asked, cluster):
    omar, ada, ben = people["omar"], people["ada"], people["ben"]
    message = asked("config set gunicorn_workers=8")
    said = words(message)
    for part in ("gunicorn_workers in configmap/mlflow-config", "`4` → `8`", "put the ConfigMap back", "Annotate"):
        assert part in said
    assert "/mlflow config set gunicorn_workers=4" in said
    omar.press(OPS_CHANNEL, message["ts"], "approve")
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "You asked for this yourself"), deadline=SECONDS)
    assert cluster.configmap("mlflow-config")["data"]["gunicorn_workers"] == "4"
    ada.press(OPS_CHANNEL, message["ts"], "approve")
    becomes(omar, message, "every pod of mlflow was started with it", 60)
    held = cluster.configmap("mlflow-config")
    assert held["data"]["gunicorn_workers"] == "8"
    assert checksums(cluster) == {checksum(held)}
    known = {each["ts"] for each in omar.messages(OPS_CHANNEL)}
    omar.press(OPS_CHANNEL, message["ts"], "undo")

    def proposed():
        fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in known]
        return next((each for each in fresh if "Waiting for approval" in words(each)), None)

    back = omar.wait_for(proposed, deadline=SECONDS)
    assert "/mlflow config set gunicorn_workers=4" in words(back)
    ben.press(OPS_CHANNEL, back["ts"], "approve")
    becomes(omar, back, "every pod of mlflow was started with it", 60)
    assert cluster.configmap("mlflow-config")["data"]["gunicorn_workers"] == "4"


def test_a_change_without_which_no_pod_starts_is_put_back_by_itself(people, asked, cluster):
    message = asked("config unset gunicorn_workers")
    assert "The container mlflow cannot start without gunicorn_workers" in words(message)
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    said = becomes(people["omar"], message, "mlflow-config is as it was, and every pod is ready", 90)
    assert "CreateContainerConfigError" in said
    assert cluster.configmap("mlflow-config")["data"]["gunicorn_workers"] == "4"
    assert at_rest(cluster)


def test_a_secret_is_refused_and_stands_nowhere_afterwards(people, sandbox, cluster):
    omar = people["omar"]
    outcome = omar.command(OPS_CHANNEL, "/mlflow config set DB_PASSWORD=hunter2-hunter2")
    assert outcome.ok
    omar.wait_for(lambda: omar.find_ephemeral(OPS_CHANNEL, "DB_PASSWORD looks like a secret"), deadline=SECONDS)
    with Redis.from_url(sandbox.env["REDIS_URL"]) as redis:
        kept = [redis.dump(key) for key in redis.scan_iter()]
    assert kept
    assert not [value for value in kept if value and b"hunter2" in value]
    assert not any("hunter2" in words(each) for each in omar.messages(OPS_CHANNEL))
    assert not any("hunter2" in sandbox.log(part) for part in ("bot", "worker-ops", "worker-quick"))


def test_everybody_who_may_look_sees_values_and_of_secrets_only_fingerprints(people, sandbox, cluster):
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow config show").ok
    root = vera.wait_for(lambda: vera.find(OPS_CHANNEL, "mlflow-config has"), deadline=SECONDS)
    replies = vera.wait_for(lambda: vera.thread(OPS_CHANNEL, root["ts"])[1:] or None, deadline=SECONDS)
    shown = words(root) + "".join(words(reply) for reply in replies)
    assert "gunicorn_workers" in shown
    assert "AWS_SECRET_ACCESS_KEY" in shown
    assert sandbox.env["AWS_SECRET_ACCESS_KEY"] not in shown
    assert vera.command(OPS_CHANNEL, "/mlflow config set gunicorn_workers=5").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the operator role"), deadline=SECONDS)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_leaves_the_new_state_whole(people, asked, cluster, sandbox):
    message = asked("config set gunicorn_workers=6")
    people["ada"].press(OPS_CHANNEL, message["ts"], "approve")
    wait_for(lambda: not at_rest(cluster) or None, 30)
    before = sandbox.process("worker-ops")
    sandbox.kill("worker-ops")
    becomes(people["omar"], message, "The worker lost this command", 60)
    sandbox.wait_until_ready("worker-ops", other_than=before)
    wait_for(lambda: at_rest(cluster) or None, 60)
    held = cluster.configmap("mlflow-config")
    assert held["data"]["gunicorn_workers"] == "6"
    assert checksums(cluster) == {checksum(held)}


def test_a_certificate_is_renewed_by_two_people(people, asked, cluster):
    def serial():
        return details.read(cluster.secret("mlflow-tls"), "mlflow-tls").serial

    before, omar = serial(), people["omar"]
    message = asked("cert renew")
    assert f"serial {before}" in words(message)
    assert "by ClusterIssuer selfsigned" in words(message)
    people["ben"].press(OPS_CHANNEL, message["ts"], "approve")
    said = becomes(omar, message, "The new certificate has the serial number", 60)
    assert serial() != before
    assert serial() in said
    assert before in said
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow cert show").ok
    shown = ("/mlflow cert show", "and names its hosts")

    def answer():
        newest = reversed(vera.messages(OPS_CHANNEL))
        return next((each for each in newest if all(part in words(each) for part in shown)), None)

    root = vera.wait_for(answer, deadline=SECONDS)
    replies = vera.wait_for(lambda: vera.thread(OPS_CHANNEL, root["ts"])[1:] or None, deadline=SECONDS)
    assert any(serial() in words(reply) for reply in replies)
