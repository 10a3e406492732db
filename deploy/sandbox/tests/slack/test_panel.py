"""The panel's orders: what can be asked for, what it does, and that nothing else can be reached through it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psutil
import pytest
import requests
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.client import wait_for
from mlflow_ops_sandbox.slack.panel import Surroundings
from mlflow_ops_sandbox.slack.testing import bolt_app, connected, example, serving

OPS = "C0OPS"


WELL = {"metrics": "present", "rollout": "well", "quota": "none"}


class ControlPort:
    """A cluster's control port as far as the panel needs it: orders change what it tells."""

    def __init__(self):
        self.orders = []
        self.now = dict(WELL, pods={}, api=[])
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer()

            def do_POST(self):
                order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.orders.append(order)
                outer.apply(order)
                self.answer()

            def answer(self):
                body = json.dumps(outer.now).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def apply(self, order):
        if order.get("clear"):
            self.now = dict(WELL, pods={}, api=[])
        self.now |= {key: order.get(key, self.now[key]) for key in WELL}
        self.now["api"] = [one for one in self.now["api"] if one["kind"] != order.get("end")]
        trouble = order.get("api", [])
        self.now["api"] += [{**one, "hits": 3} for one in (trouble if isinstance(trouble, list) else [trouble])]
        if "pod" in order:
            self.now["pods"].pop(order["pod"], None)
            if order["state"] != "Running":
                self.now["pods"][order["pod"].replace("/0", "-abc")] = order["state"]


@pytest.fixture
def cluster():
    port = ControlPort()
    yield port
    port.server.shutdown()
    port.server.server_close()


@pytest.fixture
def folder(tmp_path):
    """A sandbox's folder whose state file names two processes that only sleep."""
    sleeping = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    started = {name: subprocess.Popen(sleeping, stdout=subprocess.PIPE) for name in ("redis", "bot")}
    for process in started.values():
        process.stdout.readline()
    parts = {
        name: {
            "pid": process.pid,
            "started": psutil.Process(process.pid).create_time(),
            "state": "ready",
            "what": f"the {name}",
            "port": None,
        }
        for name, process in started.items()
    }
    (tmp_path / "sandbox.json").write_text(json.dumps({"parts": {**parts, "slack": parts["bot"]}}))
    yield tmp_path, started
    for process in started.values():
        process.kill()
        process.wait()


@pytest.fixture
def slack(tmp_path, cluster, folder):
    around = Surroundings(cluster.url, folder[0])
    with serving(Workspace.from_json(example()), tmp_path / "slack", surroundings=around) as running:
        yield running


def state(slack, group, thing):
    listed = next(one for one in slack.sandbox.get("/sandbox/panel")["groups"] if one["id"] == group)["things"]
    return next(one for one in listed if one["id"] == thing)


def order(slack, group, thing, action):
    return slack.sandbox.do("/sandbox/panel", group=group, thing=thing, action=action)


@pytest.mark.parametrize(
    ("thing", "sent"),
    [
        ("crash", {"pod": "mlflow/0", "state": "CrashLoopBackOff"}),
        ("memory", {"pod": "mlflow/0", "state": "OOMKilled"}),
        ("image", {"pod": "mlflow/0", "state": "ImagePullBackOff"}),
        ("pending", {"pod": "mlflow/0", "state": "Pending"}),
        ("rollout", {"rollout": "stuck"}),
        ("quota", {"quota": "full"}),
        ("metrics", {"metrics": "absent"}),
        ("slow", {"api": {"kind": "latency", "seconds": 2}}),
        ("busy", {"api": {"kind": "429"}}),
        ("errors", {"api": {"kind": "500"}}),
        ("cut", {"api": {"kind": "cut"}}),
        ("ending", {"certificate_days": 5}),
        ("expired", {"certificate_days": -1}),
    ],
)
def test_each_of_the_clusters_things_is_one_order_to_its_control_port(slack, cluster, thing, sent):
    assert order(slack, "cluster", thing, "break")["broken"] == 1
    assert cluster.orders == [sent]
    assert state(slack, "cluster", thing)["state"] == "broken"
    assert order(slack, "cluster", thing, "heal")["broken"] == 0


def test_one_api_trouble_ends_and_the_others_stay(slack, cluster):
    for thing in ("slow", "busy", "metrics", "crash", "rollout", "quota"):
        order(slack, "cluster", thing, "break")
    order(slack, "cluster", "busy", "heal")
    assert (cluster.now["rollout"], cluster.now["quota"]) == ("stuck", "full")
    assert [trouble["kind"] for trouble in cluster.now["api"]] == ["latency"]
    assert cluster.now["metrics"] == "absent"
    assert list(cluster.now["pods"].values()) == ["CrashLoopBackOff"]


