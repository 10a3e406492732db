"""Nobody waits for the bot or for Slack, and nobody is drowned: measured in a channel, by real processes."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from bot.process import scheduler
from mlflow_ops_sandbox.slack.client import wait_for, words
from workers.records.outbox import Outbox
from workers.records.record import Phase
from workers.records.store import Records
from workers.settings import Ops

READS = 200
OPS_YAML = """
channels: [C0OPS]
roles: {viewer: {users: ["*"]}, operator: {users: [U0OLEG]}}
escalation: {role: viewer, devops: {users: [U0ANNA]}, team: {users: [U0ANNA]}}
limits: {per_person: 1000}
schedule: {backup: null, figures: null, digest: null, drill: null, audit: null}
"""


@pytest.fixture
def told(tmp_path, environment):
    """The environment of our processes, with what these tests need in ops.yaml."""

    def make(slack):
        path = tmp_path / "flood.yaml"
        path.write_text(OPS_YAML, encoding="utf-8")
        return {**environment(slack), "MLFLOW_OPS_CONFIG": str(path)}

    return make


def records(redis):
    keys = (key.decode() for key in redis.scan_iter("mlflow-ops:mlflow:record:*", count=1000))
    return [Records(redis).get(key.rpartition(":")[2]) for key in keys if key.count(":") == 3]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_minutes_without_the_bot_over_a_minutes_schedule(local_slack, told, started, redis, capsys):
    """Each minute's command is done in its minute; the words follow once the bot is back."""
    entries = {"backup": None, "figures": None, "digest": None, "drill": None, "audit": None}
    ops = Ops.model_validate(
        {"channels": ["C0OPS"], "schedule": {**entries, "minute": {"cron": "* * * * *", "command": "health queues"}}}
    )
    began = datetime.now(UTC).replace(second=30, microsecond=0)
    with local_slack() as slack, started("worker", "--queue", "quick", env=told(slack)):
        scheduler.fire(ops, redis, began)
        took = []
        for minute in range(1, 11):
            asked = time.monotonic()
            assert scheduler.fire(ops, redis, began + timedelta(minutes=minute)) == ["minute"]
            done = lambda minute=minute: sum(r.phase is Phase.DONE for r in records(redis)) == minute or None  # noqa: E731
            wait_for(done, 60)
            took.append(time.monotonic() - asked)
        waiting, posted = Outbox(redis).length(), len(slack.person("vera").messages("C0OPS"))
        with started("bot", env=told(slack)):
            vera = slack.person("vera")
            wait_for(lambda: len([m for m in vera.messages("C0OPS") if "MLflow health" in words(m)]) == 10 or None, 90)
    with capsys.disabled():
        sys.stdout.write(
            f"\nwithout the bot: 10 of 10 done, each within {max(took):.1f} s of its minute; in the channel {posted}, "
            f"waiting to be told {waiting}; with the bot again: 10 told\n"
        )
    assert (waiting, posted) == (10, 0)
    assert max(took) < 55


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hundred_reads_of_one_person_keep_nobody_waiting(local_slack, told, started, redis, capsys):
    """A call for help is in the channel within 3 s, another person's command within 10 s."""
    with (
        local_slack() as slack,
        started("worker", "--queue", "quick", env=told(slack)),
        started("bot", env=told(slack)),
    ):
        vera, oleg = slack.person("vera"), slack.person("oleg")
        with ThreadPoolExecutor(16) as pool:
            assert all(
                each.ok
                for each in pool.map(lambda n: vera.command("C0OPS", f"/mlflow audit --since {n + 1}h"), range(READS))
            )
        time.sleep(2)

        def seconds_until(person, line, said):
            asked = time.monotonic()
            assert person.command("C0OPS", line).ok
            wait_for(lambda: vera.find("C0OPS", said), 60)
            return time.monotonic() - asked

        with ThreadPoolExecutor(2) as pool:
            other = pool.submit(seconds_until, oleg, "/mlflow health mlflow", "health mlflow")
            call = pool.submit(seconds_until, vera, "/mlflow escalate production is down", "production is down")
            call, other = call.result(), other.result()
        behind = Outbox(redis).length()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{READS} reads of one person, {behind} threads still to be told: `escalate` in the channel after "
            f"{call:.1f} s, another person's command after {other:.1f} s\n"
        )
    assert behind > 50
    assert call <= 3
    assert other <= 10
