"""A claim that does not hold any more writes nothing and changes nothing; one that Redis has lost is taken again."""

import json
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from workers.engine import approvals, lease, locks, queues, rescuing, running
from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Risk
from workers.operations.deployment.scale import Scale
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.record import Ending, Phase, Record, Stage
from workers.records.store import ALIVE_SECONDS, Merged, Records, TooMany
from workers.rendering import message as render
from workers.rendering.thread import SlackThread, success
from workers.report import Report, Status
from workers.systems import fencing
from workers.systems.errors import Unreachable

PLAN = Plan(
    title="Scale mlflow",
    summary="from 2 to 4",
    steps=("Set it",),
    changes=(Change(what="replicas", before="2", after="4"),),
    facts={"replicas": 2},
)
EDIT = draft("edit", Message("0 of 7 pods ready", []))


@pytest.fixture
def records(redis):
    return Records(redis)


@pytest.fixture
def accepted(redis, records):
    """Accepts a change; its plan is made."""

    def accept(**changes):
        record = Record(
            operation="scale",
            arguments={"replicas": 4},
            words="scale 4",
            requester="U0OLEG",
            channel="C0OPS",
            **{
                "plan": PLAN.model_dump(mode="json"),
                "digest": PLAN.digest,
                "phase": Phase.QUEUED,
                **queues.run_fields("scale"),
                **changes,
            },
        )
        records.accept(record, record.id, render.asked(record.words, record.requester))
        return record

    return accept


def said(redis, record):
    return redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", -1, -1)[0].decode()


def begins_anew(redis, records):
    """As after a restart of Redis, which has another run id each time."""
    redis.set("mlflow-ops:mlflow:server", "the one before")
    assert records.doubt()


def test_a_worker_that_slept_writes_nothing_over_the_end(accepted, records, redis):
    record = accepted()
    mine = records.start(record.id, "sleeper")
    stopped = []
    progress = SlackThread(Outbox(redis), mine, records, no_longer_ours=lambda: stopped.append(1))
    progress.step("Scaling")
    assert stopped == []
    assert records.finish(record.id, Ending(Phase.FAILED, "lost", (draft("edit", Message("It was lost", [])),)))
    progress.step("0 of 7 pods ready")
    assert stopped == [1]
    assert not records.tell(mine, EDIT, step="Watching")
    assert not records.finish(record.id, Ending(Phase.DONE, "done"), claim=mine)
    assert not records.move(record.id, EDIT, before=Phase.RUNNING, claim=mine, phase=Phase.PROPOSED)
    assert not records.renew(mine)
    assert not records.holds(mine)
    assert "It was lost" in said(redis, record)
    assert records.step(record.id)["step"] == "Scaling"


def test_a_claim_that_went_to_somebody_else_holds_no_more(accepted, records):
    record = accepted()
    mine = records.start(record.id, "first")
    assert records.move(record.id, before=Phase.RUNNING, claim=mine, **queues.handed_over_fields(mine))
    assert not records.holds(mine)
    other = records.start(record.id, "second", turn="run-1")
    assert other.token != mine.token
    assert records.holds(other)
    assert not records.tell(mine, EDIT, step="Watching")


def test_a_claim_that_redis_lost_is_taken_again_by_who_works(accepted, records, redis):
    record = accepted()
    before = redis.dump(f"mlflow-ops:mlflow:record:{record.id}")
    mine = records.start(record.id, "w1")
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:claim")
    redis.restore(f"mlflow-ops:mlflow:record:{record.id}", 0, before, replace=True)
    assert records.renew(mine)
    assert records.get(record.id).phase is Phase.RUNNING
    assert records.start(record.id, "w2") is None


def test_a_record_that_redis_lost_is_written_anew_and_ends(accepted, records, redis):
    record = accepted()
    mine = records.start(record.id, "w1")
    redis.flushall()
    assert records.holds(mine)
    assert records.open() == [record.id]
    assert records.finish(record.id, Ending(Phase.DONE, "It is done."), claim=mine)
    assert records.get(record.id).words == "scale 4"


def test_who_claimed_it_meanwhile_keeps_it(accepted, records, redis):
    record = accepted()
    before = redis.dump(f"mlflow-ops:mlflow:record:{record.id}")
    mine = records.start(record.id, "w1")
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:claim")
    redis.restore(f"mlflow-ops:mlflow:record:{record.id}", 0, before, replace=True)
    assert records.start(record.id, "w2")
    assert not records.renew(mine)


