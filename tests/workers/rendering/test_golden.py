"""Kinds of messages as a person sees them, in Slack, in older blocks and in a terminal: a file each, read in review.

After a change of words that is meant: pytest tests/workers/rendering/test_golden.py --renew-golden
"""

import io
from pathlib import Path

import pytest
from rich.console import Console

from workers.operation import Change, Plan
from workers.records.record import Phase, Record
from workers.rendering import blocks, buttons, forms, limits, proposals
from workers.rendering import message as render
from workers.rendering.terminal import to_terminal
from workers.rendering.walk import Walk
from workers.report import Attachment, Chart, Check, Facts, Lead, Line, Links, Offer, Report, Status, Table, Text
from workers.wording import NOTHING, Linked, duration, moment, size

GOLDEN = Path(__file__).parent / "golden"
OMAR, ADA = "U07OMAR0002", "U07ADA00003"
WORDS = "restore database latest"
AT = 1_796_000_000.0

PLAN = Plan(
    title="Restore the database",
    summary="mlflow goes back to the backup 3fa0c1",
    steps=("Restore 3fa0c1 into mlflow_3fa0c1", "Compare its tables with the manifest", "Switch: two renames"),
    changes=(Change(what="database mlflow", before="the live one", after="the backup 3fa0c1"),),
    warnings=("12 runs were logged since that backup.",),
    undo="/mlflow restore undo",
    estimate_seconds=42.0,
    facts={"set": "sets/20261130T030000Z-3fa0c1/"},
    sections=(Facts(title="Sizes", items=(("dump", size(11 << 20)), ("live", size(12 << 20)))),),
)


def record(phase=Phase.PENDING, **more):
    about = {"id": "924942c97f", "operation": "restore-database", "arguments": {}, "words": WORDS, "requester": OMAR}
    kept = {"approvals": 2, "approvers": "<!subteam^S07APPROVERS>", "expires_at": AT + 1800, "accepted_at": AT}
    told = {"channel": "C07OPS00001", "permalink": "https://example.slack.com/archives/C07OPS00001/p1"}
    return Record(**about, phase=phase, **(kept | told | more))


def walk(*planned):
    """A restore that is comparing, five seconds after it began."""
    clock = iter((0.0, 0.0, 1.2, 1.2, 5.0, 5.0, 9.0, 9.0))
    made = Walk(planned, monotonic=lambda: next(clock))
    made.begin("Making mlflow_3fa0c1", of="into mlflow_3fa0c1")
    made.said("65 of 65 tables")
    made.begin("Comparing", of="Compare its tables")
    return made


GOOD = Check(name="pods", title="Pods", status=Status.OK, figure="2/2 ready", sentence="Both pods are ready.")
BAD = Check(
    name="postgres",
    title="PostgreSQL",
    status=Status.FAIL,
    sentence="127.0.0.1:5432 refuses connections.",
    look_further="kubectl get pods -n data-platform -l app=postgres",
    details=(Facts(items=(("address", "127.0.0.1:5432"), ("asked", "3 times"))),),
)
SHORT = Table(
    title="Pods",
    columns=("pod", "restarts", "memory"),
    rows=(
        ("mlflow-6d8f7-abcde", "0", size(312 << 20)),
        (Linked("mlflow-6d8f7-xyz", "https://grafana.example"), "12", NOTHING),
    ),
    numeric=("restarts", "memory"),
)
LONG = Table(
    title="Backup sets",
    columns=("id", "begun (UTC)", "size", "took", "state"),
    rows=tuple(
        (f"3fa0c{n:x}", moment(AT - n * 86_400), size((100 + n) << 20), duration(4 + n), "good" if n % 5 else "damaged")
        for n in range(12)
    ),
    numeric=("size", "took"),
)
DAYS = tuple(f"{day:02} Nov" for day in range(1, 31))
TREND = Chart(
    title="Latency",
    labels=DAYS,
    lines=(Line(name="p95", values=tuple(0.1 + d / 500 for d in range(30))),),
    unit="seconds",
)
BARS = Chart(
    title="Largest tables",
    shape="bar",
    labels=("runs", "metrics"),
    lines=(Line(name="size", values=(2e9, 1e9)),),
    unit="bytes",
)
SLICES = Chart(
    title="Artifacts", shape="pie", labels=tuple("abcdefgh"), lines=(Line(name="size", values=tuple(range(1, 9))),)
)


def report(status=Status.OK, summary="7 experiments, all active.", **more):
    return Report(title="Experiments", status=status, summary=summary, took_seconds=0.4, **more)


