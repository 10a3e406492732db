"""Which sets are kept: counted by hours, days, weeks and months, for each part by itself."""

from datetime import UTC, datetime, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from workers.operations.backup.retention import Dated, kept
from workers.settings import Retention

NOW = datetime(2026, 11, 23, 12, 5, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")
ALL = ("database", "artifacts", "config")


def dated(hours_ago, parts=ALL, *, shrank=False, condemned=False):
    made = NOW - timedelta(hours=hours_ago)
    return Dated(f"sets/{made:%Y%m%dT%H%M%SZ}-abcdef/", made, parts, shrank, condemned)


def test_a_year_of_hourly_backups_is_thinned_to_the_defaults():
    year = [dated(hours) for hours in range(365 * 24)]
    reasons = kept(year, Retention(), UTC_ZONE)
    # 24 hours; 7 days, of which today and yesterday are among the hours; 4 weeks and 6 months, some of which overlap.
    by = [list(reasons.values()).count(each) for each in ("the newest", "hourly", "daily", "weekly", "monthly")]
    assert by == [1, 23, 5, 2, 5]
    oldest = min(reasons)
    assert oldest.startswith("sets/20260630T23")


def test_the_newest_of_each_period_is_the_one_that_stays():
    reasons = kept(
        [dated(hours) for hours in (0, 30, 31, 32, 60)], Retention(hourly=0, daily=3, weekly=0, monthly=0), UTC_ZONE
    )
    assert sorted(reasons) == sorted(dated(hours).name for hours in (0, 30, 60))


def test_days_without_a_backup_are_not_counted():
    reasons = kept(
        [dated(0), dated(24 * 90), dated(24 * 91)], Retention(hourly=0, daily=3, weekly=0, monthly=0), UTC_ZONE
    )
    assert len(reasons) == 3


def test_a_set_of_one_part_takes_no_place_from_a_whole_one():
    whole, part = dated(0.5), dated(0, ("config",))
    reasons = kept([whole, part], Retention(hourly=1, daily=0, weekly=0, monthly=0), UTC_ZONE)
    assert set(reasons) == {whole.name, part.name}


def test_a_set_that_shrank_takes_no_place_from_one_of_the_same_hour():
    whole, less = dated(0.5), dated(0, shrank=True)
    reasons = kept([whole, less], Retention(hourly=1, daily=0, weekly=0, monthly=0), UTC_ZONE)
    assert reasons == {less.name: "the newest", whole.name: "the last before something was lost"}


def test_a_set_that_failed_its_drill_costs_no_good_one_its_place():
    good, bad = dated(30), dated(0, condemned=True)
    reasons = kept([good, bad], Retention(hourly=0, daily=0, weekly=0, monthly=0), UTC_ZONE)
    assert reasons == {bad.name: "the newest", good.name: "the last that did not fail its drill"}


def test_days_are_those_of_the_time_zone():
    # 23:30 and 00:30 in Berlin: one day of UTC's, two of the team's.
    late = datetime(2026, 7, 1, 21, 30, tzinfo=UTC)
    sets = [Dated(f"sets/{at:%Y%m%dT%H%M%SZ}-abcdef/", at, ALL) for at in (late, late + timedelta(hours=1))]
    wanted = Retention(hourly=0, daily=2, weekly=0, monthly=0)
    assert len(kept(sets, wanted, BERLIN)) == 2
    assert len(kept(sets, wanted, UTC_ZONE)) == 1


def test_the_hour_that_the_clock_shows_twice_is_two_hours():
    twice = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    sets = [Dated(f"sets/{at:%Y%m%dT%H%M%SZ}-abcdef/", at, ALL) for at in (twice, twice + timedelta(hours=1))]
    assert {each.made.astimezone(BERLIN).hour for each in sets} == {2}
    assert len(kept(sets, Retention(hourly=2, daily=0, weekly=0, monthly=0), BERLIN)) == 2


parts = st.lists(st.sampled_from(ALL), min_size=1, unique=True).map(tuple)
states = st.sampled_from([{}, {}, {"shrank": True}, {"condemned": True}])
histories = st.lists(
    st.tuples(st.integers(0, 24 * 60 * 800), parts, states), max_size=60, unique_by=lambda each: each[0]
).map(lambda found: [dated(minutes / 60, held, **state) for minutes, held, state in found])
retentions = st.builds(Retention, **dict.fromkeys(("hourly", "daily", "weekly", "monthly"), st.integers(0, 12)))
zones = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"]).map(ZoneInfo)


@given(histories, retentions, zones)
def test_the_last_good_set_of_each_part_always_stays_and_the_last_sound_one(every, wanted, zone):
    reasons = kept(every, wanted, zone)
    for part in ALL:
        with_it = sorted((each for each in every if part in each.parts), key=lambda each: each.name)
        assert not with_it or with_it[-1].name in reasons
        sound = [each for each in with_it if each.sound]
        assert not sound or sound[-1].name in reasons


@given(histories, retentions, zones)
def test_pruning_twice_removes_no_more_than_pruning_once(every, wanted, zone):
    once = kept(every, wanted, zone)
    assert set(kept([each for each in every if each.name in once], wanted, zone)) == set(once)


@given(histories, retentions, zones)
def test_no_set_that_shrank_or_failed_costs_a_sound_one_its_place(every, wanted, zone):
    alone = kept([each for each in every if each.sound], wanted, zone)
    assert set(alone) <= set(kept(every, wanted, zone))


@given(histories, retentions, zones)
def test_the_newest_sound_set_of_each_of_the_last_days_stays(every, wanted, zone):
    reasons = kept(every, wanted, zone)
    for part in ALL:
        with_it = sorted((each for each in every if part in each.parts and each.sound), key=lambda each: each.made)
        days = [list(found) for _, found in groupby(with_it, lambda each: each.made.astimezone(zone).date())]
        for day in days[-wanted.daily :] if wanted.daily else ():
            assert day[-1].name in reasons


@given(histories, retentions)
def test_at_least_so_many_stay_as_the_largest_figure_says(every, wanted):
    hours = {each.made.replace(minute=0) for each in every if "database" in each.parts and each.sound}
    stay = [each for each in every if each.name in kept(every, wanted, UTC_ZONE) and "database" in each.parts]
    assert len(stay) >= min(len(hours), wanted.hourly)
