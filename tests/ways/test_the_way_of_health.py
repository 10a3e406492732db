"""`/mlflow health` typed on the page of a whole sandbox: through bot, queue and worker, back into its thread."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from workers.operations.health import CHECKS

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SECONDS = 20
VERA, OMAR = "U07VERA0001", "U07OMAR0002"
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


@pytest.fixture
def visit(open_page, sandbox):
    """Open the sandbox's page at #ops."""

    def visit(person, theme):
        size = {"width": 1440, "height": 900}
        return open_page(sandbox.slack_url, f"?person={person}&theme={theme}", OPS_CHANNEL, viewport=size)

    return visit


@pytest.fixture
def in_terminal(sandbox):
    """The same command without Slack: its report as data."""

    def in_terminal(words):
        said = subprocess.run(
            [sys.executable, "-m", "bot", "run", words, "--json"],
            env=sandbox.process_env,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(said.stdout)

    return in_terminal


def send(page, text):
    page.fill("#composer", text)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_typed_on_the_page_it_is_answered_as_in_the_terminal(visit, in_terminal, theme):
    page = visit(VERA, theme)
    answers = page.locator("#main .message").filter(has_text="/mlflow health asked by @Vera")
    root = answers.nth(answers.count())
    send(page, "/mlflow health")
    expect(root).to_contain_text("MLflow health", timeout=SECONDS * 1000)
    root.locator(".replies").click()
    thread = page.get_by_label("Thread", exact=True)
    expect(thread).to_contain_text("Look further")
    if PICTURES:
        thread.locator(".message").first.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"health-{theme}.png")
    report = in_terminal("health")
    assert [check["name"] for check in report["checks"]] != []
    assert {check["name"] for check in report["checks"]} == set(CHECKS)
    for check in report["checks"]:
        assert check["status"] in {"ok", "warn"}, check
        expect(thread).to_contain_text(check["title"])
        if check["status"] != "ok":
            expect(root).to_contain_text(check["sentence"])


def test_what_cannot_be_done_is_said_to_its_sender_only(visit):
    page, other = visit(VERA, "light"), visit(OMAR, "light")
    before = other.locator(".message.ephemeral").count()
    cases = {
        "/mlflow helth": "Did you mean",
        '/mlflow health "pods': "A quote is opened",
        "/mlflow " + "x" * 10_000: "10,000",
        "/mlflow health pots": "pods",
    }
    for text, said in cases.items():
        send(page, text)
        expect(page.locator(".message.ephemeral").last).to_contain_text(said, timeout=SECONDS * 1000)
    expect(other.locator(".message.ephemeral")).to_have_count(before)


def test_help_lists_what_can_be_typed(visit):
    page = visit(VERA, "light")
    send(page, "/mlflow help")
    expect(page.locator(".message.ephemeral").last).to_contain_text("/mlflow health", timeout=SECONDS * 1000)
