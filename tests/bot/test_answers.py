"""What only one person sees: whole, where they asked, and by another way where Slack doesn't take it."""

import pytest
from slack_sdk import WebClient

from bot import slash
from bot.buttons import Buttons
from bot.home.events import Home
from bot.modals.asking import Asking
from mlflow_ops_sandbox.slack.client import words
from mlflow_ops_sandbox.slack.testing import bolt_app, connected
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.settings import Ops

OPS = Ops.model_validate({"channels": ["C0OPS"], "roles": {"viewer": {"users": ["U0VERA"]}}})


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    from mlflow_ops_sandbox.slack.state.workspace import Workspace
    from mlflow_ops_sandbox.slack.testing import example
    from mlflow_ops_sandbox.slack.testing import serving as local

    with local(Workspace.from_json(example()), tmp_path_factory.mktemp("slack")) as slack:
        yield slack


@pytest.fixture
def slack(serving, redis):
    app = bolt_app(serving)
    client = WebClient(token=serving.workspace.tokens.bot, base_url=serving.api, retry_handlers=[])
    records, nobody = Records(redis), lambda _group: frozenset()
    restoring = Asking(OPS, records, nobody, client)
    restoring.listen(app)
    app.command("/mlflow")(slash.as_typed(restoring.around(slash.listener(OPS, records, nobody))))
    Buttons(OPS, redis, nobody, client).listen(app)
    Home(OPS, redis, nobody, client).listen(app)
    serving.sandbox.clear_faults()
    with connected(serving, app):
        yield serving
    serving.sandbox.clear_faults()


@pytest.fixture
def vera(slack):
    return slack.person("vera")


def told(vera, said):
    return vera.wait_for(lambda: vera.find_ephemeral("C0OPS", said))


def test_help_comes_in_blocks_in_which_no_code_is_broken(vera):
    vera.command("C0OPS", "/mlflow help")
    answer = told(vera, "Usage")
    sections = [block["text"]["text"] for block in answer["blocks"]]
    assert len(sections) > 1, "it is longer than one block may be"
    for text in sections:
        assert len(text) <= 3000
        assert text.startswith("```\n")
        assert text.endswith("\n```")
        assert text.count("```") == 2
    assert "`" not in answer["text"]
    whole = "".join(text.strip("`") for text in sections)
    assert "backup" in whole
    assert "restore" in whole


def test_the_help_of_a_window_is_whole_too(vera):
    assert slash.shown("short")["text"] == "short"
    assert "blocks" not in slash.shown("short")
    text = "before\n```\n" + "\n".join(f"line {n} <&> of it" for n in range(400)) + "\n```\nafter"
    blocks = slash.shown(text)["blocks"]
    assert all(block["text"]["text"].count("```") in {0, 2} for block in blocks)
    joined = "\n".join(block["text"]["text"].replace("```", "") for block in blocks)
    assert [line for line in joined.splitlines() if line] == [
        line for line in text.replace("```", "").splitlines() if line
    ]


def test_a_window_is_asked_for_once_the_command_is_acknowledged(vera, slack):
    slack.sandbox.fault("latency", method="views.open", seconds=2.0)
    outcome = vera.command("C0OPS", "/mlflow restore")
    assert outcome.ok
    assert outcome.seconds < 2
    vera.wait_for(vera.view)
    vera.close_view()


def test_where_no_window_opens_the_command_is_answered_as_without_one(vera, slack):
    slack.sandbox.refuse("expired_trigger_id", "views.open")
    assert vera.command("C0OPS", "/mlflow restore").ok
    assert "restore" in words(told(vera, "Usage"))
    assert vera.view() is None


def button(value):
    text = {"type": "plain_text", "text": "Undo"}
    return [
        {"type": "actions", "elements": [{"type": "button", "action_id": "undo", "text": text, "value": value}]},
    ]


def pressed(vera, slack, redis, **place):
    """A record's button that has nothing to undo, pressed where it stands."""
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")
    records = Records(redis)
    records.begin_here(record)
    records.finish(record.id, Ending(Phase.DONE, "well"))
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
    message = client.chat_postMessage(channel="C0OPS", text="a report", blocks=button(record.id), **place)
    return vera.press("C0OPS", message["ts"], "undo")


def test_an_answer_to_a_press_in_a_thread_stands_in_the_thread(vera, slack, redis):
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
    alert = client.chat_postMessage(channel="C0OPS", text="an alert")["ts"]
    pressed(vera, slack, redis, thread_ts=alert)
    assert told(vera, "nothing to undo")["thread_ts"] == alert


def test_an_answer_to_a_press_in_the_channel_stands_in_the_channel(vera, slack, redis):
    before = len([each for each in vera.ephemerals("C0OPS") if "thread_ts" not in each])
    pressed(vera, slack, redis)
    vera.wait_for(lambda: len([each for each in vera.ephemerals("C0OPS") if "thread_ts" not in each]) > before or None)


def test_an_answer_that_slack_does_not_take_comes_in_a_window(vera, slack, redis):
    slack.sandbox.fault("error", method="response_url", status=404, error="used_url")
    pressed(vera, slack, redis)
    view = vera.wait_for(vera.view)
    assert "nothing to undo" in words(view)
    vera.close_view()


def test_and_in_a_direct_message_where_no_window_opens_either(vera, slack, redis):
    slack.sandbox.fault("error", method="response_url", status=404, error="used_url")
    slack.sandbox.refuse("expired_trigger_id", "views.open")
    pressed(vera, slack, redis)
    vera.wait_for(lambda: vera.find("D0VERA", "nothing to undo"))
