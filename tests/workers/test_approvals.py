"""Exactly one decision, exactly one run or none: whoever presses, however many at once, whatever dies between."""

import random
import threading
import time

import pytest

from commands import grammar, policy
from deploy.sandbox.testing import wait_for
from workers import approvals, engine, locks, proposals, queues, render
from workers.locks import Locks
from workers.operation import Change, OperatorError, Plan
from workers.outbox import Outbox
from workers.settings import Ops
from workers.state import Phase, Records, Stage

OPS = Ops.model_validate(
    {
        "channels": ["C0OPS"],
        "roles": {
            "operator": {"users": ["U0OLEG"]},
            "approver": {"users": ["U0ANNA", "U0ARUN"]},
            "admin": {"users": ["U0ADA"]},
        },
    }
)
PLAN = Plan(
    title="Scale mlflow",
    summary="from 2 to 9 replicas",
    steps=("Set the replicas",),
    changes=(Change(what="replicas", before="2", after="9"),),
    facts={"replicas": 2},
)


def pending(redis, words="scale 9", **changes):
    """A command whose plan was made and which waits."""
    records = Records(redis)
    record = policy.record_of(grammar.parse(words), words, "U0OLEG", "C0OPS", OPS).model_copy(update=changes)
    records.accept(record, record.id, render.asked(words, "U0OLEG"))
    records.update(
        record.id,
        phase=Phase.PENDING,
        stage=Stage.PLAN,
        root_ts="1.1",
        plan=PLAN.model_dump(mode="json"),
        digest=PLAN.digest,
    )
    return records.get(record.id)


def nobody(_group):
    return frozenset()


def waiting_jobs(redis):
    return queues.queue(queues.OPS, redis).get_job_ids()


def test_what_needs_approval(redis):
    assert policy.approval(grammar.parse("scale 9"), OPS).approvers == 1
    assert policy.approval(grammar.parse("scale 0"), OPS).approvers == 1
    assert policy.approval(grammar.parse("scale 4"), OPS).approvers == 0
    assert policy.approval(grammar.parse("scale 9 --dry-run"), OPS).approvers == 0
    assert policy.approval(grammar.parse("health"), OPS).approvers == 0
    stricter = OPS.model_copy(
        update={"approvals": {"restart": Ops.model_validate({"approvals": {"x": {"approvers": 2}}}).approvals["x"]}}
    )
    assert policy.approval(grammar.parse("restart"), stricter).approvers == 2


def test_who_may_decide(redis):
    record = pending(redis)
    assert "You asked for it yourself" in policy.refusal_to_decide("U0OLEG", record, OPS, nobody).sentence
    assert "needs the role approver" in policy.refusal_to_decide("U0VERA", record, OPS, nobody).sentence
    assert policy.refusal_to_decide("U0ANNA", record, OPS, nobody) is None
    assert policy.refusal_to_decide("U0ADA", record, OPS, nobody) is None


def test_an_approval_queues_the_run(redis):
    record = pending(redis)
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.APPROVED
    known = Records(redis).get(record.id)
    assert (known.phase, known.stage, known.decided_by) == (Phase.APPROVED, Stage.RUN, ("U0ANNA",))
    assert waiting_jobs(redis) == [record.id]
    assert approvals.approve(known, "U0ARUN", redis) is approvals.Answer.TOO_LATE


def test_two_approvals_are_two_people(redis):
    record = pending(redis, approvals=2)
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.COUNTED
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.COUNTED
    assert waiting_jobs(redis) == []
    assert approvals.approve(record, "U0ARUN", redis) is approvals.Answer.APPROVED
    assert Records(redis).get(record.id).decided_by == ("U0ANNA", "U0ARUN")


def test_what_nobody_decides_expires_and_is_reminded_of_once(redis):
    record = pending(redis)
    half = (record.accepted_at + record.expires_at) / 2
    before = redis.llen(f"mlflow-ops:outbox:thread:{record.id}")
    for _ in range(3):
        approvals.expire(redis, record, half + 1)
    assert redis.llen(f"mlflow-ops:outbox:thread:{record.id}") == before + 1
    approvals.expire(redis, record, record.expires_at + 1)
    assert Records(redis).get(record.id).phase is Phase.EXPIRED
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.TOO_LATE
    late = pending(redis, expires_at=time.time() - 1)
    assert approvals.approve(late, "U0ANNA", redis) is approvals.Answer.TOO_LATE


