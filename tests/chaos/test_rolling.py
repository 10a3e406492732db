"""A rolling update under load: a hundred commands while bots and workers are replaced one after the other.

As Kubernetes does with maxSurge 1: the new process is ready before the old one gets SIGTERM, and that one must end by
itself, well, within its grace. Nobody types anything twice.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from slack_sdk import WebClient

from mlflow_ops_sandbox.parts.redis import program
from mlflow_ops_sandbox.slack.client import wait_for
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving
from workers.records.outbox import Outbox
from workers.records.record import Phase
from workers.records.store import Records

COMMANDS = 100
A_TIME = 17  # of six processes that are replaced
PER_SECOND = 12
GRACE_SECONDS = 20
CHANNELS = [f"C0ROLL{number}" for number in range(4)]
OPS_YAML = """
channels: [{channels}]
roles: {{viewer: {{users: ["*"]}}}}
slack: {{posts_per_second: 200, updates_per_minute: 20000}}
schedule: {{backup: null, figures: null, digest: null, drill: null, audit: null}}
"""


class Deployment:
    """Processes of one kind, replaced as a rolling update does."""

    def __init__(self, words, env, folder):
        self._words, self._env, self._folder = words, env, folder
        self._made = 0
        self.pods = []

    def surge(self):
        """One more, once it says that it is ready."""
        name = f"{self._words[0]}-{self._made}"
        self._made += 1
        ready = self._folder / f"{name}.ready"
        command = [sys.executable, "-m", "bot", "--log-format", "json", *self._words]
        with (self._folder / f"{name}.log").open("wb") as log:
            pod = subprocess.Popen(
                command, env={**self._env, "MLFLOW_OPS_READY_FILE": str(ready)}, stdout=log, stderr=log
            )
        self.pods.append(pod)
        wait_for(lambda: ready.exists() or None, 60)

    def roll(self, load):
        """Replace each, in the middle of some load; how long each took to end, and how."""
        ends = []
        for pod in list(self.pods):
            self.surge()
            load(lambda pod=pod: pod.send_signal(signal.SIGTERM))
            began = time.monotonic()
            ends.append((pod.wait(GRACE_SECONDS), time.monotonic() - began))
            self.pods.remove(pod)
        return ends

    def end(self):
        for pod in self.pods:
            pod.kill()
            pod.wait()


@pytest.fixture
def stage(tmp_path, free_port):
    """A local Slack, a Redis, and two of each process as the overlay `production` has them."""
    config = tmp_path / "ops.yaml"
    config.write_text(OPS_YAML.format(channels=", ".join(CHANNELS)))
    rooms = [{"id": channel, "name": channel.lower()} for channel in CHANNELS]
    server = subprocess.Popen(
        [str(program()), "--port", str(free_port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )
    url = f"redis://127.0.0.1:{free_port}/0"
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "PYTHONPATH"}}
    env = keep | {"REDIS_URL": url, "MLFLOW_OPS_CONFIG": str(config)}
    with serving(Workspace.from_json(example(channels=rooms)), tmp_path / "slack") as slack:
        tokens = slack.workspace.tokens
        slacks = {"SLACK_API_URL": slack.api, "SLACK_BOT_TOKEN": tokens.bot, "SLACK_APP_TOKEN": tokens.app}
        deployments = [
            Deployment(["worker", "--queue", "quick"], env, tmp_path),
            Deployment(["bot"], env | slacks, tmp_path),
            Deployment(["scheduler"], env, tmp_path),
        ]
        try:
            for each in deployments:
                each.surge()
                each.surge()
            yield slack, deployments, Redis.from_url(url)
        finally:
            for each in deployments:
                each.end()
            server.terminate()
            server.wait()


def told(slack, redis):
    """Each record with its messages in the channel and in its thread, as texts."""
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
    roots = {}
    for channel in CHANNELS:
        page = client.conversations_history(channel=channel, limit=200, include_all_metadata=True)
        for message in page["messages"]:
            number = message["metadata"]["event_payload"]["id"]
            replies = client.conversations_replies(channel=channel, ts=message["ts"])["messages"][1:]
            roots.setdefault(number, []).append((message["text"], [reply["text"] for reply in replies]))
    keys = [key for key in redis.scan_iter("mlflow-ops:mlflow:record:*", count=1000) if key.count(b":") == 3]
    return {
        record.id: (record, roots.get(record.id, []))
        for record in (Records(redis).get(key.decode().rsplit(":", 1)[1]) for key in keys)
    }


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_of_a_hundred_commands_a_rolling_update_loses_none(stage, capsys):
    slack, deployments, redis = stage
    vera, began = slack.person("vera"), time.monotonic()
    outcomes, errors = [], []

    def typed(number):
        """Type it until Slack shows no error, as a person would: how often."""
        for times in range(1, 10):
            outcome = vera.command(CHANNELS[number % len(CHANNELS)], "/mlflow health queues")
            if outcome.ok:
                return times
            errors.append((round(time.monotonic() - began, 1), outcome.error))
        pytest.fail("Slack never took the command")

    def load(half_way):
        """The next commands, PER_SECOND of them; `half_way` is called in their midst."""
        first = len(outcomes)
        numbers = range(first, min(COMMANDS, first + A_TIME))
        for number in numbers:
            if number == first + len(numbers) // 2:
                half_way()
            outcomes.append(pool.submit(typed, number))
            time.sleep(1 / PER_SECOND)

    with ThreadPoolExecutor(A_TIME) as pool:
        ends = [end for each in deployments for end in each.roll(load)]
        outcomes = [each.result() for each in outcomes]
    wait_for(lambda: (not Records(redis).open() and not Outbox(redis).length()) or None, 120)
    found = told(slack, redis)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{len(outcomes)} commands, typed again {errors}, "
            f"{dict(Counter(str(record.phase) for record, _ in found.values()))}; {len(ends)} processes replaced, "
            f"the slowest ended {max(took for _, took in ends):.1f} s after SIGTERM; "
            f"{time.monotonic() - began:.0f} s\n"
        )
    assert [code for code, _ in ends] == [0] * 6
    assert len(found) == len(outcomes) == COMMANDS
    for record, messages in found.values():
        assert record.phase is Phase.DONE, record.outcome
        ((root, replies),) = messages
        assert root.startswith("MLflow health: ")
        assert replies == ["MLflow health: details"]
