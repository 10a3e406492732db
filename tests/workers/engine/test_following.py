"""What waits for somebody outside holds no worker: it is looked at in time, ends once, and can be left alone."""

import time

import pytest

from mlflow_ops_sandbox.slack.client import wait_for
from workers import settings
from workers.engine import following, performing, queues, rescuing, running
from workers.operation import Call, Cancelled, Later, Operation, Plan, Risk, Unwatched
from workers.operations.commands import jobs
from workers.records.outbox import Outbox
from workers.records.record import Phase, Record, Stage
from workers.records.store import Records
from workers.rendering import message as render
from workers.report import Report, Status
from workers.systems import Systems

STEP = "Pull request 1 is open. Waiting until it is merged."
URL = "https://git.example.com/a/b/pull/1"
answers = []
"""What the next looks find: each is raised, or is the report."""


class LooksInATest(Operation):
    """Finds what it is told to."""

    name = "looks-in-a-test"
    risk = Risk.CHANGE
    caller: str = ""

    def asked_by(self, caller):
        return self.model_copy(update={"caller": f"{caller.requester}, {caller.words}, {list(caller.approvers)}"})

    def run(self, systems, progress):
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer.model_copy(update={"summary": f"{answer.summary} {self.caller}".strip()})


def later(seconds=60.0, step=STEP, **arguments):
    return Later(Call(operation=LooksInATest.name, arguments=arguments), step, seconds, url=URL)


def report(status=Status.OK, summary="It is merged."):
    return Report(title="Scale", status=status, summary=summary)


@pytest.fixture
def world(redis, redis_url, monkeypatch, tmp_path):
    """The engine of this process, with this Redis."""
    (tmp_path / "ops.yaml").write_text("roles: {operator: {users: [U0OLEG]}, approver: {users: [U0ANNA]}}")
    loaded = settings.load({"REDIS_URL": redis_url, "MLFLOW_OPS_CONFIG": str(tmp_path / "ops.yaml")})
    monkeypatch.setattr(running, "systems_here", lambda: Systems(loaded))
    monkeypatch.setattr(running, "redis_here", lambda: redis)
    answers.clear()
    return Systems(loaded)


@pytest.fixture
def record(redis, world):
    """A command that was approved and waits for a worker."""
    plan = Plan(title="Scale", summary="to 3", steps=("one",), instead=Call(operation=LooksInATest.name))
    made = Record(
        operation="scale",
        arguments={"replicas": 3},
        words="scale 3",
        requester="U0OLEG",
        channel="C0OPS",
        phase=Phase.APPROVED,
        plan=plan.model_dump(mode="json"),
        decided_by=("U0ANNA",),
        **queues.run_fields("scale"),
    )
    Records(redis).accept(made, made.id, render.asked(made.words, made.requester))
    return made


@pytest.fixture
def waits(record, redis):
    """It has raised Later."""
    records = Records(redis)
    claimed = records.start(record.id, worker="w1")
    assert following.begin(claimed, later(), redis) is Phase.PROPOSED
    return records.get(record.id)


def said(redis):
    """All that waits in the outbox."""
    outbox, found = Outbox(redis), []
    while (entry := outbox.take()[0]) is not None:
        found.append((entry.kind, entry.text))
        outbox.done(entry)
    return found


def looks(redis):
    return [each for each in queues.queue(queues.QUICK, redis).get_job_ids() if "proposed" in each]


def test_no_worker_waits_and_the_thread_has_a_line_with_the_way_to_it(waits, redis):
    assert waits.phase is Phase.PROPOSED
    assert not Records(redis).alive(waits.id)
    assert Records(redis).step(waits.id)["step"] == STEP
    kinds = said(redis)
    assert ("reply", STEP) in kinds
    assert any(kind in {"edit", "root"} and STEP[:20] in text for kind, text in kinds)


def test_it_is_looked_at_when_it_is_time_and_by_one_at_a_time(waits, redis):
    now = time.time()
    rescuing.rescue(redis)
    assert looks(redis) == []
    for _ in range(3):
        following.look_if_due(Records(redis).get(waits.id), redis, now + 61)
    assert looks(redis) == [f"{waits.id}-proposed-1"]
    following.look_if_due(Records(redis).get(waits.id), redis, now + 62 + following.LOST_SECONDS)
    assert looks(redis) == [f"{waits.id}-proposed-1", f"{waits.id}-proposed-2"]