def test_a_record_does_not_take_its_own_lock_twice(accepted, records, redis):
    record = accepted()
    mine = records.start(record.id, "w1")
    first = locks.Locks(redis, record.id, ["deployment"], mine.token)
    first.take()
    other = locks.Locks(redis, record.id, ["deployment"], "9-other")
    with pytest.raises(locks.TakenByItself) as taken:
        other.take()
    assert taken.value.token == mine.token
    assert locks.holder(redis, "deployment") == record.id
    other.give_back()
    first.renew()


def test_a_second_claim_gives_way_to_the_one_whose_worker_has_the_lock(accepted, records, redis):
    record = accepted()
    mine = records.start(record.id, "w1")
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:claim")
    records.update(record.id, token="", phase=Phase.QUEUED)
    other = records.start(record.id, "w2")
    assert records.give_way(other, mine.token)
    assert records.holds(mine)
    assert not records.holds(other)


def test_before_a_change_the_claim_is_asked(accepted, records, monkeypatch):
    record = accepted()
    mine, ended = records.start(record.id, "w1"), []
    monkeypatch.setattr(lease, "stop_here", lambda: ended.append(1))
    with lease.alive(records, mine):
        fencing.before_changing()
        assert ended == []
        records.finish(record.id, Ending(Phase.FAILED, "lost"))
        fencing.before_changing()
        assert ended == [1]
    fencing.before_changing()
    assert ended == [1]


def test_without_redis_nothing_new_is_begun_and_what_was_taken_away_is_put_back(monkeypatch):
    def away():
        raise RedisConnectionError

    now = [100.0]
    monkeypatch.setattr(fencing.time, "monotonic", lambda: now[0])
    with fencing.checked_by(away):
        fencing.before_changing()
        now[0] += fencing.KNOWN_SECONDS + 1
        with pytest.raises(Unreachable, match="whether this command is still mine"):
            fencing.before_changing()
        with fencing.putting_back():
            fencing.before_changing()
        with pytest.raises(Unreachable):
            fencing.before_changing()


# Redis lost something.


def test_what_is_open_when_redis_began_anew_is_not_begun_before_it_was_looked_at(accepted, records, redis):
    record = accepted()
    begins_anew(redis, records)
    assert records.start(record.id, "w1") is None
    rescuing.rescue(redis)
    assert records.get(record.id).stage is Stage.RUN
    records.update(record.id, doubted=records.get(record.id).doubted - ALIVE_SECONDS - 1)
    rescuing.rescue(redis)
    looked = records.get(record.id)
    assert (looked.stage, looked.resumes["phase"], looked.doubted) == (Stage.LOOK, "queued", None)


@pytest.fixture
def here(redis, monkeypatch):
    class Systems:
        settings = None

    monkeypatch.setattr(running, "redis_here", lambda: redis)
    monkeypatch.setattr(running, "systems_here", Systems)


def doubted(accepted, records, redis, **changes):
    record = accepted(**changes)
    begins_anew(redis, records)
    records.update(record.id, doubted=1.0)
    rescuing.rescue(redis)
    return record


def test_a_scale_that_was_done_is_not_expired(accepted, records, redis, here, monkeypatch):
    def plan(*_):
        raise AlreadySo("mlflow has 4 replicas already.")

    monkeypatch.setattr(Scale, "plan", plan)
    monkeypatch.setattr("workers.operations.deployment.scale.state_now", lambda _: "4 of 4 pods are ready.")
    record = doubted(accepted, records, redis, phase=Phase.PENDING, stage=Stage.PLAN, expires_at=1.0, approvals=1)
    assert records.get(record.id).stage is Stage.LOOK
    assert running.run(record.id) == Phase.DONE
    assert "It had been carried out: mlflow has 4 replicas already." in records.get(record.id).outcome


def test_a_plan_that_redis_has_gone_back_to_may_have_been_carried_out(accepted, records, redis, here):
    """It was saved while somebody planned, and done before it was lost."""
    record = accepted(stage=Stage.PLAN, plan=None)
    assert records.start(record.id, "w1", Stage.PLAN)
    begins_anew(redis, records)
    records.update(record.id, doubted=1.0)
    rescuing.rescue(redis)
    planned = records.get(record.id)
    assert (planned.stage, planned.phase) == (Stage.PLAN, Phase.RUNNING), "its worker lives"
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:alive")
    rescuing.rescue(redis)
    assert running.run(record.id) == Phase.FAILED
    assert "It may have been carried out." in records.get(record.id).outcome


