"""A command that Redis has forgotten is not shown as under way for ever."""

import threading
import time

import pytest

from bot import delivering, forgotten
from mlflow_ops_sandbox.slack.client import wait_for, words
from tests.bot.sending import OPS, Sending
from workers.records import another_server
from workers.records.message import draft
from workers.records.record import Ending, Phase
from workers.rendering import message as render

LOST = "It may have been carried out."


@pytest.fixture
def sending(local_slack, redis):
    with local_slack() as slack:
        yield Sending.to(slack, redis)


def roots(sending):
    return {words(each) for each in sending.slack.person("vera").messages(OPS)}


def forget(sending, *records):
    for each in records:
        for key in sending.redis.scan_iter(f"mlflow-ops:mlflow:*{each.id}*"):
            sending.redis.delete(key)
        sending.redis.zrem("mlflow-ops:mlflow:open", each.id)


def test_what_is_lost_ends_and_nothing_else_is_touched(sending):
    lost, works, over = (sending.asked(words=f"health {name}") for name in ("pods", "storage", "queues"))
    sending.drain()
    done = render.failed(over.words, over.requester, "It is broken.", "Ask again.")
    sending.records.finish(over.id, Ending(Phase.FAILED, "It is broken.", (draft("edit", done),)))
    sending.drain()
    forget(sending, lost, over)
    sending.slack.person("vera").post(OPS, ":hourglass_flowing_sand: somebody else's")
    before = roots(sending)
    assert forgotten.end_all(sending.client, sending.records, [OPS]) == 1
    changed = roots(sending) - before
    assert len(changed) == 1
    (said,) = changed
    assert "/mlflow health pods" in said
    assert LOST in said
    assert "hourglass" not in said
    assert f"<@{lost.requester}>" in said
    assert any("health storage" in each and "hourglass" in each for each in roots(sending)), works
    assert forgotten.end_all(sending.client, sending.records, [OPS]) == 0


def test_what_another_target_keeps_is_its_own(sending, monkeypatch):
    monkeypatch.setattr(delivering, "TARGET", "other")
    theirs = sending.asked()
    sending.drain()
    forget(sending, theirs)
    assert forgotten.end_all(sending.client, sending.records, [OPS]) == 0


def test_a_channel_that_cannot_be_read_does_not_keep_the_others_from_it(sending):
    lost = sending.asked()
    sending.drain()
    forget(sending, lost)
    assert forgotten.end_all(sending.client, sending.records, ["C0NOBODY", OPS]) == 1


def test_it_is_looked_for_once_redis_is_another_and_those_who_work_had_time(sending, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(forgotten, "IDLE_SECONDS", 0.05)
    lost = sending.asked()
    sending.drain()
    forget(sending, lost)
    sending.redis.set("mlflow-ops:mlflow:server", "the one before")
    sending.redis.delete("mlflow-ops:mlflow:another")
    thread = forgotten.start(sending.client, sending.redis, [OPS], stop)
    try:
        sending.records.doubt()
        time.sleep(0.5)
        assert not any(LOST in each for each in roots(sending))
        monkeypatch.setattr(forgotten, "SETTLED_SECONDS", 0.1)
        wait_for(lambda: any(LOST in each for each in roots(sending)) or None, 10)
        wait_for(lambda: another_server.since(sending.redis) is None or None, 10)
    finally:
        stop.set()
        thread.join(10)
