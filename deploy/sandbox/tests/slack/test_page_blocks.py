"""The blocks of 2026 on the page, in a real browser: sorted, turned over, searched, with states and in both themes."""

from __future__ import annotations

import pytest
from slack_sdk import WebClient

from mlflow_ops_sandbox.slack import Workspace
from mlflow_ops_sandbox.slack.testing import example, serving

expect = pytest.importorskip("playwright.sync_api", reason="playwright is not installed").expect

OPS = "C0OPS"


def cell(text):
    return {"type": "raw_text", "text": text}


def number(value, text):
    return {"type": "raw_number", "value": value, "text": text}


def told(text):
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}],
    }


SETS = {
    "type": "data_table",
    "caption": "Backup sets",
    "page_size": 5,
    "row_header_column_index": 0,
    "rows": [
        [cell("id"), cell("size (MiB)")],
        # 9 stands before 10 as a number, and after it as a text.
        *([cell(f"set-{n:02}"), number(n * 7 % 23, str(n * 7 % 23))] for n in range(1, 13)),
    ],
}
PLAN = {
    "type": "plan",
    "title": "Restore the database",
    "tasks": [
        {
            "type": "task_card",
            "task_id": "1",
            "title": "Restore",
            "status": "complete",
            "output": told("65 tables · 1.2 s"),
        },
        {"type": "task_card", "task_id": "2", "title": "Compare", "status": "error", "output": told("2 tables differ")},
        {"type": "task_card", "task_id": "3", "title": "Switch", "status": "in_progress"},
        {"type": "task_card", "task_id": "4", "title": "Check", "status": "pending"},
    ],
}


def chart(kind, labels=("Mon", "Tue", "Wed")):
    series = [
        {"name": name, "data": [{"label": label, "value": at * 1.5} for at, label in enumerate(labels, 1)]}
        for name in ("p50", "p95")
    ]
    drawn = {"type": kind, "series": series, "axis_config": {"categories": list(labels), "y_label": "ms"}}
    if kind == "pie":
        drawn = {"type": "pie", "segments": [{"label": label, "value": at} for at, label in enumerate(labels, 1)]}
    return {"type": "data_visualization", "title": f"A {kind}", "chart": drawn}


@pytest.fixture(scope="module")
def slack(tmp_path_factory):
    with serving(Workspace.from_json(example()), tmp_path_factory.mktemp("slack")) as slack:
        client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
        for blocks in ([SETS], [PLAN], [chart("line"), chart("bar")], [chart("area"), chart("pie")]):
            client.chat_postMessage(channel=OPS, text="x", blocks=blocks)
        yield slack


@pytest.fixture
def visit(open_page, slack):
    """Open the page of the local Slack."""

    def visit(query="", **options):
        return open_page(slack.base_url, query, OPS, **options)

    return visit


def column(page, at):
    return page.locator(f".data-table tbody tr > :nth-child({at})").all_inner_texts()


def test_a_data_table_is_sorted_by_numbers_turned_over_and_searched(visit):
    page = visit()
    table = page.locator(".data-table")
    expect(table.locator(".table-foot")).to_contain_text("1 to 5 of 12")
    table.get_by_role("button", name="Next page").click()
    expect(table.locator("tbody tr").first).to_contain_text("set-06")
    table.get_by_role("button", name="size (MiB)").click()
    expect(table.get_by_role("columnheader", name="size (MiB)")).to_have_attribute("aria-sort", "ascending")
    sizes = sorted(n * 7 % 23 for n in range(1, 13))
    assert [int(each) for each in column(page, 2)] == sizes[:5]
    table.get_by_role("button", name="size (MiB)").click()
    assert [int(each) for each in column(page, 2)] == sizes[::-1][:5]
    table.get_by_role("searchbox").fill("set-03")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table.get_by_role("rowheader")).to_have_text("set-03")


def test_a_plan_says_each_tasks_state_in_words_too(visit):
    page = visit()
    plan = page.locator(".plan")
    expect(plan).to_contain_text("1 of 4")
    for label in ("Complete", "Failed", "In progress", "Pending"):
        expect(plan.get_by_role("img", name=label)).to_be_visible()
    expect(plan).to_contain_text("2 tables differ")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_charts_are_drawn_in_both_themes_and_told_in_words(visit, theme):
    page = visit(f"?theme={theme}")
    drawn = page.locator(".chart svg")
    expect(drawn).to_have_count(4)
    told = [each.get_attribute("aria-label") for each in drawn.all()]
    assert told[0] == "A line. p50: Mon 1.5, Tue 3, Wed 4.5; p95: Mon 1.5, Tue 3, Wed 4.5"
    assert told[3] == "A pie. Mon 1, Tue 2, Wed 3"
    ground, ink = page.evaluate(
        "() => { const tick = document.querySelector('.tick');"
        " return [getComputedStyle(document.body).backgroundColor, getComputedStyle(tick).fill]; }"
    )
    light = [sum(map(int, each[4:-1].split(","))) for each in (ground, ink)]
    assert (light[0] > light[1]) is (theme == "light")
    assert abs(light[0] - light[1]) > 250


def test_four_hundred_pixels_are_enough(visit):
    page = visit(viewport={"width": 400, "height": 800})
    expect(page.locator("#sidebar")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    widths = [each.bounding_box()["width"] for each in page.locator(".data-table, .plan, .chart").all()]
    assert min(widths) > 200
    assert max(widths) <= 400
    page.get_by_role("button", name="Channels and people").click()
    expect(page.locator("#sidebar")).to_be_visible()
    page.get_by_role("button", name="general").click()
    expect(page.get_by_role("heading", name="# general").first).to_be_visible()
    expect(page.locator("#sidebar")).to_be_hidden()
