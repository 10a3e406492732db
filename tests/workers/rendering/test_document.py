"""A report as data: what `-o json` prints, which its schema in docs/ describes."""

import csv
import json
from io import StringIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from workers.rendering import document, output
from workers.report import Attachment, Check, Facts, Links, Report, Status, Table, Text
from workers.wording import NOTHING, Figure, ago, count, duration, milliseconds, moment, share, size, thousands

SCHEMA = Path(__file__).parents[3] / "docs" / "report.schema.json"
RUN = "0b41f7d2a9c04c6e8a1f2b3c4d5e6f70"
REPORT = Report(
    title="Runs of churn",
    status=Status.WARN,
    summary="2 runs.",
    sections=(
        Table(
            columns=("run", "id", "started (UTC)", "took", "size", "rmse", "rmse", ""),
            rows=(
                ("a", Figure(RUN[:8], RUN, "name"), moment(0), duration(61.5), size(1536), "0.5", NOTHING, "██"),
                ("b, c", "7", NOTHING, NOTHING, size(0), Figure("nan", float("nan")), "x", ""),
            ),
            numeric=("took", "size"),
        ),
        Facts(items=(("runs", thousands(1234)), ("SHA-256", "a"), ("SHA-256", "b"), ("share", share(0.1234)))),
    ),
    hints=("runs show a",),
)


def print_as(form, report=REPORT):
    page = StringIO()
    output.write(report, output.Form(form), page)
    return page.getvalue()


def test_figures_are_numbers_and_moments_iso_8601():
    table, facts = json.loads(print_as("json"))["sections"]
    assert table["rows"] == [
        {
            "run": "a",
            "id": RUN,
            "started": "1970-01-01T00:00:00Z",
            "took": 61.5,
            "size": 1536,
            "rmse": "0.5",
            "rmse_2": None,
        },
        {"run": "b, c", "id": "7", "started": None, "took": None, "size": 0, "rmse": "nan", "rmse_2": "x"},
    ]
    assert {each["key"]: each["unit"] for each in table["columns"]} == {
        "run": None,
        "id": "name",
        "started": "time",
        "took": "seconds",
        "size": "bytes",
        "rmse": "number",
        "rmse_2": None,
    }
    assert table["by"] == "id"
    assert facts["items"] == {"runs": 1234, "SHA-256": "a", "SHA-256_2": "b", "share": 0.1234}
    assert facts["units"] == {"runs": "number", "share": "share"}


@pytest.mark.parametrize(
    ("figure", "value", "unit"),
    [
        (size(1.5 * 1024**3), 1610612736, "bytes"),
        (duration(90), 90, "seconds"),
        (ago(3600), 3600, "seconds"),
        (milliseconds(0.0123), 0.0123, "seconds"),
        (share(0.5), 0.5, "share"),
        (count(3, "pod"), 3, "number"),
        (moment(1764460800), "2025-11-30T00:00:00Z", "time"),
    ],
)
def test_what_is_said_of_a_number_knows_the_number(figure, value, unit):
    assert (figure.value, figure.unit) == (value, unit)
    assert type(f"{figure} left") is str, "in a sentence it is only words"
    kept = Report(title="", status=Status.OK, summary="", sections=(Facts(items=(("it", figure),)),))
    assert kept.sections[0].items[0][1].value == value
    assert json.loads(kept.model_dump_json())["sections"][0]["items"] == [["it", str(figure)]]


def test_yaml_holds_the_same():
    assert yaml.safe_load(print_as("yaml")) == json.loads(print_as("json"))


def test_csv_holds_the_values_of_the_table():
    rows = list(csv.reader(StringIO(print_as("csv"))))
    assert rows[0] == ["run", "id", "started", "took", "size", "rmse", "rmse_2"]
    assert rows[1] == ["a", RUN, "1970-01-01T00:00:00Z", "61.5", "1536", "0.5", ""]
    assert rows[2][0] == "b, c"
    whole = REPORT.model_copy(update={"attachments": (Attachment(filename="runs.csv", content="run_id\n1\n"),)})
    assert print_as("csv", whole) == "run_id\n1\n", "the file has what a table is too short for"


