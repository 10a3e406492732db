"""A table dropped and 500 artifacts deleted on the sandbox's panel: what the next scheduled backup says in the channel,
and what the list, the plan of prune, health and the plan of a restore say then. Each is printed (pytest -s).
"""

import re
import sys

import boto3
import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import Sandbox, SlackPerson, words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SECONDS = 90
ARTIFACTS = 600


@pytest.fixture
def lossy(start_sandbox, tmp_path, seeded):
    """A sandbox of this test's own, with artifacts enough to lose 500."""
    sandbox = start_sandbox(tmp_path / "data", like=seeded)
    env = sandbox.env
    keys = {name: env[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
    s3 = boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"], region_name="us-east-1", **keys)
    for number in range(ARTIFACTS):
        s3.put_object(Bucket="mlflow-artifacts", Key=f"0/lost/artifacts/{number:04}", Body=b"x" * 100)
    return sandbox


@pytest.fixture
def ask(lossy):
    """Types a command as a person does: what the channel says of it, and then its thread."""
    people = {each["name"]: SlackPerson(lossy.slack_url, each["id"]) for each in PEOPLE}

    def ask(who, text, part):
        person = people[who]
        before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
        assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok

        def found():
            fresh = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
            return next((each for each in fresh if re.search(part, words(each))), None)

        root = person.wait_for(found, deadline=SECONDS)
        person.wait_for(lambda: person.thread(OPS_CHANNEL, root["ts"])[1:] or None, deadline=10)
        return words(root), "\n".join(words(each) for each in person.thread(OPS_CHANNEL, root["ts"])[1:])

    return ask


def test_what_was_lost_is_said_everywhere_and_costs_no_set(lossy, ask, capsys):
    def say(what, text):
        with capsys.disabled():
            sys.stdout.write(f"\n== {what}\n{text}\n")

    root, _ = ask("omar", "backup", "read back and compared")
    whole = re.search(r"sets/\w+-([0-9a-f]{6})/", root)[1]
    panel = Sandbox(lossy.slack_url)
    for thing in ("table", "artifacts"):
        panel.do("/sandbox/panel", group="damage", thing=thing, action="do")
    health, _ = ask("vera", "health backup", "Lost from the live database")
    say("health, before any backup", health)

    root, thread = ask("omar", "schedule run backup", "SHRANK")
    say("the scheduled backup, in the channel", root)
    shrunk = re.search(r"sets/\w+-([0-9a-f]{6})/", root)[1]
    assert "1 table: metrics" in root
    assert "500 of " in root
    assert whole in root

    root, thread = ask("vera", "backup list", "sets?")
    say("backup list", f"{root}\n{thread}")
    assert re.search(rf"{shrunk}.*SHRANK: lost 1 table: metrics", f"{root}{thread}", re.DOTALL)

    root, thread = ask("vera", "backup prune --dry-run", "Nothing was changed")
    say("backup prune --dry-run", f"{root}\n{thread}")
    assert "Remove sets/" not in f"{root}{thread}"

    health, _ = ask("vera", "health backup", "Lost from the live database")
    say("health, after it", health)
    assert whole in health

    root, thread = ask("vera", "restore database --dry-run", "Nothing was changed")
    say("restore database --dry-run", f"{root}\n{thread}")
    assert f"from the backup {whole}" in root
    assert f"Skipping {shrunk}, which lost 1 table: metrics" in f"{root}{thread}"
