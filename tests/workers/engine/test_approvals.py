"""Exactly one decision, exactly one run or none: whoever presses, however many at once, whatever dies between."""

import json
import random
import threading
import time
from functools import partial

import pytest

from commands import grammar, policy
from mlflow_ops_sandbox.slack.client import wait_for
from workers.engine import approvals, lease, performing, queues, rescuing, rights
from workers.engine.locks import Held, Locks
from workers.errors import AlreadySo, OperatorError
from workers.operation import Cancelled, Change, Operation, Plan, Risk, Unwatched
from workers.records import audit_log, counters
from workers.records.outbox import Outbox
from workers.records.record import Phase, Stage
from workers.records.store import Records
from workers.rendering import message as render
from workers.rendering import proposals
from workers.report import Report, Status
from workers.settings import Ops
from workers.systems import Systems

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
    assert "You asked for this yourself" in policy.refusal_to_decide("U0OLEG", record, OPS, nobody).sentence
    assert "need the approver role" in policy.refusal_to_decide("U0VERA", record, OPS, nobody).sentence
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


def test_a_count_that_comes_too_late_brings_no_buttons_back(redis, monkeypatch):
    record = pending(redis, approvals=2)
    real, denied = proposals.proposal, []

    def slowly(plan, shown):
        if shown.phase is Phase.PENDING and not denied:
            denied.append(approvals.refuse(record, Phase.DENIED, "U0ARUN", redis, "not now"))
        return real(plan, shown)

    monkeypatch.setattr(proposals, "proposal", slowly)
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.TOO_LATE
    assert denied == [True]
    last, told = (each.decode() for each in redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", -2, -1))
    assert "*Denied*" in last
    assert '"approve"' not in last
    assert "<@U0OLEG>" in told


def test_each_of_two_approvals_is_in_the_audit_record(redis):
    record = pending(redis, approvals=2)
    approvals.approve(record, "U0ANNA", redis)
    approvals.approve(record, "U0ARUN", redis)
    moments = [entry.event for entry in audit_log.entries(redis) if entry.event["id"] == record.id]
    assert [each["decided_by"] for each in moments if each.get("decided_by")] == [["U0ANNA"], ["U0ANNA", "U0ARUN"]]


def said_of(redis, record):
    """What waits to be said of it: kinds, and bodies."""
    raw = [each.decode() for each in redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", 0, -1)]
    return [(each.split(":", 1)[0], json.loads(each.split(":", 3)[3])) for each in raw]


def test_what_nobody_decides_is_reminded_of_twice_and_who_asked_is_told_that_it_expired(redis):
    record = pending(redis)
    before = len(said_of(redis, record))
    whole = record.expires_at - record.accepted_at
    for share in (0.1, 0.3, 0.34, 0.4, 0.6, 0.67, 0.9, 0.99):
        approvals.expire(redis, record, record.accepted_at + share * whole)
    reminders = said_of(redis, record)[before:]
    assert [kind for kind, _ in reminders] == ["reply", "reply"]
    for _, body in reminders:
        assert body["text"].startswith("<@U0ANNA>, <@U0ARUN>, <@U0ADA>: ")
        assert "still waiting for approval" in body["text"]
    approvals.expire(redis, record, record.expires_at + 1)
    assert Records(redis).get(record.id).phase is Phase.EXPIRED
    kind, told = said_of(redis, record)[-1]
    assert kind == "reply"
    assert told["text"] == "<@U0OLEG>: `/mlflow scale 9` expired: no one decided in time.\nNothing was changed."
    assert approvals.approve(record, "U0ANNA", redis) is approvals.Answer.TOO_LATE
    late = pending(redis, expires_at=time.time() - 1)
    assert approvals.approve(late, "U0ANNA", redis) is approvals.Answer.TOO_LATE


def test_who_asked_is_told_of_a_denial_and_why_but_not_of_what_they_took_back(redis):
    record = pending(redis)
    approvals.refuse(record, Phase.DENIED, "U0ANNA", redis, "not on a Friday")
    kind, told = said_of(redis, record)[-1]
    assert (kind, told["text"]) == (
        "reply",
        "<@U0OLEG>: `/mlflow scale 9` was denied by <@U0ANNA>: not on a Friday\nNothing was changed.",
    )
    withdrawn = pending(redis)
    before = len(said_of(redis, withdrawn))
    approvals.refuse(withdrawn, Phase.CANCELLED, "U0OLEG", redis)
    assert len(said_of(redis, withdrawn)) <= before, "an edit takes the place of the words before"


def test_the_approvers_are_asked_by_a_mention_and_in_person_where_ops_yaml_says_so(redis):
    (only,) = approvals.requested(PLAN, pending(redis))
    assert only.kind == "reply"
    assert json.loads(only.body)["text"].startswith("<@U0ANNA>, <@U0ARUN>, <@U0ADA>: <@U0OLEG> asks for")
    told = {"approvals": {"scale": {"notify": "dm"}}, "channels": ["C0OPS"], "roles": {}}
    told["roles"] = {"approver": {"users": ["U0ANNA", "U0OLEG"], "groups": ["S0APPROVE"]}}
    ops = Ops.model_validate(told)
    record = policy.record_of(grammar.parse("scale 9"), "scale 9", "U0OLEG", "C0OPS", ops)
    assert record.asks_in_person == ("U0ANNA", "S0APPROVE")
    reply, *direct = approvals.requested(PLAN, record)
    assert reply.kind == "reply"
    assert [(each.kind, json.loads(each.body)["to"]) for each in direct] == [
        ("direct", "U0ANNA"),
        ("direct", "S0APPROVE"),
    ]
    assert policy.without_approval(record, "fire").asks_in_person == ()


@pytest.mark.slow
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


def test_who_approved_and_may_not_any_more_counts_no_longer_at_the_last_press(redis):
    record = pending(redis, approvals=2)
    approvals.approve(record, "U0ANNA", redis)

    def without_anna(known):
        return rights.Standing(gone=tuple(each for each in known.decided_by if each == "U0ANNA"))

    assert approvals.approve(record, "U0ARUN", redis, without_anna) is approvals.Answer.COUNTED
    assert waiting_jobs(redis) == []
    said = [raw.decode() for raw in redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record.id}", 0, -1)]
    assert any("The approval by <@U0ANNA> counts no longer" in each for each in said)
    assert approvals.approve(record, "U0ADA", redis, without_anna) is approvals.Answer.APPROVED
    assert Records(redis).get(record.id).decided_by == ("U0ADA", "U0ARUN")


def test_who_asked_and_may_not_any_more_gets_nothing(redis):
    record = pending(redis)
    why = "the person who asked no longer has the operator role, which this needs."
    answer = approvals.approve(record, "U0ANNA", redis, lambda _: rights.Standing(requester=why))
    assert answer is approvals.Answer.NOT_ANY_MORE
    known = Records(redis).get(record.id)
    assert (known.phase, known.reason) == (Phase.DENIED, why)


def in_group():
    """ops.yaml where a group gives each right."""
    roles = {"operator": {"groups": ["S0OPS"]}, "approver": {"groups": ["S0APPROVE"]}}
    return Ops.model_validate({"channels": ["C0OPS"], "roles": roles})


@pytest.mark.parametrize(
    ("operators", "approvers", "refused"),
    [
        (["U0OLEG"], ["U0ANNA"], ""),
        (["U0VERA"], ["U0ANNA"], "no longer has the operator role"),
        (["U0OLEG"], [], "who approved it may not approve it any more"),
    ],
)
def test_when_it_starts_the_groups_say_who_may_now(redis, monkeypatch, operators, approvers, refused):
    record = pending(redis).model_copy(update={"decided_by": ("U0ANNA",), "decided_at": time.time() - 30})

    def told(*_):
        rights.tell(redis, {"S0OPS": operators, "S0APPROVE": approvers})

    monkeypatch.setattr(rights.time, "sleep", told)
    rights.tell(redis, {"S0OPS": ["U0OLEG"], "S0APPROVE": ["U0ANNA"]})
    redis.hset("mlflow-ops:mlflow:groups", "S0OPS", '[1, ["U0OLEG"]]')
    if not refused:
        rights.require_at_start(record, in_group(), redis)
        return
    with pytest.raises(OperatorError, match=refused):
        rights.require_at_start(record, in_group(), redis)


def test_where_nobody_says_who_may_nothing_that_was_approved_starts(redis, monkeypatch):
    monkeypatch.setattr(rights, "ANSWER_SECONDS", 0.1)
    record = pending(redis).model_copy(update={"decided_by": ("U0ANNA",), "decided_at": time.time()})
    with pytest.raises(OperatorError, match="Slack didn't say who may"):
        rights.require_at_start(record, in_group(), redis)
    rights.require_at_start(record, OPS, redis)


def test_an_approved_record_that_is_nowhere_is_queued_again(redis):
    record = pending(redis)
    approvals.approve(record, "U0ANNA", redis)
    queues.queue(queues.OPS, redis).empty()
    Records(redis).update(record.id, queued_at=time.time() - queues.STUCK_SECONDS - 1)
    rescuing.rescue(redis)
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
    with pytest.raises(Held, match=rf"being changed: “/mlflow scale 9” \(id {holder.id}\) runs since 22:13") as held:
        second.take()
    told = render.failed("scale 3", "U0ANNA", held.value.message, held.value.hint, holder=held.value.requester)
    assert "That was asked by <@U0OLEG>." in told.blocks[0]["text"]["text"]
    assert redis.get("mlflow-ops:mlflow:lock:database") is None
    first.give_back()
    first.renew()
    second.take()
    assert 0 < redis.pttl("mlflow-ops:mlflow:lock:database") <= 30_000


def test_a_dead_owners_lock_lapses(redis):
    first, second = Locks(redis, "dead", ["deployment"]), Locks(redis, "heir", ["deployment"])
    first.take()
    redis.pexpire("mlflow-ops:mlflow:lock:deployment", 1)
    time.sleep(0.05)
    second.take()
    assert Outbox(redis).length() == 0


def test_whoever_slept_has_his_lock_again_only_where_nobody_had_it(redis):
    first, second = Locks(redis, "sleeper", ["deployment"]), Locks(redis, "heir", ["deployment"])
    first.take()
    redis.delete("mlflow-ops:mlflow:lock:deployment")
    first.renew()
    redis.delete("mlflow-ops:mlflow:lock:deployment")
    second.take()
    second.give_back()
    with pytest.raises(Held):
        first.renew()


class Long(Operation):
    """Runs until its locks would have lapsed, were they not renewed."""

    name = "long"
    risk = Risk.CHANGE
    touches = ("deployment",)

    def plan(self, systems):
        return PLAN

    def run(self, systems, progress):
        redis, lock = systems.redis, "mlflow-ops:mlflow:lock:deployment"
        redis.pexpire(lock, 1000)
        wait_for(lambda: redis.pttl(lock) > 1000 or None, 5)
        with pytest.raises(Held, match=r"“/mlflow long” \(id [0-9a-f]{10}\)") as held:
            Locks(redis, "another", self.touches).take()
        assert held.value.requester == "terminal:olga"
        progress.checkpoint()
        return Report(title="Long", status=Status.OK, summary="it is done")


@pytest.fixture
def systems(redis, settings_of_nothing):
    made = Systems(settings_of_nothing)
    made.__dict__["redis"] = redis
    return made


def test_a_terminal_keeps_its_locks_and_is_in_the_audit_record(redis, systems, monkeypatch):
    monkeypatch.setattr(performing, "alive", partial(lease.alive, every_seconds=0.1))

    class Stops(Unwatched):
        def checkpoint(self):
            raise Cancelled("It is as it was.")

    performing.perform_here(Long(), "long", "olga", systems, Unwatched())
    with pytest.raises(Cancelled):
        performing.perform_here(Long(), "long", "olga", systems, Stops())
    assert redis.get("mlflow-ops:mlflow:lock:deployment") is None
    moments = [entry.event for entry in audit_log.entries(redis)]
    assert [each["what"] for each in moments] == ["asked", "started", "done", "asked", "started", "cancelled"]
    assert moments[1]["digest"] == PLAN.digest
    assert moments[1]["worker"] == "terminal"
    assert moments[5]["outcome"] == "stopped at a safe point. It is as it was."


@pytest.mark.parametrize("when", ["plan", "run"])
def test_what_is_so_already_is_well_and_recorded_as_done(redis, systems, when):
    class So(Long):
        name = f"so-already-in-{when}"

        def plan(self, systems):
            if when == "plan":
                raise AlreadySo("Already at 4 replicas.")
            return PLAN

        def run(self, systems, progress):
            raise AlreadySo("Already at 4 replicas.")

    report = performing.perform_here(So(), "scale 4", "olga", systems, Unwatched())
    assert (report.status, report.summary) == (Status.OK, "Already at 4 replicas.")
    ends = [entry.event["what"] for entry in audit_log.entries(redis)]
    assert ends == ([] if when == "plan" else ["asked", "started", "done"])


def test_a_terminal_stops_what_waits_at_once_and_says_what_cannot_be_stopped(redis, systems):
    waiting, running = pending(redis), pending(redis, "restart")

    def cancel(record):
        words = f"cancel {record.id}"
        return performing.perform_here(grammar.parse(words), words, None, systems, Unwatched())

    assert cancel(waiting).summary == "It is stopped; nothing was done."
    assert Records(redis).get(waiting.id).phase is Phase.CANCELLED
    Records(redis).update(running.id, phase=Phase.RUNNING)
    with pytest.raises(OperatorError, match="It cannot be stopped: Kubernetes finishes a restart"):
        cancel(running)


def test_a_change_that_nobody_is_asked_about_keeps_its_warnings_in_its_thread():
    warned = proposals.warned(PLAN.model_copy(update={"warnings": ("A HorizontalPodAutoscaler steers it.",)}))
    assert ":warning: A HorizontalPodAutoscaler steers it." in warned.blocks[0]["text"]["text"]


def test_how_long_it_took_is_how_long_it_takes(redis):
    assert counters.usual_seconds(redis, "scale") is None
    for seconds in (10, 20, 90):
        counters.ended(redis, "scale", "done", seconds)
    counters.ended(redis, "scale", "expired", 1800)
    assert counters.usual_seconds(redis, "scale") == 20
    foot = proposals.proposal(PLAN.model_copy(update={"estimate_seconds": 20.0}), pending(redis)).blocks[-2]
    assert "takes about 20 s" in foot["elements"][0]["text"]
