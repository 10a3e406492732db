"""The App Home on a whole sandbox, as people see and press it on the page."""

import os
import re
import uuid
from pathlib import Path

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import actions, words

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SECONDS = 60
VERA, OMAR, ADA = "U07VERA0001", "U07OMAR0002", "U07ADAO0003"
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


@pytest.fixture
def visit(open_page, sandbox):
    def visit(person, theme="light"):
        size = {"width": 1280, "height": 1500}
        return open_page(sandbox.slack_url, f"?person={person}&theme={theme}", "home", viewport=size)

    return visit


def shot(page, name):
    if PICTURES:
        page.wait_for_timeout(600)
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def asks(person, text, said):
    """Type it; the root message once it says that."""
    before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok

    def found():
        new = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if said in words(each)), None)

    return person.wait_for(found, deadline=SECONDS)


def says(person, message, said):
    def now():
        return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])

    return person.wait_for(lambda: now() if said in words(now()) else None, deadline=SECONDS)


def test_what_waits_is_approved_at_home_and_the_thread_says_by_whom(people, visit):
    omar, vera = people["omar"], people["vera"]
    name = f"home-{uuid.uuid4().hex[:6]}"
    asks(omar, f"experiments create {name}", ":white_check_mark:")
    asks(omar, "backup", "read back and compared")
    asks(vera, "health", "MLflow health")
    page = visit(ADA)
    home = page.locator("#main .home")
    expect(home).to_contain_text("Last good set: Today", timeout=SECONDS * 1000)
    expect(home).to_contain_text("database, artifacts, config are in s3://", timeout=SECONDS * 1000)
    expect(home.get_by_role("row", name="Database size")).to_contain_text("iB", timeout=SECONDS * 1000)
    waits = asks(omar, f"experiments delete {name}", "Waiting for approval")
    # Nobody reloads anything: it appears, with what it would do.
    expect(home).to_contain_text(f"/mlflow experiments delete {name}", timeout=SECONDS * 1000)
    for person, theme in ((ADA, "light"), (ADA, "dark"), (VERA, "light"), (VERA, "dark")) if PICTURES else ():
        shown = visit(person, theme)
        expect(shown.locator("#main .home")).to_contain_text("You are", timeout=SECONDS * 1000)
        shot(shown, f"home-{'approver' if person == ADA else 'viewer'}-{theme}")
    vera.open_home()
    seen = vera.wait_for(lambda: (view := vera.home()) and name in words(view) and view, deadline=SECONDS)
    assert not {"approve", "deny", "withdraw", "cancel", "ask-backup"} & set(actions(seen))
    omar.open_home()
    own = omar.wait_for(lambda: (view := omar.home()) and name in words(view) and view, deadline=SECONDS)
    assert "withdraw" in actions(own)
    assert "approve" not in actions(own)
    # The last row of buttons that decide belongs to what was asked last.
    page.get_by_role("button", name="Approve", exact=True).last.click()
    done = says(omar, waits, "approved by")
    assert f"approved by <@{ADA}>" in words(done)
    assert ":white_check_mark:" in words(done)
    expect(home).not_to_contain_text(f"/mlflow experiments delete {name}", timeout=SECONDS * 1000)
    link = rf"done: `/mlflow experiments delete {name}` in <#{OPS_CHANNEL}> \(<http[^|]+\|thread>\)"
    omar.wait_for(lambda: re.search(link, words(omar.home())), deadline=SECONDS)


def test_a_button_at_home_asks_in_the_ops_channel_in_the_name_of_whoever_presses(people, visit):
    vera = people["vera"]
    page = visit(VERA, "dark")
    before = {message["ts"] for message in vera.messages(OPS_CHANNEL)}
    page.get_by_role("button", name="Jobs", exact=True).click(timeout=SECONDS * 1000)

    def answered():
        new = [each for each in vera.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if "asked by <@U07VERA0001>" in words(each) and "jobs" in words(each)), None)

    vera.wait_for(answered, deadline=SECONDS)
    home = page.locator("#main .home")
    expect(home).to_contain_text("/mlflow jobs", timeout=SECONDS * 1000)
    expect(home.get_by_role("link", name="thread").first).to_be_visible(timeout=SECONDS * 1000)