def test_where_nothing_was_done_it_goes_on(accepted, records, redis, here, monkeypatch):
    monkeypatch.setattr(Scale, "plan", lambda *_: PLAN)
    soon = time.time() + 1800
    about = {"phase": Phase.PENDING, "stage": Stage.PLAN, "approvals": 1, "expires_at": soon}
    waits = doubted(accepted, records, redis, **about)
    assert running.run(waits.id) == Phase.PENDING
    assert approvals.approve(records.get(waits.id), "U0ANNA", redis) is approvals.Answer.APPROVED
    approved = records.get(waits.id)
    assert records.start(waits.id, "w1", approved.stage, approved.turn)
    queued = doubted(accepted, records, redis)
    assert running.run(queued.id) == Phase.QUEUED
    again = records.get(queued.id)
    assert (again.stage, again.outcome) == (Stage.RUN, None)
    assert queues.job_id(again) in queues.queue(queues.OPS, redis).job_ids


def test_another_redis_gives_who_runs_time_to_say_that_it_lives(accepted, records, redis):
    record = accepted()
    mine = records.start(record.id, "w1")
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:alive")
    begins_anew(redis, records)
    rescuing.rescue(redis)
    assert records.get(record.id).phase is Phase.RUNNING
    assert records.renew(mine)


def test_after_an_outage_nobody_is_given_up_before_they_could_say_a_word(accepted, records, redis):
    record = accepted()
    records.start(record.id, "w1")
    redis.delete(f"mlflow-ops:mlflow:record:{record.id}:alive")
    records.grace()
    rescuing.rescue(redis)
    assert records.get(record.id).phase is Phase.RUNNING


# Queued as it is recorded.


class ReadsInATest(Operation):
    """Reads."""

    name = "reads-in-a-test"
    risk = Risk.READ


def read_by(person):
    return Record(operation=ReadsInATest.name, arguments={}, words="health", requester=person, channel="C0OPS")


def test_it_is_on_its_queue_once_it_is_recorded(redis, records):
    record = read_by("U0VERA")
    assert queues.accept(record, "1", render.asked("health", "U0VERA"), redis)
    assert queues.accept(record, "1", render.asked("health", "U0VERA"), redis)
    assert queues.queue(queues.QUICK, redis).job_ids == [record.id]
    job = queues.queue(queues.QUICK, redis).fetch_job(record.id)
    assert (job.func_name, list(job.args), job.origin) == (queues.RUN, [record.id], "quick")
    assert job.get_status() == "queued"
    assert json.loads(redis.hget(f"mlflow-ops:mlflow:record:{record.id}", "phase")) == "queued"


def test_one_person_may_have_so_many_under_way(redis, records):
    # Each another one: what is the same is told as one.
    kinds = iter(range(1, 6))

    def read_of_vera():
        return read_by("U0VERA").model_copy(update={"operation": "jobs", "arguments": {"last": next(kinds)}})

    first = [read_of_vera() for _ in range(3)]
    for each in first:
        assert queues.accept(each, each.id, render.asked("health", "U0VERA"), redis, at_most=3)
    with pytest.raises(TooMany, match="3 commands under way"):
        queues.accept(read_of_vera(), "one more", render.asked("health", "U0VERA"), redis, at_most=3)
    assert queues.accept(first[0], first[0].id, render.asked("health", "U0VERA"), redis, at_most=3)
    assert queues.accept(read_by("U0OLEG"), "another", render.asked("health", "U0OLEG"), redis, at_most=3)
    records.finish(first[0].id, Ending(Phase.DONE, "well"))
    assert queues.accept(read_of_vera(), "now", render.asked("health", "U0VERA"), redis, at_most=3)


def test_equal_reads_of_one_person_that_wait_are_told_as_one(redis, records):
    """Two hundred of one person; one of another, one in another channel, one that is not the same."""
    asked = {"operation": "health", "arguments": {"checks": ["queues"]}, "words": "health queues"}
    ops = {"operation": "health", "arguments": {}, "words": "health"}

    def ask(number, about=asked, requester="U0VERA", channel="C0OPS"):
        record = Record(**about, requester=requester, channel=channel)
        root = render.asked(record.words, record.requester)
        return record.id if queues.accept(record, f"d{number}", root, redis, at_most=10) else None

    first = ask(0)
    for number in range(1, 200):
        with pytest.raises(Merged, match="its answer will be for both"):
            ask(number)
    others = [ask(200, ops), ask(201, requester="U0OLEG"), ask(202, channel="C0ELSE")]
    assert None not in others
    assert queues.queue("quick", redis).get_job_ids() == [first, *others]
    begun = records.start(first, "w")
    assert begun.more == 199
    ended = success(begun, Report(title="MLflow health", status=Status.OK, summary="ok"))
    assert "199 more like it" in ended.messages[0].body
    # It has begun: what is asked now wants to know how it is now.
    again = ask(203)
    assert again not in {None, first}
    assert ask(203) is None
    assert not records.get(first).phase.ended
