"""Block Kit's limits, as Slack enforces them."""

from __future__ import annotations

import pytest

from mlflow_ops_sandbox.slack.blocks import content, inputs
from mlflow_ops_sandbox.slack.blocks.blocks import checked
from mlflow_ops_sandbox.slack.errors import SlackError
from mlflow_ops_sandbox.slack.state.pings import in_message


def plain(text):
    return {"type": "plain_text", "text": text}


def mrkdwn(text):
    return {"type": "mrkdwn", "text": text}


def section(text="x", **more):
    return {"type": "section", "text": mrkdwn(text), **more}


def button(**more):
    return {"type": "button", "text": plain("Go"), **more}


def actions(*elements):
    return {"type": "actions", "elements": list(elements)}


def options(count):
    return [{"text": plain(f"o{n}"), "value": str(n)} for n in range(count)]


def select(**more):
    return {"type": "static_select", "options": options(2), **more}


def field(element):
    return {"type": "input", "label": plain("Label"), "element": element}


def row(width):
    return [{"type": "raw_text", "text": "c"}] * width


def number(value=1.5):
    return {"type": "raw_number", "value": value, "text": "1.5"}


def told(text="x"):
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}],
    }


def data_table(rows, **more):
    return {"type": "data_table", "caption": "Sets", "rows": rows, **more}


def task(number=1, **more):
    return {"type": "task_card", "task_id": str(number), "title": "Restore", "status": "pending", **more}


def plan(*tasks, **more):
    return {"type": "plan", "title": "Restore", "tasks": list(tasks), **more}


def points(labels):
    return [{"label": label, "value": 1.5} for label in labels]


def chart(kind="line", labels=("a", "b"), names=("p95",), **more):
    series = [{"name": name, "data": points(labels)} for name in names]
    drawn = {"type": kind, "series": series, "axis_config": {"categories": list(labels)}}
    return {"type": "data_visualization", "title": "Latency", "chart": drawn, **more}


def pie(*values):
    segments = [{"label": f"s{at}", "value": value} for at, value in enumerate(values)]
    return {"type": "data_visualization", "title": "Sizes", "chart": {"type": "pie", "segments": segments}}


