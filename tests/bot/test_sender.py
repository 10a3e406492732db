"""The outbox reaches Slack in order and once, whatever Slack does; real wire, real Redis."""

import threading
import time

import pytest
from slack_sdk import WebClient

from bot.sender import Patience, Sender
from mlflow_ops_sandbox.slack.client import wait_for, words
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.rendering import message as render
from workers.settings import Ops

OPS = "C0OPS"


class Clock:
    """A clock that jumps to what is due next."""

    def __init__(self):
        self.now = time.time()

    def __call__(self):
        return self.now


@pytest.fixture
def slack(local_slack):
    with local_slack() as slack:
        yield slack


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(redis, clock):
    return Outbox(redis, clock=clock)


@pytest.fixture
def sender(slack, redis, outbox):
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[], timeout=2)
    return Sender(client, redis, outbox, Ops(), patience=Patience(first=0.5, longest=20))


@pytest.fixture
def record(redis):
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel=OPS)
    Records(redis).accept(record, record.id, render.asked(record.words, record.requester))
    return record


def text(said):
    return Message(said, [{"type": "section", "text": {"type": "mrkdwn", "text": said}}])


def drain(sender, clock, *, at_most=300):
    """Send until nothing is left, without waiting: the clock goes to what is due; the seconds that went by."""
    began = clock.now
    for _ in range(at_most):
        wait = sender.step()
        if wait == float("inf"):
            return clock.now - began
        clock.now += wait
    pytest.fail("the outbox never became empty")


def told(slack, redis, record):
    root = Records(redis).get(record.id).root_ts
    return [message["text"] for message in slack.person("vera").thread(OPS, root)]


def test_the_root_message_comes_first_then_the_command_is_queued(sender, slack, redis, record, clock):
    assert Records(redis).get(record.id).phase is Phase.ACCEPTED
    drain(sender, clock)
    known = Records(redis).get(record.id)
    assert known.phase is Phase.QUEUED
    assert known.queue == "quick"
    assert told(slack, redis, record) == ["/mlflow health"]


def test_edits_are_merged_and_replies_keep_their_order(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    for number in range(50):
        outbox.push(record.id, draft("edit", text(f"{number} of 50")))
    outbox.push(record.id, *(draft("reply", text(f"reply {number}")) for number in range(5)))
    before = slack.sandbox.calls()
    drain(sender, clock)
    assert slack.sandbox.calls()["chat.update"] - before.get("chat.update", 0) == 1
    assert told(slack, redis, record) == ["49 of 50", *(f"reply {n}" for n in range(5))]


def test_words_replaced_while_a_sender_holds_them_are_not_lost(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    outbox.push(record.id, draft("edit", text("half done")))
    held, _ = outbox.take()
    Records(redis).finish(record.id, Ending(Phase.DONE, "done", (draft("edit", text("all done")),)))
    assert not outbox.tried(held, 1)
    outbox.done(held)
    drain(sender, clock)
    assert told(slack, redis, record) == ["all done"]


def test_progress_of_one_thread_is_shown_once_a_second(sender, redis, record, outbox, clock):
    drain(sender, clock)
    took = 0.0
    for number in range(10):
        outbox.push(record.id, draft("edit", text(f"{number}")))
        took += drain(sender, clock)
    assert 8 <= took <= 12


def test_a_hundred_commands_of_one_channel_are_told_first_come_first_and_one_is_looked_at_at_a_time(
    sender, slack, redis, clock
):
    asked = [f"health {number}" for number in range(100)]

    def ask(said):
        about = {"operation": "health", "arguments": {}, "words": said, "accepted_at": clock.now}
        record = Record(**about, requester="U0VERA", channel=OPS)
        Records(redis).accept(record, record.id, text(said))
        clock.now += 0.001

    def steps(seconds):
        taken, until = 0, clock.now + seconds
        while clock.now < until:
            clock.now += min(sender.step(), until - clock.now)
            taken += 1
        return taken

    for each in asked:
        ask(each)
    first_steps = steps(10)
    ask("health later")
    later_steps = steps(10)
    said = [message["text"] for message in slack.person("vera").messages(OPS)]
    assert 20 <= len(said) <= 25
    assert said == asked[: len(said)]
    assert first_steps < len(asked) + 40
    assert later_steps < 40


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "error"])
def test_a_message_without_a_clear_answer_is_there_once(sender, slack, redis, record, outbox, clock, fault):
    drain(sender, clock)
    outbox.push(record.id, *(draft("reply", text(f"reply {number}")) for number in range(3)))
    break_next(slack, fault)
    drain(sender, clock)
    assert told(slack, redis, record)[1:] == ["reply 0", "reply 1", "reply 2"]


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
def test_a_root_message_without_a_clear_answer_is_there_once(sender, slack, redis, record, clock, fault):
    break_next(slack, fault)
    drain(sender, clock)
    asked = [each for each in slack.person("vera").messages(OPS) if "asked by" in words(each)]
    assert len(asked) == 1
    assert Records(redis).get(record.id).root_ts == asked[0]["ts"]


