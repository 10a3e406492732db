"""Slack's limits of calls, its absences, and what nobody can know after a reset: by Slack's time, not the wall's."""

from __future__ import annotations

import http.client
import urllib.error

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.limits import Limits
from mlflow_ops_sandbox.slack.testing import example, serving

OPS = "C0OPS"
GROUP = "S0APPROVE"
CUT = (ConnectionError, urllib.error.URLError, http.client.HTTPException)


@pytest.fixture
def slack(tmp_path):
    """A local Slack whose time stands still unless it is moved on."""
    with serving(Workspace.from_json(example()), tmp_path, clock=lambda: 1_700_000_000.0) as running:
        yield running


@pytest.fixture
def client(slack):
    """A client that tries once."""
    return WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])


def said(slack):
    return [message["text"] for message in slack.person("vera").messages(OPS)]


def retry_after(call, **arguments):
    with pytest.raises(SlackApiError, match="ratelimited") as caught:
        call(**arguments)
    assert caught.value.response.status_code == 429
    return int(caught.value.response.headers["Retry-After"])


# Calls a minute


@pytest.mark.parametrize(
    ("method", "arguments", "allowed"),
    [
        ("pins.add", {"channel": OPS, "timestamp": "1.1"}, 20),
        ("usergroups.users.list", {"usergroup": GROUP}, 20),
        ("conversations.replies", {"channel": OPS, "ts": "1.1"}, 50),
        ("chat.update", {"channel": OPS, "ts": "1.1", "text": "x"}, 50),
        ("views.publish", {"user_id": "U0OLEG", "view": {"type": "home", "blocks": []}}, 100),
    ],
)
def test_each_method_has_its_tier(slack, client, method, arguments, allowed):
    def call():
        try:
            client.api_call(method, json=arguments)
        except SlackApiError as error:
            if error.response["error"] == "ratelimited":
                raise

    slack.sandbox.fault("tiers")
    for _ in range(allowed):
        call()
    assert 1 <= retry_after(call) <= 60
    assert client.auth_test()["ok"]
    slack.sandbox.advance(60)
    call()


def test_who_waits_as_long_as_told_gets_through(slack, client):
    slack.sandbox.fault("tiers")
    for _ in range(20):
        client.usergroups_users_list(usergroup=GROUP)
    slack.sandbox.advance(retry_after(client.usergroups_users_list, usergroup=GROUP) - 1)
    slack.sandbox.advance(retry_after(client.usergroups_users_list, usergroup=GROUP))
    assert client.usergroups_users_list(usergroup=GROUP)["ok"]


def test_posts_may_come_in_a_small_burst_and_then_one_a_second_by_channel(slack, client):
    slack.sandbox.fault("tiers")
    for _ in range(10):
        client.chat_postMessage(channel=OPS, text="x")
    for _ in range(3):
        assert retry_after(client.chat_postMessage, channel=OPS, text="x") == 1
        slack.sandbox.advance(1)
        client.chat_postMessage(channel=OPS, text="x")
    assert client.chat_postMessage(channel="C0ALERTS", text="x")["ok"]
    assert len(said(slack)) == 13


def test_the_workspace_as_a_whole_takes_some_hundreds_of_posts_a_minute():
    now = [0.0]
    limits = Limits(lambda: now[0])
    limits.on = True
    assert {limits.wait("chat.postMessage", "post", f"C{number}") for number in range(300)} == {None}
    assert limits.wait("chat.postMessage", "post", "C300") == 60
    now[0] += 60
    assert limits.wait("chat.postMessage", "post", "C300") is None


def test_without_the_tiers_nothing_is_counted(slack, client):
    for _ in range(30):
        client.usergroups_users_list(usergroup=GROUP)


# Away