@pytest.mark.parametrize("seed", range(200))
def test_of_twenty_presses_one_decides(redis, seed):
    chance = random.Random(seed)
    record = pending(redis)
    won, gate = [], threading.Barrier(20)

    def press(deed, user):
        gate.wait()
        match deed:
            case "approve":
                done = approvals.approve(record, user, redis) is approvals.Answer.APPROVED
            case "expire":
                approvals.expire(redis, record, record.expires_at + 1)
                return
            case _:
                phase = Phase.DENIED if deed == "deny" else Phase.CANCELLED
                done = approvals.refuse(record, phase, user, redis)
        if done:
            won.append(deed)

    deeds = [chance.choice(["approve", "approve", "deny", "withdraw", "expire"]) for _ in range(20)]
    threads = [threading.Thread(target=press, args=(deed, f"U0{number}")) for number, deed in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = Records(redis).get(record.id)
    assert len(won) + (known.phase is Phase.EXPIRED) == 1
    assert waiting_jobs(redis) == ([record.id] if won == ["approve"] else [])
    assert known.phase.ended is (won != ["approve"])


def test_a_bot_that_dies_between_the_approval_and_the_queue_loses_nothing(redis, monkeypatch):
    record = pending(redis)
    monkeypatch.setattr(queues, "enqueue_run", lambda *_: None)
    approvals.approve(record, "U0ANNA", redis)
    monkeypatch.undo()
    assert waiting_jobs(redis) == []
    Records(redis).update(record.id, queued_at=time.time() - queues.STUCK_SECONDS - 1)
    engine.rescue(redis)
    assert waiting_jobs(redis) == [record.id]


def test_a_button_holds_the_records_id_and_nothing_else(redis):
    record = pending(redis)
    message = proposals.proposal(PLAN, record)
    buttons = message.blocks[-1]["elements"]
    assert {button["value"] for button in buttons} == {record.id}
    assert [button["action_id"] for button in buttons] == ["approve", "deny", "withdraw", "details"]
    decided = record.model_copy(update={"phase": Phase.DENIED, "decided_by": ("U0ANNA",)})
    shown = proposals.proposal(PLAN, decided)
    assert [element["action_id"] for element in shown.blocks[-1]["elements"]] == ["again"]
    assert "Denied* by <@U0ANNA>" in shown.blocks[0]["text"]["text"]


def test_what_has_moved_is_told():
    record = pending_record()
    now = PLAN.model_copy(
        update={"facts": {"replicas": 5}, "changes": (Change(what="replicas", before="5", after="9"),)}
    )
    assert now.digest != PLAN.digest
    assert (
        Plan.model_validate(record.plan).difference(now) == "replicas: planned 2 → 9, now 5 → 9. replicas was 2, now 5."
    )


def pending_record():
    record = policy.record_of(grammar.parse("scale 9"), "scale 9", "U0OLEG", "C0OPS", OPS)
    return record.model_copy(update={"plan": PLAN.model_dump(mode="json"), "digest": PLAN.digest})


def test_one_change_per_target_at_a_time(redis):
    holder, other = pending(redis), pending(redis)
    Records(redis).update(holder.id, started_at=1_700_000_000.0)
    first, second = Locks(redis, holder.id, ["deployment"]), Locks(redis, other.id, ["deployment", "database"])
    first.take()
    first.take()
    with pytest.raises(OperatorError, match=rf"The deployment is being changed: “/mlflow scale 9” \(id {holder.id}\)"):
        second.take()
    assert redis.get("mlflow-ops:lock:database") is None
    first.give_back()
    first.renew()
    second.take()
    assert 0 < redis.pttl("mlflow-ops:lock:database") <= 30_000


def test_a_terminals_lock_is_renewed_for_as_long_as_its_command_runs(redis):
    with locks.held(redis, pending(redis), ["database"]) as taken, locks.kept(taken, every_seconds=0.01):
        redis.pexpire("mlflow-ops:lock:database", 1000)
        wait_for(lambda: redis.pttl("mlflow-ops:lock:database") > 5000, "the lock to be renewed", 5)
    assert redis.get("mlflow-ops:lock:database") is None


def test_a_dead_owners_lock_lapses(redis):
    first, second = Locks(redis, "dead", ["deployment"]), Locks(redis, "heir", ["deployment"])
    first.take()
    redis.pexpire("mlflow-ops:lock:deployment", 1)
    time.sleep(0.05)
    second.take()
    assert Outbox(redis).length() == 0
