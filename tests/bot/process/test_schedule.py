"""What runs by the clock: each tick once, whatever dies, whatever the clocks on the walls do."""

import os
import random
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.process import scheduler
from mlflow_ops_sandbox.slack.client import wait_for
from tests.series import slow
from workers.records.record import Ending, Phase
from workers.records.store import Records
from workers.settings import Ops, SettingsError
from workers.settings import cron as ticks

BERLIN = ZoneInfo("Europe/Berlin")


NONE_BY_DEFAULT = {"backup": None, "figures": None, "digest": None, "drill": None, "audit": None}


def ops(**entries):
    found = {name: {"cron": cron, "command": "health queues"} for name, cron in entries.items()}
    found = NONE_BY_DEFAULT | found
    return Ops.model_validate({"channels": ["C0OPS"], "time_zone": "Europe/Berlin", "schedule": found})


def told_of(**schedule):
    without = {"figures": None, "digest": None, "audit": None}
    return Ops.model_validate({"channels": ["C0OPS"], "schedule": without | schedule})


def all_ticks(cron, begin, end, step=timedelta(minutes=7)):
    """Every tick that somebody who looks each `step` would see, in the team's time."""
    seen, now = [], begin
    while now < end:
        tick = ticks.last(cron, BERLIN, now)
        if not seen or tick != seen[-1]:
            seen.append(tick)
        now += step
    return [tick.astimezone(BERLIN).strftime("%d %H:%M %Z") for tick in seen[1:]]


def test_a_morning_is_at_eight_on_the_wall_when_clocks_change():
    begin, end = datetime(2026, 3, 27, 12, tzinfo=UTC), datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert all_ticks("0 8 * * *", begin, end) == ["28 08:00 CET", "29 08:00 CEST", "30 08:00 CEST", "31 08:00 CEST"]


def test_a_time_that_is_skipped_happens_once_and_one_that_comes_twice_too():
    begin, end = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC)
    assert all_ticks("30 2 * * *", begin, end) == ["29 03:00 CEST", "30 02:30 CEST"]
    begin, end = datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 26, 12, tzinfo=UTC)
    assert all_ticks("30 2 * * *", begin, end) == ["25 02:30 CEST", "26 02:30 CET"]


@pytest.mark.parametrize("month", [3, 10])
def test_each_hour_is_an_hour_after_the_one_before(month):
    day = 29 if month == 3 else 25
    begin = datetime(2026, month, day - 1, 12, tzinfo=UTC)
    seen = all_ticks("0 * * * *", begin, begin + timedelta(hours=36))
    assert len(seen) == len(set(seen)) == 36 - 1


def test_an_entry_begins_with_the_tick_after_it_was_met(redis):
    told = ops(often="*/5 * * * *")
    began = datetime(2026, 5, 4, 10, 2, tzinfo=UTC)
    assert scheduler.fire(told, redis, began) == []
    assert scheduler.fire(told, redis, began + timedelta(minutes=2)) == []
    assert scheduler.fire(told, redis, began + timedelta(minutes=3)) == ["often"]
    assert scheduler.fire(told, redis, began + timedelta(minutes=4)) == []


def test_what_was_slept_through_is_caught_up_once_and_says_that_it_is_late(redis):
    told = ops(morning="0 8 * * *")
    scheduler.fire(told, redis, datetime(2026, 5, 4, 10, tzinfo=UTC))
    assert scheduler.fire(told, redis, datetime(2026, 5, 8, 11, tzinfo=UTC)) == ["morning"]
    assert scheduler.fire(told, redis, datetime(2026, 5, 8, 12, tzinfo=UTC)) == []
    (record_id,) = Records(redis).open()
    record = Records(redis).get(record_id)
    assert record.words == "health queues"
    assert record.requester == "schedule:morning, due 08 May 08:00, late"


def test_what_failed_is_tried_again_after_a_while_and_not_for_ever(redis):
    told = told_of()
    scheduler.fire(told, redis, datetime(2026, 5, 4, 10, 30, tzinfo=UTC))
    records, ended = Records(redis), datetime(2026, 5, 4, 11, 1, tzinfo=UTC)
    assert scheduler.fire(told, redis, ended) == ["backup"]
    for number in (2, 3):
        (open_one,) = records.open()
        assert scheduler.fire(told, redis, ended + timedelta(minutes=1)) == []
        records.finish(open_one, Ending(Phase.FAILED, "the store is away"))
        records.update(open_one, ended_at=ended.timestamp())
        assert scheduler.fire(told, redis, ended + timedelta(minutes=4)) == []
        ended += timedelta(minutes=6)
        assert scheduler.fire(told, redis, ended) == ["backup"]
        assert scheduler.fire(told, redis, ended) == []
        assert f"try {number} of 3" in records.get(records.open()[0]).requester
    (last,) = records.open()
    records.finish(last, Ending(Phase.FAILED, "the store is away"))
    records.update(last, ended_at=ended.timestamp())
    assert scheduler.fire(told, redis, ended + timedelta(minutes=15)) == []


