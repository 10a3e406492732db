"""What the morning's digest says, from what it is given."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from commands import grammar
from workers.operation import Operation
from workers.operations.digest import backups, changes, digest, todo, yesterday
from workers.operations.digest.digest import Digest
from workers.operations.health import CHECKS
from workers.operations.history.store import Sample
from workers.records import audit_log, store
from workers.records.record import Ending, Phase, Record
from workers.records.store import Records
from workers.rendering import message as render
from workers.report import Attachment, Check, Lead, Offer, Report, Status
from workers.settings import Ops, schedule

NOW = datetime(2026, 11, 24, 7, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def check(name, status=Status.OK, **figures):
    return Check(name=name, title=name.capitalize(), status=status, sentence=f"About {name}.", figures=figures)


# What needs a person.


def test_every_check_has_a_button_whose_command_there_is():
    assert set(todo.COMMANDS) == set(CHECKS)
    for _, command in (*todo.COMMANDS.values(), todo.CERTIFICATE):
        assert isinstance(grammar.parse(command), Operation), command


def test_the_worst_comes_first_and_what_is_well_wants_nobody(settings_of_nothing):
    checks = (check("pods"), check("logs", Status.WARN), check("mlflow", Status.UNKNOWN), check("backup", Status.FAIL))
    made = todo.offers(checks, settings_of_nothing)
    assert [offer.command for offer in made] == ["backup", "health logs"]
    assert made[0].sentence == "Backup: About backup."


@pytest.mark.parametrize(("days", "command"), [(5.0, "cert renew"), (90.0, "health ingress")])
def test_a_certificate_that_ends_is_renewed_and_another_trouble_is_looked_at(settings_of_nothing, days, command):
    (offer,) = todo.offers((check("ingress", Status.WARN, certificate_days=days),), settings_of_nothing)
    assert offer.command == command


def test_a_storm_of_troubles_stays_one_message():
    made = [Offer(sentence=str(number), label="x", command="health") for number in range(30)]
    shown = digest._bounded(made)
    assert len(shown) == 9
    assert shown[-1].sentence == "And 22 more."


# What changed.


def run(notes=None, **figures):
    return Sample(NOW, {name.replace("__", "."): value for name, value in figures.items()}, notes or {})


def test_what_changed_is_said_and_what_did_not_is_not():
    before = run(
        {"mlflow.version": ("3.16.0",), "logs.kinds": ("a",)}, postgres__size_bytes=1e9, mlflow__p95_seconds=0.02
    )
    now = run(
        {"mlflow.version": ("3.17.2",), "logs.kinds": ("a", "x" * 160), "pods.restarted": ("mlflow-1: OOMKilled",)},
        postgres__size_bytes=1.5e9,
        mlflow__p95_seconds=0.2,
        ingress__certificate_days=12.7,
        pods__recent_restarts=1,
    )
    said = changes.lines(before, now)
    assert said[:5] == [
        "MLflow 3.16.0 → 3.17.2",
        "restarted: mlflow-1: OOMKilled",
        "database 1.4 GiB (+477 MiB)",
        "p95 200 ms (was 20 ms)",
        "certificate ends in 12 days",
    ]
    assert said[5].startswith("new kind of error: xxx")
    assert len(said[5]) < 140
    assert len(said) == 6
    assert changes.in_short(now, now).startswith("1 restart; database 1.4 GiB; p95 200 ms")


def test_without_a_yesterday_there_is_only_today():
    assert changes.in_short(None, run(postgres__size_bytes=1e9)) == "no restarts; database 954 MiB"
    assert changes.lines(None, run({"logs.kinds": ("a",)})) == []


# Backups and drills.


def test_a_backups_age_is_told_against_what_is_allowed(settings_of_nothing):
    assert (
        backups.last((check("backup", age_seconds=720.0),), settings_of_nothing)
        == "last backup 12 min old (1 h allowed)"
    )
    assert backups.last((check("backup", Status.WARN),), settings_of_nothing) == "About backup"
    assert backups.drill((check("backup"),)) == "no restore drill yet"
    drilled = {"drill_age_seconds": 90_000.0, "drill_well": 1.0, "restore_seconds": 252.0}
    assert backups.drill((check("backup", **drilled),)) == "last restore drill 1 d 1 h ago, restored in 4 min"
    failed = drilled | {"drill_well": 0.0}
    assert backups.drill((check("backup", **failed),)) == "the last restore drill, 1 d 1 h ago, failed"


# Who did what.


def did(redis, words, operation, requester="U0OLEG", phase=Phase.DONE, outcome="well", *, refused=False):
    record = Record(operation=operation, arguments={}, words=words, requester=requester, channel="C0OPS")
    records = Records(redis)
    records.accept(record, record.id, render.asked(words, requester))
    if phase.ended:
        records.finish(record.id, Ending(phase, outcome, refused=refused))
    else:
        records.update(record.id, phase=phase, permalink="https://slack/x")
    return record


def test_yesterdays_commands_with_who_and_what_came_of_them(redis):
    did(redis, "health", "health")
    did(redis, "scale 4", "scale")
    did(redis, "restart", "restart", "U0ADA", Phase.FAILED, "the pods did not come up")
    did(redis, "backup", "backup", "schedule:backup")
    did(redis, "backup", "backup", "schedule:backup", Phase.FAILED, "the store is away")
    audit_log.note(
        redis,
        store.asked(
            Record(operation="scale", arguments={}, words="scale 2", requester="terminal:kim", channel="terminal")
        ),
    )
    done = yesterday.commands(redis, NOW - timedelta(days=3650))
    assert done.in_short() == "2 of 4 commands failed"
    assert done.reads == 1
    assert done.people() == ("U0OLEG", "U0ADA", "terminal:kim")
    said = [(lead.text, lead.by) for lead in done.leads()]
    assert said == [
        ("• restart: failed, the pods did not come up", ("U0ADA",)),
        ("• backup: failed, the store is away", ("schedule:backup",)),
        ("• scale 4: done", ("U0OLEG",)),
        ("• scale 2: open", ("terminal:kim",)),
    ]
    assert yesterday.commands(redis, datetime.now(UTC) + timedelta(hours=1)).in_short() == "no changes"


def test_what_could_not_be_done_as_asked_is_no_failure(redis):
    did(redis, "rollback --to 99", "rollback", phase=Phase.FAILED, outcome="There is no revision 99.", refused=True)
    did(redis, "scale 4", "scale", outcome="Already at 4 replicas.")
    done = yesterday.commands(redis, NOW - timedelta(days=3650))
    assert done.failed == ()
    assert done.in_short() == "2 commands, none failed"
    assert [lead.text for lead in done.leads()] == ["• rollback --to 99: refused", "• scale 4: done"]
    assert "refused" in str(done.table(redis))


def test_what_waits_is_linked_where_it_stands(redis):
    did(redis, "scale 9", "scale", phase=Phase.PENDING)
    (waits,) = yesterday.waiting(redis)
    assert yesterday.approval(waits) == Offer(
        sentence="“scale 9” waits for approval.", label="Open it", url="https://slack/x"
    )


# When.


def berlin(**more):
    return Ops.model_validate({"channels": ["C0OPS"], "time_zone": "Europe/Berlin"} | more)


def test_mondays_digest_tells_of_the_weekend_and_tuesdays_of_a_day():
    def since(day):
        due = datetime(2026, 11, day, 8, tzinfo=BERLIN)
        return Digest(due=due.timestamp())._since(due.astimezone(UTC), berlin()).astimezone(BERLIN)

    assert since(23) == datetime(2026, 11, 20, 8, tzinfo=BERLIN)
    assert since(24) == datetime(2026, 11, 23, 8, tzinfo=BERLIN)
    assert Digest()._since(NOW, berlin()) == NOW - timedelta(days=1)


def test_what_comes_late_says_so_also_where_only_the_worker_slept():
    now = datetime.now(UTC)
    assert "late" not in Digest(due=now.timestamp() - 30)._headline(now, berlin())
    assert "late" not in Digest()._headline(now, berlin())
    due = datetime.fromtimestamp(now.timestamp() - 7200, BERLIN)
    assert Digest(due=due.timestamp())._headline(now, berlin()).endswith(f", late (due {due:%a %H:%M})")


# As it is read.


def test_it_is_read_as_one_message_and_names_cannot_be_forged():
    report = Report(
        title="Digest, Tue 24 Nov",
        status=Status.OK,
        summary="all is well.",
        lead=(Lead(name="Changed", text="error from <!channel>"), Lead(text="• scale 4: done", by=("U0OLEG",))),
        offers=(Offer(sentence="Look", label="See", command="health"),),
    )
    message = render.root(report, "digest", "schedule:digest")
    (block,) = message.blocks
    assert block["text"]["text"].split("\n") == [
        ":white_check_mark: *Digest, Tue 24 Nov*: all is well.",
        "*Changed*: error from &lt;!channel&gt;",
        "• scale 4: done (<@U0OLEG>)",
    ]
    assert message.text.split("\n")[-1] == "To do: Look"
    assert "<!channel>" not in message.text
    assert len(render.root(report, "digest", "U0VERA").blocks) == 2


def test_a_picture_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="larger than a picture may be"):
        Attachment(filename="x.png", content="x" * (1 << 20) + "x", alt="x")


def test_a_pictures_bytes_are_not_searched_for_secrets(redis):
    from workers.records.message import draft
    from workers.redaction import remember

    remember(["hunter2hunter2"])
    text = render.files("x", [Attachment(filename="a.txt", content="hunter2hunter2")])[0]
    picture = render.files("x", [Attachment(filename="a.png", content="hunter2hunter2", alt="hunter2hunter2")])[0]
    assert "hunter2" not in draft("file", text)[1]
    body = json.loads(draft("picture", picture)[1])
    assert body["content"] == "hunter2hunter2"
    assert "hunter2" not in body["alt"]


def test_the_limits_and_the_digest_of_ops_yaml():
    ops = berlin(limits={"database": "50Gi", "errors": 10}, digest={"at": "07:30", "weekdays": ["mon"]})
    assert ops.limits == {"database": 50 * 2**30, "errors": 10.0}
    assert ops.clock["digest"].cron == "30 7 * * mon"
    with pytest.raises(ValueError, match="limits"):
        berlin(limits={"database": "50 apples"})
    assert SimpleNamespace(**schedule.Digest().model_dump()).at == "08:00"
