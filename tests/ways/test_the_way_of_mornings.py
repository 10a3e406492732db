"""The morning's digest in Slack: a green day of three lines, a bad one with buttons, and the picture below it."""

import os
import re
import time
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from bot.process import scheduler
from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.patience import stretched
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.two_weeks import two_weeks
from workers import settings
from workers.operations.history.store import History, Sample
from workers.settings import Ops
from workers.systems.redis import connect

pytestmark = pytest.mark.slow

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

SECONDS = 40
VERA, OMAR = "U07VERA0001", "U07OMAR0002"
NOTHING_ELSE = {"backup": None, "figures": None, "digest": None, "drill": None, "audit": None}
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


@pytest.fixture(scope="module")
def sandbox(start_sandbox_once, tmp_path_factory, seeded):
    """One of its own: a day is green only where no other test has done anything."""
    return start_sandbox_once(tmp_path_factory.mktemp("mornings") / "data", like=seeded)


@pytest.fixture(scope="module")
def redis(sandbox):
    client = connect(settings.load(sandbox.process_env))
    yield client
    client.close()


@pytest.fixture(scope="module")
def past(redis):
    """Figures of each hour of the last 14 days; a version that changed today."""
    now, history = datetime.now(UTC), History(redis)
    for at, figures in two_weeks(now):
        version = "3.17.1" if now - at > timedelta(hours=6) else "3.17.2"
        history.keep(Sample(at, figures, {"mlflow.version": (version,)}))
    return history


@pytest.fixture(scope="module")
def backed_up(omar):
    root = ask(omar, "backup", "artifacts")
    becomes(omar, root, "read back and compared")


@pytest.fixture
def troubled(sandbox, omar):
    """A pod that crashes, a certificate that ends, and something that waits for an approver."""
    sandbox.kubernetes_control({"pod": "mlflow/0", "state": "CrashLoopBackOff", "certificate_days": 5})
    waits = ask(omar, "scale 9", "Waiting for approval")
    yield waits
    sandbox.kubernetes_control({"clear": True, "certificate_days": 60})
    omar.press(OPS_CHANNEL, waits["ts"], "withdraw")


@pytest.fixture
def visit(open_page, sandbox):
    def visit(person, theme):
        size = {"width": 1440, "height": 1300}
        return open_page(sandbox.slack_url, f"?person={person}&theme={theme}", OPS_CHANNEL, viewport=size)

    return visit


def ask(person, text, said):
    """Type it; the root message once it says that."""
    before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {text}").ok
    return fresh(person, before, said)


def fresh(person, before, said):
    def found():
        new = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if said in words(each)), None)

    return person.wait_for(found, deadline=SECONDS)


def becomes(person, message, said):
    def now():
        return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])

    person.wait_for(lambda: said in words(now()) or None, deadline=SECONDS)
    return now()


def picture_below(person, message):
    """The picture that came into the channel after a message."""

    def found():
        later = [each for each in person.messages(OPS_CHANNEL) if float(each["ts"]) > float(message["ts"])]
        return next((file for each in later for file in each.get("files", ()) if file["mimetype"] == "image/png"), None)

    return person.wait_for(found, deadline=SECONDS)


def lines(message):
    return [
        line for block in message["blocks"] if block["type"] == "section" for line in block["text"]["text"].split("\n")
    ]


def offers(message):
    return [block["accessory"] for block in message["blocks"] if "accessory" in block]


def shot(page, name, theme):
    if PICTURES:
        page.wait_for_timeout(600)
        page.screenshot(path=Path(PICTURES) / f"{name}-{theme}.png")


def typed_on_the_page(page, person):
    before = {message["ts"] for message in person.messages(OPS_CHANNEL)}
    page.fill("#composer", "/mlflow digest")
    page.keyboard.press("Enter")
    message = fresh(person, before, "Digest, ")
    picture_below(person, message)
    # The picture that belongs to it, seen: its words are there for who does not see it.
    seen = page.locator("#main .message img[alt^='MLflow over 14 days']").last
    expect(seen).to_be_visible(timeout=SECONDS * 1000)
    page.wait_for_function("image => image.complete && image.naturalWidth > 1000", arg=seen.element_handle())
    seen.scroll_into_view_if_needed()
    return next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == message["ts"])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_green_day_is_three_lines_and_a_picture(visit, vera, past, backed_up, sandbox, theme):
    page = visit(VERA, theme)
    message = typed_on_the_page(page, vera)
    said = lines(message)
    assert len(said) == 3, said
    assert re.match(
        r":white_check_mark: \*Digest, \w{3} \d\d \w{3}\*: all is well; last backup .* old \(1 h allowed\)",
        said[0],
    )
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        (there,) = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    told = re.search(r"no restarts; database ([\d.]+) MiB \(\+", said[1])
    assert told, said[1]
    assert float(told[1]) == pytest.approx(there / 2**20, abs=0.5), said[1]  # it is vacuumed now and then
    assert "nothing waits; 1 command" in said[2]
    assert f"<@{OMAR}>" in said[2]
    assert offers(message) == []
    for word in ("all is well", "Changed: ", "Yesterday: nothing waits"):
        assert word in message["text"], "a screen reader gets the message's text"
    shot(page, "digest-green", theme)


