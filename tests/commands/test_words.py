"""Every word as people type it: in a hurry, on a phone, pasted from a page."""

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.unescaping import unescaped
from commands import grammar
from commands.grammar import words
from tests.commands.typed import MEANT, cases
from workers.operation import Operation
from workers.operations.commands.dry_run import DryRun
from workers.operations.database.vacuum import DatabaseVacuum
from workers.operations.deployment.scale import Scale
from workers.operations.experiments.show import ExperimentShow
from workers.operations.health import Health
from workers.operations.runs.archive import RunsArchive
from workers.wording import as_typed, plain_form

HELP = "Usage: /mlflow "


def meaning(text):
    """The operation; or how its help begins; or, of a usage error, what is offered instead."""
    try:
        asked = grammar.parse(text)
    except grammar.UsageError as error:
        return error.line or error.message
    return asked.text.partition("\n")[0] if isinstance(asked, grammar.Help) else asked


@pytest.mark.parametrize("delivered", cases())
def test_the_words_that_people_typed_mean_what_they_meant(delivered):
    meant, found = MEANT[delivered], meaning(unescaped(delivered))
    assert found.startswith(meant) if isinstance(meant, str) else found == meant


@pytest.mark.parametrize("delivered", cases())
def test_what_is_recorded_means_the_same(delivered):
    text = unescaped(delivered)
    again = grammar.recorded(text)
    assert meaning(again) == meaning(text)
    assert grammar.recorded(again) == again


@pytest.mark.parametrize(
    ("text", "what"),
    [
        # Free text is what was typed.
        ("escalate MLflow is \"down\" and 'gone'", "MLflow is \"down\" and 'gone'"),
        ("escalate \"MLflow\" says 'no'", "\"MLflow\" says 'no'"),
        ('escalate "MLflow is down"', "MLflow is down"),
        ("escalate \u201cMLflow is down\u201d", "MLflow is down"),
        ('escalate "MLflow is down', '"MLflow is down'),
        ("escalate it\u2019s down \u2014 nobody can log in", "it\u2019s down \u2014 nobody can log in"),
        ("escalate \u2014 all is down", "\u2014 all is down"),
        ("escalate we ran kubectl --force and it broke", "we ran kubectl --force and it broke"),
        ("escalate -- --dry-run is broken", "--dry-run is broken"),
        ("escalate two  spaces\nand a line", "two  spaces\nand a line"),
        ("escalate please help", "please help"),
        ("escalate is it down?", "is it down?"),
        ("ESCALATE MLflow IS DOWN", "MLflow IS DOWN"),
        ("/mlflow escalate 100% of $HOME `x` \\ *bold* #1 & <2>", "100% of $HOME `x` \\ *bold* #1 & <2>"),
        ("escalate 'tis down", "'tis down"),
    ],
)
def test_nobody_who_calls_for_help_is_misread(text, what):
    assert grammar.parse(text).what == what


@pytest.mark.parametrize(
    ("text", "reason", "seconds"),
    [
        ("maintenance start we're upgrading", "we're upgrading", 7200),
        ("maintenance start --for 1h we're upgrading", "we're upgrading", 3600),
        ("maintenance start we're upgrading --for=1h", "we're upgrading", 3600),
        ("maintenance start we're upgrading \u2014for 90 minutes", "we're upgrading \u2014for 90 minutes", 7200),
        ("maintenance start we're upgrading \u2014for \u201c90 minutes\u201d", "we're upgrading", 5400),
        ("maintenance start wait --for the disk to fill", "wait --for the disk to fill", 7200),
        ("maintenance start 'moving on' --for 1h", "moving on", 3600),
        ("maintenance start --for 1h -- --for ever", "--for ever", 3600),
    ],
)
def test_options_stand_before_the_text_or_at_its_end(text, reason, seconds):
    asked = grammar.parse(text)
    assert (asked.reason, asked.seconds) == (reason, seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("scale 9 --break-glass production isn't up", "production isn't up"),
        ('scale 9 --break-glass "db" is gone, it\'s urgent', '"db" is gone, it\'s urgent'),
        ('scale 9 --break-glass "production is down"', "production is down"),
        ('scale --break-glass "production is down" 9', "production is down"),
        ("scale 9 \u2014break-glass=production is down", "production is down"),
    ],
)
def test_a_reason_is_what_was_typed(text, why):
    assert grammar.parse(text) == grammar.BreakGlass(Scale(replicas=9), why)


