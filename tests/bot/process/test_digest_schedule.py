"""The morning's digest: one a day, whatever dies around eight o'clock; late where it must be, and steered by people."""

import mmap
import os
import random
import signal
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot import slash
from bot.process import scheduler
from mlflow_ops_sandbox.patience import stretched
from tests.series import slow
from workers import settings
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.commands import schedule as scheduling
from workers.records.store import Records
from workers.settings import Ops, SettingsError
from workers.settings import cron as ticks
from workers.systems import Systems

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def told(**digest):
    only = {"backup": None, "figures": None, "drill": None, "audit": None}
    return Ops.model_validate({"channels": ["C0OPS"], "time_zone": "Europe/Berlin", "schedule": only, "digest": digest})


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def digests(redis):
    found = (Records(redis).get(each) for each in Records(redis).open())
    return [record for record in found if record.operation == "digest"]


def days_of(redis):
    return Counter(datetime.fromtimestamp(each.arguments["due"], BERLIN).date() for each in digests(redis))


# Fifty days, and everybody dies.


class Watch:
    """A clock that several processes read and one sets."""

    def __init__(self):
        self._held = mmap.mmap(-1, 8)

    def set(self, moment):
        struct.pack_into("d", self._held, 0, moment.timestamp())

    def __call__(self):
        return datetime.fromtimestamp(struct.unpack_from("d", self._held)[0], UTC)


def forked(loaded, watch):
    """A scheduler as a process of its own: the real loop with its real lock, in a hurry."""
    pid = os.fork()
    if pid:
        return pid
    with suppress(BaseException):
        seat = scheduler.Seat(lock_seconds=0.12, every_seconds=0.004, clock=watch)
        scheduler.serve(loaded, threading.Event(), lambda: None, seat)
    os._exit(1)


@pytest.mark.slow
@pytest.mark.parametrize(("begin", "seed"), [(date(2026, 10, 1), 11), *slow((date(2026, 3, 2), 12))])
def test_two_schedulers_that_are_killed_at_random_around_eight_give_one_digest_a_day(redis, redis_url, begin, seed):
    """Fifty days over the day on which clocks change; SIGKILL, at any moment between 07:58 and 08:10."""
    chance, watch = random.Random(seed), Watch()
    loaded = settings.load({"REDIS_URL": redis_url}).model_copy(update={"ops": told(weekdays=EVERY_DAY)})
    watch.set(datetime.combine(begin, datetime.min.time(), BERLIN))
    scheduler.fire(loaded.ops, redis, watch())
    running = [forked(loaded, watch), forked(loaded, watch)]
    killed = 0
    try:
        for number in range(50):
            morning = datetime.combine(begin + timedelta(days=number), datetime.min.time(), BERLIN).replace(
                hour=7, minute=58
            )
            for minute in range(13):
                watch.set(morning + timedelta(minutes=minute))
                time.sleep(chance.uniform(0.0, 0.02))
                for place in range(2):
                    if running[place] and chance.random() < 0.25:
                        os.kill(running[place], signal.SIGKILL)
                        os.waitpid(running[place], 0)
                        running[place], killed = 0, killed + 1
                    elif not running[place] and chance.random() < 0.4:
                        running[place] = forked(loaded, watch)
            # Later in the day somebody works again, if nobody did at eight.
            watch.set(morning + timedelta(hours=4))
            running = [pid or forked(loaded, watch) for pid in running]
            deadline = time.monotonic() + stretched(10)
            while days_of(redis)[morning.date()] < 1:
                assert time.monotonic() < deadline, f"no digest on {morning.date()} (seed {seed})"
                time.sleep(0.01)
    finally:
        for pid in filter(None, running):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert killed > 100
    assert days_of(redis) == {begin + timedelta(days=number): 1 for number in range(50)}
    assert {datetime.fromtimestamp(each.arguments["due"], BERLIN).strftime("%H:%M") for each in digests(redis)} == {
        "08:00"
    }