def test_what_the_clock_slept_through_comes_once_and_late(redis, vera, past, backed_up):
    """Two schedulers wake at half past nine."""
    entry = {"cron": "0 8 * * *", "command": "digest"}
    ops = Ops.model_validate({"channels": [OPS_CHANNEL], "schedule": NOTHING_ELSE | {uuid.uuid4().hex: entry}})
    now = datetime.now(UTC).replace(hour=9, minute=30) - timedelta(days=1)
    scheduler.fire(ops, redis, now - timedelta(days=1))
    before = {message["ts"] for message in vera.messages(OPS_CHANNEL)}
    first = scheduler.fire(ops, redis, now)
    assert len(first) == 1
    scheduler.fire(ops, redis, now)
    message = fresh(vera, before, "late (due ")
    assert re.search(r"Digest, .*, late \(due \w{3} 08:00\)", lines(message)[0])
    assert len(lines(message)) == 3
    assert {block["type"] for block in message["blocks"]} == {"section"}
    picture_below(vera, message)
    new = [each for each in vera.messages(OPS_CHANNEL) if each["ts"] not in before]
    assert sum("late (due" in words(each) for each in new) == 1


def test_the_picture_has_words_its_own_paper_and_is_small(sandbox, vera, past, backed_up):
    message = ask(vera, "digest", "all is well")
    file = picture_below(vera, message)
    assert file["name"].startswith("mlflow-")
    for panel in (
        "Latency, p95: between",
        "Errors in the logs:",
        "Database size:",
        "Artifacts size:",
        "Memory:",
        "Age of the last backup:",
    ):
        assert panel in file["alt_txt"]
    with urllib.request.urlopen(file["permalink"], timeout=10) as answer:
        content = answer.read()
    assert content.startswith(b"\x89PNG")
    assert 20_000 < len(content) < 500_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_bad_day_says_what_needs_a_person_with_a_button_each(visit, vera, omar, past, backed_up, troubled, theme):
    page = visit(VERA, theme)
    message = typed_on_the_page(page, vera)
    said = "\n".join(lines(message))
    assert said.startswith(":x:")
    assert "to look at today" in said
    assert "CrashLoopBackOff" in said
    assert "certificate ends in 4 days" in said
    assert "MLflow 3.17.1 → 3.17.2" in said
    assert "*Backups*: last backup" in said
    assert f"• scale 9: open (<@{OMAR}>)" in said
    labels = [button["text"]["text"] for button in offers(message)]
    assert {"Look at the pods", "Renew it …", "Open it"} <= set(labels)
    assert len(labels) == len({button["action_id"] for button in offers(message)})
    link = next(button for button in offers(message) if button["text"]["text"] == "Open it")
    assert troubled["ts"] in link["url"]
    assert "To do: Pods: " in message["text"]
    page.get_by_role("button", name="Look at the pods").last.scroll_into_view_if_needed()
    shot(page, "digest-bad", theme)
    page.locator("#main .message img[alt^='MLflow over 14 days']").last.scroll_into_view_if_needed()
    shot(page, "digest-bad-picture", theme)
    before = {each["ts"] for each in omar.messages(OPS_CHANNEL)}
    page.get_by_role("button", name="Look at the pods").last.click()
    pods = fresh(omar, before, "MLflow health")
    assert f"asked by <@{VERA}>" in words(pods)


def test_a_viewers_press_of_a_button_is_still_under_policy(vera, past, backed_up, troubled):
    message = ask(vera, "digest", "to look at today")
    number = next(each["action_id"] for each in offers(message) if each["text"]["text"] == "Renew it …")
    before = {each["ts"] for each in vera.ephemerals(OPS_CHANNEL)}
    vera.press(OPS_CHANNEL, message["ts"], number)

    def refused():
        new = [each for each in vera.ephemerals(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if "need the operator role" in words(each)), None)

    vera.wait_for(refused, deadline=SECONDS)


def test_a_trend_is_a_picture_in_the_channel(vera, past, backed_up):
    root = ask(vera, "trend database --days 14", "now.")
    assert "It rises; where its limit is nobody has told" in words(root)
    assert picture_below(vera, root)["alt_txt"].startswith("Database size over 1")


def test_health_since_yesterday_compares(vera, past, backed_up):
    root = ask(vera, "health --since yesterday", "MLflow health")

    def told():
        replies = vera.thread(OPS_CHANNEL, root["ts"])
        return next((words(each) for each in replies if "3.17.1" in words(each)), None)

    said = vera.wait_for(told, deadline=SECONDS)
    assert re.search(r"Database size +11\.\d MiB +11\.\d MiB +\+", said)


def test_pausing_survives_a_restart_of_the_scheduler(sandbox, omar, vera):
    done = ask(omar, "schedule pause figures", "is left out until someone resumes it")
    try:
        sandbox.restart("scheduler")
        listed = ask(vera, "schedule list", "1 paused")
        assert "5 scheduled jobs" in words(listed)
    finally:
        omar.press(OPS_CHANNEL, done["ts"], "undo")
    becomes_not_paused(omar)


def becomes_not_paused(person):
    deadline = time.monotonic() + stretched(SECONDS)
    while "paused" in words(ask(person, "schedule list", "scheduled jobs")):
        assert time.monotonic() < deadline