REPORTS = {
    "report-well": report(sections=(SHORT,), hints=("experiments show churn",)),
    "report-empty": report(summary="No experiments yet."),
    "report-warning": report(Status.WARN, "1 experiment has no owner.", sections=(Text(text="It is churn."),)),
    "report-of-checks": report(Status.FAIL, "PostgreSQL fails.", checks=(BAD, GOOD)),
    "report-of-many-checks": report(Status.FAIL, "PostgreSQL fails.", checks=(BAD, *(GOOD for _ in range(4)))),
    "report-unknown": report(Status.UNKNOWN, "Nothing could be asked."),
    "report-long-table": report(sections=(LONG,)),
    "report-two-tables": report(sections=(SHORT, LONG)),
    "report-many-tables": report(sections=(*(SHORT.model_copy(update={"title": f"Pods {n}"}) for n in range(5)), LONG)),
    "report-facts-and-log": report(
        sections=(Facts(items=(("id", "7"),)), Text(title="Log", text="a\n<b>", literal=True))
    ),
    "report-links": report(sections=(Links(title="Threads", items=(("backup", "https://example.slack.com/p1"),)),)),
    "report-chart-in-sight": report(sections=(TREND.model_copy(update={"in_sight": True}), BARS)),
    "report-pie": report(sections=(SLICES,)),
    "report-with-gaps": report(
        sections=(Chart(title="Errors", labels=("a", "b", "c"), lines=(Line(name="e", values=(1.0, None, 3.0)),)),)
    ),
    "report-undo": report(undo="scale 2"),
    "report-offers": report(offers=(Offer(sentence="Bring one back.", label="Restore …", command="restore"),)),
    "report-lead": report(lead=(Lead(name="Changed", text="nothing that stands out"), Lead(text="a line", by=(OMAR,)))),
    "report-files": report(attachments=(Attachment(filename="runs.csv", content="run_id\nabc\n"),)),
}
MESSAGES = {
    "asked": render.asked(WORDS, OMAR),
    "asked-by-the-clock": render.asked("backup", "clock:backup"),
    "under-way": render.under_way(WORDS, OMAR, "Restoring 3fa0c1", "3 of 65 tables · 2 tables/s, 31 s left"),
    "under-way-unplanned": render.under_way(WORDS, OMAR, "Comparing", "3 of 65 tables", walk()),
    "under-way-planned": render.under_way(WORDS, OMAR, "Comparing", "3 of 65 tables", walk(*PLAN.steps)),
    "steps-taken": render.steps_taken(WORDS, walk(*PLAN.steps[:2]).end()),
    "steps-taken-and-one-to-come": render.steps_taken(WORDS, walk(*PLAN.steps).end()),
    "steps-taken-failed": render.steps_taken(WORDS, walk(*PLAN.steps).end("The table runs has 3 rows too few.")),
    "failed": render.failed(WORDS, OMAR, "The set is damaged.", "Use another one."),
    "failed-approved": render.failed(WORDS, OMAR, "It broke.", "", render.approved((ADA,), AT)),
    "failed-held": render.failed(WORDS, OMAR, "A backup runs.", "Ask again when it is over.", holder=ADA),
    "stopped": render.stopped(WORDS, OMAR, f"stopped at a safe point, as <@{ADA}> asked."),
    "calling": render.calling(render.asked("escalate", OMAR), (ADA, "S07ONCALL01")),
    "proposal": proposals.proposal(PLAN, record()),
    "proposal-half-approved": proposals.proposal(PLAN, record(decided_by=(ADA,))),
    "proposal-approved": proposals.proposal(PLAN, record(Phase.APPROVED, decided_by=(ADA,), decided_at=AT)),
    "proposal-starting": proposals.proposal(PLAN, record(Phase.QUEUED)),
    "proposal-denied": proposals.proposal(
        PLAN, record(Phase.DENIED, decided_by=(ADA,), decided_at=AT, reason="Not now")
    ),
    "proposal-expired": proposals.proposal(PLAN, record(Phase.EXPIRED)),
    "proposal-withdrawn": proposals.proposal(PLAN, record(Phase.CANCELLED)),
    "proposal-break-glass": proposals.proposal(PLAN, record(Phase.QUEUED, break_glass="Nobody is awake")),
    "proposal-of-many-steps": proposals.proposal(
        PLAN.model_copy(update={"steps": tuple(f"Step {n}" for n in range(20))}), record()
    ),
    "request": proposals.request(PLAN, record()),
    "reminder": proposals.reminder(record()),
    "in-person": proposals.in_person(record(), proposals.request(PLAN, record())),
    "outcome-denied": proposals.outcome(record(Phase.DENIED, decided_by=(ADA,), reason="Not now")),
    "outcome-expired": proposals.outcome(record(Phase.EXPIRED)),
    "approval-counts-no-more": proposals.counts_no_more([ADA]),
    "warned": proposals.warned(PLAN),
    "alarm": proposals.alarm(record(break_glass="Nobody is awake")),
}
VIEWS = {
    "plan-details": blocks.notice("The plan", proposals.details(PLAN, record())),
    "waiting-in-brief": blocks.home(proposals.brief(PLAN, record())),
    "offer": blocks.home([buttons.offer(record(), 0, Offer(sentence="Look at it.", label="Logs", command="logs"))]),
}


@pytest.fixture
def golden(golden_in):
    """Compare with a file; with the flag, write it."""
    return golden_in(GOLDEN)


def as_seen(message):
    assert not limits.refused(message.blocks)
    if message.filename:
        return {"file": message.filename, "text": message.text, "content": message.content.splitlines()}
    older = [each.blocks for each in forms.in_form(forms.OLDER, message.text, message.blocks)]
    return {"text": message.text, "blocks": message.blocks} | ({"older": older} if older != [message.blocks] else {})


@pytest.mark.parametrize("name", REPORTS)
def test_a_report(golden, name):
    page = Console(file=io.StringIO(), width=100, color_system=None, highlight=False)
    to_terminal(REPORTS[name], page)
    messages = [render.root(REPORTS[name], "experiments list", OMAR), *render.details(REPORTS[name])]
    golden(name, {"slack": [as_seen(each) for each in messages], "terminal": page.file.getvalue().splitlines()})


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message(golden, name):
    golden(name, as_seen(MESSAGES[name]))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view(golden, name):
    assert not limits.refused_view(VIEWS[name])
    golden(name, VIEWS[name])


def test_no_file_is_left_over():
    assert {file.stem for file in GOLDEN.iterdir()} == {*REPORTS, *MESSAGES, *VIEWS}
