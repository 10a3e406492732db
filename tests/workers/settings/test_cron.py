"""When clocks change: once, and when cron would (crontab(5), Debian), whatever the zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.settings import cron

# The zone; its day with a gap, and the first minute after it; its day with an hour that comes twice, when that is.
CHANGES = [
    ("Europe/Berlin", "2026-03-29", "02:30", "03:00", "2026-10-25", "02:30"),
    ("Europe/London", "2026-03-29", "01:30", "02:00", "2026-10-25", "01:30"),
    ("America/New_York", "2026-03-08", "02:30", "03:00", "2026-11-01", "01:30"),
    ("America/St_Johns", "2026-03-08", "02:30", "03:00", "2026-11-01", "01:30"),
    ("America/Santiago", "2026-09-06", "00:30", "01:00", "2026-04-04", "23:30"),
    ("Africa/Cairo", "2026-04-24", "00:30", "01:00", "2026-10-29", "23:30"),
    ("Australia/Lord_Howe", "2026-10-04", "02:15", "02:30", "2026-04-05", "01:45"),
    ("Antarctica/Troll", "2026-03-29", "01:30", "03:00", "2026-10-25", "02:30"),
    ("Pacific/Auckland", "2026-09-27", "02:30", "03:00", "2026-04-05", "02:30"),
]


def seen(expression, zone, day):
    """What falls due on that day for somebody who asks every five minutes, from the night before to the one after."""
    begin = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC)
    asked = [begin + timedelta(minutes=number) for number in range(-120, 30 * 60, 5)]
    ticks = dict.fromkeys(cron.last(expression, zone, now) for now in asked)
    return [tick for tick in ticks if tick.astimezone(zone).date().isoformat() == day]


def daily(clock):
    hour, minute = clock.split(":")
    return f"{int(minute)} {int(hour)} * * *"


@pytest.mark.parametrize(("name", "gap", "skipped", "after"), [change[:4] for change in CHANGES])
def test_what_is_skipped_comes_in_the_first_minute_after_the_gap(name, gap, skipped, after):
    zone = ZoneInfo(name)
    (tick,) = seen(daily(skipped), zone, gap)
    assert tick.astimezone(zone).strftime("%H:%M") == after
    assert (tick - timedelta(seconds=1)).astimezone(zone).utcoffset() != tick.astimezone(zone).utcoffset()
    assert cron.next_(daily(skipped), zone, tick - timedelta(hours=1)) == tick


@pytest.mark.parametrize(("name", "day", "clock"), [(change[0], *change[4:]) for change in CHANGES])
def test_what_comes_twice_is_done_the_first_time(name, day, clock):
    zone = ZoneInfo(name)
    (tick,) = seen(daily(clock), zone, day)
    there = tick.astimezone(zone)
    assert (there.strftime("%H:%M"), there.fold) == (clock, 0)
    assert there.replace(fold=1).utcoffset() != there.utcoffset(), "that time comes twice"
    assert cron.next_(daily(clock), zone, tick) - tick > timedelta(hours=23)


# Of half an hour, as on Lord Howe Island, minute 17 is skipped for one hour.
@pytest.mark.parametrize("name", [change[0] for change in CHANGES if change[0] != "Australia/Lord_Howe"])
@pytest.mark.parametrize("expression", ["* * * * *", "*/10 * * * *", "17 * * * *"])
def test_what_comes_every_hour_follows_time_itself(name, expression):
    zone, gaps = ZoneInfo(name), set()
    for day in {change[1] for change in CHANGES if change[0] == name}:
        tick = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC) - timedelta(hours=3)
        for _ in range(12):
            following = cron.next_(expression, zone, tick)
            gaps.add(following - tick)
            tick = following
    assert len(gaps) <= 2, "the first is from where we began"


@given(
    name=st.sampled_from([change[0] for change in CHANGES] + ["UTC", "Asia/Kolkata"]),
    expression=st.one_of(
        st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 23)),
        st.builds("{},{} {}-23 * * *".format, st.integers(0, 29), st.integers(30, 59), st.integers(0, 22)),
        st.builds("*/{} * * * *".format, st.integers(1, 30)),
        st.builds("{} {} * * mon-fri".format, st.integers(0, 59), st.integers(0, 23)),
    ),
    now=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda each: each.replace(tzinfo=UTC)),  # noqa: DTZ001
)
def test_the_next_tick_is_the_last_one_when_it_comes(name, expression, now):
    zone = ZoneInfo(name)
    last, following = cron.last(expression, zone, now), cron.next_(expression, zone, now)
    assert last <= now < following
    assert cron.last(expression, zone, following) == following
    assert cron.last(expression, zone, following - timedelta(seconds=1)) == last
    assert cron.next_(expression, zone, last) == following
