"""A sender whose clock jumps to what is due next, and what it has told where."""

import time
from dataclasses import dataclass, field
from typing import Any

from slack_sdk import WebClient

from bot.sender import Patience, Sender
from mlflow_ops_sandbox.slack.client import words
from workers.engine import queues
from workers.records.message import Message
from workers.records.outbox import Outbox
from workers.records.record import Record
from workers.records.store import Records
from workers.rendering import message as render
from workers.settings import Ops

OPS = "C0OPS"
VERA = "U0VERA"


class Clock:
    """A clock that jumps to what is due next."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


def text(said, *more):
    """A message of one section, and further blocks."""
    return Message(said, [{"type": "section", "text": {"type": "mrkdwn", "text": said}}, *more])


@dataclass
class Sending:
    """A local Slack, an outbox, and a sender that takes no time."""

    slack: Any
    client: WebClient
    redis: Any
    clock: Clock
    outbox: Outbox
    sender: Sender
    began: float = field(default_factory=time.time)

    @classmethod
    def to(cls, slack, redis, ops=None, **more):
        clock = Clock()
        outbox = Outbox(redis, clock=clock)
        client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[], timeout=2)
        patience = Patience(first=0.5, longest=20)
        return cls(
            slack, client, redis, clock, outbox, Sender(client, redis, outbox, ops or Ops(), patience=patience, **more)
        )

    @property
    def records(self):
        return Records(self.redis)

    def asked(self, **changed):
        """A command that was accepted, with its job."""
        about = {"operation": "health", "arguments": {}, "words": "health", "requester": VERA, "channel": OPS}
        record = Record(**(about | changed))
        queues.accept(record, record.id, render.asked(record.words, record.requester), self.redis)
        return record

    def drain(self, *, at_most=400, seconds=3600):
        """Send until nothing is left, without waiting: the clock goes to what is due; the seconds that went by."""
        began = self.clock.now
        for _ in range(at_most):
            wait = self.sender.step()
            if wait == float("inf"):
                return self.clock.now - began
            self.clock.now += wait
            assert self.clock.now - began <= seconds, "tried for ever"
        raise AssertionError(f"the outbox never became empty: {self.left()}")

    def left(self):
        return {key: self.redis.lrange(key, 0, -1) for key in self.redis.keys("*outbox:thread:*")}

    def in_person(self, user=VERA):
        """What somebody was told alone since this began, oldest first."""
        person = next(each for each in self.slack.workspace.people if each.id == user)
        return [words(each) for each in self._new(self.slack.person(person.name).messages(f"D{user[1:]}"))]

    def in_channel(self, channel=OPS):
        """What stands in the channel itself since this began, oldest first."""
        return self._new(self.slack.person("vera").messages(channel))

    def begin_anew(self):
        """Forget what was told before."""
        self.redis.flushall()
        self.began = time.time()

    def _new(self, messages):
        return [each for each in messages if float(each["ts"]) >= self.began]

    def thread(self, record):
        """The record's message and its replies, oldest first."""
        known = self.records.get(record.id)
        return self.slack.person("vera").thread(record.channel, known.thread) if known.thread else []
