"""Reports fit Slack's limits whatever they hold, and nothing from outside pings or formats."""

import io
import json
import re

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console
from slack_sdk.models.blocks import Block

from workers.rendering import blocks, forms, limits
from workers.rendering import message as render
from workers.rendering.terminal import to_terminal
from workers.report import Attachment, Check, Facts, Links, Report, Status, Table, Text
from workers.wording import NOTHING, Linked, size

texts = st.text(max_size=400) | st.sampled_from(
    ["<!channel>", "<@U012AB3CD>", "`rm`", "*bold*", "```", "a" * 5000, "<https://x|y>", "é😀\u202e", "&lt;!here&gt;"]
)
names = st.text(min_size=1, max_size=40)
tables = st.integers(1, 4).flatmap(
    lambda width: st.builds(
        Table,
        title=texts,
        columns=st.tuples(*[names] * width),
        rows=st.lists(st.tuples(*[texts] * width), max_size=30).map(tuple),
    )
)
sections = st.one_of(
    st.builds(Facts, title=texts, items=st.lists(st.tuples(names, texts), max_size=8).map(tuple)),
    tables,
    st.builds(Text, title=texts, text=texts, literal=st.booleans()),
)
checks = st.builds(
    Check,
    name=names,
    title=names,
    status=st.sampled_from(Status),
    figure=texts,
    sentence=texts,
    look_further=texts,
    details=st.lists(sections, max_size=3).map(tuple),
    figures=st.just({}),
    took_seconds=st.just(0.1),
)
reports = st.builds(
    Report,
    title=names,
    status=st.sampled_from(Status),
    summary=texts,
    checks=st.lists(checks, max_size=12).map(tuple),
    sections=st.lists(sections, max_size=3).map(tuple),
    hints=st.lists(names, max_size=3).map(tuple),
    took_seconds=st.just(1.0),
)


@settings(phases=[Phase.explicit, Phase.reuse, Phase.generate], deadline=None)  # shrinking takes minutes
@given(reports)
def test_every_report_fits_slacks_limits_and_pings_nobody(report):
    for message in [render.root(report, "health", "U0VERA"), *render.details(report)]:
        assert message.text
        assert not re.findall(r"<[^>]*>", message.text)
        assert (1 <= len(message.blocks) <= 50) is not bool(message.filename)
        assert not limits.refused(message.blocks)
        for block in message.blocks:
            if block["type"] not in {"data_table", "data_visualization"}:
                Block.parse(block).validate_json()
            for text in mrkdwn(block):
                assert set(re.findall(r"<[^>]*>", text)) <= {"<@U0VERA>"}


def mrkdwn(part):
    """The texts in which Slack looks for mentions; cells are shown as they are."""
    if isinstance(part, dict):
        found = [part["text"]] if part.get("type") == "mrkdwn" else []
        return [*found, *(text for each in part.values() for text in mrkdwn(each))]
    return [text for each in part for text in mrkdwn(each)] if isinstance(part, list) else []


def report(**changes):
    fine = Check(name="pods", title="Pods", status=Status.OK, figure="2/2 ready", sentence="Both pods are ready.")
    bad = Check(
        name="postgres",
        title="PostgreSQL",
        status=Status.FAIL,
        sentence="127.0.0.1:5432 refuses connections.",
        look_further="kubectl get pods -n data-platform -l app=postgres",
        details=(Table(columns=("pod", "restarts"), rows=(("a", "1"), ("bbb", "100")), numeric=("restarts",)),),
    )
    return Report(title="MLflow health", status=Status.FAIL, summary="PostgreSQL fails.", checks=(bad, fine), **changes)


