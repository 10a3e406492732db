"""Whatever experiments, runs and tags are called, and whatever is typed: found again, told whole, pinging nobody."""

import shlex
import uuid

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as about
from hypothesis import strategies as st

from commands import grammar
from tests.workers.rendering.texts import texts_of
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.redaction import without_secrets
from workers.rendering import blocks, limits
from workers.rendering import message as render

ODD = (
    "<!channel> <@U07ADAO0003> <https://evil.example|click>",
    "*bold* _it_ ~no~ `code` ```block```",
    "😀🏳️‍🌈 ünï\u202ecode",
    "line\nbreak\tand tab",
    'it\'s "quoted" `x` \\ back',
    "'; DROP TABLE runs; --",
    "&lt;!here&gt;",
    "-- --all",
    "50% {x} %s",
)
EVERYTHING = " ".join(ODD)
# PostgreSQL's text holds no NUL, and UTF-8 no surrogates; Slack sends neither.
anything = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=60),
)
quick = about(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def told_safely(report, words):
    """As Slack would get it; all of its texts together."""
    said = []
    for message in [render.root(report, words, "U012AB3CD"), *render.details(report)]:
        assert len(message.blocks) <= blocks.BLOCKS
        assert limits.refused(message.blocks) == []
        read = [message.text, *texts_of(message.blocks, "mrkdwn")]
        for text in read:
            bare = text.replace("<@U012AB3CD>", "")
            assert "<" not in bare
            assert ">" not in bare
            assert len(text) <= blocks.SECTION_TEXT
        texts = [*read, *texts_of(message.blocks, "plain_text", "raw_text", "text")]
        said += texts
    return "\n".join(said)


@pytest.fixture
def told(mlflow):
    """Types a command as a person would, and looks at what Slack gets; the report, or None where it was refused."""

    def tell(*typed):
        words = shlex.join(typed)
        try:
            operation = grammar.parse(words)
            report = performing.perform_here(operation, words, "olga", mlflow, Unwatched())
        except (OperatorError, grammar.UsageError):
            return None
        told_safely(report, words)
        return report

    return tell


@quick
@given(anything)
@example(EVERYTHING)
def test_an_experiment_of_any_name_is_made_found_shown_and_deleted(told, text):
    name = f"x{uuid.uuid4().hex[:8]} {text} x"
    made = told("experiments", "create", name)
    if made is None:
        # MLflow or we have said why: control characters, or a name that is a path.
        return
    assert grammar.parse(shlex.join(["experiments", "show", name])).experiment == name
    shown = told("experiments", "show", name)
    assert shown is not None
    assert shown.title == without_secrets(f"Experiment {name}")
    assert any(row[0] == without_secrets(name) for row in told("experiments", "search", name[:9]).sections[0].rows)
    told("runs", "search", name)
    told("runs", "compare", name)
    assert told(*shlex.split(made.undo)) is not None


@pytest.mark.slow
@quick
@given(anything, anything)
@example(EVERYTHING, EVERYTHING)
def test_no_filter_order_or_id_breaks_anything(told, filter_, other):
    told("runs", "search", "load-forecast-eu", filter_)
    told("runs", "search", "load-forecast-eu", "--order-by", filter_)
    told("runs", "search", "load-forecast-eu", f"tags.x = '{filter_}'")
    told("runs", "show", filter_)
    told("runs", "compare", filter_, other)
    told("models", "show", filter_)
    told("experiments", "show", other)
    told("db", "vacuum", filter_)


@quick
@given(anything, anything)
@example(EVERYTHING, EVERYTHING)
def test_a_run_and_its_tags_of_any_name_are_found_and_told_whole(told, mlflow, experiment, name, value):
    called = f"{uuid.uuid4().hex[:8]}x {name}"
    body = {"experiment_id": experiment[0], "run_name": called}
    run = mlflow.tracking.call("runs/create", body)["run"]["info"]["run_id"]
    if told("runs", "tag", run, f"note={value}") is not None:
        rows = {
            row for section in told("runs", "show", run).sections if section.kind == "table" for row in section.rows
        }
        assert ("note", without_secrets(value)) in rows
    by_name = told("runs", "show", called)
    assert by_name is None or run in str(by_name.sections)
    told("runs", "search", experiment[1])