def test_a_cluster_that_does_not_answer_is_of_unknown_state_and_says_so(slack, cluster):
    cluster.server.shutdown()
    cluster.server.server_close()
    assert state(slack, "cluster", "crash")["state"] == "unknown"
    with pytest.raises(RefusedError, match="cluster_not_answering"):
        order(slack, "cluster", "crash", "break")
    assert slack.sandbox.do("/sandbox/panel/heal")["failed"] == ["cluster"]


def test_a_process_is_paused_resumed_and_killed_by_its_pid(slack, folder):
    redis = folder[1]["redis"]
    order(slack, "processes", "redis", "pause")
    wait_for(lambda: psutil.Process(redis.pid).status() == psutil.STATUS_STOPPED)
    shown = state(slack, "processes", "redis")
    assert (shown["state"], shown["detail"], shown["actions"][0]["id"]) == ("broken", "paused", "resume")
    order(slack, "processes", "redis", "resume")
    assert state(slack, "processes", "redis")["detail"] == "running"
    order(slack, "processes", "redis", "kill")
    assert redis.wait(5) == -signal.SIGKILL
    assert state(slack, "processes", "redis")["detail"] == "restarting"
    with pytest.raises(RefusedError, match="process_not_running"):
        order(slack, "processes", "redis", "kill")


def test_a_restart_asks_a_process_to_end_also_where_it_is_paused(slack, folder):
    order(slack, "processes", "bot", "pause")
    order(slack, "processes", "bot", "restart")
    assert folder[1]["bot"].wait(5) == -signal.SIGTERM


def test_slacks_own_process_and_those_that_are_not_the_sandboxs_are_out_of_reach(slack):
    names = [thing["id"] for thing in slack.sandbox.get("/sandbox/panel")["groups"][1]["things"]]
    assert names == ["redis", "bot"]
    for name in ("slack", "1", "postgres"):
        with pytest.raises(RefusedError, match="invalid_arguments"):
            order(slack, "processes", name, "kill")


@pytest.mark.parametrize(
    ("group", "thing", "action"),
    [
        ("elsewhere", "crash", "break"),
        ("cluster", "http://example.com/", "break"),
        ("cluster", "crash", "explode"),
        ("processes", "redis", "break"),
        ("slack", "busy", "do"),
        ("slack", "again", "break"),
        ("slack", "nothing", "break"),
        ("damage", "table", "break"),
        ("damage", "schema; DROP", "do"),
    ],
)
def test_only_what_is_listed_can_be_ordered(slack, cluster, group, thing, action):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        order(slack, group, thing, action)
    assert cluster.orders == []


def test_a_page_from_elsewhere_cannot_break_anything(slack):
    body = {"group": "processes", "thing": "redis", "action": "kill"}
    foreign = {"Origin": "http://example.com"}
    assert requests.post(f"{slack.base_url}/sandbox/panel", json=body, headers=foreign, timeout=5).status_code == 403
    assert requests.post(f"{slack.base_url}/sandbox/panel", data=body, timeout=5).status_code == 415


def test_damage_is_a_deed_that_is_refused_with_a_sentence_where_no_sandbox_runs(slack):
    assert state(slack, "damage", "table")["actions"] == [{"id": "do", "label": "Drop"}]
    for thing in ("table", "artifacts", "config"):
        with pytest.raises(RefusedError, match="sandbox_not_ready"):
            order(slack, "damage", thing, "do")
    assert state(slack, "damage", "table")["detail"] == ""


@pytest.mark.parametrize("address", ["http://example.com:80", "https://127.0.0.1:1", "file:///etc/passwd", "//"])
def test_a_control_address_that_is_not_on_this_machine_is_refused(address):
    with pytest.raises(ValueError, match="loopback"):
        Surroundings(address)


def test_slacks_troubles_are_switched_on_and_off(slack):
    client = WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])

    def refusals():
        found = 0
        for _ in range(30):
            try:
                client.auth_test()
            except SlackApiError:
                found += 1
        return found

    order(slack, "slack", "errors", "break")
    assert 5 <= refusals() <= 25
    order(slack, "slack", "errors", "heal")
    assert refusals() == 0
    refused = ("read-only", "archived", "threads", "edits", "blocks", "files", "pins", "moving", "token", "strange")
    for thing in ("busy", "lost", "unsure", "slow", "limits", "deaf", *refused):
        assert order(slack, "slack", thing, "break")["broken"] == 1
        assert state(slack, "slack", thing)["state"] == "broken"
        assert order(slack, "slack", thing, "heal")["broken"] == 0


