"""An incident over Slack: whoever is on call is pinged, the thread fills, and its end is a file in it."""

import os
import re
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.slack.controls import Sandbox
from workers import settings
from workers.operations.incident.oncall import on_call

pytestmark = pytest.mark.slow

SECONDS = 60
VERA, OMAR, ADA, NOOR = "U07VERA0001", "U07OMAR0002", "U07ADAO0003", "U07NOOR0005"
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


@pytest.fixture
def called(sandbox):
    """Whom ops.yaml has called at this time of day."""
    return on_call(settings.load(sandbox.process_env).ops, datetime.now(UTC))


def root(person, said):
    return person.wait_for(lambda: person.find(OPS_CHANNEL, said), deadline=SECONDS)


def reply(person, message, said):
    return person.wait_for(lambda: person.find_reply(OPS_CHANNEL, message["ts"], said), deadline=SECONDS)


def test_from_a_call_for_help_to_the_account_of_it(sandbox, vera, omar, called, open_page):
    slack = Sandbox(sandbox.slack_url)
    pages = {
        theme: open_page(sandbox.slack_url, f"?person={OMAR}&theme={theme}", OPS_CHANNEL,
                         viewport={"width": 1440, "height": 1300})
        for theme in ("light", "dark")
    }  # fmt: skip
    assert vera.command(OPS_CHANNEL, "/mlflow escalate <!channel> nobody can log in").ok
    opened = root(vera, "*Incident*: &lt;!channel&gt; nobody can log in")
    assert "On call: " in words(opened)
    assert all(each in words(opened) for each in called.ids)
    vera.wait_for(lambda: current(vera, opened).get("pinned_to") == [OPS_CHANNEL] or None, deadline=SECONDS)
    pinged = {each["target"] for each in slack.pings() if each["ts"] == opened["ts"] and each["via"] == "post"}
    assert pinged == {*called.ids, VERA}, "an edit would notify nobody, and what she typed calls nobody"
    for said in (f"on call:? {called.name}", "Logs", "Operations|command"):
        vera.wait_for(lambda said=said: re.search(said, details(vera, opened, sandbox)), deadline=SECONDS)
    for each in ("PostgreSQL", "MLflow", "Pods"):
        assert each in words(opened)

    assert omar.press(OPS_CHANNEL, opened["ts"], "offer-0").ok
    reply(omar, opened, f"<@{OMAR}> is on it.")
    assert omar.command(OPS_CHANNEL, "/mlflow schedule pause drill").ok
    reply(omar, opened, "/mlflow schedule pause drill: done")
    assert omar.command(OPS_CHANNEL, "/mlflow incident note the disk was full").ok
    reply(omar, opened, "notes: the disk was full")
    assert vera.command(OPS_CHANNEL, "/mlflow escalate it is worse").ok
    reply(vera, opened, f"Escalated again by <@{VERA}>: it is worse")
    for theme, page in pages.items():
        picture(page, f"incident-{theme}")
    assert vera.command(OPS_CHANNEL, "/mlflow incident show").ok
    shown = words(root(vera, "nobody can log in. Open for"))
    assert "/mlflow schedule pause drill: asked for" in shown
    assert "noted: the disk was full" in shown

    assert omar.command(OPS_CHANNEL, "/mlflow incident close a full disk").ok
    reply(omar, opened, "closed the incident: a full disk (after ")
    file = omar.wait_for(lambda: next(iter(files(omar, opened)), None), deadline=SECONDS)
    assert file["name"].startswith("incident-")
    text = read(file, sandbox)
    assert f"| {VERA} | opened the incident: \\<!channel\\> nobody can log in" in text
    assert "schedule pause drill: done" in text
    assert "noted: the disk was full" in text
    assert "Escalated again: it is worse" in text
    assert f"| {OMAR} | closed the incident: a full disk |" in text
    now = vera.wait_for(lambda: over(current(vera, opened)), deadline=SECONDS)
    assert "pinned_to" not in now
    assert "action_id" not in str(now["blocks"]), "there is nothing left to press"
    assert omar.command(OPS_CHANNEL, "/mlflow schedule resume drill").ok
    root(omar, "drill goes on.")


def details(person, message, sandbox):
    """All that a thread holds: what is long is a file there."""
    thread = person.thread(OPS_CHANNEL, message["ts"])
    long = [read(file, sandbox) for each in thread for file in each.get("files", ()) if file["name"].endswith(".txt")]
    return re.sub(r"[*`]| +(?= )", "", "\n".join([*map(words, thread), *long]))


def current(person, message):
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])


def over(message):
    return message if "over after" in words(message) else None


def files(person, message):
    found = [file for each in person.thread(OPS_CHANNEL, message["ts"]) for file in each.get("files", ())]
    return [file for file in found if file["name"].endswith(".md")]


def read(file, sandbox):
    request = urllib.request.Request(
        file["url_private"], headers={"Authorization": f"Bearer {sandbox.env['SLACK_BOT_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def picture(page, name):
    if PICTURES:
        page.wait_for_timeout(600)
        page.locator("text=/[0-9]+ replies/").first.click()
        page.wait_for_timeout(600)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")