def test_a_look_that_finds_nothing_new_says_nothing_again(waits, redis, world):
    said(redis)
    answers.append(later(120.0))
    assert running.run(waits.id) == Phase.PROPOSED
    assert said(redis) == []
    assert Records(redis).get(waits.id).look_at > time.time() + 100
    answers.append(later(step="It is merged. Waiting for Argo CD."))
    assert running.run(waits.id) == Phase.PROPOSED
    assert [kind for kind, _ in said(redis)] == ["edit", "reply"]


@pytest.mark.parametrize(("status", "phase"), [(Status.OK, "done"), (Status.WARN, "done"), (Status.FAIL, "failed")])
def test_a_look_that_finds_the_end_ends_it_once(waits, redis, world, status, phase):
    answers.extend([report(status), report(summary="too late")])
    assert running.run(waits.id) == phase
    ended = Records(redis).get(waits.id)
    assert (ended.phase, ended.outcome) == (phase, "It is merged.")
    assert Records(redis).open() == []
    assert running.run(waits.id) == "claimed before"


def test_more_than_a_look_goes_to_a_worker_who_claims_it(waits, redis, world):
    answers.append(later(0.0, step="Watching the pods."))
    assert running.run(waits.id) == Phase.QUEUED
    queued = Records(redis).get(waits.id)
    assert (queued.queue, queued.stage, queued.turn) == (queues.OPS, Stage.RUN, "run-1")
    assert queues.queue(queues.OPS, redis).get_job_ids() == [f"{waits.id}-run-1"]
    answers.append(report())
    assert running.run(waits.id) == Phase.DONE
    assert running.run(waits.id) == "claimed before"


def test_whoever_leaves_it_alone_ends_it_and_no_look_brings_it_back(waits, redis, world):
    told = jobs.stop(waits, "U0OLEG", Records(redis))
    assert "stays as it is" in told
    ended = Records(redis).get(waits.id)
    assert ended.phase is Phase.CANCELLED
    said(redis)
    for answer in (later(step="Something new"), later(0.0), report()):
        answers.append(answer)
        running._look_outside(waits, Records(redis))
        assert Records(redis).get(waits.id) == ended or Records(redis).get(waits.id).phase is Phase.CANCELLED
    assert said(redis) == []
    assert queues.queue(queues.OPS, redis).get_job_ids() == []


def test_what_a_plan_names_instead_is_run_with_who_approved_it(record, redis, world, monkeypatch):
    plan = Plan.model_validate(record.plan)
    monkeypatch.setattr("workers.operations.deployment.scale.Scale.plan", lambda self, systems: plan)
    answers.append(report())
    assert running.run(record.id) == Phase.DONE
    assert Records(redis).get(record.id).outcome == "It is merged. U0OLEG, scale 3, ['U0ANNA']"


def test_a_plan_that_names_something_else_by_now_is_another_plan():
    plan = Plan(title="t", summary="s", steps=("one",))
    proposed = plan.model_copy(update={"instead": Call(operation="propose", arguments={"a": 1})})
    other = plan.model_copy(update={"instead": Call(operation="propose", arguments={"a": 2})})
    assert len({plan.digest, proposed.digest, other.digest}) == 3
    assert proposed.difference(other)


def test_a_terminal_waits_itself_and_can_be_stopped(redis, world, monkeypatch):
    plan = Plan(title="Scale", summary="to 3", steps=("one",), instead=Call(operation=LooksInATest.name))
    monkeypatch.setattr(LooksInATest, "plan", lambda self, systems: plan)
    monkeypatch.setattr(LooksInATest, "touches", ())
    answers.extend([later(0.01), later(0.0), report()])
    found = performing.perform_here(LooksInATest(), "scale 3", "vera", world, Unwatched())
    assert found.summary == "It is merged."

    class Stops(Unwatched):
        def checkpoint(self):
            raise Cancelled

    answers.extend([later(600.0)])
    with pytest.raises(Cancelled):
        performing.perform_here(LooksInATest(), "scale 3", "vera", world, Stops())


def test_a_worker_that_is_lost_while_it_watches_is_told_by_what_the_request_says(waits, redis, world, monkeypatch):
    answers.append(later(0.0))
    running.run(waits.id)
    records = Records(redis)
    monkeypatch.setattr("workers.records.store.ALIVE_SECONDS", 0.05)
    records.start(waits.id, worker="w2", turn="run-1")
    wait_for(lambda: not records.alive(waits.id) or None, 5)
    rescuing.rescue(redis)
    assert records.get(waits.id).stage is Stage.LOOK
    monkeypatch.setattr(
        LooksInATest, "aftermath", lambda self, systems, planned: "Pull request 1 is merged.", raising=False
    )
    assert running.run(waits.id) == Phase.FAILED
    assert records.get(waits.id).outcome.endswith("Pull request 1 is merged.")
