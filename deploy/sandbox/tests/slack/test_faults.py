"""Slack's bad days, on demand."""

from __future__ import annotations

import time
import urllib.error

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry import RateLimitErrorRetryHandler

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving

OPS = "C0OPS"


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as running:
        yield running


@pytest.fixture
def client(slack):
    """A client that tries once."""
    return WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])


def said(slack):
    return [message["text"] for message in slack.person("vera").messages(OPS)]


def test_a_429_names_the_seconds_to_wait_and_stores_nothing(slack, client):
    slack.sandbox.fault("ratelimited", "chat.*", retry_after=7)
    with pytest.raises(SlackApiError, match="ratelimited") as caught:
        client.chat_postMessage(channel=OPS, text="x")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "7"
    assert said(slack) == []
    assert client.auth_test()["ok"]
    assert client.chat_postMessage(channel=OPS, text="now")["ok"]


def test_the_sdk_waits_out_a_429(slack):
    handler = RateLimitErrorRetryHandler(max_retry_count=2)
    client = WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[handler])
    slack.sandbox.fault("429", retry_after=1)
    started = time.monotonic()
    client.chat_postMessage(channel=OPS, text="x")
    assert time.monotonic() - started >= 1
    assert said(slack) == ["x"]


def test_a_500_is_a_500(slack, client):
    slack.sandbox.fault("500", "chat.postMessage", status=503)
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=OPS, text="x")
    assert caught.value.response.status_code == 503


def test_a_reset_before_loses_the_message_and_one_after_keeps_it(slack, client):
    slack.sandbox.fault("reset_before")
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        client.chat_postMessage(channel=OPS, text="lost")
    slack.sandbox.fault("reset_after")
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        client.chat_postMessage(channel=OPS, text="kept")
    assert said(slack) == ["kept"]


def test_the_sdks_default_retry_after_a_reset_posts_twice(slack):
    client = WebClient(token="xoxb-sandbox", base_url=slack.api)
    slack.sandbox.fault("reset_after")
    client.chat_postMessage(channel=OPS, text="twice")
    assert said(slack) == ["twice", "twice"]


def test_latency_delays_the_answer(slack, client):
    slack.sandbox.fault("latency", seconds=0.3)
    started = time.monotonic()
    client.chat_postMessage(channel=OPS, text="x")
    assert time.monotonic() - started >= 0.3


def test_a_probability_with_a_seed_repeats_itself(slack, client):
    def run():
        slack.sandbox.clear_faults()
        slack.sandbox.fault("error", "auth.test", probability=0.5, seed=11)
        hits = []
        for _ in range(20):
            try:
                client.auth_test()
            except SlackApiError:
                hits.append(True)
            else:
                hits.append(False)
        return hits

    first = run()
    assert run() == first
    assert 0 < sum(first) < 20


def test_a_count_ends_the_fault(slack, client):
    slack.sandbox.fault("error", "auth.test", count=2)
    outcomes = []
    for _ in range(3):
        try:
            outcomes.append(bool(client.auth_test()["ok"]))
        except SlackApiError:
            outcomes.append(False)
    assert outcomes == [False, False, True]
    (rule,) = slack.sandbox.faults()["rules"]
    assert (rule["hits"], rule["remaining"]) == (2, 0)


def test_uploads_and_response_urls_have_faults_too(slack, client):
    slack.sandbox.fault("error", "files.upload")
    with pytest.raises(Exception, match="500"):
        client.files_upload_v2(channel=OPS, filename="a.txt", content="x")


def test_while_slack_is_away_every_call_is_cut_and_later_all_is_well(slack, client):
    slack.sandbox.away()
    with pytest.raises((ConnectionError, urllib.error.URLError)):
        client.auth_test()
    slack.sandbox.away(on=False)
    assert client.auth_test()["ok"]


def test_tiers_limit_the_calls_a_minute(tmp_path):
    now = [1_700_000_000.0]
    with serving(Workspace.from_json(example()), tmp_path, clock=lambda: now[0]) as slack:
        client = WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])
        slack.sandbox.fault("tiers")
        for _ in range(20):
            client.usergroups_users_list(usergroup="S0APPROVE")
        with pytest.raises(SlackApiError, match="ratelimited") as caught:
            client.usergroups_users_list(usergroup="S0APPROVE")
        assert 0 < int(caught.value.response.headers["Retry-After"]) <= 61
        assert client.conversations_history(channel=OPS)["ok"]
        now[0] += 61
        assert client.usergroups_users_list(usergroup="S0APPROVE")["ok"]


def test_a_fault_that_does_not_exist_is_refused(slack):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        slack.sandbox.fault("earthquake")


def test_calls_are_counted_whatever_becomes_of_them(slack, client):
    slack.sandbox.fault("error", "auth.test")
    with pytest.raises(SlackApiError):
        client.auth_test()
    client.auth_test()
    assert slack.sandbox.calls()["auth.test"] == 2


def test_pings_are_recorded(slack, client):
    client.chat_postMessage(channel=OPS, text="nothing @here &lt;!channel&gt;")
    assert slack.sandbox.pings() == []
    ts = client.chat_postMessage(channel=OPS, text="calm")["ts"]
    client.chat_update(channel=OPS, ts=ts, text="<!channel>")
    client.chat_postEphemeral(channel=OPS, user="U0OLEG", text="<@U0ANNA>")
    found = [(ping["via"], ping["kind"], ping["target"]) for ping in slack.sandbox.pings()]
    assert found == [("update", "channel", "channel"), ("ephemeral", "user", "U0ANNA")]