def test_why_an_alert_is_silenced_is_what_was_typed():
    asked = grammar.parse("alerts silence 3f2a9c01de --why we're moving \u201cthe\u201d database --for 1h")
    assert (asked.why, asked.seconds) == ("we're moving \u201cthe\u201d database", 3600)
    assert grammar.parse('alerts silence 3f2a9c01de --why "moving it" --for 1h').why == "moving it"
    assert grammar.parse("alerts silence --for 1h --why 'moving it' 3f2a9c01de").target == "3f2a9c01de"


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("note=don't delete it", {"note": "don't delete it"}),
        ("a=1 b=two words c=3", {"a": "1", "b": "two words", "c": "3"}),
        ("'note=two words' b=1", {"note": "two words", "b": "1"}),
        ('note="two words" b=1', {"note": "two words", "b": "1"}),
        ("note=say \"hi\" to 'them'", {"note": "say \"hi\" to 'them'"}),
        ("note=C:\\temp\\x \u2013 \u201cgone\u201d", {"note": "C:\\temp\\x \u2013 \u201cgone\u201d"}),
        ("note='tis", {"note": "'tis"}),
        ("note=acc>=0.5 is good", {"note": "acc>=0.5 is good"}),
        ("note=see http://x/y?a=b", {"note": "see http://x/y?a=b"}),
        ("note=", {"note": ""}),
    ],
)
def test_a_tags_value_is_what_was_typed(text, tags):
    assert grammar.parse(f"runs tag 4f2c {text}").tags == tags
    planned = grammar.parse(f"runs tag 4f2c {text} --dry-run")
    assert isinstance(planned, DryRun)
    assert planned.arguments["tags"] == tags


@pytest.mark.parametrize(
    ("text", "filter_"),
    [
        ("tags.note = 'it is' and metrics.a >= 1", "tags.note = 'it is' and metrics.a >= 1"),
        ("'a' = tags.x", "'a' = tags.x"),
        ('tags.`my key` != "x"', 'tags.`my key` != "x"'),
        ("", ""),
    ],
)
def test_a_filter_is_the_rest_of_the_line(text, filter_):
    assert grammar.parse(f"runs search churn {text}").filter == filter_
    found = grammar.parse(f'runs search churn --max 5 {text} --order-by "metrics.a ASC"')
    assert (found.filter, found.order_by, found.most) == (filter_, ("metrics.a ASC",), 5)


