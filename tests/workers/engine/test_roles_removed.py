"""Rights are of now: roles that are taken away between two approvals, and between the approval and the start."""

import sys
import time

from tests.workers.engine.test_approvals import in_group, pending, waiting_jobs
from workers.engine import approvals, rights
from workers.errors import OperatorError
from workers.records.store import Records

WHOLE = {"S0OPS": ["U0OLEG"], "S0APPROVE": ["U0ANNA", "U0ARUN", "U0ADA"]}
WITHOUT_ANNA = WHOLE | {"S0APPROVE": ["U0ARUN", "U0ADA"]}
WITHOUT_OLEG = WHOLE | {"S0OPS": []}
NOBODY_SAYS = None


def between_two_approvals(redis, groups):
    """Anna approves, the groups change, Arun approves; what became of it."""
    record = pending(redis, approvals=2)
    approvals.approve(record, "U0ANNA", redis)

    def standing(known):
        return rights.standing(known, in_group(), lambda group: groups[group])

    answer = approvals.approve(record, "U0ARUN", redis, standing)
    known = Records(redis).get(record.id)
    return f"{answer.value}; {known.phase.value}{f': {known.reason}' if known.reason else ''}", waiting_jobs(redis)


def between_approval_and_start(redis, groups, monkeypatch):
    """Anna has approved, the groups change, a worker begins; whether it may."""
    record = pending(redis).model_copy(update={"decided_by": ("U0ANNA",), "decided_at": time.time() - 30})
    rights.tell(redis, WHOLE)

    def told(*_):
        if groups is not NOBODY_SAYS:
            rights.tell(redis, groups)

    monkeypatch.setattr(rights.time, "sleep", told)
    monkeypatch.setattr(rights, "ANSWER_SECONDS", 0.2)
    for group, members in WHOLE.items():
        redis.hset("mlflow-ops:mlflow:groups", group, f"[1, {members!r}]".replace("'", '"'))
    try:
        rights.require_at_start(record, in_group(), redis)
    except OperatorError as error:
        return str(error), []
    return "runs", [record.id]


def test_roles_that_are_taken_away(redis, monkeypatch, capsys):
    """What changed when → what became of it, and whether it runs."""
    rows = []
    for name, groups, runs in (
        ("between two approvals: nothing", WHOLE, True),
        ("between two approvals: the first approver", WITHOUT_ANNA, False),
        ("between two approvals: who asked", WITHOUT_OLEG, False),
    ):
        redis.flushall()
        said, jobs = between_two_approvals(redis, groups)
        rows.append((name, said, bool(jobs), runs))
    for name, groups, runs in (
        ("between approval and start: nothing", WHOLE, True),
        ("between approval and start: the approver", WITHOUT_ANNA, False),
        ("between approval and start: who asked", WITHOUT_OLEG, False),
        ("between approval and start: nobody says", NOBODY_SAYS, False),
    ):
        redis.flushall()
        said, jobs = between_approval_and_start(redis, groups, monkeypatch)
        rows.append((name, said, bool(jobs), runs))
    with capsys.disabled():
        for name, said, ran, _ in rows:
            sys.stdout.write(f"\n{name:42} | {'runs' if ran else 'does not run':12} | {said}")
        sys.stdout.write("\n")
    assert [ran for *_, ran, _ in rows] == [runs for *_, runs in rows]
