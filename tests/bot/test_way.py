"""The way of one command over Slack's real wire: both modes, with a real worker and nothing mocked."""

import time

import pytest
import requests
from slack_sdk.signature import SignatureVerifier

from mlflow_ops_sandbox.slack.client import words


@pytest.fixture(params=["socket", pytest.param("http", marks=pytest.mark.slow)])
def slack(request, local_slack, environment, started, free_port):
    """A local Slack with our bot and one quick worker."""
    url = f"http://127.0.0.1:{free_port}/slack/events"
    changed = {"mode": "http", "request_url": url} if request.param == "http" else {}
    way = ["--http", "--host", "127.0.0.1", "--port", str(free_port)] if request.param == "http" else []
    with local_slack(**changed) as slack:
        env = environment(slack)
        with started("bot", *way, env=env), started("worker", "--queue", "quick", env=env):
            yield slack


def test_a_command_is_answered_in_its_thread(slack):
    vera = slack.person("vera")
    outcome = vera.command("C0OPS", "/mlflow health queues")
    assert outcome.ok
    root = vera.wait_for(lambda: vera.find("C0OPS", "MLflow health"), deadline=20)
    assert "Queues" in words(root)
    details = vera.wait_for(lambda: vera.thread("C0OPS", root["ts"])[1:], deadline=10)
    assert any("Look further" in words(reply) for reply in details)
    assert {ping["target"] for ping in slack.sandbox.pings()} <= {"U0VERA"}


@pytest.mark.slow
def test_a_member_of_a_user_group_has_the_groups_role(slack):
    anna = slack.person("anna")
    assert anna.command("C0OPS", "/mlflow health queues").ok
    anna.wait_for(lambda: anna.find("C0OPS", "MLflow health"), deadline=20)


@pytest.mark.slow
def test_refusals_are_seen_by_their_sender_only(slack):
    vera, oleg = slack.person("vera"), slack.person("oleg")
    for text, said in (("helth", "Did you mean"), ('health "', "A quote is opened"), ("x" * 10_000, "10,000")):
        assert vera.command("C0OPS", f"/mlflow {text}").ok
        vera.wait_for(lambda said=said: vera.find_ephemeral("C0OPS", said))
    assert vera.command("C0ALERTS", "/mlflow health").ok
    vera.wait_for(lambda: vera.find_ephemeral("C0ALERTS", "not allowed in this channel"))
    assert oleg.ephemerals("C0OPS") == []
    assert vera.messages("C0OPS") == []


@pytest.mark.slow
@pytest.mark.parametrize("slack", ["http"], indirect=True)
def test_http_refuses_what_slack_did_not_sign(slack):
    url = slack.workspace.request_url
    body = "command=%2Fmlflow&text=health&user_id=U0VERA&channel_id=C0OPS&trigger_id=1"
    now = str(int(time.time()))

    def signed(secret, timestamp):
        signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
        return {"X-Slack-Request-Timestamp": timestamp, "X-Slack-Signature": signature or ""}

    right = slack.workspace.tokens.signing_secret
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    cases = {
        "no signature": {},
        "another secret": signed("guessed", now),
        "ten minutes old": signed(right, str(int(time.time()) - 600)),
        "a timestamp that is no number": {"X-Slack-Request-Timestamp": "soon", "X-Slack-Signature": "v0=00"},
    }
    for case, headers in cases.items():
        assert requests.post(url, data=body, headers={**form, **headers}).status_code == 401, case
    assert requests.post(url, data=b"x" * (2 << 20), headers=form).status_code == 413
    assert requests.get(url.replace("/slack/events", "/healthz")).text == "ok\n"
    assert requests.post(url, data=body, headers={**form, **signed(right, now)}).status_code == 200