def test_the_root_message_has_the_verdict_and_a_line_per_check_in_the_reports_order():
    message = render.root(report(took_seconds=1.24), "health", "U0VERA")
    lines = "\n".join(block["text"]["text"] for block in message.blocks[:-1]).splitlines()
    assert lines[0] == ":x: *MLflow health*: PostgreSQL fails."
    assert lines[1].startswith(":x: *PostgreSQL*")
    assert lines[2] == ":white_check_mark: 1 other check OK"
    assert message.blocks[-1]["elements"][0]["text"] == (
        "`/mlflow health` asked by <@U0VERA> · 1.2 s · details in the thread"
    )


def test_of_details_that_need_many_messages_the_beginning_is_told_and_all_of_it_is_a_file():
    long = Text(title="Log", text="\n".join(f"line {number} <!channel>" for number in range(5000)), literal=True)
    beginning, message, last = render.details(report(sections=(long,), hints=("logs",)))
    told = json.dumps(beginning.blocks)
    assert "kubectl get pods" in told
    assert "line 0 " in told
    assert "line 4999" not in told
    assert message.filename == "mlflow-health.txt"
    assert "line 4999 <!channel>" in message.content
    assert message.text == "MLflow health: all details"
    assert last.blocks == [blocks.section("Next: `/mlflow logs`")]


def test_a_short_table_is_slacks_own_and_says_where_to_look_further():
    (message,) = render.details(report())
    assert "Look further: `kubectl get pods -n data-platform -l app=postgres`" in message.blocks[0]["text"]["text"]
    table = message.blocks[1]
    assert table["type"] == "table"
    assert [[cell["text"] for cell in row] for row in table["rows"]] == [
        ["pod", "restarts"],
        ["a", "1"],
        ["bbb", "100"],
    ]
    assert table["column_settings"][1] == {"align": "right"}


def test_in_older_blocks_a_table_is_aligned_in_fixed_width():
    (message,) = render.details(report())
    (older,) = forms.in_form(forms.OLDER, message.text, message.blocks)
    assert "pod  restarts\na           1\nbbb       100" in older.blocks[1]["text"]["text"]


def test_a_long_table_has_numbers_to_sort_and_its_unit_in_the_heading():
    rows = tuple((f"set-{number}", size(number << 20), "3") for number in range(1, 251))
    sets = Table(title="Sets", columns=("id", "size", "took"), rows=rows)
    first, *others = render.details(Report(title="Backups", status=Status.OK, summary="250", sections=(sets,)))
    table = first.blocks[0]
    assert table["caption"] == "Sets (1 to 100 of 250)"
    assert [cell["text"] for cell in table["rows"][0]] == ["id", "size (MiB)", "took"]
    assert table["rows"][2] == [
        {"type": "raw_text", "text": "set-2"},
        {"type": "raw_number", "value": 2 << 20, "text": "2.0"},
        {"type": "raw_number", "value": 3.0, "text": "3"},
    ]
    assert sum(len(each.blocks[0]["rows"]) - 1 for each in (first, *others)) == 250


def test_a_cell_that_leads_somewhere_is_a_link():
    runs = Table(columns=("run", "loss"), rows=((Linked("abc", "https://mlflow.example.com/#/runs/abc"), "0.1"),))
    (message,) = render.details(Report(title="Runs", status=Status.OK, summary="1 run", sections=(runs,)))
    (element,) = message.blocks[0]["rows"][1][0]["elements"][0]["elements"]
    assert element == {"type": "link", "text": "abc", "url": "https://mlflow.example.com/#/runs/abc"}


def test_more_tables_than_messages_leave_the_short_ones_as_lines():
    short = [Table(title=f"Short {n}", columns=("a", "b"), rows=((f"cell {n}", "1"),)) for n in range(6)]
    long = Table(title="Long", columns=("a", "b"), rows=tuple((f"row {n}", f"{n}") for n in range(20)))
    messages = render.details(Report(title="T", status=Status.OK, summary="s", sections=(*short, long)))
    kinds = [block["type"] for message in messages for block in message.blocks]
    assert kinds.count("data_table") == 1
    assert "table" not in kinds
    assert len(messages) <= render.DETAIL_MESSAGES


