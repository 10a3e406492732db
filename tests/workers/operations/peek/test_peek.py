"""What `peek` says of what is open, from Redis and the cluster."""

import time
from datetime import UTC, datetime

import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.peek import state
from workers.operations.peek.peek import Peek, PeekList, PeekStop, open_now
from workers.operations.peek.state import Asked, Host
from workers.report import Links, Text

AT = datetime(2026, 11, 30, 14, 5, tzinfo=UTC)
NAMES = {"kubernetes": {"deployment": "mlflow", "container": "mlflow"}, "recovery": {"point_in_time": True}}


@pytest.fixture
def world(make, redis):
    """Systems of a cluster and of an empty Redis."""

    def made(**ops):
        made = make(**NAMES, **ops)
        made.__dict__["redis"] = redis
        return made

    return made


def ask(redis, **given):
    wanted = Asked(id="1a2b3c", at=AT, until=time.time() + 600, job="mlflow-peek-0", **given)
    state.ask(redis, wanted, time.time())
    return wanted


def listed(systems):
    return PeekList().run(systems, Unwatched())


def test_nothing_is_open(world):
    systems = world()
    assert listed(systems).summary == "Nothing is open."
    with pytest.raises(AlreadySo):
        PeekStop().plan(systems)
    assert open_now(systems) is None


@pytest.mark.parametrize(
    ("opened", "host", "said"),
    [
        (False, Host(id="1a2b3c", step="Replaying the WAL"), "isn't open yet: Replaying the WAL"),
        (False, None, "isn't open yet."),
        (True, Host(id="1a2b3c", address="10.0.0.1:5000"), "isn't there: its Job ended"),
        (True, None, "isn't there: its database and its Job ended"),
        (
            True,
            Host(id="1a2b3c", problem="The private PostgreSQL ended."),
            "isn't there: The private PostgreSQL ended.",
        ),
    ],
)
def test_what_is_lacking_is_said(world, redis, opened, host, said):
    ask(redis, opened=opened)
    if host:
        state.say(redis, host)
    report = listed(world())
    assert said in report.summary
    assert report.status == "warn"


def test_it_is_reached_by_the_link_or_by_a_line_for_a_shell(world, redis):
    ask(redis, opened=True, url="https://peek.example.com/")
    assert next(each for each in listed(world()).sections if isinstance(each, Links)).items[0][1].startswith("https")
    ask(redis, opened=True)
    said = " ".join(each.text for each in listed(world()).sections if isinstance(each, Text))
    assert "kubectl port-forward -n data-platform job/mlflow-peek-0 5001:5000" in said
    assert "http://127.0.0.1:5001" in said


def test_a_second_one_is_refused_with_the_way_to_close_the_first(world, redis):
    ask(redis, opened=True)
    with pytest.raises(OperatorError, match="one can be at a time") as refused:
        Peek(at=AT).plan(world())
    assert "peek stop" in refused.value.hint


def test_it_is_closed_and_nothing_is_asked_for_any_more(world, redis):
    systems = world()
    ask(redis, opened=True)
    assert "14:05" in PeekStop().plan(systems).summary
    assert PeekStop().run(systems, Unwatched()).status == "ok"
    assert state.asked(redis) is None


def test_of_a_killed_worker_what_was_half_open_is_removed_and_what_is_open_stays(world, redis):
    systems = world()
    ask(redis)
    assert "removed" in Peek(at=AT).aftermath(systems, None)
    assert state.asked(redis) is None
    ask(redis, opened=True)
    with pytest.raises(AlreadySo, match="is open"):
        Peek(at=AT).aftermath(systems, None)


def test_a_record_that_cannot_be_read_is_none(redis):
    redis.set(state.ASKED, "[]")
    redis.set(state.HOST, "no json")
    assert state.asked(redis) is None
    assert state.host(redis) is None
