"""words.tsv, typed into the page: the local Slack escapes it as Slack does, and the bot records what was meant."""

import time

import pytest

from mlflow_ops_sandbox.patience import stretched
from mlflow_ops_sandbox.slack.client import words
from tests.commands.typed import MEANT, TYPED, cases
from workers import registry
from workers.operations.audit.trail import Audit
from workers.records.store import Records

pytestmark = pytest.mark.slow

CHANNEL = "C0OPS"
HERE = {"audit --by <@U0123ABC|anna>": Audit(by="U0ANNA")}
"""Whom a mention means is the workspace's matter."""


@pytest.fixture
def slack(local_slack, environment, started):
    """A local Slack with the bot, and nobody who does the work: what was understood stays as it was recorded."""
    with local_slack() as slack, started("bot", env=environment(slack)):
        yield slack


def recorded(records, known):
    """The operation that was recorded since."""
    deadline = time.monotonic() + stretched(10)
    while time.monotonic() < deadline:
        fresh = set(records.open()) - known
        if fresh:
            (record_id,) = fresh
            record = records.get(record_id)
            return registry.build(record.operation, record.arguments), record_id
        time.sleep(0.02)
    raise AssertionError("nothing was recorded")


def test_every_text_that_people_typed_means_what_they_meant(slack, open_page, redis):
    records, known, wrong = Records(redis), set(), []
    oleg = slack.person("oleg")
    page = open_page(slack.base_url, "?person=oleg", CHANNEL)
    for delivered in cases():
        typed = TYPED.get(delivered, delivered)
        meant = HERE.get(delivered, MEANT[delivered])
        seen = len(oleg.ephemerals(CHANNEL))
        page.fill("#composer", f"/mlflow {typed}")
        page.keyboard.press("Enter")
        if isinstance(meant, str):
            said = oleg.wait_for(lambda seen=seen: oleg.ephemerals(CHANNEL)[seen:] or None)
            wrong += [] if meant in words(said[0]) else [(typed, words(said[0]))]
            continue
        found, record_id = recorded(records, known)
        known.add(record_id)
        bare = found.model_copy(update={"caller": None}) if hasattr(found, "caller") else found
        wrong += [] if bare == meant else [(typed, bare)]
    assert wrong == []
    assert len(known) + sum(isinstance(each, str) for each in MEANT.values()) == len(cases()) == len(MEANT)


def test_a_line_that_was_meant_is_ready_to_copy(slack):
    oleg = slack.person("oleg")
    assert oleg.command(CHANNEL, "/mlflow run archive --older 90d <b> & c").ok
    assert oleg.command(CHANNEL, "/mlflow runs archive 90d").ok
    said = oleg.wait_for(lambda: oleg.find_ephemeral(CHANNEL, "Missing option"))
    assert "Did you mean `/mlflow runs archive --older-than 90d`?" in words(said)