def test_slacks_absence_counts_down_and_ends(slack):
    order(slack, "slack", "away", "break")
    assert state(slack, "slack", "away")["detail"] == "back in 30 s"
    assert state(slack, "slack", "long-away")["state"] == "well"
    slack.sandbox.advance(30)
    assert state(slack, "slack", "away")["state"] == "well"
    order(slack, "slack", "long-away", "break")
    assert state(slack, "slack", "long-away")["detail"] == "back in 600 s"
    assert order(slack, "slack", "long-away", "heal")["broken"] == 0


def test_envelopes_and_sockets_are_disturbed_at_once(slack):
    app, seen = bolt_app(slack), []
    app.command("/mlflow")(lambda ack, command: (ack(), seen.append(command["trigger_id"])))
    with connected(slack, app, ping_interval=0.3):
        assert slack.person("oleg").command(OPS, "/mlflow x").ok
        order(slack, "slack", "again", "do")
        wait_for(lambda: len(seen) == 2)
        assert seen[0] == seen[1]
        order(slack, "slack", "refresh", "do")
        wait_for(lambda: slack.sandbox.calls()["apps.connections.open"] == 2)
        slack.sandbox.wait_until_connected()
        order(slack, "slack", "off", "break")
        assert state(slack, "slack", "off")["state"] == "broken"
        order(slack, "slack", "off", "heal")
        assert state(slack, "slack", "off")["state"] == "well"
        slack.sandbox.wait_until_connected()


def test_everything_is_healed_at_once(slack, cluster, folder):
    for group, thing, action in [
        ("cluster", "crash", "break"),
        ("cluster", "errors", "break"),
        ("cluster", "expired", "break"),
        ("processes", "redis", "pause"),
        ("slack", "errors", "break"),
        ("slack", "away", "break"),
    ]:
        order(slack, group, thing, action)
    assert slack.sandbox.get("/sandbox/panel")["broken"] == 6
    healed = slack.sandbox.do("/sandbox/panel/heal")
    assert (healed["broken"], healed["failed"]) == (0, [])
    assert cluster.orders[-1] == {"clear": True, "certificate_days": 60}


def test_without_surroundings_there_is_no_panel(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as alone:
        assert alone.sandbox.get("/sandbox/workspace")["panel"] is False
        assert requests.get(f"{alone.base_url}/sandbox/panel", timeout=5).status_code == 404


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (400, "dark")])
def test_a_first_visit_is_offered_five_things_to_try_by_keyboard_alone(open_page, slack, width, theme):
    expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect
    page = open_page(slack.base_url, f"?theme={theme}", OPS, viewport={"width": width, "height": 800})
    tour = page.locator("#tour")
    expect(tour.locator("li")).to_have_count(5)
    expect(page.locator("#tour-title")).to_be_focused()
    box = tour.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    below = page.locator(".composer").bounding_box()
    assert below["y"] + below["height"] > 760, "the composer is at the foot of the page, however narrow that is"
    typed = set()
    for step in range(5):
        for button in range(tour.locator("li").nth(step).locator(".tour-type").count()):
            at = tour.locator("li").nth(step).locator(".tour-type").nth(button)
            words = at.inner_text()
            for _ in range(20):
                if at.evaluate("node => node === document.activeElement"):
                    break
                page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            expect(page.locator("#composer")).to_be_focused()
            expect(page.locator("#composer")).to_have_value(words)
            typed.add(words)
            page.keyboard.press("Alt+t")
            page.keyboard.press("Alt+t")
            expect(page.locator("#tour-title")).to_be_focused()
    assert len(typed) >= 5
    assert all(words.startswith("/mlflow ") for words in typed)
    expect(page.locator(".tour-count")).to_contain_text("5 of 5 tried")
    page.keyboard.press("Escape")
    expect(tour).to_be_hidden()
    expect(page.locator("#composer")).to_be_focused()
    page.reload()
    page.wait_for_selector("html[data-ready=true]")
    expect(tour).to_be_hidden()
    page.keyboard.press("Alt+t")
    expect(tour).to_be_visible()


def test_who_is_led_to_the_page_is_not_stopped_by_the_tour(open_page, slack):
    person = slack.sandbox.get("/sandbox/workspace")["people"][0]["id"]
    page = open_page(slack.base_url, f"?person={person}", OPS)
    assert page.locator("#tour").is_hidden()