@pytest.mark.parametrize("seed", [1, *slow(2)])
def test_two_that_both_believe_to_hold_the_seat_give_one_a_day_in_each_channel(redis, monkeypatch, seed):
    """Without the lock, and dead between any two words to Redis."""
    chance = random.Random(seed)
    ops = told(weekdays=EVERY_DAY, channels=["C0OPS", "C0TEAM"])
    now, begin = at("2026-10-01T00:00"), date(2026, 10, 1)
    scheduler.fire(ops, redis, now)

    class DiedError(Exception):
        pass

    execute = redis.execute_command

    def dies(*arguments, **named):
        if chance.random() < 0.07:
            raise DiedError
        answer = execute(*arguments, **named)
        if chance.random() < 0.07:
            raise DiedError
        return answer

    while now.date() < begin + timedelta(days=50):
        now += timedelta(minutes=chance.choice([1, 7, 45, 90]))
        for _ in range(2):
            monkeypatch.setattr(redis, "execute_command", dies)
            with suppress(DiedError):
                scheduler.fire(ops, redis, now)
            monkeypatch.setattr(redis, "execute_command", execute)
    scheduler.fire(ops, redis, now)
    seen = Counter(
        (each.channel, datetime.fromtimestamp(each.arguments["due"], BERLIN).date()) for each in digests(redis)
    )
    days = [begin + timedelta(days=number) for number in range(50)]
    assert all(seen[channel, day] == 1 for channel in ("C0OPS", "C0TEAM") for day in days)
    assert set(seen.values()) == {1}


# When it comes.


def test_it_comes_at_eight_on_weekdays_and_not_on_holidays(redis):
    ops = told(holidays=["2026-12-25", "2027-01-01"])
    now = at("2026-12-19T12:00")
    scheduler.fire(ops, redis, now)
    while now < at("2027-01-05T12:00"):
        now += timedelta(minutes=20)
        scheduler.fire(ops, redis, now)
    days = sorted(days_of(redis))
    assert [day.isoformat()[5:] for day in days] == [
        *("12-21", "12-22", "12-23", "12-24"),
        *("12-28", "12-29", "12-30", "12-31"),
        *("01-04", "01-05"),
    ]


def test_what_was_slept_through_comes_once_and_knows_when_it_was_due(redis):
    ops = told()
    scheduler.fire(ops, redis, at("2026-11-23T12:00"))
    assert scheduler.fire(ops, redis, at("2026-11-26T09:30")) == ["digest"]
    assert scheduler.fire(ops, redis, at("2026-11-26T09:31")) == []
    (record,) = digests(redis)
    assert record.arguments["due"] == at("2026-11-26T08:00").timestamp()
    assert "late" in record.requester


def test_by_default_there_is_a_digest_and_a_silent_health_check_each_hour():
    ops = Ops.model_validate({"channels": ["C0OPS"]})
    scheduler.check(ops)
    assert ops.clock["digest"].cron == "0 8 * * mon,tue,wed,thu,fri"
    assert ops.clock["figures"].quiet
    assert "digest" not in Ops.model_validate({"channels": ["C0OPS"], "schedule": {"digest": None}}).clock


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"command": "backup", "channels": ["C0A", "C0B"]}, "only what reads may be told in several channels"),
        ({"command": "health", "channels": ["C0A"], "retries": 1}, "is not tried again"),
        ({"command": "schedule run backup"}, "give the command of backup itself"),
    ],
)
def test_an_entry_that_makes_no_sense_stops_the_scheduler_with_a_sentence(entry, sentence):
    ops = Ops.model_validate({"channels": ["C0OPS"], "schedule": {"x": {"cron": "0 8 * * *"} | entry}})
    with pytest.raises(SettingsError, match=sentence):
        scheduler.check(ops)


