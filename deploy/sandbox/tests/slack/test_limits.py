"""What Slack takes of messages, marks, files and modals, and by which name it refuses the rest."""

from __future__ import annotations

import pytest
import requests
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.client import wait_for
from mlflow_ops_sandbox.slack.testing import bolt_app, connected, example, serving

OPS, ALERTS = "C0OPS", "C0ALERTS"


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as running:
        yield running


@pytest.fixture
def client(slack):
    return WebClient(token="xoxb-sandbox", base_url=slack.api, retry_handlers=[])


def refused(call, *arguments, **named):
    with pytest.raises(SlackApiError) as caught:
        call(*arguments, **named)
    return caught.value.response["error"]


def plain(text):
    return {"type": "plain_text", "text": text}


def section(text="x", **more):
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


# Text


def test_a_posted_text_is_cut_at_40_000_characters(client):
    ts = client.chat_postMessage(channel=OPS, text="é" * 40_001)["ts"]
    (message,) = client.conversations_history(channel=OPS, latest=ts, inclusive=True)["messages"]
    assert message["text"] == "é" * 40_000


def test_a_changed_text_is_refused_beyond_4_000_bytes(client):
    ts = client.chat_postMessage(channel=OPS, text="x")["ts"]
    assert client.chat_update(channel=OPS, ts=ts, text="é" * 2000)["ok"]
    assert refused(client.chat_update, channel=OPS, ts=ts, text="é" * 2001) == "msg_too_long"
    assert refused(client.chat_update, channel=OPS, ts=ts, text="x" * 4001, blocks=[section()]) == "msg_too_long"


def test_all_blocks_together_have_a_limit_that_is_told_without_a_figure(client):
    assert client.chat_postMessage(channel=OPS, text="x", blocks=[section("x" * 2500)] * 5)["ok"]
    assert refused(client.chat_postMessage, channel=OPS, text="x", blocks=[section("x" * 2700)] * 5) == (
        "msg_blocks_too_long"
    )
    ts = client.chat_postMessage(channel=OPS, text="x")["ts"]
    assert refused(client.chat_update, channel=OPS, ts=ts, text="x", blocks=[section("x" * 280)] * 50) == (
        "msg_blocks_too_long"
    )


def test_a_message_holds_one_table(client):
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}
    assert client.chat_postMessage(channel=OPS, text="x", blocks=[section(), table])["ok"]
    for more in ({"blocks": [table, table]}, {"blocks": [table], "attachments": [{"blocks": [table]}]}):
        with pytest.raises(SlackApiError, match="only_one_table_allowed") as caught:
            client.chat_postMessage(channel=OPS, text="x", **more)
        assert caught.value.response["error"] == "invalid_attachments"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "table", "rows": [[{"type": "raw_text", "text": ""}]]},
        {"type": "data_table", "rows": [[{"type": "raw_text", "text": "a"}]] * 1},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]}]},
        section(colour="red"),
        {"type": "actions", "elements": [{"type": "button", "text": plain("Go"), "tooltip": "x"}]},
    ],
    ids=["empty cell", "table of one row", "empty rich text", "unknown field", "unknown field of a button"],
)
def test_what_block_kit_does_not_know_is_refused(client, block):
    assert refused(client.chat_postMessage, channel=OPS, text="x", blocks=[block]) == "invalid_blocks"


def test_every_mistake_is_told_at_once_with_its_place(client):
    wrong = [section("x" * 3001), {"type": "header", "text": plain("x" * 151)}, {"type": "marquee"}]
    with pytest.raises(SlackApiError) as caught:
        client.chat_postMessage(channel=OPS, text="x", blocks=wrong)
    places = [sentence.split("[json-pointer:")[1] for sentence in caught.value.response["errors"]]
    assert places == [
        "/blocks/0/text]",
        "/blocks/0/text/text]",
        "/blocks/1/text]",
        "/blocks/1/text/text]",
        "/blocks/2/type]",
    ]


# Metadata


def test_metadata_stays_through_an_update_and_an_empty_object_takes_it_away(client):
    first = {"event_type": "step", "event_payload": {"n": 1}}
    ts = client.chat_postMessage(channel=OPS, text="x", metadata=first)["ts"]

    def there():
        page = client.conversations_replies(channel=OPS, ts=ts, include_all_metadata=True)
        return page["messages"][0].get("metadata")

    client.chat_update(channel=OPS, ts=ts, text="y")
    assert there() == first
    client.api_call("chat.update", json={"channel": OPS, "ts": ts, "text": "z", "metadata": {}})
    assert there() is None


def test_metadata_has_a_limit(client):
    large = {"event_type": "step", "event_payload": {"text": "x" * 16_000}}
    assert refused(client.chat_postMessage, channel=OPS, text="x", metadata=large) == "metadata_too_large"


# Pins


def test_a_channel_holds_100_pins(slack, client):
    stamps = [client.chat_postMessage(channel=OPS, text=str(number))["ts"] for number in range(101)]
    for ts in stamps[:100]:
        client.pins_add(channel=OPS, timestamp=ts)
    assert refused(client.pins_add, channel=OPS, timestamp=stamps[100]) == "too_many_pins"
    assert refused(client.pins_add, channel=OPS, timestamp=stamps[0]) == "already_pinned"
    said = client.conversations_history(channel=OPS, limit=999)["messages"]
    assert len([message for message in said if message.get("pinned_to")]) == 100
    client.pins_remove(channel=OPS, timestamp=stamps[0])
    assert refused(client.pins_remove, channel=OPS, timestamp=stamps[0]) == "no_pin"
    assert client.pins_add(channel=OPS, timestamp=stamps[100])["ok"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ({"channel": OPS, "timestamp": "soon"}, "bad_timestamp"),
        ({"channel": OPS, "timestamp": "1700000000.000001"}, "message_not_found"),
        ({"channel": OPS}, "no_item_specified"),
        ({"channel": "C0NONE", "timestamp": "1700000000.000001"}, "channel_not_found"),
    ],
)
def test_a_pin_needs_a_message(client, place, error):
    assert refused(client.api_call, "pins.add", json=place) == error


# Files


def said_in(client, ts):
    return client.conversations_replies(channel=OPS, ts=ts)["messages"]


def upload(client, name, content):
    ticket = client.files_getUploadURLExternal(filename=name, length=len(content))
    assert requests.post(ticket["upload_url"], data=content, timeout=5).status_code == 200
    return ticket["file_id"]


def test_several_files_share_one_message_in_a_thread(client):
    ts = client.chat_postMessage(channel=OPS, text="parent")["ts"]
    client.files_upload_v2(
        channel=OPS,
        thread_ts=ts,
        initial_comment="both",
        file_uploads=[{"filename": "a.txt", "content": "one"}, {"filename": "b.log", "content": "two"}],
    )
    parent, reply = wait_for(lambda: said_in(client, ts) if len(said_in(client, ts)) > 1 else None)
    assert parent["reply_count"] == 1
    assert reply["text"] == "both"
    assert [file["name"] for file in reply["files"]] == ["a.txt", "b.log"]


def test_a_file_can_go_to_several_channels(client):
    file_id = upload(client, "a.txt", b"one")
    client.files_completeUploadExternal(files=[{"id": file_id}], channels=[OPS, ALERTS])
    for channel in (OPS, ALERTS):
        (message,) = wait_for(lambda channel=channel: client.conversations_history(channel=channel)["messages"])
        assert message["files"][0]["id"] == file_id


def test_an_upload_is_completed_once(client):
    file_id = upload(client, "a.txt", b"one")
    assert client.files_completeUploadExternal(files=[{"id": file_id}], channel_id=OPS)["ok"]
    assert refused(client.files_completeUploadExternal, files=[{"id": file_id}], channel_id=OPS) == "file_not_found"
    assert len(wait_for(lambda: client.conversations_history(channel=OPS)["messages"])) == 1


def test_an_upload_into_a_thread_that_is_not_there_shares_nothing(client):
    file_id = upload(client, "a.txt", b"one")
    gone = "1700000000.000001"
    assert refused(client.files_completeUploadExternal, files=[{"id": file_id}], channel_id=OPS, thread_ts=gone) == (
        "thread_not_found"
    )
    assert client.files_completeUploadExternal(files=[{"id": file_id}], channel_id=OPS)["ok"]


def test_a_file_that_was_announced_and_never_sent_is_not_found(client):
    ticket = client.files_getUploadURLExternal(filename="a.txt", length=3)
    assert refused(client.files_completeUploadExternal, files=[{"id": ticket["file_id"]}]) == "file_not_found"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"length": 0}, "missing_argument"),
        ({"length": 1_000_000_001}, "file_upload_size_restricted"),
        ({"length": 1_000_001, "snippet_type": "text"}, "snippet_too_large"),
        ({"length": 3, "alt_txt": "x" * 1001}, "alt_txt_too_large"),
    ],
)
def test_what_slack_would_not_store_is_refused_before_it_is_sent(client, arguments, error):
    assert refused(client.files_getUploadURLExternal, filename="a.txt", **arguments) == error


# Modals and what a person's act entitles to


def modal(**more):
    field = {"type": "input", "block_id": "why", "label": plain("Why"), "element": {"type": "plain_text_input"}}
    return {"type": "modal", "title": plain("Scale"), "submit": plain("Go"), "blocks": [field], **more}


@pytest.fixture
def acts(slack):
    """Whatever the app was told that Oleg did: commands, newest last."""
    app, commands = bolt_app(slack), []

    @app.command("/mlflow")
    def listen(ack, command):
        commands.append(command)
        ack()

    def act():
        assert slack.person("oleg").command(OPS, "/mlflow x").ok
        return commands[-1]

    with connected(slack, app):
        yield act


def test_three_modals_lie_on_each_other_and_no_more(client, acts):
    client.views_open(trigger_id=acts()["trigger_id"], view=modal())
    for _ in range(2):
        client.views_push(trigger_id=acts()["trigger_id"], view=modal())
    assert refused(client.views_push, trigger_id=acts()["trigger_id"], view=modal()) == "push_limit_reached"


def test_an_update_with_an_old_hash_comes_second(slack, client, acts):
    view = client.views_open(trigger_id=acts()["trigger_id"], view=modal(external_id="scale"))["view"]
    fresh = client.views_update(external_id="scale", hash=view["hash"], view=modal(title=plain("Two")))["view"]
    assert (fresh["id"], fresh["hash"] != view["hash"]) == (view["id"], True)
    assert refused(client.views_update, view_id=view["id"], hash=view["hash"], view=modal()) == "hash_conflict"
    assert slack.person("oleg").view()["title"]["text"] == "Two"
    assert refused(client.views_update, view_id="V0NONE", view=modal()) == "not_found"


def test_an_external_id_is_used_once(client, acts):
    client.views_open(trigger_id=acts()["trigger_id"], view=modal(external_id="scale"))
    assert refused(client.views_push, trigger_id=acts()["trigger_id"], view=modal(external_id="scale")) == (
        "duplicate_external_id"
    )


def test_a_trigger_expires_after_three_seconds_of_slacks_time(slack, client, acts):
    late, used = acts()["trigger_id"], acts()["trigger_id"]
    client.views_open(trigger_id=used, view=modal())
    assert refused(client.views_open, trigger_id=used, view=modal()) == "exchanged_trigger_id"
    slack.sandbox.advance(3.5)
    assert refused(client.views_open, trigger_id=late, view=modal()) == "expired_trigger_id"
    assert refused(client.views_open, trigger_id="1.2.abc", view=modal()) == "invalid_trigger_id"


def test_a_view_has_a_largest_size_and_no_tables(client, acts):
    options = [{"text": plain("x" * 75), "value": f"{number:0150}"} for number in range(100)]
    select = {"type": "section", "text": plain("x"), "accessory": {"type": "static_select", "options": options}}
    assert refused(client.views_open, trigger_id=acts()["trigger_id"], view=modal(blocks=[select] * 15)) == (
        "view_too_large"
    )
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}
    assert refused(client.views_open, trigger_id=acts()["trigger_id"], view=modal(blocks=[table])) == (
        "invalid_arguments"
    )


def test_a_home_tab_with_an_old_hash_comes_second(client):
    home = {"type": "home", "blocks": [section()]}
    view = client.views_publish(user_id="U0OLEG", view=home)["view"]
    client.views_publish(user_id="U0OLEG", view=home, hash=view["hash"])
    assert refused(client.views_publish, user_id="U0OLEG", view=home, hash=view["hash"]) == "hash_conflict"


def test_a_response_url_is_good_for_five_answers_and_half_an_hour_of_slacks_time(slack, acts):
    first, second = acts()["response_url"], acts()["response_url"]
    statuses = [requests.post(first, json={"text": "x"}, timeout=5).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [404]
    assert requests.post(first, json={"text": "x"}, timeout=5).json()["error"] == "used_url"
    slack.sandbox.advance(1799)
    assert requests.post(second, json={"text": "x"}, timeout=5).ok
    slack.sandbox.advance(2)
    answer = requests.post(second, json={"text": "x"}, timeout=5)
    assert (answer.status_code, answer.json()["error"]) == (404, "expired_url")
