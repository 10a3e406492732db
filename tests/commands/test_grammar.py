"""What is typed after /mlflow becomes an operation, or one sentence with the right usage."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import grammar
from workers.operation import Operation
from workers.operations import choices
from workers.operations.health import CHECKS, QUESTIONS, Health
from workers.operations.restore.cluster_objects import KINDS


def test_health_alone_asks_everything():
    assert grammar.parse("health") == Health()


def test_health_takes_checks_and_a_deadline():
    assert grammar.parse("health pods postgres --deadline 2.5") == Health(
        checks=("pods", "postgres"), deadline_seconds=2.5
    )


@pytest.mark.parametrize("text", ["", "help", "  ", "--help", "-h"])
def test_help_lists_every_command(text):
    answer = grammar.parse(text)
    assert isinstance(answer, grammar.Help)
    for path, _ in grammar.suggestions():
        if path != "help":
            assert path.split()[0] in answer.text


def test_what_stands_under_a_word_stands_nowhere_else():
    paths = [path.split() for path, _ in grammar.suggestions()]
    groups = {path[0] for path in paths if len(path) > 1}
    assert {"config", "cert", "maintenance", "backup"} <= groups
    assert not {path[0] for path in paths if len(path) == 1} & {"show", "set", "unset", "renew", "start", "end", "list"}


@pytest.mark.parametrize("text", ["help health", "health --help", "health -h"])
def test_help_of_a_command_shows_usage_and_examples(text):
    answer = grammar.parse(text)
    assert isinstance(answer, grammar.Help)
    assert "Usage: /mlflow health" in answer.text
    assert "/mlflow health postgres mlflow" in answer.text


def test_help_names_the_program_that_was_used():
    answer = grammar.parse("help health", program="mlflow-ops run")
    assert isinstance(answer, grammar.Help)
    assert "Usage: mlflow-ops run health" in answer.text


@pytest.mark.parametrize(
    ("text", "sentence", "usage"),
    [
        ("helth", "Did you mean “/mlflow health”?", "/mlflow health"),
        ("HELTH", "Did you mean “/mlflow health”?", "/mlflow health"),
        ("xyzzy", "There is no command “xyzzy”.", "/mlflow help"),
        ("help xyzzy", "There is no command “xyzzy”.", "/mlflow help"),
        ('health "pods', "A quote is opened and not closed", "/mlflow health"),
        ("health podz", "Did you mean “/mlflow health pods”?", "/mlflow health"),
        ("health wxyz", "It must be one of", "/mlflow health"),
        (
            "health --dedline 3",
            "There is no option --dedline here. Did you mean “/mlflow health --deadline 3”?",
            "/mlflow health",
        ),
        ("health --deadline soon", "--deadline: “soon” is not a number.", "/mlflow health"),
        ("scale lots", "“lots” is not a whole number; it must be one between 0 and 1,000.", "/mlflow scale"),
        (f"scale {'9' * 1000}x", "9…” is not a whole number; it must be one between 0 and 1,000.", "/mlflow scale"),
        ("health --deadline 0", "--deadline: 0.0 is not in the range", "/mlflow health"),
        ("x" * 10_000, "That command is 10,000 characters long; the limit is 3,000.", "/mlflow help"),
    ],
)
def test_wrong_words_get_one_sentence_and_the_right_usage(text, sentence, usage):
    with pytest.raises(grammar.UsageError) as caught:
        grammar.parse(text)
    assert sentence in str(caught.value)
    assert usage in caught.value.usage
    assert len(str(caught.value)) < 300


def test_quotes_and_dashes_as_a_phone_types_them():
    assert grammar.parse("health “pods” \u2014deadline 2") == Health(checks=("pods",), deadline_seconds=2)


@given(st.text(max_size=200))
def test_no_text_whatever_escapes_as_another_exception(text):
    try:
        answer = grammar.parse(text)
    except grammar.UsageError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, a third is not
        assert error.usage  # noqa: PT017 - as above
    else:
        assert isinstance(answer, Operation | grammar.Help)


def test_every_check_can_be_named():
    assert grammar.parse("health " + " ".join(CHECKS)) == Health(checks=CHECKS)


def test_suggestions_are_commands_that_parse_to_help_or_an_operation():
    for path, description in grammar.suggestions():
        assert description
        assert isinstance(grammar.parse(f"{path} --help"), grammar.Help)


def test_what_can_be_named_is_what_there_is():
    assert tuple(question.name for question in QUESTIONS) == choices.CHECKS
    assert tuple(kind.lower() for kind in KINDS) == choices.OBJECTS


HEAVY = {"boto3", "botocore", "kubernetes", "mlflow", "psycopg", "pydantic", "redis", "rq", "slack_sdk", "urllib3"}


def test_help_and_a_typing_mistake_cost_no_import_of_a_gateway():
    mistakes = [
        *("helth", "health podz", "health --dedline 3", "runs tagg", "scale lots", "config set x", "cert sho"),
        *("run archive --older 90d", "runs archive 90d", "restor databse latest", "health \u201cpods", "escalate"),
    ]
    script = f"""
import sys
from commands import grammar
for text in ["help", "help restore", *{mistakes}]:
    try:
        assert isinstance(grammar.parse(text), grammar.Help), text
    except grammar.UsageError:
        assert "help" not in text
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {module.partition(".")[0] for module in done.stdout.split()} & HEAVY
