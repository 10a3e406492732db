"""The way of an alert: a real Alertmanager, the bot's webhook, a message with its check, a silence by its button."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mlflow_ops_sandbox.parts.wiring import OPS_CHANNEL
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.testing import wait_for
from workers import settings
from workers.systems.redis import connect

pytestmark = pytest.mark.slow

SECONDS = 60
VERA, OMAR = "U07VERA0001", "U07OMAR0002"
STORM = 1000
PICTURES = os.environ.get("MLFLOW_OPS_PICTURES")
"""A folder for screenshots, where somebody wants to look at them."""


class Alertmanager:
    """A real one, where the sandbox's workers look for it."""

    def __init__(self, url):
        self.url = url
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        with self.opener.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def answers(self):
        try:
            return self.call("/api/v2/status")["versionInfo"]
        except OSError:
            return None

    def fire(self, *names, ends_in=timedelta(hours=1), **labels):
        """As Prometheus tells it: each of these fires until then."""
        now = datetime.now(UTC)
        alerts = [
            {
                "labels": {"alertname": name, "severity": "critical", **labels},
                "annotations": {"summary": f"{name} was seen.", "command": "/mlflow health queues"},
                "startsAt": (now - timedelta(minutes=3)).isoformat(),
                "endsAt": (now + ends_in).isoformat(),
                "generatorURL": "http://prometheus.example:9090/graph?g0.expr=up",
            }
            for name in names
        ]
        self.call("/api/v2/alerts", alerts)

    def resolve(self, *names, **labels):
        self.fire(*names, ends_in=timedelta(seconds=-1), **labels)

    def silences(self):
        return [each for each in self.call("/api/v2/silences") if each["status"]["state"] == "active"]


