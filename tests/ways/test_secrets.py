"""After commands that succeed and fail, none of the sandbox's real secrets is anywhere that somebody may read."""

import os
import subprocess
import sys
from urllib.parse import urlsplit

import psutil
import pytest
from redis import Redis

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import SlackPerson, wait_for
from workers.records.store import Records

pytestmark = pytest.mark.slow

OURS = ("bot", "scheduler", "worker-quick", "worker-ops")


@pytest.fixture
def secrets(sandbox):
    """The sandbox's passwords, tokens and keys by name."""
    found = {}
    for name, value in sandbox.env.items():
        if name.endswith(("_TOKEN", "_PASSWORD", "_SECRET", "_KEY")):
            found[name] = value
        if "://" in value and urlsplit(value).password:
            found[name] = urlsplit(value).password
    assert {"SLACK_BOT_TOKEN", "REDIS_URL", "AWS_SECRET_ACCESS_KEY", "MLFLOW_OPS_DATABASE_ADMIN_URL"} <= set(found)
    return found


def test_no_secret_is_in_redis_logs_slack_or_arguments(sandbox, secrets):
    redis = Redis.from_url(sandbox.env["REDIS_URL"])
    vera = SlackPerson(sandbox.slack_url, "U07VERA0001")
    before = len(Records(redis).open())
    for words in ("health", f"health {sandbox.env['MLFLOW_OPS_DATABASE_URL']}", "health postgres"):
        assert vera.command(OPS_CHANNEL, f"/mlflow {words}").ok
    sandbox.pause("postgres")
    try:
        # It is acknowledged once it is recorded.
        assert vera.command(OPS_CHANNEL, "/mlflow health postgres mlflow --deadline 2").ok
        wait_for(lambda: len(Records(redis).open()) <= before or None, 40)
    finally:
        sandbox.resume("postgres")

    places = {f"the log of {part}": sandbox.log(part) for part in OURS}
    places["the sandbox's own output"] = sandbox.said()
    places["Redis"] = "\n".join(_everything(redis))
    told = [reply for message in vera.messages(OPS_CHANNEL) for reply in vera.thread(OPS_CHANNEL, message["ts"])]
    places["Slack"] = "\n".join(str(message) for message in [*told, *vera.ephemerals(OPS_CHANNEL)])
    places["arguments"] = "\n".join(
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline", "pid"])
    )
    for place, text in places.items():
        assert text or place.startswith("the log"), place
        for name, secret in secrets.items():
            assert secret not in text, f"{name} is in {place}"


def test_what_is_printed_for_a_terminal_holds_none_either(sandbox, secrets):
    wrong = sandbox.process_env | {"MLFLOW_OPS_DATABASE_URL": sandbox.env["MLFLOW_OPS_DATABASE_URL"] + "-nowhere"}
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "run", "health --deadline 3", "--details"],
        env=wrong,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "has no database" in ended.stdout
    for name, secret in secrets.items():
        assert secret not in ended.stdout + ended.stderr, name


def _everything(redis):
    for key in redis.scan_iter("*", count=1000):
        kind = redis.type(key).decode()
        match kind:
            case "string":
                yield repr(redis.get(key))
            case "hash":
                yield repr(redis.hgetall(key))
            case "list":
                yield repr(redis.lrange(key, 0, -1))
            case "zset":
                yield repr(redis.zrange(key, 0, -1))
            case "set":
                yield repr(redis.smembers(key))
            case "stream":
                yield repr(redis.xrange(key))
        yield os.fsdecode(key)
