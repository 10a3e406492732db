"""The host of a peek's database: how long it goes on, what it says, and at which address it listens."""

from datetime import UTC, datetime

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.peek import host, state
from workers.operations.peek.host import Wanted
from workers.operations.peek.state import Asked

NOW = 1_796_050_000.0


class Clock:
    """A clock that tests move."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Away:
    """A Redis that is away."""

    def get(self, *_):
        raise RedisConnectionError

    def set(self, *_, **__):
        raise RedisConnectionError


@pytest.fixture
def asked(redis):
    """A peek of an hour."""
    asked = Asked(id="1a2b3c", at=datetime(2026, 11, 30, 14, 5, tzinfo=UTC), until=NOW + 3600)
    state.ask(redis, asked, NOW)
    return asked


@pytest.fixture
def wanted(redis, asked):
    return Wanted(redis, asked, Clock())


def after(wanted, seconds):
    wanted.clock.now += seconds
    wanted.checkpoint()


def test_it_goes_on_until_its_time_is_over(wanted):
    after(wanted, 3599)
    with pytest.raises(Cancelled):
        after(wanted, 1)


def test_its_time_is_what_redis_has(wanted, asked, redis):
    state.ask(redis, asked.model_copy(update={"until": NOW + 100}), NOW)
    after(wanted, 10)
    with pytest.raises(Cancelled):
        after(wanted, 91)


@pytest.mark.parametrize("instead", ["nothing", "another"])
def test_it_ends_where_it_is_not_asked_for_any_more(wanted, asked, redis, instead):
    after(wanted, 5)
    state.withdraw(redis)
    if instead == "another":
        state.ask(redis, asked.model_copy(update={"id": "ffffff"}), NOW)
    with pytest.raises(Cancelled):
        after(wanted, 5)


def test_it_outlives_a_redis_that_is_away_for_less_than_a_minute(wanted, redis):
    wanted.redis = Away()
    after(wanted, 30)
    wanted.redis = redis
    after(wanted, 5)
    wanted.redis = Away()
    after(wanted, 59)
    with pytest.raises(Cancelled):
        after(wanted, 2)


def test_what_it_says_fades_unless_it_is_alive(wanted, redis):
    wanted.step("Replaying the WAL")
    assert state.host(redis).step == "Replaying the WAL"
    assert 0 < redis.ttl(state.HOST) <= state.HOST_SECONDS
    redis.delete(state.HOST)
    after(wanted, 5)
    assert state.host(redis).step == "Replaying the WAL"


def test_why_it_failed_is_said_with_what_to_do(wanted, redis):
    wanted.failed(OperatorError("There is no base backup.", "Make one: /mlflow backup base."))
    said = state.host(redis)
    assert (said.problem, said.hint) == ("There is no base backup.", "Make one: /mlflow backup base.")


@pytest.mark.parametrize(("towards", "own"), [("127.0.0.1:6443", "127.0.0.1"), ("localhost:6443", "127.0.0.1")])
def test_the_address_is_that_on_the_way_to_the_cluster(towards, own):
    assert host.own_address(towards) in {own, "::1"}


@pytest.mark.parametrize(("address", "said"), [("10.0.0.7", "10.0.0.7:5432"), ("fd00::7", "[fd00::7]:5432")])
def test_an_address_is_written_as_in_a_url(address, said):
    assert host.written(address, 5432) == said
