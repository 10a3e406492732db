"""HTTP mode, with Bolt's own server and signature check at the other end."""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from slack_bolt import BoltRequest

from mlflow_ops_sandbox.slack import Timings, Workspace, WorkspaceError
from mlflow_ops_sandbox.slack.client import wait_for
from mlflow_ops_sandbox.slack.testing import bolt_app, example, serving

OPS = "C0OPS"
QUICK = Timings(acknowledge=0.8, event_retries=(0.05, 0.05, 0.05), redeliver=0.01)


class Endpoint:
    """An HTTP server that hands requests to a Bolt app and remembers their headers."""

    def __init__(self):
        self.app = None
        self.status = None
        self.seconds = 0
        self.extra = {}
        self.headers = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.headers.append(dict(self.headers))
                status, headers, answer = outer.answer(body, dict(self.headers))
                self.send_response(status)
                for name, values in headers.items():
                    for value in values if isinstance(values, list) else [values]:
                        self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(answer.encode())

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/slack/events"

    def answer(self, body, headers):
        time.sleep(self.seconds)
        if self.status:
            return self.status, self.extra, ""
        response = self.app.dispatch(BoltRequest(body=body, headers=headers))
        return response.status, response.headers, response.body

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield self
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint():
    with Endpoint().running() as running:
        yield running


@pytest.fixture
def slack(tmp_path, endpoint):
    space = Workspace.from_json(example(mode="http", request_url=endpoint.url))
    with serving(space, tmp_path, timings=QUICK) as running:
        endpoint.app = bolt_app(running)
        yield running


@pytest.fixture
def oleg(slack):
    return slack.person("oleg")


def test_a_signed_command_passes_bolts_check_and_is_answered(slack, endpoint, oleg):
    endpoint.app.command("/mlflow")(lambda ack, command: ack(f"got {command['text']}"))
    outcome = oleg.command(OPS, "/mlflow health & <more>")
    assert outcome.ok
    assert oleg.find_ephemeral(OPS, "got health &amp; &lt;more&gt;")
    assert endpoint.headers[0]["X-Slack-Signature"].startswith("v0=")


def test_an_answer_may_be_json(slack, endpoint, oleg):
    endpoint.app.command("/mlflow")(lambda ack: ack(text="all", response_type="in_channel"))
    oleg.command(OPS, "/mlflow x")
    assert oleg.find(OPS, "all")


def test_another_signing_secret_is_refused_by_bolt(tmp_path, endpoint):
    tokens = {"bot": "xoxb-sandbox", "app": "xapp-sandbox", "signing_secret": "other"}
    right = Workspace.from_json(example(mode="http", request_url=endpoint.url))
    wrong = Workspace.from_json(example(mode="http", request_url=endpoint.url, tokens=tokens))
    with serving(right, tmp_path / "a", timings=QUICK) as slack:
        endpoint.app = bolt_app(slack)
        endpoint.app.command("/mlflow")(lambda ack: ack())
        assert slack.person("oleg").command(OPS, "/mlflow x").ok
        with serving(wrong, tmp_path / "b", timings=QUICK) as stranger:
            assert stranger.person("oleg").command(OPS, "/mlflow x").error == "http_client_error"


def test_the_url_is_verified_by_a_challenge(slack):
    slack.sandbox.wait_until_connected()
    assert slack.sandbox.connection()["connected"]


@pytest.mark.parametrize(("status", "error"), [(500, "http_service_error"), (404, "http_client_error")])
def test_a_status_other_than_200_is_shown_as_a_failure(slack, endpoint, oleg, status, error):
    endpoint.status = status
    outcome = oleg.command(OPS, "/mlflow x")
    assert outcome.error == error
    assert outcome.message == f'/mlflow failed with the error "{error}"'


def test_a_slow_answer_is_a_timeout(slack, endpoint, oleg):
    @endpoint.app.command("/mlflow")
    def listen(ack):
        time.sleep(1.2)
        ack()

    assert oleg.command(OPS, "/mlflow x").error == "operation_timeout"


def test_an_app_that_is_not_there_is_not_dispatched_to(tmp_path):
    space = Workspace.from_json(example(mode="http", request_url="http://127.0.0.1:9/slack/events"))
    with serving(space, tmp_path, timings=QUICK) as slack:
        assert slack.person("oleg").command(OPS, "/mlflow x").error == "dispatch_failed"


