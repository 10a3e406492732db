"""What happened, in few lines."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some

from workers.errors import OperatorError
from workers.operations.restore import events
from workers.operations.restore.events import TOGETHER, Event, together

BEGAN = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)


def test_runs_that_follow_one_another_share_a_line():
    seconds = {"churn": (0, 30, 80, 300), "iris": (10,)}
    moments = [(BEGAN + timedelta(seconds=each), name) for name, every in seconds.items() for each in every]

    assert sorted(together(moments, "begun")) == [
        Event(BEGAN, "3 runs begun in “churn”"),
        Event(BEGAN + timedelta(seconds=10), "1 run begun in “iris”"),
        Event(BEGAN + timedelta(seconds=300), "1 run begun in “churn”"),
    ]


@given(some.lists(some.tuples(some.integers(0, 1000), some.sampled_from("abc")), max_size=50))
def test_none_is_left_out(seconds):
    lines = together([(BEGAN + timedelta(seconds=at), name) for at, name in seconds], "begun")

    assert sum(int(line.what.split()[0]) for line in lines) == len(seconds)
    for name in "abc":
        times = sorted(line.at for line in lines if f"“{name}”" in line.what)
        assert all(other - one > TOGETHER for one, other in pairwise(times))


EVENTS = (
    Event(BEGAN, "experiment “churn” created", id="12"),
    Event(BEGAN + timedelta(seconds=1.5), "experiment “churn” deleted", id="12"),
    Event(BEGAN + timedelta(seconds=3), "/mlflow experiments delete 112", "U0ARUN"),
    Event(BEGAN + timedelta(seconds=9), "3 runs deleted in “churn-2”"),
)


@pytest.mark.parametrize(
    ("words", "second"),
    [
        ("deleted experiment churn", 0),
        ("delete experiment 12", 0),
        ("Experiment “churn” created", -1),
        ("experiments delete 112", 2),
        ("runs deleted churn-2", 8),
        ("by U0ARUN", None),
        ("deleted", 8),
        ("purged", None),
    ],
)
def test_words_find_the_newest_event_that_they_fit(monkeypatch, words, second):
    monkeypatch.setattr(events, "happened", lambda *_: (list(EVENTS), ""))
    if second is None:
        with pytest.raises(OperatorError, match="Nothing that happened in the last 30 days fits"):
            events.before(None, words)
    else:
        assert events.before(None, words) == BEGAN + timedelta(seconds=second)


def test_a_word_that_is_nearly_right_is_answered_by_what_was_meant(monkeypatch):
    monkeypatch.setattr(events, "happened", lambda *_: (list(EVENTS), ""))
    with pytest.raises(OperatorError, match="Did you mean “experiment “churn” created”"):
        events.before(None, "experiment chrun craeted")


def test_what_could_not_be_looked_at_is_said_where_nothing_fits(monkeypatch):
    monkeypatch.setattr(events, "happened", lambda *_: (list(EVENTS), "REDIS_URL is not set."))
    with pytest.raises(OperatorError, match="Our own commands were not looked at: REDIS_URL is not set"):
        events.before(None, "purged")
