"""What a set lost is explained by our own record, and by no more than that says."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from tests.workers.operations.backup.test_shrinking import ROWS, a_set
from workers.operations.backup.explaining import GONE, explanations
from workers.operations.backup.shrinking import compared, lost
from workers.records.message import Message
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.wording import count

LESS_ROWS = {**ROWS, "runs": 400, "metrics": 20_000}
WITHOUT_TABLE = {name: held for name, held in LESS_ROWS.items() if name != "webhooks"}


@pytest.fixture
def systems(redis):
    return SimpleNamespace(redis=redis)


def ended(redis, words, outcome="", phase=Phase.DONE):
    """A command that was asked for and ended, as the engine writes it."""
    record = Record(operation="x", arguments={}, words=words, requester="U0ANN", channel="C0OPS")
    records = Records(redis)
    records.accept(record, record.id, Message("asked", []))
    records.start(record.id, worker="w")
    records.finish(record.id, Ending(phase, outcome))


def between():
    """Two moments around now."""
    now = datetime.now(UTC)
    before = a_set("aaaaaa").model_copy(update={"started_at": now - timedelta(hours=1)})
    return before, now + timedelta(seconds=1)


def told(systems, **after):
    before, moment = between()
    now = a_set("bbbbbb", **after).model_copy(update={"started_at": moment})
    return {each.words for each in explanations(systems, before, now, lost(before, now, 0.1))}


def purged(number):
    return f"{count(number, 'run')} {GONE}, with their artifacts."


def test_a_purge_explains_rows_and_artifacts_but_no_table_and_no_experiment(systems, redis):
    ended(redis, "runs purge --before 2026-01-01", purged(100))
    rows = {**WITHOUT_TABLE, "experiments": 19}
    assert told(systems, rows=rows, artifacts=(100, 1_000)) == {
        "100 of 500 rows of runs", "10,000 of 30,000 rows of metrics", "500 of 600 artifacts",
    }  # fmt: skip


@pytest.mark.parametrize(("number", "explains"), [(99, False), (100, True), (1_000, True)])
def test_a_purge_explains_no_more_runs_than_it_removed(systems, redis, number, explains):
    ended(redis, "runs purge --before 2026-01-01", purged(number))
    assert bool(told(systems, rows=LESS_ROWS)) is explains


def test_two_purges_are_counted_together(systems, redis):
    for _ in range(2):
        ended(redis, "runs purge --before 2026-01-01", purged(50))
    assert told(systems, rows=LESS_ROWS)


@pytest.mark.parametrize(
    ("words", "explains"),
    [
        ("restore database 1a2b3c", {"rows", "tables"}),
        ("restore undo", {"rows", "tables"}),
        ("restore all", {"rows", "tables", "configuration"}),
        ("restore config latest", {"configuration"}),
        ("restore artifacts latest --exact", {"artifacts"}),
        ("restore artifacts latest", set()),
        ("restore database 1a2b3c --as looked_at", set()),
        ("restore database 1a2b3c --dry-run", set()),
        ("runs purge --dry-run", set()),
        ("health", set()),
        ("backup", set()),
    ],
)
def test_which_command_explains_what(systems, redis, words, explains):
    ended(redis, words, purged(1_000))
    before, moment = between()
    now = a_set("b", rows=WITHOUT_TABLE, artifacts=(100, 1_000), objects=("deployment/mlflow",))
    now = now.model_copy(update={"started_at": moment})
    assert {each.kind for each in explanations(systems, before, now, lost(before, now, 0.1))} == explains


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.DENIED, Phase.CANCELLED])
def test_what_was_not_done_explains_nothing(systems, redis, phase):
    ended(redis, "restore database 1a2b3c", phase=phase)
    assert not told(systems, rows=LESS_ROWS)


def test_what_was_done_before_the_earlier_set_explains_nothing(systems, redis):
    ended(redis, "restore database 1a2b3c")
    later = datetime.now(UTC) + timedelta(minutes=1)
    before = a_set("aaaaaa").model_copy(update={"started_at": later})
    now = a_set("b", rows=LESS_ROWS).model_copy(update={"started_at": later + timedelta(hours=1)})
    assert explanations(systems, before, now, lost(before, now, 0.1)) == {}


def test_a_set_says_what_was_explained_and_shrank_by_the_rest_only(systems, redis):
    ended(redis, "runs purge --before 2026-01-01", purged(100))
    before, moment = between()
    now = a_set("bbbbbb", rows=WITHOUT_TABLE).model_copy(update={"started_at": moment})
    made = compared(now, [before], 0.1, lambda *asked: explanations(systems, *asked))
    assert made.shrank == ("1 table: webhooks",)
    assert len(made.explained) == 2
    assert made.explained[0].startswith("10,000 of 30,000 rows of metrics, by runs purge --before 2026-01-01 (U0ANN, ")
    whole = compared(now.model_copy(update={"database": before.database}), [before], 0.1)
    assert not whole.shrunk


def test_without_a_record_nothing_is_explained():
    from workers import settings
    from workers.systems import Systems

    away = Systems(settings.load({"REDIS_URL": "redis://127.0.0.1:1/0"}))
    assert not told(away, rows=LESS_ROWS)
