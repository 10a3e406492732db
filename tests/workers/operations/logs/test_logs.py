"""Log lines: their order, their levels, the expression that cannot hang, and that none of them pings or breaks."""

import contextlib
import json
import time
import tracemalloc
from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import grammar
from commands.since import Since
from tests.workers.rendering.texts import texts_of
from workers.errors import OperatorError
from workers.operations.health.log_errors import Groups
from workers.operations.logs.follow import LogsFollow
from workers.operations.logs.levels import LEVELS, rank, rank_of
from workers.operations.logs.line_filter import LineFilter
from workers.operations.logs.lines import Line, NewestLines, format_lines, short_names, split_timestamp
from workers.operations.logs.pattern import CHARACTERS, Pattern
from workers.operations.logs.show import FILE_CHARACTERS, Logs, attachments, sections
from workers.redaction import one_line
from workers.rendering import blocks
from workers.rendering import message as render
from workers.report import Report, Status

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
SECOND = 1_000_000_000
PINGS = ("<!channel>", "<!here>", "<@U012AB3CD>", "<!subteam^S012AB3CD>", "<#C012AB3CD>", "@channel")

nasty = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [
            *PINGS,
            "'; DROP TABLE runs; --",
            "*bold* _italic_ ~strike~ `code` ```block```",
            "😀🏳️‍🌈 héllo \u202e backwards",
            "a\nb\r\nc\u2028d\x0be",
            "\x1b[31mred\x1b[0m \x07 \x00",
            "<https://evil.example|click>",
            "&lt;!channel&gt;",
            "```\n<!channel>",
        ]
    ),
)


def line(text="x", at=0, pod="mlflow-5d9f-aaaaa", container="mlflow", number=1):
    return Line(at, pod, container, number, text)


def texts(message):
    """Every text of a message that Slack reads as markup."""
    return [message.text, *texts_of(message.blocks, "mrkdwn")]


@settings(max_examples=150, deadline=None)
@given(st.lists(nasty, max_size=30), nasty)
def test_no_line_pings_anybody_or_breaks_a_message(lines, grep):
    held = [line(text, at=number, number=number) for number, text in enumerate(lines)]
    groups = Groups()
    groups.read([f"ERROR {text}" for text in lines], "mlflow-1")
    report = Report(
        title="Logs",
        status=Status.OK,
        summary=f"1 line, {LineFilter(grep).said}.",
        sections=sections(held, groups),
        attachments=attachments(held),
    )
    live = "\n".join(("Following", *format_lines(held[-8:], whole=False)))
    messages = [
        render.root(report, f"logs --grep {grep}", "U012AB3CD"),
        render.under_way(f"logs --grep {grep}", "U012AB3CD", live, ""),
        *render.details(report),
    ]
    for message in messages:
        for text in texts(message):
            told = text.replace("<@U012AB3CD>", "", 1)
            assert "<" not in told
            assert ">" not in told
            assert len(text) <= blocks.SECTION_TEXT
        assert len(message.blocks) <= blocks.BLOCKS
        json.dumps(message.blocks)
        for text in texts(message):
            if text.startswith("```"):
                assert text.endswith("```")
                assert text.count("```") == 2


@settings(max_examples=200, deadline=None)
@given(nasty)
def test_a_line_is_one_line_without_control_characters(text):
    clean = one_line(text)
    assert len(clean.splitlines()) <= 1
    assert not any(ord(letter) < 32 and letter != "\t" for letter in clean)
    assert "\x1b" not in clean
    assert len(format_lines([line(text)], whole=True)[0].splitlines()) == 1


def test_secrets_are_masked_in_the_thread_and_in_the_file():
    held = [line(f"connecting to postgresql://mlflow:hunter22@db/x password=swordfish {n}", n) for n in range(60)]
    shown_text = sections(held, Groups())[0].text + attachments(held)[0].content
    assert "hunter22" not in shown_text
    assert "swordfish" not in shown_text