def test_slack_is_away_for_ten_minutes_of_its_own_time(slack, client):
    slack.sandbox.away(seconds=600)
    with pytest.raises(CUT):
        client.chat_postMessage(channel=OPS, text="x")
    slack.sandbox.advance(599)
    assert slack.sandbox.faults()["away_seconds"] == 1
    with pytest.raises(CUT):
        client.chat_postMessage(channel=OPS, text="x")
    slack.sandbox.advance(1)
    client.chat_postMessage(channel=OPS, text="back")
    assert said(slack) == ["back"]


def test_an_absence_may_be_an_error_page(slack, client):
    slack.sandbox.away(how="503")
    with pytest.raises((SlackClientError, ValueError)):
        client.chat_postMessage(channel=OPS, text="x")
    slack.sandbox.away(on=False)
    assert said(slack) == []


def test_an_absence_may_be_silence(slack):
    impatient = WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[], timeout=1)
    slack.sandbox.away(how="hang")
    with pytest.raises((TimeoutError, urllib.error.URLError)):
        impatient.chat_postMessage(channel=OPS, text="x")
    slack.sandbox.clear_faults()
    assert impatient.auth_test()["ok"]


def test_an_absence_of_another_kind_is_refused(slack):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        slack.sandbox.away(how="holiday")


# What took effect, and what did not


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        ("ratelimited", False),
        ("error", False),
        ("reset_before", False),
        ("reset_after", True),
        ("error_after", True),
        ("latency_after", True),
        ("hang", False),
    ],
)
def test_metadata_tells_whether_a_message_got_there(slack, client, kind, stored):
    impatient = WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[], timeout=1)
    slack.sandbox.fault(kind, "chat.postMessage", seconds=1.5)
    with pytest.raises((*CUT, TimeoutError, SlackApiError)):
        impatient.chat_postMessage(
            channel=OPS, text="x", metadata={"event_type": "step", "event_payload": {"id": "op-1", "number": 7}}
        )
    found = client.conversations_history(channel=OPS, include_all_metadata=True)["messages"]
    numbers = [message["metadata"]["event_payload"]["number"] for message in found]
    assert numbers == ([7] if stored else [])


def test_an_error_may_be_a_page_instead_of_json(slack, client):
    slack.sandbox.fault("error", "auth.test", status=502, html=True)
    with pytest.raises((SlackClientError, ValueError)):
        client.auth_test()


def test_a_refusal_by_name_looks_like_slacks_own(slack, client):
    slack.sandbox.fault("error", "chat.*", status=200, error="is_archived")
    with pytest.raises(SlackApiError, match="is_archived") as caught:
        client.chat_postMessage(channel=OPS, text="x")
    assert caught.value.response.status_code == 200


def outcomes(client, count):
    found = []
    for _ in range(count):
        try:
            client.auth_test()
            found.append("ok")
        except SlackApiError as error:
            found.append(error.response["error"])
    return found


def test_the_first_calls_can_be_let_through(slack, client):
    slack.sandbox.fault("error", "auth.test", skip=2, count=1)
    assert outcomes(client, 4) == ["ok", "ok", "internal_error", "ok"]


def test_a_probability_can_have_an_end(slack, client):
    slack.sandbox.fault("error", "auth.test", probability=0.5, seed=3, count=4)
    found = outcomes(client, 40)
    assert found.count("internal_error") == 4
    assert found[-10:] == ["ok"] * 10


def test_the_first_rule_that_applies_wins_and_can_be_taken_away_by_name(slack, client):
    slack.sandbox.fault("error", "auth.*", probability=1, error="first", name="one")
    slack.sandbox.fault("error", "*", probability=1, error="second", name="two")
    assert outcomes(client, 1) == ["first"]
    slack.sandbox.do("/sandbox/faults", kind="remove", name="one")
    assert outcomes(client, 1) == ["second"]
    slack.sandbox.do("/sandbox/faults", kind="remove", name="two")
    assert outcomes(client, 1) == ["ok"]


@pytest.mark.parametrize("order", [{"kind": "error", "count": "many"}, {"kind": "away", "seconds": "long"}])
def test_an_order_that_makes_no_sense_is_refused(slack, order):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        slack.sandbox.do("/sandbox/faults", **order)