def test_what_is_destructive_is_never_tried_again_by_itself():
    with pytest.raises(SettingsError, match="never tried again by itself"):
        scheduler.check(told_of(tidy={"cron": "0 3 * * *", "command": "backup prune", "retries": 1}))


def test_what_went_well_is_not_tried_again(redis):
    told = told_of()
    scheduler.fire(told, redis, datetime(2026, 5, 4, 10, 30, tzinfo=UTC))
    now = datetime(2026, 5, 4, 11, 1, tzinfo=UTC)
    scheduler.fire(told, redis, now)
    records = Records(redis)
    records.finish(records.open()[0], Ending(Phase.DONE, "well"))
    assert scheduler.fire(told, redis, now + timedelta(minutes=28)) == []


def test_every_half_hour_there_is_a_backup_unless_ops_yaml_says_otherwise(redis):
    told = told_of()
    scheduler.check(told)
    scheduler.fire(told, redis, datetime(2026, 5, 4, 10, 30, tzinfo=UTC))
    assert scheduler.fire(told, redis, datetime(2026, 5, 4, 11, 1, tzinfo=UTC)) == ["backup"]
    (record,) = [Records(redis).get(each) for each in Records(redis).open()]
    assert (record.operation, record.words, record.approvals) == ("backup", "backup", 0)
    daily = {"cron": "0 2 * * *", "command": "backup database"}
    assert told_of(backup=daily).clock["backup"].cron == "0 2 * * *"
    assert not told_of(backup=None, drill=None).clock
    assert not Ops().clock


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, *slow(2, 3)])
def test_two_schedulers_and_a_thousand_ticks(redis, monkeypatch, seed):
    """Both fire at will, and die at random between accepting a tick and noting it."""
    chance = random.Random(seed)
    told = ops(often="*/10 * * * *", hourly="0 * * * *")
    now = datetime(2026, 10, 20, tzinfo=UTC)
    scheduler.fire(told, redis, now)

    class DiedError(Exception):
        pass

    hset = redis.hset

    def dies(*arguments, **named):
        if chance.random() < 0.2:
            raise DiedError
        return hset(*arguments, **named)

    fired = Counter()
    end = now + timedelta(minutes=10 * 1000)
    while now < end:
        now += timedelta(minutes=chance.choice([1, 2, 3, 5]))
        for _ in range(2):
            monkeypatch.setattr(redis, "hset", dies)
            try:
                scheduler.fire(told, redis, now)
            except DiedError:
                pass
            finally:
                monkeypatch.setattr(redis, "hset", hset)
    for key in redis.scan_iter("mlflow-ops:mlflow:seen:schedule:*", count=1000):
        fired[key.decode().split(":")[4]] += 1
    accepted = Counter(Records(redis).get(each).requester.partition(",")[0] for each in Records(redis).open())
    assert accepted["schedule:often"] == fired["often"] == 1000
    assert accepted["schedule:hourly"] == fired["hourly"] == 1000 // 6


@pytest.mark.slow
def test_a_dead_scheduler_is_replaced_within_thirty_seconds(redis, local_slack, environment, started):
    with local_slack() as slack:
        env = environment(slack)
        with started("scheduler", env=env) as first:
            held = wait_for(lambda: redis.get("mlflow-ops:mlflow:scheduler"))
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            with started("scheduler", env={**env, "MLFLOW_OPS_SECOND": "1"}):
                wait_for(lambda: redis.get("mlflow-ops:mlflow:scheduler") not in {held, None} or None, 30)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"cron": "0 8 * * *", "command": "helth"}, "schedule.x.command is wrong: There is no command"),
        ({"cron": "0 8 * * *", "command": "help"}, "only shows help"),
        (
            {"cron": "0 8 * * *", "command": "scale 4", "role": "viewer"},
            "schedule.x.role is wrong: viewer may not ask for 'scale 4'; give a higher role.",
        ),
    ],
)
def test_a_command_that_cannot_run_stops_the_scheduler_with_a_sentence(entry, sentence):
    with pytest.raises(SettingsError, match=sentence):
        scheduler.check(Ops.model_validate({"channels": ["C0OPS"], "schedule": {"x": entry}}))


@pytest.mark.parametrize(
    ("role", "words"), [("viewer", "health"), ("operator", "scale 4"), ("operator", "backup"), ("admin", "restart")]
)
def test_an_entry_may_ask_for_what_its_role_may(role, words):
    entry = {"cron": "0 8 * * *", "command": words, "role": role}
    scheduler.check(Ops.model_validate({"channels": ["C0OPS"], "schedule": {"x": entry}}))


def test_what_runs_by_default_needs_no_more_than_an_operator():
    scheduler.check(Ops.model_validate({"channels": ["C0OPS"]}))


@pytest.mark.parametrize("cron", ["often", "* * * *", "61 * * * *", "@daily"])
def test_a_cron_expression_that_is_none_is_refused(cron):
    with pytest.raises(ValueError, match="five fields"):
        ops(x=cron)
