"""The "break something" panel of a whole sandbox: broken on the page, named by `/mlflow health`, healed on the page."""

import os
from pathlib import Path

import psutil
import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import Sandbox, SlackPerson, wait_for

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

MS = 20_000
REPORT_MS = 45_000
VERA = "U07VERA0001"
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


@pytest.fixture
def slack(sandbox):
    """The sandbox's Slack, healed afterwards, with all parts running."""
    controls = Sandbox(sandbox.slack_url)
    yield controls
    wait_for(lambda: not controls.do("/sandbox/panel/heal")["failed"], 30)
    for part in ("kubernetes", "worker-quick", "bot", "objects"):
        sandbox.wait_until_ready(part)
    controls.wait_until_connected()


@pytest.fixture
def visit(open_page, sandbox, slack):
    """Open the sandbox's page at #ops, the panel open."""

    def visit(theme="light", width=1440, place=OPS_CHANNEL):
        viewer = SlackPerson(sandbox.slack_url, VERA)
        if viewer.view():
            viewer.close_view()
        query = f"?person={VERA}&theme={theme}"
        page = open_page(sandbox.slack_url, query, place, viewport={"width": width, "height": 900})
        page.locator("#panel-rail").click()
        expect(page.locator("[data-thing=crash]")).to_be_visible(timeout=MS)
        return page

    return visit


def health(page):
    """Ask for a report, and return its message once it is there."""
    before = page.locator("#main .message").count()
    page.fill("#composer", "/mlflow health")
    page.keyboard.press("Enter")
    expect(page.locator("#main .message")).to_have_count(before + 1, timeout=MS)
    root = page.locator("#main .message").last
    expect(root).to_contain_text("details in the thread", timeout=REPORT_MS)
    return root


def line(report, title):
    """The line of a report on one check: its title and figure, a dash, a sentence."""
    lines = [text for text in report.inner_text().splitlines() if title in text.partition(" — ")[0] and " — " in text]
    assert lines, report.inner_text()
    return lines[0]


def picture(page, name):
    if PICTURES:
        page.wait_for_timeout(500)
        page.screenshot(path=Path(PICTURES) / f"panel-{name}.png")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_broken_pod_and_missing_metrics_are_named_by_health_and_healed(visit, theme):
    page = visit(theme)
    for thing in ("image", "metrics"):
        page.locator(f"[data-thing={thing}]").click()
        expect(page.locator(f"[data-thing={thing}]")).to_have_attribute("aria-checked", "true", timeout=MS)
    expect(page.locator(".panel-badge")).to_have_text("2")
    expect(page.locator(".panel-summary")).to_have_text("2 things are broken")
    report = health(page)
    expect(report).to_contain_text("ImagePullBackOff")
    assert "metrics" in line(report, "Resources").lower()
    picture(page, theme)
    page.locator("#panel-heal").click()
    expect(page.locator(".panel-summary")).to_have_text("All is well", timeout=MS)
    expect(page.locator("[data-thing=image]")).to_have_attribute("aria-checked", "false")
    wait_for(lambda: "2/2 ready" in line(health(page), "Pods"), 40)


def test_a_paused_object_store_is_named_by_health_and_resumed(visit, sandbox):
    page = visit()
    row = page.locator("[data-thing=objects]")
    row.locator("[data-action=pause]").click()
    expect(row).to_contain_text("paused", timeout=MS)
    assert sandbox.process("objects").status() == psutil.STATUS_STOPPED
    report = health(page)
    assert "answers" not in line(report, "Storage")
    row.locator("[data-action=resume]").click()
    expect(row).to_contain_text("running", timeout=MS)
    assert "answers" in line(health(page), "Storage")


def test_a_killed_worker_is_started_again_and_works(visit, sandbox):
    page = visit()
    before = sandbox.process("worker-quick")
    page.locator("[data-thing=worker-quick] [data-action=kill]").click()
    sandbox.wait_until_ready("worker-quick", other_than=before)
    expect(page.locator("[data-thing=worker-quick]")).to_contain_text("running", timeout=MS)
    assert "PostgreSQL" in health(page).inner_text()


def test_slack_goes_away_and_is_called_back(visit, slack):
    page = visit()
    switch = page.locator("[data-thing=away]")
    switch.click()
    expect(switch).to_contain_text("back in", timeout=MS)
    assert slack.faults()["away"]
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "false", timeout=MS)
    slack.wait_until_connected(deadline=30)
    assert "PostgreSQL" in health(page).inner_text()


def test_the_panel_is_driven_by_keyboard_alone(visit):
    page = visit()
    page.keyboard.press("Alt+b")
    expect(page.locator("#panel-drawer")).to_be_hidden()
    expect(page.locator("#panel-rail")).to_be_focused()
    page.keyboard.press("Alt+b")
    expect(page.locator("#panel-drawer")).to_be_visible()
    page.locator("[data-thing=limits]").focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-thing=limits]")).to_have_attribute("aria-checked", "true", timeout=MS)
    expect(page.locator("[data-thing=limits]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-thing=limits]")).to_have_attribute("aria-checked", "false", timeout=MS)
    page.keyboard.press("Escape")
    expect(page.locator("#panel-drawer")).to_be_hidden()
    expect(page.locator("#panel-rail")).to_be_focused()


@pytest.mark.parametrize("width", [1000, 1280, 1600])
def test_the_channel_stays_in_sight_beside_panel_and_thread(visit, width):
    page = visit("dark", width)
    assert page.locator("#main").bounding_box()["width"] >= 400
    expect(page.locator("#composer")).to_be_in_viewport(ratio=0.9)
    health(page).locator(".replies").click()
    expect(page.get_by_label("Thread", exact=True)).to_be_visible()
    if width < 1500:
        expect(page.locator("#panel-drawer")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#panel-rail")).to_be_in_viewport(ratio=1)
    expect(page.locator("#thread-composer")).to_be_in_viewport(ratio=0.9)
    picture(page, f"{width}")
