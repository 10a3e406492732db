"""Which sets are kept: counted by hours, days, weeks and months, for each part by itself."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.operations.backup.retention import Dated, kept
from workers.settings import Retention

NOW = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
ALL = ("database", "artifacts", "config")


def dated(hours_ago, parts=ALL):
    made = NOW - timedelta(hours=hours_ago)
    return Dated(f"sets/{made:%Y%m%dT%H%M%SZ}-abcdef/", made, parts)


def test_a_year_of_hourly_backups_is_thinned_to_the_defaults():
    year = [dated(hours) for hours in range(365 * 24)]
    reasons = kept(year, Retention())
    # 24 hours; 7 days, of which today and yesterday are among the hours; 4 weeks and 6 months, some of which overlap.
    by = [list(reasons.values()).count(each) for each in ("the newest", "hourly", "daily", "weekly", "monthly")]
    assert by == [1, 23, 5, 2, 5]
    oldest = min(reasons)
    assert oldest.startswith("sets/20260630T23")


def test_the_newest_of_each_period_is_the_one_that_stays():
    reasons = kept([dated(hours) for hours in (0, 30, 31, 32, 60)], Retention(hourly=0, daily=3, weekly=0, monthly=0))
    assert sorted(reasons) == sorted(dated(hours).name for hours in (0, 30, 60))


def test_days_without_a_backup_are_not_counted():
    reasons = kept([dated(0), dated(24 * 90), dated(24 * 91)], Retention(hourly=0, daily=3, weekly=0, monthly=0))
    assert len(reasons) == 3


def test_a_set_of_one_part_takes_no_place_from_a_whole_one():
    whole, part = dated(0.5), dated(0, ("config",))
    reasons = kept([whole, part], Retention(hourly=1, daily=0, weekly=0, monthly=0))
    assert set(reasons) == {whole.name, part.name}


parts = st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple)
histories = st.lists(st.tuples(st.integers(0, 24 * 800), parts), max_size=60, unique_by=lambda each: each[0])
retentions = st.builds(Retention, **dict.fromkeys(("hourly", "daily", "weekly", "monthly"), st.integers(0, 12)))


@given(histories, retentions)
def test_the_last_good_set_of_each_part_always_stays(history, wanted):
    every = [dated(*each) for each in history]
    reasons = kept(every, wanted)
    for part in ALL:
        with_it = sorted(each.name for each in every if part in each.parts)
        assert not with_it or with_it[-1] in reasons


@given(histories, retentions)
def test_pruning_twice_removes_no_more_than_pruning_once(history, wanted):
    every = [dated(*each) for each in history]
    once = kept(every, wanted)
    assert set(kept([each for each in every if each.name in once], wanted)) == set(once)


@given(histories, retentions)
def test_at_least_so_many_stay_as_the_largest_figure_says(history, wanted):
    every = [dated(*each) for each in history]
    hours = {each.made.replace(minute=0) for each in every if "database" in each.parts}
    stay = [each for each in every if each.name in kept(every, wanted) and "database" in each.parts]
    assert len(stay) >= min(len(hours), wanted.hourly)
