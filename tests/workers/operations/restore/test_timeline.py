"""What happened, in few lines."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from workers.operations.restore.timeline import TOGETHER, Moment, together

BEGAN = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)


def test_runs_that_follow_one_another_share_a_line():
    seconds = {"churn": (0, 30, 80, 300), "iris": (10,)}
    moments = [(BEGAN + timedelta(seconds=each), name) for name, every in seconds.items() for each in every]

    assert sorted(together(moments, "begun")) == [
        Moment(BEGAN, "3 runs begun in “churn”"),
        Moment(BEGAN + timedelta(seconds=10), "1 run begun in “iris”"),
        Moment(BEGAN + timedelta(seconds=300), "1 run begun in “churn”"),
    ]


@given(some.lists(some.tuples(some.integers(0, 1000), some.sampled_from("abc")), max_size=50))
def test_none_is_left_out(seconds):
    lines = together([(BEGAN + timedelta(seconds=at), name) for at, name in seconds], "begun")

    assert sum(int(line.what.split()[0]) for line in lines) == len(seconds)
    for name in "abc":
        times = sorted(line.at for line in lines if f"“{name}”" in line.what)
        assert all(other - one > TOGETHER for one, other in pairwise(times))