@pytest.mark.parametrize(
    ("raw", "at", "text"),
    [
        ("1970-01-01T00:00:01Z a b", SECOND, "a b"),
        ("1970-01-01T00:00:01.5Z ", SECOND + SECOND // 2, ""),
        ("1970-01-01T00:00:00.000000001Z x", 1, "x"),
        ("1970-01-01T01:00:00+01:00 x", 0, "x"),
        ("no time at all", None, "no time at all"),
        ("1970-13-01T00:00:01Z x", None, "1970-13-01T00:00:01Z x"),
        ("", None, ""),
    ],
)
def test_the_time_of_a_line(raw, at, text):
    assert split_timestamp(raw) == (at, text)


def test_lines_without_a_fraction_come_before_those_with_one_in_the_same_second():
    stamps = ["2026-11-23T15:00:00Z", "2026-11-23T15:00:00.1Z", "2026-11-23T15:00:00.12Z", "2026-11-23T15:00:01Z"]
    assert sorted(stamps) != stamps
    assert [split_timestamp(f"{each} x")[0] for each in stamps] == sorted(
        split_timestamp(f"{each} x")[0] for each in stamps
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from("ab")), max_size=60), st.integers(1, 20))
def test_the_newest_lines_are_held_in_the_order_of_their_times(added, most):
    newest = NewestLines(most)
    lines = [Line(at, pod, "c", number, "") for number, (at, pod) in enumerate(added)]
    for each in lines:
        newest.add(each)
    assert newest.lines() == sorted(lines)[-most:]
    assert newest.added == len(lines)


def test_an_endless_log_costs_no_memory():
    newest = NewestLines(100)
    tracemalloc.start()
    for number in range(50_000):
        newest.add(Line(number, "pod", "mlflow", number, f"{number} " + "x" * 1000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000
    assert [each.number for each in newest.lines()] == list(range(49_900, 50_000))


def test_a_file_ends_where_it_would_be_too_large_and_says_so():
    held = [line("x" * 1900, at, number=at) for at in range(3000)]
    (file,) = attachments(held)
    assert len(file.content) <= FILE_CHARACTERS + 100
    assert "older lines are left out" in file.content.splitlines()[0]
    assert file.content.splitlines()[-1].startswith("1970-01-01T00:00:00")


def test_few_short_lines_need_no_file():
    assert attachments([line("x", at) for at in range(25)]) == ()
    assert attachments([line("x" * 400)])[0].filename == "mlflow-logs.txt"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("2026/11/23 15:24:49 ERROR mlflow.server: no", "error"),
        ("[2026-11-23 15:24:49 +0000] [7] [CRITICAL] WORKER TIMEOUT", "critical"),
        ("WARNING: retrying after ERROR 500", "warning"),
        ('{"level": "debug", "event": "ERROR is a word here"}', "debug"),
        ('INFO:     10.0.0.1:1 - "GET /api HTTP/1.1" 503 Service Unavailable', "error"),
        ('INFO:     10.0.0.1:1 - "GET /api HTTP/1.1" 200 OK', "info"),
        ("W1123 15:24:49.123456       1 main.go:12] slow", "warning"),
        ("level=warn msg=slow", "warning"),
        ("FATAL:  password authentication failed", "critical"),
        ("Traceback (most recent call last):", "error"),
        ("LOG:  checkpoint complete", "info"),
    ],
)
def test_levels(text, level):
    assert rank_of(text) == rank(level)


def test_a_traceback_has_the_level_of_the_line_that_announces_it():
    told = [
        "INFO ok",
        "ERROR boom",
        "Traceback (most recent call last):",
        '  File "a.py", line 3',
        "KeyError: 'a'",
        "INFO ok",
    ]
    sieve = LineFilter(level="error").sieve(None)
    assert [text for text in told if sieve.passes(text)] == told[1:5]
    assert [level for level in LEVELS if LineFilter(level=level).sieve(None).passes("  indented at the beginning")] == [
        "debug",
        "info",
    ]


