"""Escalation: who is called when, one incident a channel, its timeline from the audit record, and PagerDuty."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bot.process import scheduler
from commands import grammar, policy
from workers import settings
from workers.engine import performing
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.incident import store
from workers.operations.incident.oncall import on_call
from workers.records import audit_chain, audit_log
from workers.records.audit_seals import SealKeys
from workers.records.record import Ending, Phase
from workers.records.store import Records
from workers.rendering import message as render
from workers.settings import Ops
from workers.systems import Systems
from workers.systems.pagerduty import Pager

DOCUMENT = {
    "channels": ["C0OPS", "C0OTHER"],
    "roles": {"viewer": {"users": ["*"]}, "operator": {"users": ["U0OLEG"]}, "admin": {"users": ["U0ADA"]}},
    "time_zone": "Europe/Berlin",
    "digest": {"holidays": ["2026-12-25"]},
    "escalation": {"team": {"groups": ["S0TEAM"]}, "devops": {"users": ["U0DEV"], "groups": ["S0DEVOPS"]}},
    "approvals": {"escalate": {"approvers": 2}},
}
OPS = Ops.model_validate(DOCUMENT)
KEY = "0123456789abcdef0123456789abcdef"


class PagerDuty:
    """Its Events API as documented: it checks what it is sent, and answers as it is told."""

    def __init__(self):
        self.events, self.answers = [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = outer.answers.pop(0) if outer.answers else outer.judged(event)
                if status == 202:
                    outer.events.append(event)
                body = json.dumps({"status": "success" if status == 202 else "invalid event", "message": "so"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v2/enqueue"

    @staticmethod
    def judged(event):
        payload = event.get("payload", {})
        whole = event["event_action"] != "trigger" or (
            {"summary", "source", "severity"} <= payload.keys() and len(payload["summary"]) <= 1024
        )
        known = event["event_action"] in {"trigger", "acknowledge", "resolve"} and event.get("dedup_key")
        return 202 if event.get("routing_key") == KEY and whole and known else 400


@pytest.fixture
def pagerduty():
    made = PagerDuty()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def systems(redis, redis_url, tmp_path):
    """What escalation needs, and a world in which nothing else answers."""

    def made(**environ):
        config = tmp_path / "ops.yaml"
        config.write_text(json.dumps(DOCUMENT), encoding="utf-8")
        nowhere = {
            "KUBECONFIG": str(tmp_path / "none"),
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
            "MLFLOW_OPS_DATABASE_URL": "postgresql://u@127.0.0.1:9/mlflow",
            "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        }
        env = {"REDIS_URL": redis_url, "MLFLOW_OPS_CONFIG": str(config), **nowhere, **environ}
        return Systems(settings.load(env))

    return made


def in_slack(words, systems, user="U0OLEG", channel="C0OPS"):
    """As the bot accepts it and a worker does it: its record, and its report."""
    redis = systems.redis
    record = policy.record_of(grammar.parse(words), words, user, channel, OPS)
    records = Records(redis)
    assert records.accept(record, record.id, render.calling(render.asked(words, user), record.calls))
    records.start(record.id, "worker")
    operation = type(grammar.parse(words)).model_validate(record.arguments)
    report = performing.perform(operation, systems, Unwatched())
    assert records.finish(record.id, Ending(Phase.DONE, report.summary))
    return record, report


def said(redis, record_id):
    """Kind and text of everything in a thread."""
    raw = redis.lrange(f"mlflow-ops:mlflow:outbox:thread:{record_id}", 0, -1)
    parts = [line.decode().split(":", 3) for line in raw]
    return [(kind, json.loads(body)) for kind, _, _, body in parts]


@pytest.mark.parametrize(
    ("local", "name", "ids"),
    [
        ("2026-03-02T09:00+01:00", "the team", ("S0TEAM",)),
        ("2026-03-02T08:59+01:00", "DevOps", ("S0DEVOPS", "U0DEV")),
        ("2026-03-02T16:59+01:00", "the team", ("S0TEAM",)),
        ("2026-03-02T17:00+01:00", "DevOps", ("S0DEVOPS", "U0DEV")),
        ("2026-03-01T12:00+01:00", "DevOps", ("S0DEVOPS", "U0DEV")),
        ("2026-12-25T12:00+01:00", "DevOps", ("S0DEVOPS", "U0DEV")),
        # In summer nine o'clock in Berlin is seven in UTC.
        ("2026-03-30T07:00+00:00", "the team", ("S0TEAM",)),
        ("2026-03-27T07:59+00:00", "DevOps", ("S0DEVOPS", "U0DEV")),
    ],
)
def test_who_is_on_call(local, name, ids):
    found = on_call(OPS, datetime.fromisoformat(local).astimezone(UTC))
    assert (found.name, found.ids) == (name, ids)


def test_where_nobody_is_named_the_others_are_called_and_hours_must_be_hours():
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    ops = Ops.model_validate({"escalation": {"devops": {"users": ["U0DEV"]}}})
    assert on_call(ops, noon).ids == ("U0DEV",)
    assert on_call(Ops(), noon).ids == ()
    with pytest.raises(ValueError, match="must begin before they end"):
        Ops.model_validate({"escalation": {"begins": "17:00", "ends": "09:00"}})
    with pytest.raises(ValueError, match="pattern"):
        Ops.model_validate({"escalation": {"team": {"users": ["*"]}}})


def test_the_first_message_calls_whom_the_configuration_names_and_nobody_else():
    words = 'escalate "<!channel> <@U0ADA> *`down`* <!subteam^S0BOSSES>"'
    record = policy.record_of(grammar.parse(words), words, "U0VERA", "C0OPS", OPS)
    assert record.calls in {("S0TEAM",), ("S0DEVOPS", "U0DEV")}
    message = render.calling(render.asked(record.words, record.requester), record.calls)
    for text in (message.text, json.dumps(message.blocks)):
        assert all(f"^{each}>" in text or f"<@{each}>" in text for each in record.calls)
        assert "<!channel>" not in text
        assert "<@U0ADA>" not in text
        assert "^S0BOSSES>" not in text


def test_it_is_never_gated_and_a_viewer_may_unless_ops_yaml_says_otherwise():
    operation = grammar.parse("escalate MLflow is down")
    strict = OPS.model_copy(update={"escalation": OPS.escalation.model_copy(update={"role": "operator"})})
    assert policy.approval(operation, OPS).approvers == 0

    def members(group):
        return {"U0VERA", "U0OLEG"} if group == policy.EVERYBODY else frozenset()

    assert policy.refusal("U0VERA", "C0OPS", operation, OPS, members) is None
    assert "operator" in policy.refusal("U0VERA", "C0OPS", operation, strict, members).sentence
    assert policy.refusal("U0OLEG", "C0OPS", operation, strict, members) is None


def test_one_is_open_at_a_time_in_a_channel(systems, redis):
    world = systems()
    first, report = in_slack('escalate "MLflow is down"', world, user="U0VERA")
    assert report.pinned
    assert {check.status.value for check in report.checks} & {"fail", "unknown"}
    texts = json.dumps([each.model_dump() for each in report.sections])
    assert "cannot be had" in texts, "the cluster is away: the logs are told to be"
    second, again = in_slack('escalate "artifacts are gone, too"', world)
    assert "Added to what is open since" in again.summary
    assert any("artifacts are gone" in body["text"] for _, body in said(redis, first.id))
    elsewhere, other = in_slack("escalate another thing", world, channel="C0OTHER")
    assert other.pinned, "another channel has its own"
    in_slack("incident close", world)
    assert store.current(redis, "C0OPS") is None
    assert store.current(redis, "C0OTHER").id == elsewhere.id
    assert second.id != first.id
    with pytest.raises(OperatorError, match="no open incident"):
        in_slack("incident close", world)


def test_its_timeline_and_its_account(systems, redis):
    world = systems()
    first, _ = in_slack('escalate "MLflow is down"', world, user="U0VERA")
    scale = policy.record_of(grammar.parse("scale 9"), "scale 9", "U0OLEG", "C0OPS", OPS)
    records = Records(redis)
    records.accept(scale, scale.id, render.asked("scale 9", "U0OLEG"))
    records.start(scale.id, "worker")
    records.move(scale.id, before=Phase.RUNNING, phase=Phase.PENDING)
    records.move(scale.id, before=Phase.PENDING, phase=Phase.APPROVED, decided_by=("U0ADA",))
    records.finish(scale.id, Ending(Phase.FAILED, "no room | for `nine`"))
    health = policy.record_of(grammar.parse("health"), "health", "schedule:figures", "C0OPS", OPS)
    records.accept(health, health.id, render.asked("health", "schedule:figures"))
    records.finish(health.id, Ending(Phase.DONE, "looked by the clock"))
    audit_log.note(redis, json.dumps({"what": "alert", "id": "group-1", "text": "MLflowDown is firing"}))
    scheduler.sweep(redis)
    in_slack('incident note "<!here> the disk is full | really"', world)
    in_slack("incident take", world)
    scheduler.sweep(redis)
    scheduler.sweep(redis)
    news = [body["blocks"][0]["text"]["text"] for kind, body in said(redis, first.id) if "<!date" in json.dumps(body)]
    assert len(news) == 1, "each moment is told once, and a note has told itself"
    assert [line.partition("> ")[2] for line in news[0].splitlines()] == [
        "/mlflow scale 9: asked for (<@U0OLEG>)",
        "/mlflow scale 9: began",
        "/mlflow scale 9: waits for approval",
        "/mlflow scale 9: approved (<@U0ADA>)",
        "/mlflow scale 9: failed: no room | for \u2060`nine` (<@U0OLEG>)".replace("\u2060`", "`\u2060"),
        "alert: MLflowDown is firing",
    ]

    _, shown = in_slack("incident show", world)
    told = [(line.text.partition(" ")[2], line.by) for line in shown.lead]
    assert told[0] == (
        f"opened the incident: MLflow is down; on call: {store.current(redis, 'C0OPS').on_call}",
        ("U0VERA",),
    )
    assert ("/mlflow scale 9: asked for", ("U0OLEG",)) in told
    assert ("/mlflow scale 9: approved", ("U0ADA",)) in told
    assert ("/mlflow scale 9: failed: no room | for `nine`", ("U0OLEG",)) in told
    assert ("noted: <!here> the disk is full | really", ("U0OLEG",)) in told
    assert ("taken.", ("U0OLEG",)) in told
    assert ("alert: MLflowDown is firing", ()) in told
    assert not [text for text, _ in told if "clock" in text or "incident note" in text or "incident show" in text]

    _, closed = in_slack('incident close "the disk was full"', world, user="U0ADA")
    assert "The disk was full".lower() in closed.summary.lower()
    thread = said(redis, first.id)
    assert [kind for kind, _ in thread][-4:] == ["reply", "unpin", "edit", "file"]
    assert not [body for _, body in thread if "<!here>" in json.dumps(body["blocks"])]
    (file,) = [body for kind, body in thread if kind == "file"]
    assert file["filename"].endswith(f"{first.id}.md")
    text = file["content"]
    assert text.startswith("# Incident: MLflow is down\n")
    assert "Times are those of Europe/Berlin." in text
    assert "- **What it was**: the disk was full" in text
    assert r"noted: \<!here\> the disk is full \| really" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {line.replace(r"\|", "").count("|") for line in rows} <= {3, 4}
    assert text.partition("\n\n## Health")[0].splitlines()[-1].endswith("| closed the incident: the disk was full |")
    assert "| pods | " in text, "the health check's verdicts when it was opened"
    assert audit_chain.verify(redis, SealKeys.of(settings.load({}))).faults == ()


def test_pagerduty_is_told_and_that_it_cannot_be_stops_nothing(systems, redis, pagerduty):
    world = systems(MLFLOW_OPS_PAGERDUTY_KEY=KEY, MLFLOW_OPS_PAGERDUTY_URL=pagerduty.url)
    first, _ = in_slack('escalate "MLflow is down"', world)
    in_slack("incident take", world)
    in_slack("incident close", world)
    assert [(each["event_action"], each["dedup_key"]) for each in pagerduty.events] == [
        ("trigger", first.id), ("acknowledge", first.id), ("resolve", first.id),
    ]  # fmt: skip
    assert pagerduty.events[0]["payload"]["summary"] == "MLflow: MLflow is down"
    assert pagerduty.events[0]["payload"]["source"] == "data-platform/mlflow"
    pagerduty.answers = [400]
    second, report = in_slack("escalate again", world)
    assert "was not told" in report.model_dump_json()
    assert "answers 400" in report.model_dump_json()
    assert store.current(redis, "C0OPS").id == second.id
    assert KEY not in report.model_dump_json()


def test_what_had_no_clear_answer_is_sent_once_more(systems, pagerduty):
    world = systems(MLFLOW_OPS_PAGERDUTY_KEY=KEY, MLFLOW_OPS_PAGERDUTY_URL=pagerduty.url)
    pauses = []
    made = Pager.connect(world.settings)
    pager = Pager(made.pool, made.url, made.key, pauses.append)
    pagerduty.answers = [429]
    pager.send("resolve", "one")
    assert [each["dedup_key"] for each in pagerduty.events] == ["one"]
    assert len(pauses) == 1
    pagerduty.answers = [500, 503]
    with pytest.raises(OperatorError, match="answers 503"):
        pager.send("resolve", "two")
    pagerduty.server.shutdown()
    pagerduty.server.server_close()
    with pytest.raises(OperatorError, match="refuses connections"):
        pager.send("resolve", "three")
    assert KEY not in repr(pager)


def test_from_a_terminal_it_has_a_thread_in_slack_all_the_same(systems, redis):
    world = systems()

    def run(words, name="olga"):
        return performing.perform_here(grammar.parse(words), words, name, world, Unwatched())

    assert "Nothing was changed" in run('escalate "it is down"', name=None).summary
    assert store.current(redis, "C0OPS") is None
    run('escalate "it is down"')
    known = store.current(redis, "C0OPS")
    record = Records(redis).get(known.id)
    assert record.requester == "terminal:olga"
    kinds = [kind for kind, _ in said(redis, known.id)]
    assert kinds[0] in {"root", "edit"}
    assert "pin" in kinds
    assert all(each in said(redis, known.id)[0][1]["text"] for each in record.calls)
    assert Records(redis).open() == []
    report = run('incident close "a cable"')
    assert "olga in a terminal" in report.attachments[0].content
