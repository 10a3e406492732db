"""Maintenance: one at a time, ended by somebody or by itself; what runs by the clock waits for its end."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from bot.process import scheduler
from commands import grammar, policy
from workers.engine import performing
from workers.operation import Unwatched
from workers.operations.commands import maintenance
from workers.records.store import Records
from workers.rendering import message
from workers.settings import Ops
from workers.systems import Systems

OPS = Ops.model_validate(
    {
        "channels": ["C0OPS"],
        "roles": {"operator": {"users": ["U0OLEG"]}, "admin": {"users": ["U0ADA"]}},
        "schedule": {
            "morning": {"cron": "0 8 * * *", "command": "health"},
            "backup": None,
            "figures": None,
            "digest": None,
            "drill": None,
        },
    }
)


@pytest.fixture
def systems(redis, settings_of_nothing):
    made = Systems(settings_of_nothing)
    made.__dict__["redis"] = redis
    return made


def run(words, systems):
    return performing.perform_here(grammar.parse(words), words, "olga", systems, Unwatched())


def test_one_at_a_time_and_it_is_told_until_when(systems, redis):
    report = run('maintenance start "new disks" --for 1h', systems)
    assert "new disks" in report.summary
    assert report.pinned
    assert report.undo == "maintenance end"
    assert maintenance.current(redis).reason == "new disks"
    assert "There is maintenance already, until" in run('maintenance start "more disks"', systems).summary
    assert maintenance.current(redis).reason == "new disks"
    assert "It is over after" in run("maintenance end", systems).summary
    assert maintenance.current(redis) is None
    assert "There is no maintenance" in run("maintenance end", systems).summary


def begun(redis, seconds):
    """A maintenance of a command in Slack."""
    records = Records(redis)
    words = 'maintenance start "disks"'
    record = policy.record_of(grammar.parse(words), words, "U0OLEG", "C0OPS", OPS)
    records.accept(record, record.id, message.asked(words, "U0OLEG"))
    now = time.time()
    known = maintenance.Maintenance(record_id=record.id, reason="disks", began_at=now, until=now + seconds)
    redis.set("mlflow-ops:mlflow:maintenance", known.model_dump_json())
    return record


def said(redis, record):
    raw = redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", 0, -1)
    return [line.decode().split(":", 3)[0] for line in raw]


def test_it_ends_by_itself_once_and_is_unpinned(redis):
    record = begun(redis, seconds=0.2)
    scheduler.sweep(redis)
    assert said(redis, record) == ["root"]
    time.sleep(0.25)
    scheduler.sweep(redis)
    scheduler.sweep(redis)
    assert said(redis, record) == ["root", "unpin", "reply"]
    last = json.loads(redis.lindex(f"mlflow-ops:mlflow:outbox:thread:{record.id}", -1).decode().split(":", 3)[3])
    assert "its time is over" in last["text"]


def test_what_fell_due_meanwhile_comes_once_afterwards(redis):
    eight = datetime(2026, 3, 2, 8, tzinfo=UTC)
    scheduler.fire(OPS, redis, eight - timedelta(hours=1))
    begun(redis, seconds=60)
    for day in range(3):
        assert scheduler.fire(OPS, redis, eight + timedelta(days=day, minutes=1)) == []
    maintenance.end(redis, "it was ended")
    assert scheduler.fire(OPS, redis, eight + timedelta(days=2, minutes=5)) == ["audit", "morning"]
    assert scheduler.fire(OPS, redis, eight + timedelta(days=2, minutes=6)) == []


SATURDAYS = {"windows": [{"cron": "0 2 * * 6", "minutes": 120}]}
SATURDAY_3 = datetime(2026, 3, 7, 3, tzinfo=UTC)


def test_within_a_window_fewer_may_have_to_approve():
    ops = OPS.model_copy(
        update={"maintenance": Ops.model_validate({"maintenance": {**SATURDAYS, "approvers_inside": 0}}).maintenance}
    )
    update = grammar.parse("update v9")
    assert policy.approval(update, ops, SATURDAY_3).approvers == 0
    assert policy.approval(update, ops, SATURDAY_3 + timedelta(hours=1)).approvers == 1
    assert policy.approval(grammar.parse("scale 3"), ops, SATURDAY_3).approvers == 0


def test_outside_of_the_windows_what_needs_approval_may_be_refused(monkeypatch):
    ops = Ops.model_validate({**OPS.model_dump(), "maintenance": {**SATURDAYS, "outside": "refuse"}})

    def refused(words, now, *, break_glass=False):
        monkeypatch.setattr(policy, "datetime", type("Clock", (), {"now": staticmethod(lambda _zone: now)}))
        operation = grammar.parse(words)
        user = "U0ADA" if break_glass else "U0OLEG"
        return policy.refusal(user, "C0OPS", operation, ops, lambda _group: frozenset(), break_glass=break_glass)

    monday = SATURDAY_3 + timedelta(days=2)
    assert "within the maintenance windows" in refused("update v9", monday).sentence
    assert refused("update v9", SATURDAY_3) is None
    assert refused("scale 3", monday) is None
    assert refused("update v9", monday, break_glass=True) is None


def test_refusing_without_any_window_is_refused():
    with pytest.raises(ValueError, match="would refuse everything for ever"):
        Ops.model_validate({"maintenance": {"outside": "refuse"}})