def test_buttons_and_modals_work_over_http(slack, endpoint, oleg):
    pressed = []
    button = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}}
    endpoint.app.action("go")(lambda ack, body: (ack(), pressed.append(body["user"]["id"])))
    ts = endpoint.app.client.chat_postMessage(
        channel=OPS, text="x", blocks=[{"type": "actions", "elements": [button]}]
    )["ts"]
    assert oleg.press(OPS, ts, "go").ok
    assert pressed == ["U0OLEG"]


def test_events_are_sent_again_with_their_number_and_reason(slack, endpoint, oleg):
    endpoint.app.event("app_home_opened")(lambda: None)
    endpoint.status = 503
    oleg.open_home()
    wait_for(lambda: len(endpoint.headers) >= 2)
    endpoint.status = None
    again = endpoint.headers[1]
    assert (again["X-Slack-Retry-Num"], again["X-Slack-Retry-Reason"]) == ("1", "http_error")
    assert "X-Slack-Retry-Num" not in endpoint.headers[0]


def retries(endpoint):
    return [(headers.get("X-Slack-Retry-Num"), headers.get("X-Slack-Retry-Reason")) for headers in endpoint.headers]


def test_an_event_that_nobody_acknowledges_comes_four_times_in_all(slack, endpoint, oleg):
    endpoint.app.event("app_home_opened")(lambda: None)
    endpoint.status = 500
    oleg.open_home()
    wait_for(lambda: len(endpoint.headers) == 4)
    assert retries(endpoint) == [(None, None), ("1", "http_error"), ("2", "http_error"), ("3", "http_error")]


def test_the_second_retry_of_an_event_comes_after_a_minute_of_slacks_time(tmp_path, endpoint):
    space = Workspace.from_json(example(mode="http", request_url=endpoint.url))
    with serving(space, tmp_path, timings=Timings(event_retries=(0.05, 60, 300))) as slack:
        endpoint.app = bolt_app(slack)
        endpoint.status = 503
        slack.person("oleg").open_home()
        wait_for(lambda: len(endpoint.headers) == 2)
        for number in (3, 4):
            time.sleep(0.2)
            assert len(endpoint.headers) == number - 1
            slack.sandbox.advance(60 if number == 3 else 300)
            wait_for(lambda: len(endpoint.headers) == number)  # noqa: B023


def test_an_event_that_is_answered_too_late_is_sent_again_for_the_timeout(slack, endpoint, oleg):
    endpoint.app.event("app_home_opened")(lambda: None)
    endpoint.seconds = 1.2
    oleg.open_home()
    wait_for(lambda: len(endpoint.headers) >= 2)
    endpoint.seconds = 0
    assert retries(endpoint)[1] == ("1", "http_timeout")


def test_an_app_can_ask_for_no_retry(slack, endpoint, oleg):
    endpoint.status, endpoint.extra = 500, {"X-Slack-No-Retry": "1"}
    oleg.open_home()
    wait_for(lambda: endpoint.headers)
    time.sleep(0.4)
    assert retries(endpoint) == [(None, None)]


def test_a_command_that_fails_is_not_retried(slack, endpoint, oleg):
    endpoint.status = 500
    assert oleg.command(OPS, "/mlflow x").error == "http_service_error"
    time.sleep(0.4)
    assert retries(endpoint) == [(None, None)]


def test_a_command_that_comes_twice_is_a_replay_to_the_last_header(slack, endpoint, oleg):
    endpoint.app.command("/mlflow")(lambda ack: ack())
    slack.sandbox.fault("redeliver")
    oleg.command(OPS, "/mlflow x")
    wait_for(lambda: len(endpoint.headers) == 2)
    assert endpoint.headers[0] == endpoint.headers[1]
    assert slack.sandbox.fault("redeliver_last", count=1)["sockets"] == 1
    wait_for(lambda: len(endpoint.headers) == 3)


def test_an_event_that_comes_twice_says_so(slack, endpoint, oleg):
    endpoint.app.event("app_home_opened")(lambda: None)
    slack.sandbox.fault("redeliver")
    oleg.open_home()
    wait_for(lambda: len(endpoint.headers) == 2)
    assert retries(endpoint) == [(None, None), ("1", "http_timeout")]


def test_sockets_are_not_for_apps_in_http_mode(slack, endpoint):
    answer = endpoint.app.client.api_call  # the SDK raises; the name is what counts
    with pytest.raises(Exception, match="socket_mode_not_enabled"):
        answer("apps.connections.open", headers={"Authorization": "Bearer xapp-sandbox"})


def test_http_mode_without_an_address_is_refused_at_start():
    with pytest.raises(WorkspaceError, match="request_url"):
        Workspace.from_json(example(mode="http"))