NEW_RIGHT = {
    "data_table": data_table([row(20)] * 101, page_size=100, row_header_column_index=19),
    "numbers and rich text": data_table([row(2), [number(), told()]]),
    "plan": plan(task(), task(2, status="error", output=told()), task(3, status="complete", details=told())),
    "task alone": task(status="in_progress"),
    "line": chart(labels=[f"d{n}" for n in range(20)], names="abcdef"),
    "bar": chart("bar"),
    "area": chart("area"),
    "pie": pie(1, 2.5, 3, 4, 5, 6),
    "card": {"type": "card", "title": mrkdwn("x" * 150), "body": mrkdwn("x" * 200), "actions": [button()] * 3},
}
NEW_WRONG = {
    "no caption": {"type": "data_table", "rows": [row(2)] * 2},
    "a heading alone": data_table([row(2)]),
    "102 rows": data_table([row(2)] * 102),
    "rows of two lengths": data_table([row(2), row(3)]),
    "rich text in the heading": data_table([[told()], row(1)]),
    "an empty cell": data_table([row(1), [{"type": "raw_text", "text": ""}]]),
    "page_size": data_table([row(1)] * 2, page_size=0),
    "row_header_column_index": data_table([row(1)] * 2, row_header_column_index=1),
    "10,001 characters": data_table([row(1), *([{"type": "raw_text", "text": "x" * 2500}] for _ in range(4))]),
    "a task's id twice": plan(task(), task()),
    "no such state": plan(task(status="done")),
    "pending alone": task(),
    "a plan's title as an object": plan(title=mrkdwn("x")),
    "output as text": plan(task(output="x")),
    "21 points": chart(labels=[f"d{n}" for n in range(21)]),
    "7 series": chart(names="abcdefg"),
    "a name twice": chart(names="aa"),
    "a label of 21": chart(labels=["x" * 21, "b"]),
    "a title of 51": chart(title="x" * 51),
    "a point too few": {
        "type": "data_visualization",
        "title": "x",
        "chart": {**chart()["chart"], "axis_config": {"categories": ["a"]}},
    },
    "a slice of nothing": pie(1, 0),
    "7 slices": pie(*range(1, 8)),
    "a card of nothing": {"type": "card", "subtitle": mrkdwn("x")},
    "4 buttons": {"type": "card", "title": mrkdwn("x"), "actions": [button()] * 4},
    "an alert in a message": {"type": "alert", "text": mrkdwn("x")},
}
RIGHT = {
    **NEW_RIGHT,
    "section": section("x" * 3000),
    "fields": {"type": "section", "fields": [mrkdwn("x" * 2000)] * 10},
    "accessory": section(accessory=select()),
    "header": {"type": "header", "text": plain("x" * 150)},
    "divider": {"type": "divider"},
    "context": {"type": "context", "elements": [mrkdwn("x")] * 10},
    "actions": actions(*(button(action_id=str(n)) for n in range(25))),
    "button": actions(button(text=plain("x" * 75), value="v" * 2000, style="danger")),
    "options": actions({"type": "static_select", "options": options(100)}),
    "overflow": section(accessory={"type": "overflow", "options": options(5)}),
    "users": actions({"type": "users_select"}, {"type": "datepicker"}),
    "image": {"type": "image", "image_url": "http://x/y.png", "alt_text": "y"},
    "input": field({"type": "plain_text_input", "multiline": True}),
    "markdown": {"type": "markdown", "text": "# x"},
    "rich_text": {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": []}]},
    "table": {"type": "table", "rows": [row(20)] * 100},
}
WRONG = {
    **NEW_WRONG,
    "unknown block": {"type": "marquee"},
    "no type": {},
    "section without text": {"type": "section"},
    "section too long": section("x" * 3001),
    "empty text": section(""),
    "11 fields": {"type": "section", "fields": [mrkdwn("x")] * 11},
    "field too long": {"type": "section", "fields": [mrkdwn("x" * 2001)]},
    "header too long": {"type": "header", "text": plain("x" * 151)},
    "header of mrkdwn": {"type": "header", "text": mrkdwn("x")},
    "11 context elements": {"type": "context", "elements": [mrkdwn("x")] * 11},
    "no actions": actions(),
    "26 actions": actions(*(button(action_id=str(n)) for n in range(26))),
    "the same action twice": actions(button(action_id="a"), button(action_id="a")),
    "button text too long": actions(button(text=plain("x" * 76))),
    "button text of mrkdwn": actions(button(text=mrkdwn("x"))),
    "button value too long": actions(button(value="v" * 2001)),
    "button style": actions(button(style="fancy")),
    "button without text": actions({"type": "button"}),
    "action_id too long": actions(button(action_id="x" * 256)),
    "101 options": actions({"type": "static_select", "options": options(101)}),
    "no options": actions({"type": "static_select", "options": []}),
    "options twice": actions(select(option_groups=[])),
    "initial option that is not offered": actions(select(initial_option={"text": plain("z"), "value": "z"})),
    "6 in an overflow": section(accessory={"type": "overflow", "options": options(6)}),
    "text field in actions": actions({"type": "plain_text_input"}),
    "button in an input": field(button()),
    "input without label": {"type": "input", "element": {"type": "plain_text_input"}},
    "confirm too long": actions(button(confirm={"title": plain("x" * 101)})),
    "image without alt": {"type": "image", "image_url": "http://x/y.png"},
    "block_id too long": section(block_id="x" * 256),
    "markdown too long": {"type": "markdown", "text": "x" * 12_001},
    "rich_text part": {"type": "rich_text", "elements": [{"type": "poem"}]},
    "101 rows": {"type": "table", "rows": [row(2)] * 101},
    "21 columns": {"type": "table", "rows": [row(21)]},
    "not an object": "section",
}


@pytest.mark.parametrize("block", RIGHT.values(), ids=RIGHT.keys())
def test_what_stays_within_the_limits_is_taken(block):
    stored, wrong = checked([block])
    assert not wrong
    assert stored[0]["block_id"]


@pytest.mark.parametrize("block", WRONG.values(), ids=WRONG.keys())
def test_what_exceeds_a_limit_is_refused_with_the_place(block):
    _, wrong = checked([block])
    assert wrong
    assert all(sentence.startswith("[ERROR] ") and "[json-pointer:/blocks/0" in sentence for sentence in wrong)


@pytest.mark.parametrize(
    ("block", "taken"),
    [
        ({"type": "alert", "text": mrkdwn("x"), "level": "warning"}, {"modal"}),
        (data_table([row(2)] * 2), {"message", "home"}),
        ({"type": "table", "rows": [row(2)]}, {"message", "home"}),
        (plan(task()), {"message"}),
        (chart(), {"message"}),
        ({"type": "card", "title": mrkdwn("x")}, {"message", "modal", "home"}),
        (section(), {"message", "modal", "home"}),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_each_block_stands_where_slack_takes_it(block, taken):
    assert {where for where in ("message", "modal", "home") if not checked([block], surface=where)[1]} == taken


def test_a_workspace_may_lack_a_block():
    (wrong,) = checked([plan(task())], lacking={"plan"})[1]
    assert wrong.startswith("[ERROR] unsupported type: plan ")


def test_a_message_takes_one_table_and_two_charts():
    short, long = {"type": "table", "rows": [row(1)]}, data_table([row(1)] * 2)
    for blocks, error in (([short, long], "invalid_attachments"), ([chart(), chart(), chart()], "invalid_blocks")):
        with pytest.raises(SlackError) as refused:
            content.read({"blocks": blocks})
        assert refused.value.error == error
    assert content.read({"blocks": [long, chart(), chart()]}).blocks


def test_a_message_has_at_most_50_blocks_and_a_view_100():
    assert not checked([section()] * 50)[1]
    assert checked([section()] * 51)[1] == ["[ERROR] no more than 50 items allowed [json-pointer:/blocks]"]
    assert not checked([section()] * 100, limit=100)[1]


def test_a_block_id_occurs_once():
    assert "already exists" in checked([section(block_id="a"), section(block_id="a")])[1][0]


def test_the_blocks_given_are_not_changed():
    given = [actions(button())]
    checked(given)
    assert given == [actions(button())]


# What people filled in


def filled(element, value=None):
    (block,), _ = checked([field({**element, "action_id": "a"})])
    return inputs.state([block], {"a": value} if value is not None else {})["values"][block["block_id"]]["a"]


CHOICE = options(3)


@pytest.mark.parametrize(
    ("element", "value", "entry"),
    [
        ({"type": "plain_text_input"}, None, {"value": None}),
        ({"type": "plain_text_input", "initial_value": "i"}, None, {"value": "i"}),
        ({"type": "plain_text_input", "initial_value": "i"}, "", {"value": None}),
        ({"type": "number_input"}, 4, {"value": "4"}),
        ({"type": "static_select", "options": CHOICE}, "1", {"selected_option": CHOICE[1]}),
        (
            {"type": "static_select", "options": CHOICE, "initial_option": CHOICE[2]},
            None,
            {"selected_option": CHOICE[2]},
        ),
        ({"type": "checkboxes", "options": CHOICE}, ["0", "2"], {"selected_options": [CHOICE[0], CHOICE[2]]}),
        ({"type": "checkboxes", "options": CHOICE}, None, {"selected_options": []}),
        ({"type": "users_select", "initial_user": "U1"}, None, {"selected_user": "U1"}),
        ({"type": "multi_users_select"}, ["U1"], {"selected_users": ["U1"]}),
        ({"type": "datepicker"}, "2026-11-23", {"selected_date": "2026-11-23"}),
        ({"type": "datetimepicker"}, "1700000000", {"selected_date_time": 1700000000}),
    ],
)
def test_plain_values_become_what_apps_receive(element, value, entry):
    assert filled(element, value) == {"type": element["type"], **entry}


@pytest.mark.parametrize(
    ("element", "value", "said"),
    [
        ({"type": "plain_text_input"}, "", "required"),
        ({"type": "plain_text_input", "min_length": 3}, "ab", "between 3"),
        ({"type": "number_input", "is_decimal_allowed": False}, "1.5", "whole number"),
        ({"type": "number_input", "is_decimal_allowed": True, "max_value": "4"}, "4.5", "at most 4"),
        ({"type": "number_input", "is_decimal_allowed": True, "min_value": "1"}, "0", "at least 1"),
        ({"type": "email_text_input"}, "nobody", "email"),
        ({"type": "url_text_input"}, "ftp:x", "URL"),
    ],
)
def test_slack_itself_refuses_what_cannot_be_right(element, value, said):
    (block,), _ = checked([{**field({**element, "action_id": "a"}), "block_id": "b"}])
    state = inputs.state([block], {"a": value})
    assert said in inputs.missing([block], state["values"])["b"]


def test_an_optional_field_may_stay_empty():
    (block,), _ = checked([{**field({"type": "plain_text_input"}), "optional": True}])
    assert not inputs.missing([block], inputs.state([block], {})["values"])


# Whom a message notifies


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ({"text": "plain @channel"}, []),
        ({"text": "<!channel> <!here|here> <!everyone>"}, ["channel", "here", "everyone"]),
        ({"text": "<@U0ANNA> <@U0ANNA|anna>"}, ["user"]),
        ({"text": "<!subteam^S0APPROVE|@x>"}, ["usergroup"]),
        ({"text": "&lt;!channel&gt;"}, []),
        ({"text": "", "blocks": [section("<!here>")]}, ["here"]),
        ({"text": "", "blocks": [{"type": "header", "text": plain("<!here>")}]}, []),
        ({"text": "", "blocks": [{"type": "markdown", "text": "<!here>"}]}, ["here"]),
        ({"text": "", "attachments": [{"text": "<!channel>"}]}, ["channel"]),
        (
            {"text": "", "blocks": [{"type": "rich_text", "elements": [{"type": "broadcast", "range": "here"}]}]},
            ["here"],
        ),
    ],
)
def test_mentions_are_found_wherever_slack_would_ring(message, found):
    assert [kind for kind, _ in in_message(message)] == found


def test_linked_names_ring_too():
    assert in_message({"text": "hey @here"}, link_names=True) == [("here", "here")]