def test_name_is_what_rows_are_called():
    assert print_as("name") == f"{RUN}\n7\n"
    check = Check(name="pods", title="Pods", status=Status.OK, sentence="2 of 2")
    assert print_as("name", Report(title="", status=Status.OK, summary="", checks=(check,))) == "pods\n"


def test_the_schema_in_the_documents_is_current():
    assert json.loads(SCHEMA.read_text()) == document.schema(), (
        "run: mlflow-ops config schema > docs/report.schema.json"
    )


texts = st.text(max_size=20)
figures = st.builds(Figure, texts, st.one_of(st.integers(), st.floats(), texts), st.sampled_from(["bytes", "time"]))
said = st.one_of(texts, figures, st.just(NOTHING))


@st.composite
def sections(draw):
    columns = tuple(draw(st.lists(texts, min_size=1, max_size=4)))
    return draw(
        st.one_of(
            st.builds(Facts, title=texts, items=st.lists(st.tuples(texts, said), max_size=4).map(tuple)),
            st.builds(Text, title=texts, text=texts),
            st.builds(Links, items=st.lists(st.tuples(texts, texts), max_size=2).map(tuple)),
            st.builds(
                Table,
                columns=st.just(columns),
                rows=st.lists(st.tuples(*(said for _ in columns)), max_size=3).map(tuple),
            ),
        )
    )


statuses = st.sampled_from(list(Status))
several = st.lists(sections(), max_size=3).map(tuple)
checks = st.builds(Check, name=texts, title=texts, status=statuses, sentence=texts, details=several)
reports = st.builds(
    Report,
    title=texts,
    status=statuses,
    summary=texts,
    checks=st.lists(checks, max_size=2).map(tuple),
    sections=several,
)


@given(reports)
def test_every_report_is_as_the_schema_says_and_loses_no_row(report):
    told = json.loads(print_as("json", report))
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(told)
    for made, given_ in zip(told["sections"], report.sections, strict=True):
        if isinstance(given_, Table):
            assert len(made["rows"]) == len(given_.rows)
            assert len(made["columns"]) == sum(1 for name in given_.columns if name.strip())
        if isinstance(given_, Facts):
            assert len(made["items"]) == len(given_.items)
    yaml.safe_load(print_as("yaml", report))
    print_as("csv", report)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((), 0),
        (("ok",), 0),
        (("ok", "warn"), 0),
        (("ok", "fail"), 1),
        (("unknown", "fail"), 1),
        (("ok", "unknown"), 3),
        (("warn", "unknown"), 3),
    ],
)
def test_exit_codes(verdicts, code):
    made = tuple(Check(name=each, title=each, status=Status(each), sentence=".") for each in verdicts)
    worst = max((each.status for each in made), key=lambda status: status.severity, default=Status.OK)
    assert output.exit_code(Report(title="", status=worst, summary="", checks=made)) == code


class Window(StringIO):
    def isatty(self):
        return True


def test_in_a_pipe_there_are_no_colors_and_a_row_is_a_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    page = StringIO()
    output.write(REPORT, None, page)
    assert "\x1b" not in page.getvalue()
    lines = page.getvalue().splitlines()
    assert any("1970-01-01 00:00 UTC" in line and "1.5 KiB" in line and "██" in line for line in lines)
    assert lines[0] == "Runs of churn  warn  2 runs."


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_in_a_window_there_are_unless_nobody_wants_them(monkeypatch, no_color, colored):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    window = Window()
    output.write(REPORT, None, window)
    assert ("\x1b[33m" in window.getvalue()) is colored
    assert "not shown for want of room: " in window.getvalue()
    wide = Window()
    output.write(REPORT, output.Form.WIDE, wide)
    assert "not shown" not in wide.getvalue()
