"""The server itself: who may talk to it, what survives, how it starts and stops."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time

import pytest
from slack_sdk import WebClient

from mlflow_ops_sandbox.parts import ports
from mlflow_ops_sandbox.slack import Workspace, WorkspaceError
from mlflow_ops_sandbox.slack.client import Sandbox, SlackPerson
from mlflow_ops_sandbox.slack.testing import example, serving

OPS = "C0OPS"


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as running:
        yield running


def ask(slack, verb, path, body=None, **headers):
    place = slack.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(place)
    connection.request(verb, path, body, headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8100", "127.0.0.1.evil.example", "0.0.0.0"])
def test_a_host_that_is_not_the_loopback_is_refused(slack, host):
    assert ask(slack, "GET", "/healthz", Host=host).status == 403


@pytest.mark.parametrize("host", ["localhost:99", "127.0.0.1", "[::1]:8100"])
def test_the_loopback_by_any_name_is_served(slack, host):
    assert ask(slack, "GET", "/healthz", Host=host).status == 200


def test_another_sites_script_is_refused(slack):
    body = json.dumps({"user": "U0OLEG", "channel": OPS, "text": "/mlflow x"})
    headers = {"Content-Type": "application/json", "Origin": "http://evil.example"}
    assert ask(slack, "POST", "/sandbox/command", body, **headers).status == 403
    own = {**headers, "Origin": slack.base_url}
    assert ask(slack, "POST", "/sandbox/command", body, **own).status == 200
    plain = {"Content-Type": "text/plain"}
    assert ask(slack, "POST", "/sandbox/command", body, **plain).status == 415


def test_the_page_forbids_everything_from_elsewhere(slack):
    response = ask(slack, "GET", "/")
    assert response.status == 200
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/page/../server.py", "/page/%2e%2e/server.py", "/page/js/none.js"])
def test_only_the_pages_own_files_are_served(slack, path):
    assert ask(slack, "GET", path).status == 404


def test_everything_that_was_said_survives_a_restart(tmp_path):
    space = Workspace.from_json(example())
    with serving(space, tmp_path) as slack:
        client = WebClient(token="xoxb-sandbox", base_url=slack.api)
        ts = client.chat_postMessage(channel=OPS, text="parent")["ts"]
        client.chat_postMessage(channel=OPS, text="reply", thread_ts=ts)
        client.pins_add(channel=OPS, timestamp=ts)
        slack.person("oleg").react(OPS, ts, "eyes")
        client.files_upload_v2(channel=OPS, thread_ts=ts, filename="a.txt", content="bytes")
        client.views_publish(user_id="U0OLEG", view={"type": "home", "blocks": [{"type": "divider"}]})
        oleg = slack.person("oleg")
        before = oleg.wait_for(lambda: oleg.thread(OPS, ts)[2:] and oleg.thread(OPS, ts))
    with serving(space, tmp_path) as slack:
        oleg = slack.person("oleg")
        after = oleg.thread(OPS, ts)
        assert [m["ts"] for m in after] == [m["ts"] for m in before]
        assert (after[0]["reactions"], after[0]["pinned_to"]) == (before[0]["reactions"], [OPS])
        assert after[2]["files"][0]["preview"] == "bytes"
        assert oleg.home()["blocks"]
        assert ask(slack, "GET", f"/sandbox/files/{after[2]['files'][0]['id']}/a.txt").status == 200


def test_time_never_runs_backwards_across_a_restart(tmp_path):
    space = Workspace.from_json(example())
    with serving(space, tmp_path, clock=lambda: 1_700_000_100.0) as slack:
        before = slack.person("oleg").post(OPS, "a")["ts"]
    with serving(space, tmp_path, clock=lambda: 1_700_000_000.0) as slack:
        assert slack.person("oleg").post(OPS, "b")["ts"] > before


def test_it_runs_as_a_program_and_survives_being_killed(tmp_path):
    file = tmp_path / "workspace.json"
    file.write_text(json.dumps(example()))
    port = ports.free()
    arguments = ["--port", str(port), "--data", str(tmp_path / "data"), "--workspace", str(file)]
    base = f"http://127.0.0.1:{port}"

    def start():
        process = subprocess.Popen([sys.executable, "-m", "mlflow_ops_sandbox.slack", *arguments])
        Sandbox(base).ready()
        return process

    process = start()
    SlackPerson(base, "U0OLEG").post(OPS, "before the kill")
    process.kill()
    process.wait()
    process = start()
    assert SlackPerson(base, "U0VERA").find(OPS, "before the kill")
    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert time.monotonic() - started < 5


def test_a_workspace_file_that_cannot_be_used_is_told_in_one_line(tmp_path):
    file = tmp_path / "workspace.json"
    file.write_text('{"team": {"id": "T1", "name": "x"}}')
    run = subprocess.run(
        [sys.executable, "-m", "mlflow_ops_sandbox.slack", "--port", "1", "--data", tmp_path, "--workspace", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "'bot'" in run.stderr
    assert "Traceback" not in run.stderr
    with pytest.raises(WorkspaceError, match="mode"):
        Workspace.from_json(example(mode="carrier pigeon"))
