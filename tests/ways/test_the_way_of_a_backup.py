"""Backups on a whole sandbox: made from Slack, listed, shown, verified, pruned; killed half way; two at once."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import psutil
import psycopg
import pytest
from redis import Redis

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import Sandbox as Slack
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.testing import wait_for
from workers import settings
from workers.operations.backup.encryption import Keys
from workers.operations.logs.redacting import Redacting
from workers.records.record import Phase
from workers.records.store import Records
from workers.systems.cluster.client import Cluster
from workers.systems.redis import connect

pytestmark = pytest.mark.slow

SECONDS = 60
AWAY_SECONDS = float(os.environ.get("MLFLOW_OPS_AWAY_SECONDS", "12"))
BUCKET = "mlflow-backups"
DECRYPT = Path(__file__).parents[2] / "docs" / "decrypt.py"
DATABASES = ("MLFLOW_OPS_DATABASE_URL", "MLFLOW_OPS_DATABASE_ADMIN_URL")


@pytest.fixture
def s3(sandbox):
    env = sandbox.env
    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


@pytest.fixture
def said(people):
    """Types a command and waits until its root message says something; the message and its thread."""

    def said(who, text, part, seconds=SECONDS):
        person = people[who]
        before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
        assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok

        def found():
            fresh = [message for message in person.messages(OPS_CHANNEL) if message["ts"] not in before]
            return next((message for message in fresh if part in words(message)), None)

        root = person.wait_for(found, deadline=seconds)
        return root, lambda: "\n".join(words(each) for each in person.thread(OPS_CHANNEL, root["ts"])[1:])

    return said


def manifests(s3):
    found = s3.list_objects_v2(Bucket=BUCKET, Prefix="sets/").get("Contents", ())
    return sorted(item["Key"] for item in found if item["Key"].endswith("/manifest.json"))


def test_a_backup_is_made_listed_shown_and_verified(said, people, s3):
    before = manifests(s3)
    root, thread = said("omar", "backup", "read back and compared")
    people["omar"].wait_for(lambda: "database" in thread() or None, deadline=10)
    (made,) = set(manifests(s3)) - set(before)
    short = made.rpartition("-")[2].split("/")[0]
    assert short in words(root)
    assert "encrypted with key" in thread()
    _, listed = said("vera", "backup list", f"the newest, {short}")
    people["vera"].wait_for(lambda: short in listed() or None, deadline=10)
    _, shown = said("vera", "backup show latest", short)
    people["vera"].wait_for(lambda: "PostgreSQL 18" in shown() or None, deadline=10)
    for part in ("dc11669786a5", "experiments", "secret/mlflow-backend-secret"):
        assert part in shown()
    said("vera", f"backup verify {short}", "Intact: ")
    said("omar", "backup verify latest --deep", "Intact: ")
    said("vera", "health backup", "The last good backup is")


def test_a_viewer_may_not_make_one_but_may_see_what_it_would_do(said, people):
    vera = people["vera"]
    assert vera.command(OPS_CHANNEL, "/mlflow backup").ok
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the operator role"), deadline=SECONDS)
    said("vera", "backup --dry-run", "Nothing was changed")


def waiting_dump(sandbox):
    query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'"
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], autocommit=True) as connection:
        return connection.execute(query).fetchone()


@pytest.mark.slow
@pytest.mark.timeout(180 + int(AWAY_SECONDS))
def test_slack_is_away_from_the_middle_to_long_after_the_end_and_the_thread_tells_all_of_it_once(
    said, people, sandbox, s3, locked_table
):
    before, omar = manifests(s3), people["omar"]
    root, thread = said("omar", "backup", "Database mlflow: dumping")
    wait_for(lambda: waiting_dump(sandbox), "pg_dump to wait for the table", 30)
    slack = Slack(sandbox.slack_url)
    slack.away(seconds=AWAY_SECONDS)
    back = time.monotonic() + AWAY_SECONDS
    time.sleep(min(AWAY_SECONDS / 4, 10))  # pg_dump does not wait for a table for ever
    locked_table.rollback()
    wait_for(lambda: len(manifests(s3)) > len(before), "the backup to end", 60)
    assert slack.faults()["away"]
    (made,) = set(manifests(s3)) - set(before)
    short = made.rpartition("-")[2].split("/")[0]
    time.sleep(max(0.0, back - time.monotonic()))
    told = f"Backup {short}: database, artifacts, config"

    def roots():
        return [each["ts"] for each in omar.messages(OPS_CHANNEL) if told in words(each)]

    omar.wait_for(roots, deadline=120)
    omar.wait_for(lambda: "Next:" in thread() or None, deadline=60)
    assert roots() == [root["ts"]]
    assert thread().count("encrypted with key") == 1
    slack.wait_until_connected(deadline=60)


def test_a_killed_work_horse_leaves_no_set_and_the_next_run_cleans_up(said, people, sandbox, s3, locked_table):
    before = manifests(s3)
    root, _ = said("omar", "backup", "Database mlflow: dumping")
    wait_for(lambda: waiting_dump(sandbox), "pg_dump to wait for the table", 30)
    assert s3.list_multipart_uploads(Bucket=BUCKET)["Uploads"]
    (horse,) = sandbox.process("worker-ops").children()
    horse.kill()
    omar = people["omar"]
    lost = omar.wait_for(
        lambda: next((m for m in omar.messages(OPS_CHANNEL) if m["ts"] == root["ts"] and "failed" in words(m)), None),
        deadline=SECONDS,
    )
    assert "The worker lost this command" in words(lost)
    assert manifests(s3) == before
    locked_table.rollback()
    wait_for(lambda: _ran(sandbox, "backup database"), "a backup to succeed once the lock has lapsed", 90)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=BUCKET)
    assert len(manifests(s3)) == len(before) + 1


@pytest.mark.slow
def test_a_worker_that_is_replaced_hands_its_backup_to_the_next(said, people, sandbox, s3, locked_table):
    before = manifests(s3)
    root, _ = said("omar", "backup", "Database mlflow: dumping")
    wait_for(lambda: waiting_dump(sandbox), "pg_dump to wait for the table", 30)
    leaving = sandbox.process("worker-ops")
    leaving.send_signal(signal.SIGTERM)
    locked_table.rollback()
    omar = people["omar"]

    def made():
        (message,) = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] == root["ts"]]
        return "read back and compared" in words(message) or None

    omar.wait_for(made, deadline=SECONDS)
    assert len(manifests(s3)) == len(before) + 1
    assert not leaving.is_running()
    records = Records(connect(settings.load(sandbox.process_env)))
    (record,) = [each for each in map(records.get, records.recent(20)) if each.root_ts == root["ts"]]
    assert (record.phase, record.handovers) == (Phase.DONE, 1)


def test_only_one_at_a_time(said, sandbox, s3, locked_table):
    said("omar", "backup database", "Database mlflow: dumping")
    wait_for(lambda: waiting_dump(sandbox), "pg_dump to wait for the table", 30)
    second = _run(sandbox, "backup database")
    assert second.returncode == 1
    assert "The backup is being changed: “/mlflow backup database”" in second.stderr
    before = manifests(s3)
    locked_table.rollback()
    wait_for(lambda: len(manifests(s3)) == len(before) + 1, "the first to end", SECONDS)


def _run(sandbox, text):
    return subprocess.run(
        [sys.executable, "-m", "bot", "run", text, "--yes-by", "test"],
        env=sandbox.process_env,
        capture_output=True,
        text=True,
        check=False,
    )


def _ran(sandbox, text):
    return _run(sandbox, text).returncode == 0


def test_pruning_waits_for_somebody_else_and_keeps_the_last_good_set(said, people, s3):
    before = manifests(s3)
    root, _ = said("omar", "backup prune", "Waiting for approval")
    assert "cannot be brought back" in words(root)
    ada = people["ada"]
    ada.press(OPS_CHANNEL, root["ts"], "approve")
    ada.wait_for(
        lambda: next(
            (m for m in ada.messages(OPS_CHANNEL) if m["ts"] == root["ts"] and "that no set uses" in words(m)), None
        ),
        deadline=SECONDS,
    )
    assert before[-1] in manifests(s3)
    said("omar", "backup verify latest", "Intact: ")


def everything_in(redis):
    """Every key and value, whatever its type."""
    read = {
        b"string": redis.get,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    return "\n".join(f"{key} {read[redis.type(key)](key)}" for key in redis.scan_iter(count=1000) if redis.exists(key))


def test_no_secret_is_told_anywhere(sandbox, people):
    found = (psycopg.conninfo.conninfo_to_dict(sandbox.env[name])["password"] for name in DATABASES)
    secrets = {sandbox.env["MLFLOW_OPS_BACKUP_KEY"], sandbox.env["AWS_SECRET_ACCESS_KEY"], *found}
    omar = people["omar"]
    told = [words(reply) for root in omar.messages(OPS_CHANNEL) for reply in omar.thread(OPS_CHANNEL, root["ts"])]
    places = {part: sandbox.log(part) for part in ("bot", "scheduler", "worker-quick", "worker-ops")}
    places |= {"Slack": "\n".join(told), "Redis": everything_in(Redis.from_url(sandbox.env["REDIS_URL"]))}
    arguments = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    places |= {"the process list": "\n".join(arguments)}
    assert "backup" in places["Redis"]
    assert "mlflow" in places["the process list"]
    assert "Backup" in places["Slack"]
    for secret in secrets:
        for place, text in places.items():
            assert secret not in text, place


def test_logs_are_kept_whole_with_a_manifest_and_the_lives_before_and_are_read_without_us(said, s3, sandbox, tmp_path):
    loaded = settings.load(sandbox.process_env)
    cluster, keys = Cluster.connect(loaded), Keys.of(loaded)
    root, _ = said("omar", "logs archive", "are in s3://")
    place = words(root).split(f"s3://{BUCKET}/")[1].split()[0].rstrip(".")
    manifest = json.loads(s3.get_object(Bucket=BUCKET, Key=f"{place}manifest.json")["Body"].read())
    assert manifest["missed"] == []
    pods = {each["source"]["pod"] for each in manifest["logs"]}
    assert {pod["metadata"]["name"] for pod in cluster.pods("app=mlflow")} <= pods
    for each in manifest["logs"]:
        stored = s3.get_object(Bucket=BUCKET, Key=each["key"])["Body"].read()
        assert hashlib.sha256(stored).hexdigest() == each["sha256"]
        assert len(gzip.decompress(keys.decrypted(stored, each["key"]))) == each["bytes"]
    pod = cluster.pods("app=mlflow")[0]["metadata"]["name"]
    (ours,) = [each for each in manifest["logs"] if each["source"]["pod"] == pod and not each["source"]["previous"]]
    stored = s3.get_object(Bucket=BUCKET, Key=ours["key"])["Body"].read()
    kept = gzip.decompress(keys.decrypted(stored, ours["key"]))
    assert kept
    clean = Redacting()
    now = b"".join(map(clean.add, cluster.log_bytes(pod, "mlflow"))) + clean.end()
    assert now.startswith(kept)

    # And as somebody reads them who has the key, docs/decrypt.py, and nothing of ours.
    folder, held = tmp_path / "logs", s3.list_objects_v2(Bucket=BUCKET, Prefix=place)["Contents"]
    for item in held:
        path = folder / item["Key"].removeprefix(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read())
    key = sandbox.process_env["MLFLOW_OPS_BACKUP_KEY"]
    hidden = [sandbox.process_env[name].encode() for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_OPS_DATABASE_URL")]
    assert by_script(place, folder, key) == (0, "signed\n", "")
    for each in manifest["logs"]:
        read = gzip.decompress((folder / each["key"].removeprefix(place).removesuffix(".enc")).read_bytes())
        assert len(read) == each["bytes"]
        assert not any(secret in read for secret in hidden)
    assert gzip.decompress((folder / ours["key"].removeprefix(place).removesuffix(".enc")).read_bytes()) == kept
    told = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(told.replace(f'"{pod}"', '"another"'), encoding="utf-8")
    code, _, said_by_it = by_script(place, folder, key)
    assert code == 1
    assert said_by_it.startswith("FORGED: ")


def by_script(name, folder, key):
    """What docs/decrypt.py says of a set or an archive."""
    command = [sys.executable, "-I", DECRYPT, "set", name, folder]
    done = subprocess.run(command, env={"MLFLOW_OPS_BACKUP_KEY": key}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr
