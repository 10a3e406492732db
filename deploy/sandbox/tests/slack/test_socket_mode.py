"""Socket Mode with a real Bolt app at the other end."""

from __future__ import annotations

import re
import threading
import time

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from mlflow_ops_sandbox.slack import Timings, Workspace
from mlflow_ops_sandbox.slack.client import actions, wait_for
from mlflow_ops_sandbox.slack.testing import bolt_app, connected, example, serving

OPS = "C0OPS"
QUICK = Timings(acknowledge=0.8, event_retries=(0.05, 0.05, 0.05), redeliver=0.01)


def plain(text):
    return {"type": "plain_text", "text": text}


@pytest.fixture
def slack(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path, timings=QUICK) as running:
        yield running


@pytest.fixture
def app(slack):
    return bolt_app(slack)


@pytest.fixture
def oleg(slack):
    return slack.person("oleg")


# Commands


def test_a_command_reaches_the_app_with_all_that_slack_tells(slack, app, oleg):
    seen = []

    @app.command("/mlflow")
    def listen(ack, command):
        seen.append(command)
        ack()

    with connected(slack, app):
        outcome = oleg.command(OPS, "/mlflow  restore database latest ")
    assert outcome.ok
    assert outcome.seconds < 2.5
    (command,) = seen
    assert command["text"] == "restore database latest"
    assert (command["user_id"], command["user_name"]) == ("U0OLEG", "oleg")
    assert (command["channel_id"], command["channel_name"]) == (OPS, "mlflow-ops")
    assert command["response_url"].startswith(slack.base_url)
    assert not oleg.ephemerals(OPS)


def test_what_the_acknowledgement_says_is_seen_by_whoever_asked(slack, app, oleg):
    app.command("/mlflow")(lambda ack: ack("only you"))
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
    assert oleg.find_ephemeral(OPS, "only you")
    assert not oleg.messages(OPS)


def test_an_acknowledgement_can_answer_the_whole_channel(slack, app, oleg):
    app.command("/mlflow")(lambda ack: ack(text="all of you", response_type="in_channel"))
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
    assert slack.person("vera").find(OPS, "all of you")


def test_a_late_acknowledgement_is_an_operation_timeout_and_counted(slack, app, oleg):
    @app.command("/mlflow")
    def listen(ack):
        time.sleep(1.2)
        ack("too late")

    with connected(slack, app):
        outcome = oleg.command(OPS, "/mlflow slow")
        assert (outcome.ok, outcome.error) == (False, "operation_timeout")
        assert outcome.message == '/mlflow failed with the error "operation_timeout"'
        wait_for(lambda: slack.sandbox.connection()["late_acknowledgements"] == 1)
    assert oleg.ephemerals(OPS)[-1]["user"] == "USLACKBOT"
    assert not oleg.find_ephemeral(OPS, "too late")


def test_slack_waits_three_seconds(tmp_path):
    with serving(Workspace.from_json(example()), tmp_path) as slack:
        app = bolt_app(slack)
        pauses = iter([2.2, 3.3])

        @app.command("/mlflow")
        def listen(ack):
            time.sleep(next(pauses))
            ack()

        with connected(slack, app):
            oleg = slack.person("oleg")
            assert oleg.command(OPS, "/mlflow in time").ok
            late = oleg.command(OPS, "/mlflow late")
    assert late.error == "operation_timeout"
    assert 2.9 < late.seconds < 6


def test_without_an_open_socket_a_command_is_not_dispatched(oleg):
    outcome = oleg.command(OPS, "/mlflow health")
    assert outcome.error == "dispatch_failed"
    assert oleg.ephemerals(OPS)


def test_an_unknown_command_never_reaches_the_app(slack, oleg):
    outcome = oleg.command(OPS, "/mlfow health")
    assert outcome.error == "invalid_command"
    assert "not a valid command" in outcome.message


# Envelopes and connections


def test_each_envelope_goes_to_one_of_the_open_sockets(slack, oleg):
    seen = {"one": 0, "two": 0}

    def listening(name):
        app = bolt_app(slack)

        @app.command("/mlflow")
        def listen(ack):
            seen[name] += 1
            ack()

        return app

    with connected(slack, listening("one")), connected(slack, listening("two")):
        wait_for(lambda: slack.sandbox.connection()["connections"] == 2)
        for _ in range(6):
            assert oleg.command(OPS, "/mlflow x").ok
    assert seen == {"one": 3, "two": 3}


def test_a_redelivered_envelope_arrives_twice(slack, app, oleg):
    seen = []

    @app.command("/mlflow")
    def listen(ack, command):
        seen.append(command["trigger_id"])
        ack()

    with connected(slack, app):
        slack.sandbox.fault("redeliver")
        assert oleg.command(OPS, "/mlflow backup").ok
        wait_for(lambda: len(seen) == 2)
        oleg.command(OPS, "/mlflow backup")
    assert seen[0] == seen[1] != seen[2]


def test_a_swallowed_acknowledgement_looks_like_a_timeout_though_the_app_did_it(slack, app, oleg):
    seen = []

    @app.command("/mlflow")
    def listen(ack):
        ack()
        seen.append(1)

    with connected(slack, app):
        slack.sandbox.fault("swallow")
        assert oleg.command(OPS, "/mlflow x").error == "operation_timeout"
    assert seen


def test_bolt_reconnects_when_asked_to_disconnect(slack, app, oleg):
    app.command("/mlflow")(lambda ack: ack())
    with connected(slack, app):
        assert slack.sandbox.fault("disconnect")["sockets"] == 1
        wait_for(lambda: slack.sandbox.calls()["apps.connections.open"] == 2)
        slack.sandbox.wait_until_connected()
        wait_for(lambda: oleg.command(OPS, "/mlflow x").ok)


def test_bolt_comes_back_after_slack_was_away(slack, app, oleg):
    app.command("/mlflow")(lambda ack: ack())
    with connected(slack, app, ping_interval=0.3):
        slack.sandbox.away()
        assert oleg.command(OPS, "/mlflow x").error == "dispatch_failed"
        slack.sandbox.away(on=False)
        slack.sandbox.wait_until_connected(20)
        assert oleg.command(OPS, "/mlflow x").ok


def test_a_ticket_opens_one_socket(slack):
    client = WebClient(base_url=slack.api)
    url = client.apps_connections_open(app_token="xapp-sandbox")["url"]
    assert url.startswith("ws://127.0.0.1:")
    assert "ticket=" in url


# Events


def test_an_event_is_sent_again_until_it_is_acknowledged(slack, app, oleg):
    seen = []

    @app.middleware
    def note(body, next_):
        seen.append(body["event"]["type"])
        return next_()

    @app.event("app_home_opened")
    def opened(event, client):
        client.views_publish(user_id=event["user"], view={"type": "home", "blocks": []})

    with connected(slack, app):
        slack.sandbox.fault("swallow", count=2)
        assert oleg.open_home() is None
        oleg.wait_for(oleg.home)
        wait_for(lambda: len(seen) == 3)


def test_retries_say_that_they_are_retries(slack, app, oleg):
    attempts = []

    @app.event("app_mention")
    def mentioned(request_headers=None, context=None, req=None):
        headers = req.headers
        attempts.append((headers.get("x-slack-retry-num"), headers.get("x-slack-retry-reason")))

    @app.middleware
    def keep(req, next_):
        return next_()

    with connected(slack, app):
        slack.sandbox.fault("swallow")
        oleg.post(OPS, "hello <@U0BOT>")
        wait_for(lambda: len(attempts) == 2)
    assert attempts[1] == (["1"], ["timeout"])


def test_events_that_the_app_did_not_subscribe_to_are_not_sent(slack, app, oleg):
    seen = []
    app.event(re.compile(".*"))(lambda event: seen.append(event["type"]))
    with connected(slack, app):
        ts = oleg.post(OPS, "hello")["ts"]
        oleg.react(OPS, ts, "eyes")
        oleg.open_home()
        wait_for(lambda: seen)
    assert seen == ["app_home_opened"]


# Buttons


def with_buttons(app):
    @app.command("/mlflow")
    def listen(ack, client, command):
        ack()
        elements = [
            {"type": "button", "action_id": "approve", "value": "7", "text": plain("Approve"), "style": "primary"},
            {"type": "users_select", "action_id": "whom"},
            {
                "type": "static_select",
                "action_id": "which",
                "options": [{"text": plain(o), "value": o} for o in "ab"],
            },
        ]
        client.chat_postMessage(channel=OPS, text="Approve?", blocks=[{"type": "actions", "elements": elements}])


def test_a_press_tells_who_pressed_what_where(slack, app, oleg):
    seen = []
    with_buttons(app)

    @app.action("approve")
    def approve(ack, body, respond):
        ack()
        seen.append(body)
        respond("approved", replace_original=False)

    anna = slack.person("anna")
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
        message = anna.wait_for(lambda: anna.find(OPS, "Approve?"))
        assert actions(message) == ["approve", "whom", "which"]
        assert anna.press(OPS, message["ts"], "approve", values={"whom": "U0ARUN"}).ok
        anna.wait_for(lambda: anna.find_ephemeral(OPS, "approved"))
    (body,) = seen
    (action,) = body["actions"]
    assert (action["value"], action["type"]) == ("7", "button")
    assert body["user"]["id"] == "U0ANNA"
    assert body["container"]["message_ts"] == body["message"]["ts"] == message["ts"]
    (values,) = body["state"]["values"].values()
    assert values["whom"]["selected_user"] == "U0ARUN"
    assert not oleg.find_ephemeral(OPS, "approved")


def test_a_choice_arrives_as_the_option(slack, app, oleg):
    seen = []
    with_buttons(app)
    app.action("which")(lambda ack, action: (ack(), seen.append(action["selected_option"]["value"])))
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
        message = oleg.wait_for(lambda: oleg.find(OPS, "Approve?"))
        assert oleg.choose(OPS, message["ts"], "which", "b").ok
    assert seen == ["b"]


def test_a_button_without_a_listener_shows_a_failure(slack, app, oleg):
    with_buttons(app)
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
        message = oleg.wait_for(lambda: oleg.find(OPS, "Approve?"))
        assert oleg.press(OPS, message["ts"], "approve").error == "operation_timeout"


def test_options_of_an_external_select_come_from_the_app(slack, app, oleg):
    with_select = [{"type": "actions", "elements": [{"type": "external_select", "action_id": "set"}]}]
    ts = app.client.chat_postMessage(channel=OPS, text="x", blocks=with_select)["ts"]
    app.options("set")(lambda ack, payload: ack(options=[{"text": plain(payload["value"]), "value": "1"}]))
    with connected(slack, app):
        asked = slack.sandbox.do("/sandbox/options", user="U0OLEG", channel=OPS, ts=ts, action_id="set", value="nov")
    assert asked["options"][0]["text"]["text"] == "nov"


# response_url


@pytest.fixture
def response_url(slack, app, oleg):
    urls = []
    app.command("/mlflow")(lambda ack, command: (ack(), urls.append(command["response_url"])))
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
    return urls[0]


def test_a_response_url_is_good_for_five_answers(response_url, oleg):
    hook = WebhookClient(response_url)
    answers = [hook.send(text=f"answer {n}") for n in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 200, 404]
    assert "used_url" in answers[-1].body
    assert [message["text"] for message in oleg.ephemerals(OPS)] == [f"answer {n}" for n in range(5)]


def test_a_response_url_can_speak_to_the_channel_and_refuses_bad_blocks(response_url, oleg):
    hook = WebhookClient(response_url)
    assert hook.send(text="aloud", response_type="in_channel").status_code == 200
    assert oleg.find(OPS, "aloud")
    assert hook.send(blocks=[{"type": "marquee"}]).status_code == 400


def test_a_response_url_lapses_after_half_an_hour(tmp_path):
    now = [1_700_000_000.0]
    with serving(Workspace.from_json(example()), tmp_path, clock=lambda: now[0]) as slack:
        app, urls = bolt_app(slack), []
        app.command("/mlflow")(lambda ack, command: (ack(), urls.append(command["response_url"])))
        with connected(slack, app):
            slack.person("oleg").command(OPS, "/mlflow x")
        now[0] += 1799
        assert WebhookClient(urls[0]).send(text="in time").status_code == 200
        now[0] += 2
        assert "expired_url" in WebhookClient(urls[0]).send(text="late").body


def test_an_answer_to_a_button_can_replace_or_delete_the_message(slack, app, oleg):
    with_buttons(app)
    app.action("approve")(lambda ack, respond: (ack(), respond("done", replace_original=True)))
    app.action("whom")(lambda ack, respond: (ack(), respond(delete_original=True)))
    with connected(slack, app):
        oleg.command(OPS, "/mlflow x")
        message = oleg.wait_for(lambda: oleg.find(OPS, "Approve?"))
        oleg.press(OPS, message["ts"], "approve")
        replaced = oleg.wait_for(lambda: oleg.find(OPS, "done"))
        assert replaced["ts"] == message["ts"]
        assert not replaced.get("blocks")
        oleg.command(OPS, "/mlflow x")
        second = oleg.wait_for(lambda: oleg.find(OPS, "Approve?"))
        oleg.choose(OPS, second["ts"], "whom", "U0ANNA")
        oleg.wait_for(lambda: not oleg.find(OPS, "Approve?"))


# Modals


def modal(**more):
    return {
        "type": "modal",
        "callback_id": "scale",
        "title": plain("Scale"),
        "submit": plain("Preview"),
        "blocks": [
            {
                "type": "input",
                "block_id": "reason",
                "label": plain("Reason"),
                "element": {"type": "plain_text_input", "action_id": "text"},
            }
        ],
        **more,
    }