@pytest.mark.parametrize("expression", [r"(a+)+$", r"(a|a)*$", r"(.*a){30}x", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_catastrophic_expression_ends_with_a_sentence(expression):
    began = time.monotonic()
    with pytest.raises(OperatorError, match="takes too long"):
        Pattern(expression).found("a" * 5000 + "!")
    assert time.monotonic() - began < 5


def test_slow_lines_add_up_to_an_end():
    pattern = Pattern(r"(a+)+$", all_seconds=0.2)
    began = time.monotonic()
    with pytest.raises(OperatorError, match="takes too long"):
        sum(pattern.found("a" * 12 + "!") for _ in range(10_000))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("expression", ["(", "[a", "a{2,1}", "(?P<x>a)(?P<x", "*", "(?<n", "\\"])
def test_what_is_no_expression_is_told(expression):
    with pytest.raises(OperatorError, match="not a regular expression"):
        Pattern(expression)


def test_a_long_expression_is_told():
    with pytest.raises(OperatorError, match="the limit is"):
        Pattern("a" * (CHARACTERS + 1))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80), st.text(max_size=200))
def test_any_expression_is_answered_or_refused(expression, text):
    with contextlib.suppress(OperatorError):
        assert Pattern(expression, all_seconds=1).found(text) in {True, False}


def test_capitals_make_case_count():
    assert Pattern("error").found("ERROR x")
    assert not Pattern("Error").found("ERROR x")


def test_pods_are_shown_by_the_shortest_end_that_tells_them_apart():
    assert short_names({"mlflow-5d9-aaaaa", "mlflow-5d9-bbbbb"}) == {
        "mlflow-5d9-aaaaa": "aaaaa",
        "mlflow-5d9-bbbbb": "bbbbb",
    }
    assert short_names({"postgres-0", "minio-0"}) == {"postgres-0": "postgres-0", "minio-0": "minio-0"}
    assert short_names({"a"}) == {"a": "a"}


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("6h", timedelta(hours=6)),
        ("6h ago", timedelta(hours=6)),
        ("90d", timedelta(days=90)),
        ("today", timedelta(hours=15, minutes=30)),
        ("Yesterday", timedelta(days=1, hours=15, minutes=30)),
        ("2026-11-23", timedelta(hours=15, minutes=30)),
        ("2026-11-23T15:00", timedelta(minutes=30)),
        ("2026-11-23T15:00+01:00", timedelta(minutes=90)),
    ],
)
def test_times_as_people_say_them(text, ago):
    assert Since(lambda: NOW).convert(text, None, None) == ago.total_seconds()


@pytest.mark.parametrize(
    "text", ["", "soon", "0h", "2026-11-24", "2026-13-01", "1900-01-01", "-3h", "99999999h", "yesterdy"]
)
def test_what_is_no_time_is_told(text):
    with pytest.raises(click.BadParameter, match="“"):
        Since(lambda: NOW).convert(text, None, None)


def test_commands():
    asked = grammar.parse(
        "logs --pod 'x7 k2' --container mlflow --tail 50 --since 1h --grep 'a b' --level ERROR --previous"
    )
    assert asked == Logs(
        pod="x7 k2", container="mlflow", tail=50, since_seconds=3600, grep="a b", level="error", previous=True
    )
    assert grammar.parse("logs show") == grammar.parse("logs") == Logs()
    assert grammar.parse("logs --follow 30s") == LogsFollow(seconds=30)
    assert grammar.parse("logs archive").name == "logs-archive"
    assert grammar.parse("logs size --pod a").pod == "a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("logs --level eror", "Did you mean “/mlflow logs --level error”"),
        ("logs --tail 0", "--tail"),
        ("logs --tail 9999999", "--tail"),
        ("logs --since soon", "is not a time"),
        ("logs --follow 1h", "at most 5 minutes"),
        ("logs --follow 1m --previous", "without --previous"),
        ("logs siz", "Did you mean “/mlflow logs size”"),
        ("logs --grep 'a", "quote is opened"),
        ("logs nonsense", "There is no command"),
    ],
)
def test_what_is_wrong_is_told(text, said):
    with pytest.raises(grammar.UsageError) as told:
        grammar.parse(text)
    assert said in str(told.value)