@pytest.fixture(scope="module")
def alertmanager(sandbox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alertmanager")
    binary = shutil.which("prometheus-alertmanager")
    if binary is None:
        pytest.skip("Debian's package prometheus-alertmanager is not installed")
    secret = folder / "secret"
    secret.write_text(sandbox.env["MLFLOW_OPS_ALERTS_SECRET"], encoding="utf-8")
    config = {
        "route": {
            "receiver": "mlflow-ops",
            "group_by": ["alertname"],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [
            {
                "name": "mlflow-ops",
                "webhook_configs": [
                    {
                        "url": sandbox.env["MLFLOW_OPS_SANDBOX_ALERTS"],
                        "send_resolved": True,
                        "http_config": {"authorization": {"credentials_file": str(secret)}},
                    }
                ],
            }
        ],
    }
    (folder / "alertmanager.yml").write_text(json.dumps(config), encoding="utf-8")
    url = sandbox.env["MLFLOW_OPS_ALERTMANAGER_URL"]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            [
                binary,
                f"--config.file={folder / 'alertmanager.yml'}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={urlsplit(url).netloc}",
                "--cluster.listen-address=",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        known = Alertmanager(url)
        wait_for(known.answers, f"Alertmanager, whose log is {folder / 'log'}", 30)
        yield known
    finally:
        running.terminate()
        running.wait(20)
        redis = connect(settings.load(sandbox.process_env))
        for key in redis.keys("mlflow-ops:mlflow:alerts:*"):
            redis.delete(key)
        redis.close()


def message(person, said):
    return person.wait_for(lambda: person.find(OPS_CHANNEL, said), deadline=SECONDS)


def becomes(person, ts, said):
    def now():
        found = next(each for each in person.messages(OPS_CHANNEL) if each["ts"] == ts)
        return found if said in words(found) else None

    return person.wait_for(now, deadline=SECONDS)


def reply(person, ts, said):
    return person.wait_for(lambda: person.find_reply(OPS_CHANNEL, ts, said), deadline=SECONDS)


def shot(open_page, sandbox, ts, name):
    for theme in ("light", "dark") if PICTURES else ():
        size = {"width": 1440, "height": 1100}
        page = open_page(sandbox.slack_url, f"?person={OMAR}&theme={theme}", OPS_CHANNEL, viewport=size)
        page.wait_for_timeout(600)
        page.locator(f"#main .message[data-ts='{ts}']").last.scroll_into_view_if_needed()
        page.locator(f"#main .message[data-ts='{ts}'] button:has-text('repl')").first.click()
        page.wait_for_timeout(600)
        page.screenshot(path=Path(PICTURES) / f"{name}-{theme}.png")


def test_an_alert_fires_is_silenced_by_its_button_and_is_resolved(sandbox, alertmanager, vera, omar, request):
    name = "MLflowOpsQueueStuck"
    alertmanager.fire(name, queue="ops", pod="<!channel>")
    root = message(vera, "MLflowOpsQueueStuck* · critical · *1 firing*")
    assert "`queue=ops`" in words(root)
    assert "`pod=&lt;!channel&gt;`" in words(root)
    # The check that its rule names has run below it, and says what it found.
    reply(vera, root["ts"], "*MLflow health*")
    reply(vera, root["ts"], "asked by the alert `MLflowOpsQueueStuck`")
    reply(vera, root["ts"], "Look further")
    assert all(each.get("thread_ts") in {None, each["ts"]} for each in vera.messages(OPS_CHANNEL))

    # Its buttons are under policy.
    vera.press(OPS_CHANNEL, root["ts"], "silence")
    vera.wait_for(vera.view, deadline=SECONDS)
    vera.submit_view({"for": "1h"})
    vera.wait_for(lambda: vera.find_ephemeral(OPS_CHANNEL, "need the operator role"), deadline=SECONDS)
    assert alertmanager.silences() == []
    vera.press(OPS_CHANNEL, root["ts"], "offer-0")
    message(vera, "asked by <@U07VERA0001>")
    if PICTURES:
        shot(request.getfixturevalue("open_page"), sandbox, root["ts"], "alert-firing")

    omar.press(OPS_CHANNEL, root["ts"], "silence")
    omar.wait_for(omar.view, deadline=SECONDS)
    before = datetime.now(UTC)
    omar.submit_view({"for": "4h", "why": "moving “the” queue's Redis"})
    reply(omar, root["ts"], f"by <@{OMAR}>: moving “the” queue's Redis")
    (silence,) = alertmanager.silences()
    lasts = datetime.fromisoformat(silence["endsAt"]) - before
    assert timedelta(hours=3, minutes=59) < lasts < timedelta(hours=4, minutes=2)
    assert silence["matchers"] == [{"isEqual": True, "isRegex": False, "name": "alertname", "value": name}]
    assert OMAR in silence["createdBy"]
    assert "moving" in silence["comment"]
    becomes(omar, root["ts"], "Silenced until")
    listed = message_of(omar, "alerts list", "1 alert firing, 1 of them silenced")
    reply(omar, listed["ts"], silence["id"])
    message_of(omar, f"alerts silence {listed_group(root)}", "It is silenced already")
    if PICTURES:
        shot(request.getfixturevalue("open_page"), sandbox, root["ts"], "alert-silenced")

    omar.press(OPS_CHANNEL, root["ts"], "unsilence")
    reply(omar, root["ts"], "The silence was ended")
    assert alertmanager.silences() == []
    alertmanager.resolve(name, queue="ops", pod="<!channel>")
    done = becomes(vera, root["ts"], "is resolved after 3 min")
    reply(vera, root["ts"], "Resolved after 3 min")
    assert "silence" not in json.dumps(done["blocks"])
    told = [each for each in vera.messages(OPS_CHANNEL) if f"*{name}*" in words(each)]
    assert len(told) == 1
    if PICTURES:
        shot(request.getfixturevalue("open_page"), sandbox, root["ts"], "alert-resolved")


def listed_group(root):
    return re.search(r"alert group `([0-9a-f]{10})`", words(root))[1]


def message_of(person, command, said):
    before = {each["ts"] for each in person.messages(OPS_CHANNEL)}
    assert person.command(OPS_CHANNEL, f"/mlflow {command}").ok

    def found():
        new = [each for each in person.messages(OPS_CHANNEL) if each["ts"] not in before]
        return next((each for each in new if said in words(each)), None)

    return person.wait_for(found, deadline=SECONDS)


def test_a_forged_call_is_refused(sandbox, vera):
    before = len(vera.messages(OPS_CHANNEL))
    secret = sandbox.env["MLFLOW_OPS_ALERTS_SECRET"]

    def answer(body, header):
        request = urllib.request.Request(
            sandbox.env["MLFLOW_OPS_SANDBOX_ALERTS"], body, {"Authorization": header} if header else {}
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as said:
                return said.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            # What is too long is refused before all of it was sent.
            return None

    assert answer(b"{}", "") == 401
    assert answer(b"{}", f"Bearer {secret[:-1]}") == 401
    assert answer(b"{}", f"Bearer {secret}") == 400
    assert answer(b"x" * (5 << 20), f"Bearer {secret}") == 400
    assert len(vera.messages(OPS_CHANNEL)) == before
    assert secret not in sandbox.log("bot")


@pytest.mark.slow
def test_a_storm_of_a_thousand_becomes_one_message_with_a_count(sandbox, alertmanager, vera, request):
    before = {each["ts"] for each in vera.messages(OPS_CHANNEL)}
    names = [f"QueueOf{number:04}" for number in range(STORM)]
    began = time.monotonic()
    alertmanager.fire(*names)
    own = settings.load(sandbox.process_env).ops.alerts.storm_above

    def storm():
        for each in vera.messages(OPS_CHANNEL):
            found = re.search(r"([\d,]+) alerts firing in ([\d,]+) groups", words(each))
            if found and int(found[1].replace(",", "")) >= STORM - own:
                return each
        return None

    seen = vera.wait_for(storm, deadline=SECONDS)
    assert time.monotonic() - began < SECONDS
    new = [each for each in vera.messages(OPS_CHANNEL) if each["ts"] not in before]
    assert len(new) <= own + 1
    if PICTURES:
        page = request.getfixturevalue("open_page")
        page(sandbox.slack_url, f"?person={VERA}", OPS_CHANNEL).screenshot(path=Path(PICTURES) / "alert-storm.png")
    alertmanager.resolve(*names)
    becomes(vera, seen["ts"], "The storm of alerts is over")
