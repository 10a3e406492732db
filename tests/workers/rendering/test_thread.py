"""Progress in a thread: how far, how fast, how long yet, and never more often than a person can read."""

import json
from functools import partial

import pytest

from workers.engine import shutdown
from workers.records.record import Record
from workers.rendering import limits, thread


class Kept:
    def __init__(self):
        self.texts = []
        self.drafts = []

    def push(self, _record_id, item):
        self.texts.append(str(item))
        self.drafts.append(item)


@pytest.fixture
def told():
    """A thread whose clock the test moves, and what it told."""
    clock, outbox = [100.0], Kept()
    record = Record(operation="backup", arguments={}, words="backup", requester="U0OLEG", channel="C0OPS")
    return thread.SlackThread(outbox, record, monotonic=lambda: clock[0]), clock, outbox


def test_it_says_how_far_how_fast_and_how_long_yet(told):
    progress, clock, outbox = told
    progress.step("Database: dumping")
    clock[0] += 10
    progress.advance(500, 2000, "MiB")
    assert "500 of 2,000 MiB · 50 MiB/s, 30 s left" in outbox.texts[-1]
    clock[0] += 10
    progress.advance(2000, 2000, "MiB")
    assert "2,000 of 2,000 MiB · 100 MiB/s" in outbox.texts[-1]
    assert "left" not in outbox.texts[-1]


def test_where_nobody_knows_of_how_much_it_says_so(told):
    progress, clock, outbox = told
    progress.step("Artifacts: copying what is new")
    clock[0] += 10
    progress.advance(1500, 0, "artifacts")
    assert "1,500 artifacts so far · 150 artifacts/s" in outbox.texts[-1]
    assert " of " not in outbox.texts[-1]


@pytest.mark.parametrize(("resumes", "stops"), [(True, [False, True, True]), (False, [False, False, True])])
def test_asked_to_end_what_resumes_stops_at_once_and_anything_else_after_its_grace(monkeypatch, resumes, stops):
    clock = [50.0]
    monkeypatch.setattr(shutdown.time, "monotonic", lambda: clock[0])
    stopping = partial(shutdown.should_stop, resumes=resumes, grace_seconds=20)
    try:
        found = [stopping()]
        shutdown.begin()
        found.append(stopping())
        clock[0] += 20
        found.append(stopping())
    finally:
        shutdown.forget()
    assert found == stops


def test_too_early_it_says_no_rate_and_slower_than_one_a_second_only_what_is_left(told):
    progress, clock, outbox = told
    progress.step("Removing")
    clock[0] += 2
    progress.advance(1, 10, "sets")
    assert "1 of 10 sets" in outbox.texts[-1]
    assert "·" not in outbox.texts[-1]
    clock[0] += 8
    progress.advance(2, 10, "sets")
    assert "2 of 10 sets · 40 s left" in outbox.texts[-1]


def test_each_step_has_a_rate_of_its_own_and_one_edit_a_second_is_enough(told):
    progress, clock, outbox = told
    progress.step("One")
    clock[0] += 100
    progress.step("Two")
    clock[0] += 4
    progress.advance(400, 800, "MiB")
    assert "100 MiB/s, 4 s left" in outbox.texts[-1]
    before = len(outbox.texts)
    for _ in range(50):
        clock[0] += 0.01
        progress.advance(401, 800, "MiB")
    assert len(outbox.texts) == before


def test_of_several_steps_each_is_a_task_with_what_came_of_it(told):
    progress, clock, outbox = told
    progress.step("Restoring")
    clock[0] += 5
    progress.advance(65, 65, "tables")
    progress.step("Comparing")
    (_, plan) = json.loads(outbox.drafts[-1].body)["blocks"]
    assert not limits.refused([plan])
    assert [(task["title"], task["status"]) for task in plan["tasks"]] == [
        ("Restoring", "complete"),
        ("Comparing", "in_progress"),
    ]
    assert "65 of 65 tables · 5.0 s" in str(plan["tasks"][0]["output"])
