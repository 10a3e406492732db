"""Slack's refusals on demand: an error for calls of a kind, and each class of them as a switch of the panel."""

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack.panel.groups import Surroundings
from mlflow_ops_sandbox.slack.state.workspace import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving

OPS, ALERTS = "C0OPS", "C0ALERTS"
BLOCKS = [{"type": "divider"}]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    people = [
        *example()["people"],
        {"id": "U0GUEST", "name": "gus", "user": {"is_restricted": True}},
        {"id": "U0OTHER", "name": "otto", "user": {"team_id": "T0OTHER", "is_stranger": False}},
    ]
    space = Workspace.from_json(example(people=people))
    with serving(space, tmp_path_factory.mktemp("slack"), surroundings=Surroundings()) as slack:
        yield slack


@pytest.fixture
def slack(running):
    running.sandbox.clear_faults()
    yield running
    running.sandbox.clear_faults()


@pytest.fixture
def client(slack):
    return WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])


def why(call, **arguments):
    try:
        call(**arguments)
    except SlackApiError as error:
        return error.response["error"]
    return ""


@pytest.mark.parametrize(
    ("of", "refused", "taken"),
    [
        ("channel", {"channel": OPS}, {"channel": "U0OLEG"}),
        ("direct", {"channel": "U0OLEG"}, {"channel": OPS}),
        (OPS, {"channel": OPS}, {"channel": ALERTS}),
        ("blocks", {"channel": OPS, "blocks": BLOCKS}, {"channel": OPS}),
        ("metadata", {"channel": OPS, "metadata": {"event_type": "e", "event_payload": {}}}, {"channel": OPS}),
    ],
)
def test_only_calls_of_its_kind_are_refused(slack, client, of, refused, taken):
    slack.sandbox.refuse("is_archived", "chat.postMessage", of)
    assert why(client.chat_postMessage, text="x", **refused) == "is_archived"
    assert why(client.chat_postMessage, text="x", **taken) == ""


def test_replies_are_told_from_other_messages(slack, client):
    ts = client.chat_postMessage(channel=OPS, text="x")["ts"]
    slack.sandbox.refuse("restricted_action_thread_locked", "chat.postMessage", "reply")
    assert why(client.chat_postMessage, channel=OPS, text="x", thread_ts=ts) == "restricted_action_thread_locked"
    assert why(client.chat_postMessage, channel=OPS, text="x") == ""
    slack.sandbox.clear_faults()
    slack.sandbox.refuse("restricted_action_thread_only_channel", "chat.postMessage", "top")
    assert why(client.chat_postMessage, channel=OPS, text="x", thread_ts=ts) == ""
    assert why(client.chat_postMessage, channel=OPS, text="x") == "restricted_action_thread_only_channel"


def test_a_refusal_ends_when_it_was_counted_down_or_taken_away(slack, client):
    slack.sandbox.refuse("is_archived", "chat.*", count=1, skip=1)
    assert [why(client.chat_postMessage, channel=OPS, text="x") for _ in range(3)] == ["", "is_archived", ""]
    slack.sandbox.refuse("is_archived", "chat.*", name="for now")
    assert why(client.chat_postMessage, channel=OPS, text="x") == "is_archived"
    slack.sandbox.do("/sandbox/faults", kind="remove", name="for now")
    assert why(client.chat_postMessage, channel=OPS, text="x") == ""


@pytest.mark.parametrize("order", [{"error": ""}, {"error": "x", "of": "mornings"}])
def test_what_makes_no_sense_is_not_arranged(slack, order):
    with pytest.raises(RefusedError, match="invalid_arguments"):
        slack.sandbox.refuse(**order)


@pytest.mark.parametrize(
    ("thing", "call", "arguments", "error"),
    [
        ("read-only", "chat_postMessage", {"channel": OPS, "text": "x"}, "restricted_action_read_only_channel"),
        ("archived", "chat_postMessage", {"channel": OPS, "text": "x"}, "is_archived"),
        ("threads", "chat_postMessage", {"channel": OPS, "text": "x", "thread_ts": None}, ""),
        ("edits", "chat_update", {"channel": OPS, "ts": "1.2", "text": "x"}, "edit_window_closed"),
        ("blocks", "chat_postMessage", {"channel": OPS, "text": "x", "blocks": BLOCKS}, "invalid_blocks"),
        ("files", "files_getUploadURLExternal", {"filename": "a", "length": 1}, "file_uploads_disabled"),
        ("pins", "pins_add", {"channel": OPS, "timestamp": "1.2"}, "restricted_action"),
        ("moving", "chat_postMessage", {"channel": OPS, "text": "x"}, "team_added_to_org"),
        ("token", "auth_test", {}, "token_revoked"),
        ("strange", "chat_postMessage", {"channel": OPS, "text": "x"}, "not_in_the_mood"),
    ],
)
def test_each_class_is_a_switch_of_the_panel(slack, client, thing, call, arguments, error):
    def order(action):
        return slack.sandbox.do("/sandbox/panel", group="slack", thing=thing, action=action)

    assert order("break")["broken"] == 1
    assert why(getattr(client, call), **arguments) == error
    assert order("heal")["broken"] == 0
    assert why(client.auth_test) == ""


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ("U0OLEG", {"team_id": "T0SANDBOX", "is_restricted": False, "deleted": False}),
        ("U0GUEST", {"team_id": "T0SANDBOX", "is_restricted": True}),
        ("U0OTHER", {"team_id": "T0OTHER", "is_stranger": False}),
    ],
)
def test_who_somebody_is(client, user, told):
    answer = client.users_info(user=user)["user"]
    assert {name: answer[name] for name in told} == told


def test_who_is_not_there_is_not_found(client):
    assert why(client.users_info, user="U0NOBODY") == "user_not_found"