def test_slack_says_when_to_come_again(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    outbox.push(record.id, draft("reply", text("late")))
    slack.sandbox.fault("ratelimited", method="chat.postMessage", count=1, retry_after=7)
    assert 7 <= drain(sender, clock) < 9
    assert told(slack, redis, record)[1:] == ["late"]


def test_ten_minutes_without_slack(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    away_until = clock.now + 600
    outbox.push(record.id, *(draft("reply", text(f"reply {number}")) for number in range(4)))
    slack.sandbox.away()
    while clock.now < away_until:
        clock.now += min(sender.step(), away_until - clock.now) or 0
    Records(redis).finish(record.id, Ending(Phase.DONE, "all is well", (draft("edit", text("all is well")),)))
    slack.sandbox.away(on=False)
    took = drain(sender, clock)
    assert took < 60
    assert told(slack, redis, record) == ["all is well", *(f"reply {number}" for number in range(4))]
    assert outbox.length() == 0


def test_a_channel_that_is_closed_is_told_to_the_requester(sender, slack, redis, clock):
    record = Record(operation="health", arguments={}, words="health", requester="U0VERA", channel="C0NOWHERE")
    Records(redis).accept(record, record.id, render.asked(record.words, record.requester))
    drain(sender, clock)
    assert Records(redis).get(record.id).phase is Phase.FAILED
    client = WebClient(token=slack.workspace.tokens.bot, base_url=slack.api)
    (direct,) = slack.person("vera").messages(client.conversations_open(users="U0VERA")["channel"]["id"])
    assert "Nothing was done" in direct["text"]


def test_what_slack_refuses_is_told_without_its_form(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    outbox.push(record.id, draft("reply", Message("the plain words", [{"type": "no-such-block"}])))
    drain(sender, clock)
    assert told(slack, redis, record)[1:] == ["the plain words"]


@pytest.mark.slow
def test_many_senders_share_one_outbox(slack, redis, outbox):
    records = []
    for number in range(10):
        record = Record(operation="health", arguments={}, words=f"health {number}", requester="U0VERA", channel=OPS)
        Records(redis).accept(record, record.id, text(f"asked {number}"))
        outbox.push(record.id, *(draft("reply", text(f"{number}/{reply}")) for reply in range(3)))
        records.append(record)
    stop, ten_times_as_fast = threading.Event(), Outbox(redis, clock=lambda: time.time() * 10)
    clients = [WebClient(token=slack.workspace.tokens.bot, base_url=slack.api, retry_handlers=[]) for _ in range(4)]
    senders = [Sender(client, redis, ten_times_as_fast, Ops()) for client in clients]
    threads = [threading.Thread(target=each.serve, args=(stop,)) for each in senders]
    for thread in threads:
        thread.start()
    wait_for(lambda: not outbox.length() or None, 30)
    stop.set()
    for thread in threads:
        thread.join()
    for number, record in enumerate(records):
        assert told(slack, redis, record) == [f"asked {number}", *(f"{number}/{reply}" for reply in range(3))]


def test_no_secret_reaches_slack_or_redis(sender, slack, redis, record, outbox, clock):
    drain(sender, clock)
    from workers import redaction

    redaction.remember(["correct-horse-battery"])
    outbox.push(record.id, draft("reply", text("it is correct-horse-battery, xoxb-123456789012-abc and p://u:pw@h/d")))
    stored = b"".join(value for value in redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", 0, -1))
    drain(sender, clock)
    said = told(slack, redis, record)[1]
    for secret in ("correct-horse-battery", "xoxb-123456789012", "u:pw@"):
        assert secret not in said
        assert secret.encode() not in stored


def quiet(redis):
    record = Record(operation="backup", arguments={}, words="backup", requester="schedule:b", channel=OPS, quiet=True)
    Records(redis).accept(record, record.id, render.asked(record.words, record.requester))
    return record


def test_what_is_to_be_quiet_runs_and_says_nothing_where_all_is_well(sender, slack, redis, outbox, clock):
    record, records = quiet(redis), Records(redis)
    drain(sender, clock)
    assert records.get(record.id).phase is Phase.QUEUED
    outbox.push(record.id, draft("edit", text("dumping")))
    records.finish(
        record.id, Ending(Phase.DONE, "well", (draft("edit", text("all is well")), draft("reply", text("details"))))
    )
    drain(sender, clock)
    assert slack.person("vera").messages(OPS) == []


def test_what_is_to_be_quiet_speaks_up_where_it_fails(sender, slack, redis, outbox, clock):
    record, records = quiet(redis), Records(redis)
    drain(sender, clock)
    outbox.push(record.id, draft("edit", text("dumping")))
    drain(sender, clock)
    records.finish(
        record.id, Ending(Phase.FAILED, "no", (draft("edit", text("it failed")), draft("reply", text("why"))))
    )
    drain(sender, clock)
    assert told(slack, redis, record) == ["it failed", "why"]


def break_next(slack, fault):
    slack.sandbox.fault(fault, method="chat.postMessage", count=1, status=500)