@pytest.mark.parametrize("at_", ["8:00", "24:00", "08:60", "eight"])
def test_a_time_of_day_that_is_none_is_refused(at_):
    with pytest.raises(ValueError, match="at"):
        told(at=at_)


@pytest.mark.parametrize("cron", ["0 8 * * mon-fri", "30 2 * * *", "0 * * * *", "*/7 3 * * *"])
def test_the_next_time_is_the_one_that_comes(cron):
    now = datetime(2026, 3, 28, 5, tzinfo=UTC)
    while now < datetime(2026, 3, 30, 12, tzinfo=UTC):
        following = ticks.next_(cron, BERLIN, now)
        assert following > now
        assert ticks.last(cron, BERLIN, following) == following
        assert ticks.last(cron, BERLIN, following - timedelta(seconds=1)) <= now
        now += timedelta(minutes=37)


# People steer it.


@pytest.fixture
def systems(redis, redis_url):
    loaded = settings.load({"REDIS_URL": redis_url})
    return Systems(loaded.model_copy(update={"ops": told(weekdays=EVERY_DAY)}))


def test_what_is_paused_is_left_out_and_goes_on_with_its_next_time(systems, redis):
    ops = systems.settings.ops
    scheduler.fire(ops, redis, at("2026-11-23T12:00"))
    pause = scheduling.SchedulePause(entry="digest")
    assert pause.plan(systems).changes[0].after == "paused"
    assert pause.run(systems, Unwatched()).undo == "schedule resume digest"
    with pytest.raises(AlreadySo):
        pause.plan(systems)
    assert scheduler.fire(ops, redis, at("2026-11-24T08:01")) == []
    assert scheduler.fire(ops, redis, at("2026-11-25T08:01")) == []
    listed = scheduling.ScheduleList().run(systems, Unwatched())
    assert "1 paused" in listed.summary
    assert listed.sections[0].rows[0][3] == "paused"
    scheduling.ScheduleResume(entry="digest").run(systems, Unwatched())
    assert scheduler.fire(ops, redis, at("2026-11-25T09:00")) == []
    assert scheduler.fire(ops, redis, at("2026-11-26T08:01")) == ["digest"]
    with pytest.raises(AlreadySo):
        scheduling.ScheduleResume(entry="digest").plan(systems)


def test_what_is_not_there_is_answered_with_the_nearest_name(systems):
    with pytest.raises(OperatorError, match="Did you mean digest"):
        scheduling.SchedulePause(entry="digset").plan(systems)


def asked(redis, user, text, roles):
    ops = Ops.model_validate(
        {"channels": ["C0OPS"], "roles": roles, "schedule": {"tidy": {"cron": "0 3 * * *", "command": "backup prune"}}}
    )
    command = {"user_id": user, "channel_id": "C0OPS", "trigger_id": text + user, "text": text}
    return slash.answer(command, ops, Records(redis), lambda _group: frozenset())


ROLES = {"viewer": {"users": ["U0VERA"]}, "operator": {"users": ["U0OLEG"]}, "approver": {"users": ["U0ADA"]}}


def test_running_an_entry_is_asking_for_its_command_oneself(redis):
    assert asked(redis, "U0VERA", "schedule run tidy", ROLES) != ""
    assert Records(redis).open() == []
    assert asked(redis, "U0OLEG", "schedule run tidy", ROLES) == ""
    (record,) = map(Records(redis).get, Records(redis).open())
    assert (record.words, record.requester, record.operation) == ("backup prune", "U0OLEG", "backup-prune")
    assert record.approvals == 1
    assert "Did you mean tidy" in asked(redis, "U0OLEG", "schedule run tidyy", ROLES)


def test_viewers_may_not_pause(redis):
    assert "need the operator role" in asked(redis, "U0VERA", "schedule pause tidy", ROLES)
    assert asked(redis, "U0OLEG", "schedule pause tidy", ROLES) == ""
