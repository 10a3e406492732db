"""Whatever a report holds, Slack takes its messages, and each of its words is found in them: in blocks or in a file."""

import json
import re

import pytest

from mlflow_ops_sandbox.slack.blocks import blocks as slack_blocks
from mlflow_ops_sandbox.slack.blocks import content
from mlflow_ops_sandbox.slack.errors import SlackError
from tests.workers.rendering.random_reports import Made
from workers.rendering import blocks, forms, limits
from workers.rendering import message as render

FEW, MANY = range(100), 10_000

NEXT_BLOCK = '"}},{"type":"section","text":{"type":"mrkdwn","text":"'


def said(messages):
    """Everything that can be read, without blanks."""
    whole = "".join(json.dumps(message.blocks, ensure_ascii=False) + message.content for message in messages)
    # A long word goes on in the next block.
    return re.sub(r"\s|```|\\n", "", whole).replace(NEXT_BLOCK, "")


def not_taken(blocks):
    """By a workspace that has none of the new blocks."""
    return [*limits.refused(blocks), *(limits.NEW & {block["type"] for block in blocks})]


def looked_at(seeds):
    refused, lost, words = [], [], 0
    for seed in seeds:
        made = Made(seed)
        messages = [render.root(made.report, "health", "U0VERA"), *render.details(made.report)]
        for message in messages:
            wrong = limits.refused(message.blocks)
            try:
                content.read({"text": message.text, "blocks": message.blocks or None}, weighed=True)
            except SlackError as error:
                wrong.append(f"the local Slack: {error.error} {error.extra}")
            if wrong:
                refused.append((seed, wrong[:3]))
            for form in range(forms.OLDER, forms.ONE_LINE):
                others = forms.in_form(form, message.text, message.blocks)
                refused += [(seed, form, wrong) for other in others if (wrong := not_taken(other.blocks))]
        found = set(re.findall(r"w\d+w", said(messages)))
        words += len(made.words)
        lost += [(seed, word) for word in made.words if word not in found]
        older = set(re.findall(r"w\d+w", said(_older(messages))))
        lost += [(seed, "older", word) for word in found if word not in older]
    return refused, lost, words


def _older(messages):
    for message in messages:
        yield from [message] if message.filename else forms.in_form(forms.OLDER, message.text, message.blocks)


def test_random_reports_are_taken_whole():
    refused, lost, words = looked_at(FEW)
    assert words > len(FEW) * 10
    assert not refused, refused[:5]
    assert not lost, lost[:5]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("begin", range(0, MANY, 1000))
def test_ten_thousand_random_reports_are_taken_whole(begin):
    refused, lost, words = looked_at(range(begin, begin + 1000))
    assert words > 10_000
    assert not refused, refused[:5]
    assert not lost, lost[:5]


TEXT = {"type": "raw_text", "text": "x"}
TASK = {"type": "task_card", "task_id": "1", "title": "x", "status": "pending"}
AXIS = {"categories": ["a"]}
LINE = {"name": "x", "data": [{"label": "a", "value": 1.0}]}


def data_table(**more):
    return {"type": "data_table", "caption": "x", "rows": [[TEXT], [TEXT]], **more}


def chart(**more):
    return {
        "type": "data_visualization",
        "title": "x",
        "chart": {"type": "line", "series": [LINE], "axis_config": AXIS, **more},
    }


TOO_MUCH = {
    "51 blocks": [blocks.divider()] * 51,
    "two tables": [data_table(), data_table()],
    "three charts": [chart(), chart(), chart()],
    "bytes": [blocks.section("é" * 1500)] * 4,
    "section": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}],
    "header": [{"type": "header", "text": blocks.plain_text("x" * 151)}],
    "button": [blocks.actions([{**blocks.button("a", "b"), "text": blocks.plain_text("x" * 76)}])],
    "buttons": [blocks.actions([blocks.button(str(n), "b") for n in range(26)])],
    "the same action": [blocks.actions([blocks.button("a", "b")] * 2)],
    "options": [blocks.actions([{"type": "static_select", "action_id": "a", "options": []}])],
    "no caption": [data_table(caption="")],
    "102 rows": [data_table(rows=[[TEXT]] * 102)],
    "21 columns": [data_table(rows=[[TEXT] * 21] * 2)],
    "lengths": [data_table(rows=[[TEXT], [TEXT, TEXT]])],
    "an empty cell": [data_table(rows=[[TEXT], [{"type": "raw_text", "text": ""}]])],
    "no number": [data_table(rows=[[TEXT], [{"type": "raw_number", "text": "x", "value": float("nan")}]])],
    "page": [data_table(page_size=101)],
    "row header": [data_table(row_header_column_index=1)],
    "10,001 characters": [data_table(rows=[[TEXT], *([{"type": "raw_text", "text": "x" * 2500}] for _ in range(4))])],
    "tasks": [{"type": "plan", "title": "x", "tasks": [TASK, TASK]}],
    "pending alone": [TASK],
    "21 points": [chart(axis_config={"categories": [str(n) for n in range(21)]})],
    "7 lines": [chart(series=[{**LINE, "name": str(n)} for n in range(7)])],
    "a point too few": [chart(axis_config={"categories": ["a", "b"]})],
    "a slice of nothing": [chart(type="pie", segments=[{"label": "x", "value": 0}])],
    "an alert": [{"type": "alert", "text": blocks.plain_text("x")}],
    "unknown": [{"type": "marquee"}],
}


@pytest.mark.parametrize("made", TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_the_model_refuses_what_slack_would(made):
    assert limits.refused(made)


@pytest.mark.parametrize("made", [[data_table()], [chart()], [chart(), chart(), data_table()]])
def test_the_model_takes_what_slack_would(made):
    assert not limits.refused(made)
    assert content.read({"blocks": made}, weighed=True).blocks


NOT_IN_VIEWS = {
    "a table in a modal": ("modal", [data_table()]),
    "two tables in a Home": ("home", [data_table(), {"type": "table", "rows": [[TEXT]]}]),
    "a chart in a Home": ("home", [chart()]),
    "a plan in a Home": ("home", [{"type": "plan", "title": "x", "tasks": []}]),
    "an alert in a Home": ("home", [{"type": "alert", "text": blocks.plain_text("x")}]),
}


@pytest.mark.parametrize(("kind", "made"), NOT_IN_VIEWS.values(), ids=NOT_IN_VIEWS.keys())
def test_the_model_refuses_in_a_view_what_slack_would(kind, made):
    assert limits.refused_view({"type": kind, "blocks": made})


@pytest.mark.parametrize("made", [[data_table()], [{"type": "card", "title": blocks.plain_text("x")}]])
def test_the_model_takes_in_a_home_what_slack_would(made):
    assert not limits.refused_view(blocks.home(made))
    assert not slack_blocks.checked(made, limit=slack_blocks.IN_VIEW, surface=slack_blocks.HOME)[1]
