"""The Web API, called with slack_sdk as an app would call it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from mlflow_ops_sandbox.errors import RefusedError
from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving

OPS, GENERAL = "C0OPS", "C0GENERAL"


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as running:
        yield running


@pytest.fixture
def client(slack):
    return WebClient(token="xoxb-sandbox", base_url=slack.api)


def refused(call, *args, **kwargs):
    with pytest.raises(SlackApiError) as caught:
        call(*args, **kwargs)
    return caught.value.response


def error(call, *args, **kwargs):
    return refused(call, *args, **kwargs)["error"]


# Who may call


def test_auth_test_names_the_bot_and_its_scopes(client):
    answer = client.auth_test()
    assert answer["user_id"] == "U0BOT"
    assert answer["bot_id"] == "B0BOT"
    assert answer["team_id"] == "T0SANDBOX"
    assert "chat:write" in answer.headers["x-oauth-scopes"]


def test_a_call_without_token_or_with_the_wrong_one_is_refused_by_slacks_names(slack):
    base = slack.api
    assert error(WebClient(base_url=base).auth_test) == "not_authed"
    assert error(WebClient(token="xoxb-other", base_url=base).auth_test) == "invalid_auth"
    assert error(WebClient(token="xapp-sandbox", base_url=base).auth_test) == "not_allowed_token_type"
    bot = WebClient(token="xoxb-sandbox", base_url=base)
    assert error(bot.apps_connections_open, app_token="xoxb-sandbox") == "not_allowed_token_type"


def test_an_unknown_method_is_told_as_such(client):
    assert error(client.api_call, "chat.shout") == "unknown_method"


def test_a_missing_scope_is_told_with_what_was_needed(tmp_path):
    space = Workspace.from_json(example(scopes=["chat:write"]))
    with serving(space, tmp_path) as slack:
        client = WebClient(token="xoxb-sandbox", base_url=slack.api)
        assert client.chat_postMessage(channel=OPS, text="may").data["ok"]
        response = refused(client.usergroups_users_list, usergroup="S0APPROVE")
        assert (response["error"], response["needed"]) == ("missing_scope", "usergroups:read")


@pytest.mark.parametrize("header", ["application/json", "application/x-www-form-urlencoded"])
def test_arguments_are_read_from_json_and_from_forms(slack, header):
    body = json.dumps({"channel": OPS, "text": "hi"}) if "json" in header else f"channel={OPS}&text=hi"
    request = urllib.request.Request(
        f"{slack.api}chat.postMessage",
        body.encode(),
        {"Content-Type": header, "Authorization": "Bearer xoxb-sandbox"},
    )
    with urllib.request.urlopen(request) as response:
        assert json.load(response)["message"]["text"] == "hi"


# Messages


def test_a_posted_message_has_slacks_shape(client):
    answer = client.chat_postMessage(channel="#mlflow-ops", text="hello")
    message = answer["message"]
    seconds, micros = answer["ts"].split(".")
    assert (len(seconds), len(micros)) == (10, 6)
    assert answer["channel"] == OPS
    assert message["type"] == "message"
    assert (message["user"], message["bot_id"]) == ("U0BOT", "B0BOT")
    assert message["bot_profile"]["name"] == "mlflow-ops"


def test_timestamps_are_unique_even_within_one_microsecond(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path, clock=lambda: 1_700_000_000.5) as slack:
        client = WebClient(token="xoxb-sandbox", base_url=slack.api)
        stamps = [client.chat_postMessage(channel=OPS, text="x")["ts"] for _ in range(20)]
    assert len(set(stamps)) == 20
    assert stamps == sorted(stamps)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"channel": "C0NONE", "text": "x"}, "channel_not_found"),
        ({"channel": GENERAL, "text": "x"}, "not_in_channel"),
        ({"channel": OPS, "text": ""}, "no_text"),
        ({"channel": OPS, "markdown_text": "x" * 12_001}, "msg_too_long"),
        ({"channel": OPS, "text": "x", "thread_ts": "soon"}, "invalid_thread_ts"),
        ({"channel": OPS, "text": "x", "thread_ts": "1700000000.000001"}, "thread_not_found"),
        ({"channel": OPS, "blocks": [{"type": "marquee"}], "text": "x"}, "invalid_blocks"),
        ({"channel": OPS, "blocks": "[{", "text": "x"}, "invalid_blocks_format"),
        ({"channel": OPS, "text": "x", "metadata": {"no": "type"}}, "invalid_metadata_format"),
        ({"channel": OPS, "text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"channel": OPS, "text": "x", "markdown_text": "y"}, "markdown_text_conflict"),
    ],
)
def test_a_message_that_slack_would_not_take_is_refused(client, arguments, name):
    assert error(client.api_call, "chat.postMessage", json=arguments) == name


def test_invalid_blocks_says_where(client):
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}
    response = refused(client.chat_postMessage, channel=OPS, text="x", blocks=[block])
    assert response["errors"] == [
        "failed to match all allowed schemas [json-pointer:/blocks/0/text]",
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ]
    assert response["response_metadata"]["messages"] == [f"[ERROR] {sentence}" for sentence in response["errors"]]


def test_blocks_get_the_ids_that_the_app_left_out(client):
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}}
    answer = client.chat_postMessage(channel=OPS, text="x", blocks=[{"type": "actions", "elements": [button]}])
    (block,) = answer["message"]["blocks"]
    assert block["block_id"]
    assert block["elements"][0]["action_id"]


def test_an_update_keeps_the_ts_and_text_alone_takes_the_blocks_away(client):
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "block"}}
    ts = client.chat_postMessage(channel=OPS, text="one", blocks=[block])["ts"]
    answer = client.chat_update(channel=OPS, ts=ts, text="two")
    assert answer["ts"] == ts
    (message,) = client.conversations_history(channel=OPS)["messages"]
    assert message["text"] == "two"
    assert "blocks" not in message
    assert message["edited"]["user"] == "U0BOT"
    client.chat_update(channel=OPS, ts=ts, text="three", blocks=[])
    assert not client.conversations_history(channel=OPS)["messages"][0]["blocks"]


def test_the_message_of_somebody_else_can_be_neither_changed_nor_deleted(slack, client):
    theirs = slack.person("oleg").post(OPS, "mine")["ts"]
    assert error(client.chat_update, channel=OPS, ts=theirs, text="no") == "cant_update_message"
    assert error(client.chat_delete, channel=OPS, ts=theirs) == "cant_delete_message"
    assert error(client.chat_update, channel=OPS, ts="1700000000.000001", text="no") == "message_not_found"
    assert error(client.chat_delete, channel=OPS, ts="1700000000.000001") == "message_not_found"


def test_a_deleted_message_leaves_a_tombstone_where_it_had_replies(slack, client):
    alone = client.chat_postMessage(channel=OPS, text="alone")["ts"]
    parent = client.chat_postMessage(channel=OPS, text="parent")["ts"]
    client.chat_postMessage(channel=OPS, text="reply", thread_ts=parent)
    client.chat_delete(channel=OPS, ts=alone)
    client.chat_delete(channel=OPS, ts=parent)
    (left,) = slack.person("vera").messages(OPS)
    assert (left["ts"], left["subtype"]) == (parent, "tombstone")
    assert error(client.chat_update, channel=OPS, ts=parent, text="back") == "cant_update_message"


def test_replies_count_at_the_parent_and_stay_out_of_the_channel(client):
    parent = client.chat_postMessage(channel=OPS, text="parent")["ts"]
    first = client.chat_postMessage(channel=OPS, text="1", thread_ts=parent)["ts"]
    # A reply to a reply lands in the same thread.
    last = client.chat_postMessage(channel=OPS, text="2", thread_ts=first)
    assert last["message"]["thread_ts"] == parent
    (shown,) = client.conversations_history(channel=OPS)["messages"]
    assert (shown["reply_count"], shown["latest_reply"]) == (2, last["ts"])
    assert (shown["reply_users"], shown["reply_users_count"]) == (["U0BOT"], 1)
    thread = client.conversations_replies(channel=OPS, ts=parent)["messages"]
    assert [message["text"] for message in thread] == ["parent", "1", "2"]
    assert thread[1]["parent_user_id"] == "U0BOT"


def test_a_broadcast_reply_shows_in_the_channel_too(client):
    parent = client.chat_postMessage(channel=OPS, text="parent")["ts"]
    client.chat_postMessage(channel=OPS, text="all", thread_ts=parent, reply_broadcast=True)
    shown = client.conversations_history(channel=OPS)["messages"]
    assert [message.get("subtype") for message in shown] == ["thread_broadcast", None]


def test_metadata_is_returned_only_to_those_who_ask(client):
    given = {"event_type": "job_posted", "event_payload": {"job": "7"}}
    ts = client.chat_postMessage(channel=OPS, text="x", metadata=given)["ts"]
    reply = client.chat_postMessage(channel=OPS, text="y", thread_ts=ts, metadata=given)["ts"]
    assert "metadata" not in client.conversations_history(channel=OPS)["messages"][0]
    whole = client.conversations_history(channel=OPS, include_all_metadata=True)["messages"][0]
    assert whole["metadata"] == given
    thread = client.conversations_replies(channel=OPS, ts=ts, include_all_metadata=True)["messages"]
    assert {message["ts"]: message["metadata"] for message in thread} == {ts: given, reply: given}


def test_history_is_newest_first_and_pages_to_the_end(client):
    stamps = [client.chat_postMessage(channel=OPS, text=str(n))["ts"] for n in range(7)]
    pages, cursor = [], None
    while cursor != "":
        answer = client.conversations_history(channel=OPS, limit=3, cursor=cursor)
        pages.append([message["text"] for message in answer["messages"]])
        cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
    assert pages == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    between = client.conversations_history(channel=OPS, oldest=stamps[1], latest=stamps[4])["messages"]
    assert [message["text"] for message in between] == ["3", "2"]
    inclusive = client.conversations_history(channel=OPS, oldest=stamps[1], latest=stamps[4], inclusive=True)
    assert len(inclusive["messages"]) == 4


def test_a_thread_pages_to_the_end(client):
    parent = client.chat_postMessage(channel=OPS, text="p")["ts"]
    for n in range(5):
        client.chat_postMessage(channel=OPS, text=str(n), thread_ts=parent)
    said, cursor = [], None
    while cursor != "":
        answer = client.conversations_replies(channel=OPS, ts=parent, limit=2, cursor=cursor)
        said += [message["text"] for message in answer["messages"]]
        cursor = (answer.get("response_metadata") or {}).get("next_cursor", "")
    assert said == ["p", "0", "1", "2", "3", "4"]
    assert error(client.conversations_replies, channel=OPS, ts="1700000000.000001") == "thread_not_found"


def test_an_ephemeral_message_is_seen_by_one_person(slack, client):
    client.chat_postEphemeral(channel=OPS, user="U0OLEG", text="psst")
    assert slack.person("oleg").find_ephemeral(OPS, "psst")
    assert not slack.person("vera").ephemerals(OPS)
    assert not slack.person("oleg").messages(OPS)
    assert error(client.chat_postEphemeral, channel=OPS, user="U0NOBODY", text="x") == "user_not_in_channel"


def test_the_permalink_opens_the_message(slack, client):
    ts = client.chat_postMessage(channel=OPS, text="x")["ts"]
    reply = client.chat_postMessage(channel=OPS, text="y", thread_ts=ts)["ts"]
    assert client.chat_getPermalink(channel=OPS, message_ts=ts)["permalink"] == f"{slack.base_url}/#{OPS}/{ts}"
    deep = client.chat_getPermalink(channel=OPS, message_ts=reply)["permalink"]
    assert deep.endswith(f"#{OPS}/{ts}/{reply}")


def test_a_message_to_a_person_goes_to_the_direct_messages(slack, client):
    answer = client.chat_postMessage(channel="U0ANNA", text="direct")
    assert answer["channel"] == client.conversations_open(users="U0ANNA")["channel"]["id"] == "D0ANNA"
    assert slack.person("anna").find("D0ANNA", "direct")


# Groups


def test_a_group_has_its_members(slack, client):
    (group,) = slack.workspace.usergroups
    assert client.usergroups_users_list(usergroup=group.id)["users"] == list(group.users)
    assert error(client.usergroups_users_list, usergroup="S0NONE") == "no_such_subteam"


# Pins


def test_pins_are_added_once_and_removed_once(client):
    ts = client.chat_postMessage(channel=OPS, text="keep")["ts"]
    client.pins_add(channel=OPS, timestamp=ts)
    assert error(client.pins_add, channel=OPS, timestamp=ts) == "already_pinned"
    (message,) = client.conversations_history(channel=OPS)["messages"]
    assert (message["text"], message["pinned_to"]) == ("keep", [OPS])
    client.pins_remove(channel=OPS, timestamp=ts)
    assert error(client.pins_remove, channel=OPS, timestamp=ts) == "no_pin"


def test_marks_survive_an_update(slack, client):
    ts = client.chat_postMessage(channel=OPS, text="x")["ts"]
    slack.person("oleg").react(OPS, ts, "eyes")
    client.pins_add(channel=OPS, timestamp=ts)
    client.chat_update(channel=OPS, ts=ts, text="y")
    (message,) = client.conversations_history(channel=OPS)["messages"]
    assert message["pinned_to"] == [OPS]
    assert message["reactions"] == [{"name": "eyes", "users": ["U0OLEG"], "count": 1}]


# Files


def test_files_upload_v2_shares_a_file_in_a_thread(slack, client):
    ts = client.chat_postMessage(channel=OPS, text="parent")["ts"]
    answer = client.files_upload_v2(
        channel=OPS, thread_ts=ts, filename="a.csv", content="a,b\n1,2\n", title="A", initial_comment="see"
    )
    assert slack.person("vera").thread(OPS, ts)[1:] == [], "it is shared when Slack comes to it"
    vera = slack.person("vera")
    (message,) = vera.wait_for(lambda: vera.thread(OPS, ts)[1:])
    (file,) = message["files"]
    assert message["text"] == "see"
    assert file["id"] == answer["file"]["id"]
    assert (file["mimetype"], file["preview"], file["size"]) == ("text/csv", "a,b\n1,2\n", 8)
    assert "shares" not in answer["file"]


def test_a_file_is_downloaded_with_the_token_only(client):
    file = client.files_upload_v2(channel=OPS, filename="a.bin", content=b"\x00\x01\x02")["file"]
    request = urllib.request.Request(file["url_private"], headers={"Authorization": "Bearer xoxb-sandbox"})
    with urllib.request.urlopen(request) as response:
        assert response.read() == b"\x00\x01\x02"
        assert "attachment" in response.headers["Content-Disposition"]
    with urllib.request.urlopen(file["url_private"]) as response:
        assert b"<!doctype html>" in response.read()


def test_an_upload_that_is_not_as_announced_is_refused(client):
    announced = client.files_getUploadURLExternal(filename="a.txt", length=3)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(announced["upload_url"], b"too long")
    assert caught.value.code == 413
    given = [{"id": announced["file_id"]}]
    assert error(client.files_completeUploadExternal, files=given, channel_id=OPS) == "file_not_found"


# Views


def test_a_published_home_tab_keeps_its_id_and_notices_a_stale_hash(slack, client):
    view = {"type": "home", "blocks": [{"type": "divider"}]}
    first = client.views_publish(user_id="U0OLEG", view=view)["view"]
    second = client.views_publish(user_id="U0OLEG", view=view, hash=first["hash"])["view"]
    assert first["id"] == second["id"]
    assert error(client.views_publish, user_id="U0OLEG", view=view, hash=first["hash"]) == "hash_conflict"
    assert slack.person("oleg").home()["id"] == first["id"]
    assert slack.person("vera").home() is None


def test_a_view_needs_a_trigger_that_somebody_caused(client):
    view = {"type": "modal", "title": {"type": "plain_text", "text": "T"}, "blocks": []}
    assert error(client.views_open, trigger_id="1.2.abc", view=view) == "invalid_trigger_id"
    assert error(client.views_update, view_id="V0NONE", view=view) == "not_found"


def test_what_the_sandbox_itself_is_asked_wrongly_raises_a_named_error(slack):
    with pytest.raises(RefusedError) as caught:
        slack.person("oleg").messages("C0NONE")
    assert caught.value.error == "channel_not_found"