POSTGRES = Health(checks=("postgres",))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("*health* postgres", POSTGRES),
        ("_health_ *postgres*.", POSTGRES),
        ("`/mlflow health postgres`", POSTGRES),
        ("```health postgres```", POSTGRES),
        ("*health postgres*", POSTGRES),
        ("/mlflow /mlflow health postgres", POSTGRES),
        ("/MLflow Health POSTGRES!", POSTGRES),
        ("health \u3000 postgres\u00a0", POSTGRES),
        ("health \u200bpostgres\ufeff", POSTGRES),
        ("\u2066health\u2069 postgres", POSTGRES),
        ("health \u201epostgres\u201c", POSTGRES),
        ("health \u00bbpostgres\u00ab", POSTGRES),
        ("health \u201dpostgres\u201d", POSTGRES),
        ("health \u300cpostgres\u300d", POSTGRES),
        ("health \uff02postgres\uff02", POSTGRES),
        ("health postgres,storage", Health(checks=("postgres", "storage"))),
        ("health postgres , storage", Health(checks=("postgres", "storage"))),
        ("health postgres\u3001storage", Health(checks=("postgres", "storage"))),
        ('health "postgres", "storage".', Health(checks=("postgres", "storage"))),
        ("health \u2013\u2013deadline 2", Health(deadline_seconds=2)),
        ("health \u2013deadline 2", Health(deadline_seconds=2)),
        ("health -deadline 2", Health(deadline_seconds=2)),
        ("health --DEADLINE 2", Health(deadline_seconds=2)),
        ("health \ufe63\ufe63deadline=2.", Health(deadline_seconds=2)),
        ("db vacuum metrics --full", DatabaseVacuum(table="metrics", full=True)),
        ("help health", f"{HELP}health"),
        ("health postgres ?", f"{HELP}health"),
        ("health --help", f"{HELP}health"),
        ("health \u2014help", f"{HELP}health"),
        ("health?", f"{HELP}health"),
        ("restart?", f"{HELP}restart"),
        ("backup help list", f"{HELP}backup list"),
        ("HELP Runs Tag", f"{HELP}runs tag"),
        ("escalate help", f"{HELP}escalate"),
        ("escalate ?", f"{HELP}escalate"),
        ("??", f"{HELP}COMMAND"),
        ("experiments show help", f"{HELP}experiments show"),
        ('experiments show "help"', ExperimentShow(experiment="help")),
        ('experiments show "--all"', ExperimentShow(experiment="--all")),
        ("experiments show -- --all", ExperimentShow(experiment="--all")),
        ("experiments show _draft_", ExperimentShow(experiment="_draft_")),
        ("experiments show v1.", ExperimentShow(experiment="v1.")),
        ("experiments show a\u2013b", ExperimentShow(experiment="a\u2013b")),
        ("experiments show \u2018o\u2019brien\u2019", ExperimentShow(experiment="o\u2019brien")),
        ("experiments show 'o'brien'", ExperimentShow(experiment="o'brien")),
        ("experiments show o'brien", ExperimentShow(experiment="o'brien")),
        ("experiments show \"a 'b' c\"", ExperimentShow(experiment="a 'b' c")),
        ("experiments show C:\\temp", ExperimentShow(experiment="C:\\temp")),
    ],
)
def test_what_clients_and_people_in_a_hurry_write_is_understood(text, meant):
    found = meaning(text)
    assert found.startswith(meant) if isinstance(meant, str) else found == meant


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("helth", "health"),
        ("HELTH postgres", "health postgres"),
        ("/mlflow helth", "health"),
        ("run archive --older 90d", "runs archive --older-than 90d"),
        ("runs archive 90d", "runs archive --older-than 90d"),
        ("runs archive older-than 90d", "runs archive --older-than 90d"),
        (
            "runs archiv --oldr-than 90d --experiment \u201cmy exp\u201d",
            "runs archive --older-than 90d --experiment \u201cmy exp\u201d",
        ),
        ("backup list limit 5", "backup list --limit 5"),
        ("health podz", "health pods"),
        ("health pods,postgers,storage", "health pods,postgres,storage"),
        ("health --dedline 3", "health --deadline 3"),
        ("health \u2014dedline=3", "health --deadline=3"),
        ('health "pods', 'health "pods"'),
        ("maintenance start --fro 2h we're upgrading", "maintenance start --for 2h we're upgrading"),
        ("help helth", "help health"),
        ("restor databse latest --dry-run", "restore database latest --dry-run"),
    ],
)
def test_a_mistake_shows_the_line_that_was_meant(text, line):
    with pytest.raises(grammar.UsageError) as caught:
        grammar.parse(text)
    assert caught.value.line == f"/mlflow {line}"
    assert str(caught.value).endswith(f"Did you mean \u201c/mlflow {line}\u201d?")
    assert isinstance(grammar.parse(line), Operation | grammar.Help)


@pytest.mark.parametrize("text", ["xyzzy", "health wxyz", "scale lots", "scale -1", "scale 4 5", "config set x"])
def test_where_no_line_is_likely_none_is_offered(text):
    with pytest.raises(grammar.UsageError) as caught:
        grammar.parse(text)
    assert caught.value.line == ""