@pytest.fixture
def opened(slack, app, oleg):
    """The app, connected, with its modal open for Oleg, and what it received."""
    got = {"submitted": [], "closed": [], "triggers": []}

    @app.command("/mlflow")
    def listen(ack, client, command):
        ack()
        got["triggers"].append(command["trigger_id"])
        got["view"] = client.views_open(trigger_id=command["trigger_id"], view=modal(notify_on_close=True))["view"]

    @app.view("scale")
    def submitted(ack, view):
        said = view["state"]["values"]["reason"]["text"]["value"]
        got["submitted"].append(said)
        if said == "no":
            ack(response_action="errors", errors={"reason": "Say why."})
        elif said == "push":
            ack(response_action="push", view=modal(title=plain("Sure?")))
        elif said == "update":
            ack(response_action="update", view=modal(title=plain("Changed")))
        elif said == "clear":
            ack(response_action="clear")
        else:
            ack()

    @app.view_closed("scale")
    def closed(ack, view):
        ack()
        got["closed"].append(view["id"])

    with connected(slack, app):
        assert oleg.command(OPS, "/mlflow modal").ok
        oleg.wait_for(lambda: got.get("view"))
        yield got


def test_a_submitted_modal_reaches_the_app_and_closes(opened, oleg):
    assert oleg.submit_view({"reason": "load test"}).ok
    assert opened["submitted"] == ["load test"]
    assert oleg.view() is None


def test_slack_refuses_an_empty_field_without_asking_the_app(opened, oleg):
    outcome = oleg.submit_view()
    assert outcome.errors == {"reason": "Please complete this required field."}
    assert opened["submitted"] == []


def test_the_apps_errors_keep_the_modal_open(opened, oleg):
    outcome = oleg.submit_view({"reason": "no"})
    assert (outcome.ok, outcome.errors) == (False, {"reason": "Say why."})
    assert oleg.view()


def test_modals_are_pushed_updated_and_cleared(opened, oleg):
    assert oleg.submit_view({"reason": "push"}).ok
    assert oleg.view()["title"]["text"] == "Sure?"
    assert oleg.view()["previous_view_id"] == opened["view"]["id"]
    assert oleg.submit_view({"reason": "update"}).ok
    assert oleg.view()["title"]["text"] == "Changed"
    assert oleg.submit_view({"reason": "push"}).ok
    assert oleg.submit_view({"reason": "push"}).error == "push_limit_reached"
    assert oleg.submit_view({"reason": "clear"}).ok
    assert oleg.view() is None


def test_closing_a_modal_is_told_where_asked_for(opened, oleg):
    oleg.close_view()
    assert opened["closed"] == [opened["view"]["id"]]


def test_a_modal_is_updated_only_with_the_hash_that_it_has(opened, app):
    view = opened["view"]
    fresh = app.client.views_update(view_id=view["id"], hash=view["hash"], view=modal())["view"]
    assert fresh["id"] == view["id"]
    with pytest.raises(SlackApiError, match="hash_conflict"):
        app.client.views_update(view_id=view["id"], hash=view["hash"], view=modal())


def test_a_trigger_works_once(opened, app):
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        app.client.views_open(trigger_id=opened["triggers"][0], view=modal())


def test_a_trigger_works_for_three_seconds(tmp_path):
    now = [1_700_000_000.0]
    with serving(Workspace.from_json(example()), tmp_path, clock=lambda: now[0]) as slack:
        app, triggers = bolt_app(slack), []
        app.command("/mlflow")(lambda ack, command: (ack(), triggers.append(command["trigger_id"])))
        with connected(slack, app):
            slack.person("oleg").command(OPS, "/mlflow x")
        now[0] += 3.1
        with pytest.raises(SlackApiError, match="expired_trigger_id"):
            app.client.views_open(trigger_id=triggers[0], view=modal())


@pytest.mark.parametrize(
    "change",
    [
        {"title": plain("x" * 25)},
        {"submit": None},
        {"type": "home"},
        {"private_metadata": "x" * 3001},
        {"blocks": [{"type": "divider"}] * 101},
    ],
)
def test_a_view_that_slack_would_not_take_is_refused(opened, app, change):
    with pytest.raises(SlackApiError, match="invalid_arguments") as caught:
        app.client.views_update(view_id=opened["view"]["id"], view=modal(**change))
    assert caught.value.response["response_metadata"]["messages"][0].startswith("[ERROR]")


def test_many_people_at_once_each_get_their_answer(slack, app):
    app.command("/mlflow")(lambda ack, command: ack(command["text"]))
    people = [slack.person(name) for name in ("vera", "oleg", "anna", "arun")]
    with connected(slack, app):
        threads = [
            threading.Thread(target=person.command, args=(OPS, f"/mlflow {person.user_id}"))
            for person in people
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for person in people:
        assert [message["text"] for message in person.ephemerals(OPS)] == [person.user_id] * 5
