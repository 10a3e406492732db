"""Every command gets its own clear words: accepted, refused, or not understood."""

import os
import subprocess
import sys

import pytest
from slack_sdk import WebClient

from bot import slash
from bot.buttons import Buttons
from workers.records.record import Record
from workers.records.store import Records
from workers.settings import Ops, load
from workers.systems.redis import connect

OPS = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["U0VERA"]}}})


@pytest.fixture
def ask(redis):
    records = Records(redis)

    def ask(text, user="U0VERA", channel="C0OPS", trigger="1.2.3"):
        command = {"user_id": user, "channel_id": channel, "text": text, "trigger_id": trigger}
        return slash.answer(command, OPS, records, lambda _group: frozenset())

    return ask


def accepted(redis):
    records = Records(redis)
    return [records.get(record_id) for record_id in records.open()]


def test_an_accepted_command_is_recorded_and_answers_nothing(ask, redis):
    assert ask("health pods --deadline 2") == ""
    (record,) = accepted(redis)
    assert record.operation == "health"
    assert record.arguments == {"checks": ["pods"], "deadline_seconds": 2.0, "since_seconds": None}
    assert (record.words, record.requester, record.channel) == ("health pods --deadline 2", "U0VERA", "C0OPS")


def test_the_same_delivery_twice_is_one_command(ask, redis):
    assert ask("health") == ""
    assert ask("health") == ""
    assert "its answer will be for both" in ask("health", trigger="4.5.6")
    assert ask("health pods", trigger="5.6.7") == ""
    assert len(accepted(redis)) == 2


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"text": "health", "user": "U0EVE"}, "You have no role in ops.yaml"),
        ({"text": "health", "channel": "C0RANDOM"}, "use it in <#C0OPS>"),
        ({"text": "x" * 10_000}, "10,000 characters long; the limit is 3,000"),
        ({"text": 'health "pods'}, "A quote is opened and not closed"),
        ({"text": "helth"}, "Did you mean `/mlflow health`?"),
        ({"text": "xyzzy"}, "There is no command “xyzzy”."),
        ({"text": "<!channel>"}, "There is no command “&lt;!channel&gt;”."),
        ({"text": ""}, "Daily operations:"),
        ({"text": "help health"}, "Usage: /mlflow health"),
    ],
)
def test_each_refusal_has_its_own_words_and_records_nothing(ask, redis, case, words):
    assert words in ask(**case)
    assert accepted(redis) == []


def test_somebody_without_a_role_learns_nothing_of_the_commands(ask):
    assert "Daily operations:" not in ask("help", user="U0EVE")


def test_with_redis_away_the_sender_is_told_at_once(free_port):
    away = connect(load({"REDIS_URL": f"redis://127.0.0.1:{free_port}/0"}), answer_within_seconds=1.0)
    command = {"user_id": "U0VERA", "channel_id": "C0OPS", "text": "health", "trigger_id": "1"}
    assert "Nothing was done: Redis refuses connections." in slash.answer(
        command, OPS, Records(away), lambda _group: frozenset()
    )


FIRST_COMMAND = """
import sys
from bot import slash
from bot.app import Bot
from workers import settings
from workers.records.store import Records
from workers.systems.redis import connect

loaded = settings.load()
Bot(loaded)
before = set(sys.modules)
command = {"user_id": "U0VERA", "channel_id": "C0OPS", "text": "health queues", "trigger_id": "1"}
assert slash.answered(command, loaded.ops, Records(connect(loaded)), lambda _group: frozenset()) == ""
print(*sorted(name for name in set(sys.modules) - before if name.split(".")[0] in {"bot", "commands", "workers"}))
"""


def test_a_bot_that_serves_has_read_every_command_so_that_the_first_one_is_no_slower(redis_url, redis, tmp_path):
    config = tmp_path / "ops.yaml"
    config.write_text("{channels: [C0OPS], roles: {viewer: {users: [U0VERA]}}}")
    env = {**os.environ, "SLACK_BOT_TOKEN": "xoxb-1", "REDIS_URL": redis_url, "MLFLOW_OPS_CONFIG": str(config)}
    run = subprocess.run([sys.executable, "-c", FIRST_COMMAND], env=env, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.splitlines()[-1:]) == (0, [""]), run.stderr


def test_a_press_that_slack_delivers_twice_asks_once(redis):
    pressing = Buttons(OPS, redis, lambda _group: frozenset(), WebClient())
    before = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")
    assert pressing.again(before, "U0VERA", "7.8.9") == ""
    assert pressing.again(before, "U0VERA", "7.8.9") == ""
    assert len(accepted(redis)) == 1
