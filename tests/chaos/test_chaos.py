"""Three hundred commands while everything under them is killed at random: each ends with one message, and it is true.

The seed decides what is killed and when; MLFLOW_OPS_CHAOS_SEEDS names others, MLFLOW_OPS_CHAOS_COMMANDS how many.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError
from slack_sdk import WebClient

from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.slack.client import wait_for, words
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from workers.records.outbox import Outbox
from workers.records.record import Phase
from workers.records.store import Records

SEEDS = [int(seed) for seed in os.environ.get("MLFLOW_OPS_CHAOS_SEEDS", "1,2,3").split(",")]
COMMANDS = int(os.environ.get("MLFLOW_OPS_CHAOS_COMMANDS", "300"))
PER_SECOND = 15
SETTLE_SECONDS = 150
CHANNELS = [f"C0CHAOS{number}" for number in range(6)]
OPS_YAML = """
channels: [{channels}]
roles: {{viewer: {{users: ["*"]}}}}
slack: {{posts_per_second: 200, updates_per_minute: 20000}}
schedule: {{backup: null, figures: null, digest: null, drill: null, audit: null}}
"""


class Part:
    """A process that can be killed and started again."""

    def __init__(self, name, command, env, log):
        self.name, self._command, self._env, self._log = name, command, env, log
        self.deaths = 0
        self._process = None
        self.start()

    def start(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, stdout=log, stderr=log)

    def horses(self):
        with suppress(psutil.Error):
            return psutil.Process(self._process.pid).children()
        return []

    def kill(self, *, family=False):
        if family:
            for child in self.horses():
                with suppress(psutil.Error):
                    child.kill()
        self._process.kill()
        self._process.wait()
        self.deaths += 1

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill(family=True)


@pytest.fixture
def stage(tmp_path, free_port):
    """A local Slack, a Redis that keeps what it is told, two bots, two workers and a scheduler."""
    (tmp_path / "redis").mkdir()
    config = tmp_path / "ops.yaml"
    config.write_text(OPS_YAML.format(channels=", ".join(CHANNELS)))
    rooms = [{"id": channel, "name": channel.lower()} for channel in CHANNELS]
    redis_url = f"redis://127.0.0.1:{free_port}/0"
    with serving(Workspace.from_json(example(channels=rooms)), tmp_path / "slack") as slack:
        tokens = slack.workspace.tokens
        env = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "PYTHONPATH"}}
        env |= {"REDIS_URL": redis_url, "MLFLOW_OPS_CONFIG": str(config)}
        bot_env = env | {
            "SLACK_API_URL": slack.api,
            "SLACK_BOT_TOKEN": tokens.bot,
            "SLACK_APP_TOKEN": tokens.app,
        }
        server = [str(program()), "--port", str(free_port), "--bind", "127.0.0.1", "--dir", str(tmp_path / "redis")]
        parts = {"redis": Part("redis", [*server, "--appendonly", "yes", "--save", ""], env, tmp_path / "redis.log")}
        ours = {
            "bot-1": (["bot"], bot_env),
            "bot-2": (["bot"], bot_env),
            "worker-1": (["worker", "--queue", "quick"], env),
            "worker-2": (["worker", "--queue", "quick"], env),
            "scheduler": (["scheduler"], env),
        }
        for name, (words, its_env) in ours.items():
            command = [sys.executable, "-m", "bot", "--log-format", "json", *words]
            parts[name] = Part(name, command, its_env, tmp_path / f"{name}.log")
        slack.sandbox.wait_until_connected(40)
        yield slack, parts, Redis.from_url(redis_url)
        # Redis last: without it the others have nothing to say goodbye to, and wait for it.
        for part in reversed(parts.values()):
            part.stop()


def havoc(slack, parts, chance, stop):
    """Kill something about once a second until told to stop; everything runs again at the end."""
    done = Counter()
    while not stop.wait(chance.uniform(0.5, 1.5)):
        deed = chance.choice(["bot", "bot", "worker", "worker", "horse", "redis", "scheduler", "slack", "slack"])
        done[deed] += 1
        match deed:
            case "slack":
                match chance.choice(["reset", "reset", "500", "429", "disconnect"]):
                    case "reset":
                        slack.sandbox.fault(chance.choice(["reset_before", "reset_after"]), method="chat.*", count=3)
                    case "500":
                        slack.sandbox.fault("error", method="chat.*", count=3, status=500)
                    case "429":
                        slack.sandbox.fault("ratelimited", method="chat.*", count=2, retry_after=1)
                    case _:
                        slack.sandbox.fault("disconnect")
            case "horse":
                for part in (parts["worker-1"], parts["worker-2"]):
                    for horse in part.horses():
                        with suppress(psutil.Error):
                            horse.kill()
            case "redis" | "scheduler":
                parts[deed].kill()
                time.sleep(chance.uniform(0, 1))
                parts[deed].start()
            case _:
                part = parts[f"{deed}-{chance.choice('12')}"]
                part.kill(family=chance.random() < 0.5)
                part.start()
    return done


def known(redis):
    keys = [key for key in redis.scan_iter("mlflow-ops:mlflow:record:*", count=1000) if key.count(b":") == 3]
    return [Records(redis).get(key.decode().rsplit(":", 1)[1]) for key in keys]


def recorded(redis):
    """How many commands there are, within a tuple so that 0 is an answer too; None while Redis is away."""
    try:
        return (len(known(redis)),)
    except RedisError:
        return None


def history(client, channel):
    cursor = ""
    while True:
        page = client.conversations_history(channel=channel, limit=200, cursor=cursor, include_all_metadata=True)
        yield from page["messages"]
        cursor = (page.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return


def tells_the_truth(client, record, root):
    """A thread says what the record says: the report with its details, or why there is none."""
    replies = client.conversations_replies(channel=record.channel, ts=root["ts"])["messages"][1:]
    if record.phase is Phase.DONE:
        assert root["text"].startswith("MLflow health: "), root["text"]
        assert [reply["text"] for reply in replies] == ["MLflow health: details"]
    else:
        assert root["text"].startswith("/mlflow health queues failed: "), root["text"]
        assert replies == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_command_ends_with_one_true_message(stage, seed, capsys):
    slack, parts, redis = stage
    chance, stop = random.Random(seed), threading.Event()
    vera = slack.person("vera")
    began = time.monotonic()

    def send(number):
        """Ask until Slack shows no error: what a person would do."""
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        for _ in range(60):
            outcome = vera.command(CHANNELS[number % len(CHANNELS)], "/mlflow health queues")
            if outcome.ok:
                return
            time.sleep(0.5)
        pytest.fail("Slack never took the command")

    sent = 0
    with ThreadPoolExecutor(33) as pool:
        chaos = pool.submit(havoc, slack, parts, chance, stop)
        try:
            # Who was told that the queue is away asks again, so that there are as many threads as commands.
            while (missing := COMMANDS - wait_for(lambda: recorded(redis), 60)[0]) > 0:
                list(pool.map(send, range(sent, sent + missing)))
                sent += missing
        finally:
            stop.set()
        deeds = chaos.result()
    slack.sandbox.clear_faults()

    def settled():
        try:
            return (not Records(redis).open() and not Outbox(redis).length()) or None
        except RedisError:
            return None

    wait_for(settled, SETTLE_SECONDS)
    records = known(redis)
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
    posted = Counter()
    roots = {}
    for channel in CHANNELS:
        for message in history(client, channel):
            number = message.get("metadata", {}).get("event_payload", {})
            posted[number.get("id"), number.get("number")] += 1
            roots[number.get("id")] = message
    ends = Counter(record.phase for record in records)
    with capsys.disabled():
        refused = sum("cannot be reached" in words(each) for room in CHANNELS for each in vera.ephemerals(room))
        sys.stdout.write(
            f"\nseed {seed}: {sent} commands, {len(records)} threads, {refused} refused with a sentence, "
            f"{ {str(phase): number for phase, number in ends.items()} }, killed {dict(deeds)}, "
            f"{time.monotonic() - began:.0f} s\n"
        )
    # None is lost: what Slack took is a thread, or its sender was told why it is none.
    assert len(records) >= COMMANDS
    assert len(records) + refused >= sent
    assert set(ends) <= {Phase.DONE, Phase.FAILED}
    assert ends[Phase.DONE] > COMMANDS / 2
    assert set(posted.values()) == {1}
    assert set(roots) == {record.id for record in records}
    for record in records:
        tells_the_truth(client, record, roots[record.id])
