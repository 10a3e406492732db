"""The channel's line is shared: a flood of one person keeps neither a call for help nor another person waiting."""

import pytest

from workers.records.message import Message, draft
from workers.records.outbox import Limit, Outbox
from workers.records.record import Phase, Record
from workers.records.store import Records

POSTS = Limit("chat.postMessage:C0OPS", every=1.0, burst=3)


class Channel:
    """What a sender does, without Slack: who was told what, and when."""

    def __init__(self, redis):
        self.redis, self.now, self.told = redis, 1_800_000_000.0, []
        self.outbox = Outbox(redis, clock=lambda: self.now)

    def ask(self, words, person, **more):
        about = {"operation": "health", "arguments": {}, "channel": "C0OPS", "accepted_at": self.now}
        record = Record(**about, words=words, requester=person, **more)
        Records(self.redis).accept(record, record.id, Message(words, []))
        self.redis.zadd("mlflow-ops:mlflow:outbox:due", {record.id: self.now})
        return record

    def goes_on(self, seconds):
        until = self.now + seconds
        while self.now < until:
            entry, wait = self.outbox.take()
            if entry is None:
                self.now += min(wait, until - self.now)
            elif self.outbox.admitted(entry, POSTS):
                self.told.append((entry.text, self.now))
                self.outbox.done(entry)

    def when(self, words):
        return next((at for text, at in self.told if text == words), None)


@pytest.fixture
def channel(redis):
    return Channel(redis)


def flood(channel):
    for number in range(200):
        channel.ask(f"health {number}", "U0VERA", phase=Phase.QUEUED)
        channel.now += 0.001
    channel.goes_on(5)


def test_a_call_for_help_is_the_next_and_another_person_has_the_next_turn(channel):
    flood(channel)
    asked = channel.now
    channel.ask("db sizes", "U0OLEG", phase=Phase.QUEUED)
    channel.goes_on(0.01)
    channel.ask("escalate production is down", "U0VERA", phase=Phase.QUEUED, calls=("S0ONCALL",))
    channel.goes_on(10)
    assert channel.when("escalate production is down") - asked <= 3
    assert channel.when("db sizes") - asked <= 4


def test_what_approvers_are_asked_comes_before_reads(channel):
    flood(channel)
    asked = channel.now
    channel.ask("scale 9", "U0VERA", phase=Phase.PENDING)
    channel.goes_on(5)
    assert channel.when("scale 9") - asked <= 3


def test_of_one_person_first_come_is_first_told(channel):
    flood(channel)
    channel.goes_on(20)
    said = [text for text, _ in channel.told]
    assert said == [f"health {number}" for number in range(len(said))]
    assert 24 <= len(said) <= 30


def test_three_people_take_turns(channel):
    flood(channel)
    for number in range(20):
        channel.ask(f"a{number}", "U0ANNA", phase=Phase.QUEUED)
        channel.ask(f"o{number}", "U0OLEG", phase=Phase.QUEUED)
    before = len(channel.told)
    channel.goes_on(30)
    first = [text[0] for text, _ in channel.told[before:]]
    for person in "hao":
        assert first.count(person) >= 8


def test_a_thread_that_comes_again_goes_on_where_its_person_is(channel):
    flood(channel)
    record = channel.ask("runs show", "U0OLEG", phase=Phase.QUEUED)
    channel.goes_on(5)
    for number in range(3):
        channel.outbox.push(record.id, draft("reply", Message(f"details {number}", [])))
    asked = channel.now
    channel.goes_on(10)
    assert channel.when("details 2") - asked <= 8