def test_a_short_table_of_lines_has_none_that_a_thread_would_break():
    row = ("quick", "12", NOTHING, "3", Linked("1a2b3c4d5e", "https://example.slack.com/p1"), "a *b* <!here>")
    columns = ("queue", "waiting", "oldest", "workers", "last failed", "which it was of all that failed in a day")
    wide = [Table(title=f"Queues {n}", columns=columns, rows=(row,)) for n in range(6)]
    messages = render.details(Report(title="T", status=Status.OK, summary="s", sections=tuple(wide)))
    texts = [block["text"]["text"] for message in messages for block in message.blocks if block["type"] == "section"]
    assert not any("```" in each for each in texts)
    said = f"• queue *quick*: waiting 12 · oldest {NOTHING} · workers 3 · last failed <https://example.slack.com/p1|"
    said += "1a2b3c4d5e> · which it was of all that failed in a day a *\u2060b* &lt;!here&gt;"
    assert texts.count(said) == len(wide)


@pytest.mark.parametrize("words", ["health <!channel>", "health `x` <@U1>", "health *b* & <http://x|y>"])
def test_the_words_of_a_command_cannot_ping(words):
    for message in (render.asked(words, "U0VERA"), render.failed(words, "U0VERA", words, words)):
        text = message.blocks[0]["text"]["text"]
        assert set(re.findall(r"<[^>]*>", text)) == {"<@U0VERA>"}


def test_a_terminal_shows_what_is_behind_the_bad_checks_only_unless_asked():
    def printed(**options):
        console = Console(file=io.StringIO(), width=120)
        to_terminal(report(), console, **options)
        return console.file.getvalue()

    short, full = printed(), printed(details=True)
    assert "$ kubectl get pods -n data-platform -l app=postgres" in short
    assert short.count("Both pods are ready.") == 1
    assert full.count("Both pods are ready.") == 2


def test_a_terminal_prints_a_manifest_as_it_is_and_names_other_files():
    lines = "".join(f"line{number}: '{'[x] ' * 60}'\n" for number in range(80))
    files = (
        Attachment(filename="deployment-mlflow.yaml", content=lines, printed=True),
        Attachment(filename="mlflow-logs.txt", content="one\ntwo\n"),
    )
    console = Console(file=io.StringIO(), width=60)
    to_terminal(report(attachments=files), console)
    told = console.file.getvalue()
    assert lines in told
    assert "mlflow-logs.txt: 2 lines; -o json has them" in told


def test_what_is_too_long_for_its_place_is_cut_there():
    long = "x" * 5000
    assert len(blocks.section(long)["text"]["text"]) == blocks.SECTION_TEXT
    assert len(blocks.header(long)["text"]["text"]) == blocks.HEADER_TEXT
    assert len(blocks.context(long)["elements"][0]["text"]) == blocks.CONTEXT_TEXT
    assert len(blocks.button("do", long)["text"]["text"]) == blocks.BUTTON_TEXT
    assert len(blocks.home([blocks.divider()] * 101)["blocks"]) == blocks.VIEW_BLOCKS
    assert [len(part["text"]["text"]) for part in blocks.paragraphs(long)] == [3000, 2000]


def test_links_to_which_a_tables_cells_lead_are_not_said_twice():
    rows = ((Linked("924942c97f", "https://example.slack.com/p1"), "scale 4"),)
    links = Links(title="Threads", items=(("924942c97f scale 4", "https://example.slack.com/p1"),))
    others = Links(title="Others", items=(("a", "https://example.slack.com/p2"),))
    (message,) = render.details(
        Report(
            title="Commands",
            status=Status.OK,
            summary="1",
            sections=(Table(columns=("id", "command"), rows=rows), links, others),
        )
    )
    said = json.dumps(message.blocks)
    assert said.count("https://example.slack.com/p1") == 1
    assert "https://example.slack.com/p2" in said
