"""Sockets that are cut, refreshed or switched off, and envelopes that come twice: with slack_sdk's own client."""

from __future__ import annotations

import contextlib
import time

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack import Timings, Workspace
from mlflow_ops_sandbox.slack.client import wait_for
from mlflow_ops_sandbox.slack.testing import example, serving

OPS = "C0OPS"
QUICK = Timings(acknowledge=1.5, event_retries=(0.05, 60, 300), redeliver=0.05, warning=0.3)


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path, timings=QUICK) as running:
        yield running


@pytest.fixture
def oleg(slack):
    return slack.person("oleg")


class Listener:
    """A Socket Mode client that notes each envelope, and acknowledges it if it is to."""

    def __init__(self, slack, acknowledges=True):
        self.envelopes = []
        self.acknowledges = acknowledges
        web = WebClient(token=slack.workspace.tokens.app, base_url=slack.api)
        self.client = SocketModeClient(app_token=slack.workspace.tokens.app, web_client=web, ping_interval=0.3)
        self.client.socket_mode_request_listeners.append(self.hear)

    def hear(self, client, request):
        self.envelopes.append(request)
        if self.acknowledges:
            client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

    @property
    def ids(self):
        return [envelope.envelope_id for envelope in self.envelopes]


@contextlib.contextmanager
def listening(slack, **options):
    listener = Listener(slack, **options)
    listener.client.connect()
    slack.sandbox.wait_until_connected()
    try:
        yield listener
    finally:
        session = listener.client.current_session
        if session is not None and session.sock is not None:
            with contextlib.suppress(OSError):
                session.sock.shutdown(2)
        # A socket that ends at this very moment makes slack_sdk trip over its own None.
        with contextlib.suppress(AttributeError):
            listener.client.close()


# Envelopes that come twice


def test_the_same_envelope_comes_twice_with_nothing_but_its_id_to_tell(slack, oleg):
    with listening(slack) as app:
        slack.sandbox.fault("redeliver")
        assert oleg.command(OPS, "/mlflow backup").ok
        wait_for(lambda: len(app.envelopes) == 2)
    first, second = app.envelopes
    assert first.envelope_id == second.envelope_id
    assert first.payload == second.payload
    assert second.retry_attempt is None


def test_the_last_envelopes_can_be_delivered_once_more_at_any_time(slack, oleg):
    with listening(slack) as app:
        for word in ("one", "two", "three"):
            assert oleg.command(OPS, f"/mlflow {word}").ok
        assert slack.sandbox.fault("redeliver_last", count=2)["sockets"] == 2
        wait_for(lambda: len(app.envelopes) == 5)
    assert app.ids[3:] == app.ids[1:3]


def test_an_event_that_was_not_acknowledged_comes_in_a_new_envelope_that_says_so(slack, oleg):
    with listening(slack) as app:
        slack.sandbox.fault("swallow")
        oleg.post(OPS, "<@U0BOT> hello")
        wait_for(lambda: len(app.envelopes) == 2)
    first, second = app.envelopes
    assert first.envelope_id != second.envelope_id
    assert first.payload["event_id"] == second.payload["event_id"]
    assert (first.retry_attempt, second.retry_attempt, second.retry_reason) == (0, 1, "timeout")


def test_a_command_that_was_not_acknowledged_is_not_sent_again(slack, oleg):
    with listening(slack, acknowledges=False) as app:
        assert oleg.command(OPS, "/mlflow backup").error == "operation_timeout"
        slack.sandbox.advance(400)
        time.sleep(0.3)
    assert len(app.envelopes) == 1


# Connections


def test_a_warning_lets_the_socket_work_on_until_it_is_refreshed(slack, oleg):
    with listening(slack) as app:
        before = slack.sandbox.calls()["apps.connections.open"]
        assert slack.sandbox.fault("disconnect", reason="warning")["sockets"] == 1
        wait_for(lambda: slack.sandbox.calls()["apps.connections.open"] > before)
        slack.sandbox.wait_until_connected()
        wait_for(lambda: oleg.command(OPS, "/mlflow x").ok)
        assert app.envelopes


def test_socket_mode_switched_off_keeps_the_app_out_until_it_is_switched_on(slack, oleg):
    client = WebClient(token=slack.workspace.tokens.app, base_url=slack.api)
    with listening(slack):
        assert slack.sandbox.fault("disconnect", reason="link_disabled")["sockets"] == 1
        wait_for(lambda: not slack.sandbox.connection()["connected"])
        assert oleg.command(OPS, "/mlflow x").error == "dispatch_failed"
        with pytest.raises(SlackApiError, match="socket_mode_not_enabled"):
            client.apps_connections_open(app_token=slack.workspace.tokens.app)
        slack.sandbox.fault("socket_mode")
        assert client.apps_connections_open(app_token=slack.workspace.tokens.app)["ok"]


def test_a_reason_that_slack_does_not_know_is_refused(slack):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        slack.sandbox.fault("disconnect", reason="lunch")


def test_a_socket_is_cut_while_an_envelope_is_under_way(slack, oleg):
    with listening(slack, acknowledges=False) as app:
        slack.sandbox.fault("cut_envelope")
        assert oleg.command(OPS, "/mlflow backup").error == "operation_timeout"
        assert len(app.envelopes) == 1
        app.acknowledges = True
        slack.sandbox.wait_until_connected()
        wait_for(lambda: oleg.command(OPS, "/mlflow backup").ok)


def test_no_socket_opens_while_slack_is_away_even_with_a_ticket_from_before(slack):
    client = WebClient(token=slack.workspace.tokens.app, base_url=slack.api)
    url = client.apps_connections_open(app_token=slack.workspace.tokens.app)["url"]
    listener = Listener(slack)
    listener.client.wss_uri = url
    slack.sandbox.away()
    listener.client.connect()
    assert not slack.sandbox.connection()["connected"]
    listener.client.close()


def test_an_event_during_a_reconnection_is_delivered_when_its_next_attempt_comes(slack, oleg):
    oleg.post(OPS, "<@U0BOT> is anybody there?")
    time.sleep(0.3)
    with listening(slack) as app:
        slack.sandbox.advance(60)
        wait_for(lambda: app.envelopes)
    (envelope,) = app.envelopes
    assert (envelope.retry_attempt, envelope.retry_reason) == (2, "timeout")


def test_envelopes_are_shared_by_the_open_sockets_and_survive_the_loss_of_one(slack, oleg):
    with listening(slack) as one:
        with listening(slack) as two:
            wait_for(lambda: slack.sandbox.connection()["connections"] == 2)
            for _ in range(4):
                assert oleg.command(OPS, "/mlflow x").ok
            assert (len(one.envelopes), len(two.envelopes)) == (2, 2)
        wait_for(lambda: slack.sandbox.connection()["connections"] == 1)
        for _ in range(2):
            assert oleg.command(OPS, "/mlflow x").ok
        assert len(one.envelopes) == 4