@pytest.mark.parametrize(
    "text", ["experiments create a --tag", "alerts silence x --why", "scale 3 --break-glass --dry-run"]
)
def test_an_option_without_its_value_says_so(text):
    with pytest.raises(grammar.UsageError, match=r"needs a (value|text) after it"):
        grammar.parse(text)


def test_help_says_how_free_text_is_told_from_options():
    said = " ".join(grammar.parse("help maintenance start").text.split())
    assert "REASON and --break-glass are taken as typed, to the end of the line" in said
    assert "Options stand before it or at the very end" in said
    assert "taken as typed" not in grammar.parse("help health").text


anything = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60)
tricky = st.text("ab'\"`\\ =-\u2013\u2019\u201c\u201d\u00ab\u00bb,.?*_&<>\u00a0\n", min_size=1, max_size=40)


def quoted(text):
    """As a shell quotes it."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


@given(st.one_of(anything, tricky))
def test_what_a_quoted_argument_holds_arrives_as_it_was_typed(text):
    assert grammar.parse(f"experiments show {quoted(text)}").experiment == text
    assert grammar.parse(f"runs search {quoted(text)} {quoted(text)}").filter == text
    assert grammar.parse(f"logs --pod {quoted(text)} --tail 5").pod == text
    assert grammar.parse(f"runs tag x {quoted(f'k={text}')} {quoted(f'j={text}')}").tags == {"k": text, "j": text}
    assert grammar.parse(f"maintenance start --for 1h {quoted(f'{text}...')}").reason == f"{text}..."


@given(st.one_of(anything, tricky), st.sampled_from(['""', "''", "\u201c\u201d", "\u00ab\u00bb", "\u201e\u201c\u201d"]))
def test_a_pair_of_quotes_holds_whatever_has_no_such_quote_in_it(text, pair):
    opening, closing = pair[:2]
    if not set(text) & set(pair):
        assert grammar.parse(f"experiments show {opening}{text}{closing}").experiment == text


@given(st.one_of(anything, tricky).map(lambda text: f"x{text}x"))
def test_free_text_is_raw(text):
    assert grammar.parse(f"incident note {text}").text == text
    assert grammar.parse(f"incident note -- {text}").text == text
    assert grammar.parse(f"maintenance start {text} --for 1h").reason == text


@given(st.one_of(anything, tricky), st.text(min_size=2, max_size=3))
def test_text_that_is_shown_to_be_typed_again_means_the_same(text, end):
    text = (text + "".join(each for each in end if each.isprintable()) + "end").replace("\0", "")
    assert grammar.parse(f"maintenance start {as_typed(text)}").reason == text


@given(st.one_of(anything, tricky))
def test_a_words_place_is_where_it_stands(text):
    found = words.split(text)
    assert all(before.end <= after.start for before, after in pairwise(found))
    assert all(not text[each.start].isspace() for each in found)


@given(st.sampled_from(["runs tag x", "scale 3", "logs", "health", "restore", "help", "config set", ""]), tricky)
def test_no_text_whatever_escapes_as_another_exception(command, text):
    try:
        answer = grammar.parse(f"{command} {text}")
    except grammar.UsageError as error:
        assert str(error)  # noqa: PT017 - either outcome is right, a third is not
    else:
        assert isinstance(answer, Operation | grammar.Help | grammar.BreakGlass)


@pytest.mark.parametrize(
    ("typed", "plain"),
    [
        ("o\u2019brien", "o'brien"),
        ("a\u2013b\u2212c", "a-b-c"),
        ("my\u00a0exp", "my exp"),
        ("*churn*", "churn"),
        ("churn.", "churn"),
        ("o'brien", "o'brien"),
    ],
)
def test_a_names_plain_form_is_what_a_keyboard_writes(typed, plain):
    assert plain_form(typed) == plain


def test_an_age_may_be_said_in_words():
    assert grammar.parse("runs archive --older-than '90 days'") == grammar.parse("runs archive --older-than 90d")
    assert isinstance(grammar.parse("runs archive --older-than 12weeks"), RunsArchive)


def test_every_dash_of_unicode_is_one():
    called = {chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Pd"}
    assert called | {"\u2212"} == set(words.DASHES)
