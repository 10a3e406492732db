"""MLflow as it was, from the page: asked for, its link opened in the browser, read and not written; and how it ends."""

import json
import os
import re
import signal
import time

import psutil
import pytest
import requests

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL, PEOPLE
from mlflow_ops_sandbox.slack.client import SlackPerson, words
from workers import settings
from workers.operations.peek import pod, state
from workers.systems import Systems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECONDS = 120
GET = "/api/2.0/mlflow/experiments/get"
HOST = "workers.operations.peek.host"


@pytest.fixture(scope="module")
def past(start_sandbox_once, tmp_path_factory, seeded):
    """A sandbox that keeps its database's WAL."""
    return start_sandbox_once(tmp_path_factory.mktemp("past") / "data", "--point-in-time", like=seeded)


@pytest.fixture(scope="module")
def systems(past):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in past.env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        yield Systems(settings.load(past.process_env))


@pytest.fixture(scope="module")
def omar(past):
    return SlackPerson(past.slack_url, next(each["id"] for each in PEOPLE if each["name"] == "omar"))


@pytest.fixture(scope="module")
def ask(omar):
    """Types a command, waits for a root message like that; the message."""

    def ask(text, part):
        before = {message["ts"] for message in omar.messages(OPS_CHANNEL)}
        assert omar.command(OPS_CHANNEL, f"/mlflow {text}").ok

        def found():
            fresh = [each for each in omar.messages(OPS_CHANNEL) if each["ts"] not in before]
            return next((each for each in fresh if re.search(part, words(each))), None)

        return omar.wait_for(found, deadline=SECONDS)

    return ask


@pytest.fixture
def then(past, systems, ask):
    """The moment before an experiment was deleted; a base backup is older than that."""
    if state.asked(systems.redis):
        ask("peek stop", "Closed|Nothing")
    ask("backup base --now", "any moment since")
    made = systems.tracking.call("experiments/create", {"name": f"gone-{time.time_ns()}"})["experiment_id"]
    time.sleep(1)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(1.1)
    systems.tracking.call("experiments/delete", {"experiment_id": made})
    until = time.monotonic() + 60
    while not _reaches(systems, at):
        assert time.monotonic() < until
        time.sleep(0.5)
    return at, made


def _reaches(systems, at):
    from workers.operations.backup.wal import access

    point = access.archive(systems).point()
    return point is not None and f"{point.at:%Y-%m-%dT%H:%M:%SZ}" > at


def link(systems):
    return state.asked(systems.redis).url.rstrip("/")


def hosts(past):
    """The processes that host a peek's database for this sandbox."""
    found = []
    for each in psutil.process_iter(["cmdline", "environ"]):
        line, given = each.info["cmdline"] or (), each.info["environ"] or {}
        if HOST in line and given.get("REDIS_URL") == past.env["REDIS_URL"]:
            found.append(each)
    return found


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.3)


def gone(url):
    try:
        requests.get(url, timeout=2)
    except requests.ConnectionError:
        return True
    return False


def test_it_is_opened_from_the_page_read_in_the_browser_and_closed(past, systems, ask, omar, then, browser):
    at, made = then
    root = ask(f"peek --at {at} --for 10m", "is open until")
    url = link(systems)
    thread = omar.thread(OPS_CHANNEL, root["ts"])
    assert any(url in json.dumps(each["blocks"]) for each in thread if each.get("blocks")), thread

    page = browser.new_page()
    page.goto(url, wait_until="domcontentloaded", timeout=90_000)
    page.wait_for_selector("text=Experiments", timeout=90_000)
    assert "MLflow" in page.title()
    page.close()
    experiment = requests.get(f"{url}{GET}", {"experiment_id": made}, timeout=30).json()
    assert experiment["experiment"]["lifecycle_stage"] == "active"
    now = requests.get(f"{past.env['MLFLOW_TRACKING_URI']}{GET}", {"experiment_id": made}, timeout=30).json()
    assert now["experiment"]["lifecycle_stage"] == "deleted"
    refused = requests.post(f"{url}/api/2.0/mlflow/experiments/create", json={"name": "mine"}, timeout=30)
    assert refused.status_code >= 400
    assert "read-only transaction" in refused.text
    assert requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/0/x", data=b"x", timeout=30).status_code >= 400

    assert "is open until" in words(ask("peek list", "is open until"))
    ask("howto port-forward", "port-forward")
    ask("peek stop", "Closed")
    until(lambda: gone(url))
    until(lambda: not hosts(past))
    assert pod.running(systems) == []


def test_it_ends_by_itself_where_its_host_was_killed(past, systems, ask, then):
    at, _ = then
    ask(f"peek --at {at} --for 10m", "is open until")
    url = link(systems)
    for each in hosts(past):
        os.kill(each.pid, signal.SIGKILL)

    until(lambda: gone(url))
    until(lambda: not pod.serving(systems))
    assert "Job ended" in words(ask("peek list", "isn't there"))
    ask("peek stop", "Closed")


def test_it_ends_with_its_time(past, systems, ask, then):
    at, _ = then
    ask(f"peek --at {at} --for 60s", "is open until")
    url = link(systems)

    until(lambda: gone(url), seconds=90)
    until(lambda: not hosts(past), seconds=30)
    assert state.asked(systems.redis) is None
