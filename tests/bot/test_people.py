"""What people are called comes with what they type and press, and lists say it instead of an id."""

import pytest
from redis import Redis

from bot.people import People, said_by
from workers.operation import Unwatched
from workers.operations.audit.trail import Audit
from workers.operations.commands.jobs import Jobs
from workers.records import people
from workers.records.message import Message
from workers.records.record import Record
from workers.records.store import Records
from workers.systems import Systems

TYPED = {"user_id": "U0VERA", "user_name": "vera", "text": "health"}
PRESSED = {"user": {"id": "U0VERA", "username": "vera.k", "name": "x"}, "actions": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (TYPED, ("U0VERA", "vera")),
        (PRESSED, ("U0VERA", "vera.k")),
        ({"user": {"id": "U0VERA", "name": "vera"}}, ("U0VERA", "vera")),
        ({"event": {"user": "U0VERA"}}, ("", "")),
        ({"user_id": "U0VERA"}, ("U0VERA", "")),
    ],
)
def test_slack_says_who_it_is(body, said):
    assert said_by(body) == said


def test_a_name_is_kept_and_kept_again_if_it_changes(redis):
    went_on = []
    remembering = People(redis)
    for body in (TYPED, TYPED, {}, PRESSED):
        remembering.pass_on(body, lambda: went_on.append(1))
    assert len(went_on) == 4
    assert people.names(redis, ["U0VERA"])("U0VERA") == "vera.k"


def test_without_redis_it_goes_on_all_the_same(free_port):
    went_on = []
    away = Redis(port=free_port, socket_connect_timeout=0.2, retry=None)
    People(away).pass_on(TYPED, lambda: went_on.append(1))
    assert went_on == [1]


@pytest.mark.parametrize(
    ("requester", "called"),
    [
        ("U0VERA", "vera"),
        ("U0NEW", "U0NEW"),
        ("schedule:backup", "schedule:backup"),
        ("terminal:olga", "olga (terminal)"),
        ("", ""),
    ],
)
def test_what_a_requester_is_called(redis, requester, called):
    people.remember(redis, "U0VERA", "vera")
    assert people.names(redis, ["U0VERA", requester])(requester) == called


def test_jobs_and_the_audit_record_have_names_and_the_record_keeps_ids(redis, settings_of_nothing):
    people.remember(redis, "U0VERA", "vera")
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0OPS")
    Records(redis).accept(record, "1", Message("asked", []))
    systems = Systems(settings_of_nothing)
    systems.__dict__["redis"] = redis
    for report in (Jobs().run(systems, Unwatched()), Audit(by="vera").run(systems, Unwatched())):
        (table,) = (each for each in report.sections if each.kind == "table")
        assert [row[table.columns.index("who")] for row in table.rows] == ["vera"]
    assert Audit(by="omar").run(systems, Unwatched()).sections == ()
    assert Records(redis).get(record.id).requester == "U0VERA"
