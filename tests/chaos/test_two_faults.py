"""Two things go wrong at once in a change: what is said last is what the cluster holds.

Real processes: two workers of each queue, a scheduler, a bot, a Redis of their own, and a cluster that rolls slowly.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer
from redis import Redis
from redis.exceptions import RedisError

from mlflow_ops_sandbox.cluster.cluster import Options
from mlflow_ops_sandbox.cluster.testing import QUICK, healthy_upstream, running_cluster
from mlflow_ops_sandbox.cluster.wiring import wiring_from
from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.slack.client import wait_for, words
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from tests.chaos.test_chaos import Part, known
from workers import settings
from workers.records.record import Phase, Stage
from workers.records.store import Records
from workers.systems import Systems

SECONDS = 240
OPS_YAML = """
channels: [C0OPS]
roles: {viewer: {users: ["*"]}, operator: {users: [U0OLEG]}}
storage: {backups_bucket: backups}
approvals: {config-set: {approvers: 0}}
schedule: {backup: null, figures: null, digest: null, drill: null, audit: null}
"""


class World:
    """Everything that runs."""

    def __init__(self, parts, slack, redis, cluster, folder, restart):
        self.parts, self.slack, self.redis, self.cluster = parts, slack, redis, cluster
        self.folder, self.restart_redis = folder, restart
        self.oleg = slack.person("oleg")

    def ask(self, text):
        before = {record.id for record in known(self.redis)}
        wait_for(lambda: self.oleg.command("C0OPS", f"/mlflow {text}").ok or None, SECONDS)
        return wait_for(lambda: next((r.id for r in known(self.redis) if r.id not in before), None), SECONDS)

    def record(self, record_id):
        with suppress(RedisError):
            return Records(self.redis).get(record_id)
        return None

    def until(self, record_id, holds):
        def look():
            record = self.record(record_id)
            return record if record is not None and holds(record) else None

        return wait_for(look, SECONDS)

    def at_work(self, record_id):
        """Until its change has reached the cluster, which rolls."""
        record = self.until(record_id, lambda r: r.phase is Phase.RUNNING and r.stage is Stage.RUN)
        value = record.arguments["pairs"]["LOG_LEVEL"]
        wait_for(lambda: (self.held() == value) or None, SECONDS)
        return record

    def ended(self, record_id):
        return self.until(record_id, lambda r: r.phase.ended)

    def held(self):
        return self.cluster.configmap("mlflow-config")["data"].get("LOG_LEVEL")

    def family(self, horse_only=False):
        """The `ops` workers whose work-horses are at it, with these."""
        found = []
        for name in ("ops-1", "ops-2"):
            horses = self.parts[name].horses()
            if horses:
                found += horses if horse_only else [psutil.Process(self.parts[name]._process.pid), *horses]
        return found

    def said(self, record_id):
        """The root message as Slack shows it, once nothing more is to be said of it."""
        thread = f"mlflow-ops:mlflow:outbox:thread:{record_id}"
        wait_for(lambda: not self.redis.exists(thread) or None, SECONDS)
        record = self.record(record_id)
        root = next(each for each in self.oleg.messages("C0OPS") if each["ts"] == record.root_ts)
        return words(root)


def _start(parts, env, bot, slack, folder):
    ours = {
        "bot": (["bot"], bot),
        "quick-1": (["worker", "--queue", "quick"], env),
        "ops-1": (["worker", "--queue", "ops"], env),
        "ops-2": (["worker", "--queue", "ops"], env),
        "scheduler": (["scheduler"], env),
    }
    for name, (line, its_env) in ours.items():
        parts[name] = Part(name, [sys.executable, "-m", "bot", *line], its_env, folder / f"{name}.log")
        if name == "bot":
            slack.sandbox.wait_until_connected(SECONDS)


def _stop(parts):
    """What sleeps is woken first; Redis goes last, as the others take their leave of it."""
    for part in reversed(parts.values()):
        with suppress(psutil.Error):
            for each in (psutil.Process(part._process.pid), *part.horses()):
                each.send_signal(signal.SIGCONT)
        part.stop()


@pytest.fixture
def stage(tmp_path, free_port):
    (tmp_path / "redis").mkdir()
    config = tmp_path / "ops.yaml"
    config.write_text(OPS_YAML)
    redis_url = f"redis://127.0.0.1:{free_port}/0"
    store = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    store.start()
    endpoint = "http://{}:{}".format(*store.get_host_and_port())
    with healthy_upstream() as port:
        wiring = wiring_from({"mlflow": {"upstream": f"http://127.0.0.1:{port}"}, "secrets": {}})
        slow = replace(QUICK, pull=8.0, drain=4.0)
        with (
            running_cluster(Options(tmp_path / "cluster", wiring, pace=slow)) as running,
            serving(Workspace.from_json(example()), tmp_path / "slack") as slack,
        ):
            env = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "PYTHONPATH"}}
            env |= {
                "REDIS_URL": redis_url,
                "MLFLOW_OPS_CONFIG": str(config),
                "KUBECONFIG": str(running.kubeconfig.with_name("kubeconfig-worker")),
                "AWS_ENDPOINT_URL_S3": endpoint,
                # Not asked: no part of what is backed up here is in it.
                "MLFLOW_OPS_DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/mlflow",
                "AWS_ACCESS_KEY_ID": "moto",
                "AWS_SECRET_ACCESS_KEY": "moto-secret",
            }
            s3 = boto3.client(
                "s3",
                endpoint_url=endpoint,
                aws_access_key_id="moto",
                aws_secret_access_key="moto-secret",
                region_name="us-east-1",
            )
            s3.create_bucket(Bucket="backups")
            tokens = slack.workspace.tokens
            bot = env | {
                "SLACK_API_URL": slack.api,
                "SLACK_BOT_TOKEN": tokens.bot,
                "SLACK_APP_TOKEN": tokens.app,
            }
            server = [str(program()), "--port", str(free_port), "--bind", "127.0.0.1", "--save", ""]
            server += ["--dir", str(tmp_path / "redis")]
            parts = {"redis": Part("redis", server, env, tmp_path / "redis.log")}
            try:
                _start(parts, env, bot, slack, tmp_path)

                def restart():
                    parts["redis"].kill()
                    parts["redis"].start()

                systems = Systems(settings.load({**env, "KUBECONFIG": str(running.kubeconfig)}))
                yield World(parts, slack, Redis.from_url(redis_url), systems.cluster, tmp_path, restart), s3
            finally:
                _stop(parts)
    store.stop()


def worker_and_horse_sleep(stage):
    """SIGSTOP until another has ended it, then SIGCONT."""
    asked = stage.ask("config set LOG_LEVEL=slept")
    stage.at_work(asked)
    sleeping = stage.family()
    for each in sleeping:
        each.send_signal(signal.SIGSTOP)
    assert sleeping
    assert stage.record(asked).phase is Phase.RUNNING
    ended = stage.ended(asked)
    for each in sleeping:
        each.send_signal(signal.SIGCONT)
    time.sleep(10)
    assert stage.record(asked).outcome == ended.outcome
    return asked


def redis_loses_a_second(stage):
    """Its claim and its lock, while two workers are there."""
    stage.redis.save()
    saved = time.monotonic()
    asked = None
    while asked is None or stage.record(asked).phase is not Phase.QUEUED or stage.record(asked).stage is not Stage.RUN:
        if asked is None:
            asked = stage.ask("config set LOG_LEVEL=second")
        stage.redis.save()
        saved = time.monotonic()
        if stage.record(asked).phase is Phase.RUNNING and stage.record(asked).stage is Stage.RUN:
            break
    wait_for(lambda: (stage.held() == "second") or None, SECONDS)
    assert time.monotonic() > saved
    stage.restart_redis()
    stage.ended(asked)
    return asked


def an_older_snapshot(stage):
    """From before it began: it had been carried out, and told."""
    for name in ("ops-1", "ops-2"):
        stage.parts[name].kill(family=True)
    asked = stage.ask("config set LOG_LEVEL=snapshot")
    stage.until(asked, lambda r: r.phase is Phase.QUEUED and r.stage is Stage.RUN)
    stage.redis.save()
    for name in ("ops-1", "ops-2"):
        stage.parts[name].start()
    stage.ended(asked)
    stage.restart_redis()
    stage.ended(asked)
    return asked


def redis_is_full_in_the_middle(stage):
    """It takes no writes for twenty seconds."""
    asked = stage.ask("config set LOG_LEVEL=full")
    stage.at_work(asked)
    stage.redis.config_set("maxmemory", "1mb")
    time.sleep(20)
    stage.redis.config_set("maxmemory", "0")
    stage.ended(asked)
    return asked


def both_die(stage):
    """The worker and its horse, then the one that looks at what was left."""
    asked = stage.ask("config set LOG_LEVEL=death")
    stage.at_work(asked)
    (busy,) = [stage.parts[name] for name in ("ops-1", "ops-2") if stage.parts[name].horses()]
    busy.kill(family=True)
    busy.start()
    stage.until(asked, lambda r: r.stage is Stage.LOOK)
    stage.parts["quick-1"].kill(family=True)
    stage.parts["quick-1"].start()
    stage.ended(asked)
    return asked


WAYS = (worker_and_horse_sleep, redis_loses_a_second, an_older_snapshot, redis_is_full_in_the_middle, both_die)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_what_is_said_last_is_what_the_cluster_holds(stage, capsys):
    """What went wrong, twice → what was said last, and what the cluster holds."""
    stage, _s3 = stage
    rows = []
    for way in WAYS:
        asked = way(stage)
        record, said, held = stage.record(asked), stage.said(asked), stage.held()
        rows.append((way.__name__, record, said, held))
        with capsys.disabled():
            line = f"{way.__name__.replace('_', ' '):28} | {record.phase.value:9} | {said[:150]!r} | holds {held!r}"
            sys.stdout.write(f"\n{line}")
    for name, record, said, held in rows:
        value = record.arguments["pairs"]["LOG_LEVEL"]
        assert held == value, name
        assert "hourglass" not in said, (name, said)
        assert record.outcome.split(".")[0].split(":")[0] in said, (name, record.outcome, said)
        done = record.phase is Phase.DONE
        assert done or "had been carried out" in said or "It had begun" in said or "done" in said.lower(), (name, said)


def full(stage):
    """It has used up its memory, for twenty seconds."""
    stage.redis.config_set("maxmemory", "1mb")
    time.sleep(20)
    stage.redis.config_set("maxmemory", "0")


def a_replica(stage):
    """As after a failover, for twenty seconds."""
    stage.redis.replicaof("127.0.0.1", 1)
    time.sleep(20)
    stage.redis.replicaof("NO", "ONE")


def from_before(stage):
    """Back from a snapshot in which nobody had asked for it yet."""
    stage.restart_redis()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("trouble", [full, a_replica, from_before])
def test_a_backup_in_a_redis_in_trouble_ends_as_the_bucket_says(stage, capsys, trouble):
    """While it is under way; of one that Redis has forgotten, the message in the channel is all there is."""
    stage, s3 = stage
    stage.redis.save()
    asked = stage.ask("backup config")
    stage.until(asked, lambda r: (r.phase is Phase.RUNNING and r.stage is Stage.RUN) or r.phase.ended)
    trouble(stage)

    def last():
        (root,) = [each for each in stage.oleg.messages("C0OPS") if "backup config" in words(each)]
        return None if "hourglass" in words(root) else words(root)

    wait_for(last, SECONDS)
    time.sleep(10)
    said = last()
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="backups").get("Contents", ())]
    made = any(key.endswith("manifest.json") for key in keys)
    with capsys.disabled():
        sys.stdout.write(f"\n{trouble.__name__:12} | {said[:200]!r} | a manifest in the bucket: {made}\n")
    assert ("read back" in said) is made or "may have been carried out" in said
