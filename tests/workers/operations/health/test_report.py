"""The report: deadlines, one culprit, the order, the summary, and the judgements on systems outside the cluster."""

import itertools
import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rq.timeouts import JobTimeoutException, UnixSignalDeathPenalty
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from workers import settings
from workers.errors import OperatorError
from workers.operations import health
from workers.operations.backup.manifest import ArtifactsPart, DatabasePart, Elsewhere, Manifest, Stored
from workers.operations.backup.shrinking import Loss
from workers.operations.backup.signing import Trust
from workers.operations.health import Health, backup, mlflow, postgres, queues, root_cause, storage
from workers.operations.health.mlflow import Burst
from workers.operations.health.questions import Answer, Asking, Question, ask_all
from workers.operations.health.queues import QueueState, RedisState
from workers.report import Status
from workers.settings import SettingsError
from workers.settings.schedule import ScheduleEntry
from workers.systems import Systems, preload
from workers.systems.errors import DatabaseUnreachable, Nonsense, ObjectMissing, TrackingUnavailable
from workers.systems.postgres.database import Beside, RunningQuery, Vitals
from workers.wording import duration, size

NOW = datetime(2026, 11, 23, 15, 30, tzinfo=UTC)
TOLD = settings.load({})


class Listener:
    def __init__(self):
        self.steps, self.counts = [], []

    def step(self, name, of=""):
        self.steps.append(name)

    def advance(self, done, total, unit):
        self.counts.append((done, total, unit))

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        pass


def question(name, ask, **more):
    return Question(name, name.title(), more.pop("subject", name.title()), ask, lambda _: f"look at {name}", **more)


def ok(_):
    return Answer(Status.OK, "Fine.")


def raising(error):
    def ask(_):
        raise error

    return ask


@pytest.fixture
def run(monkeypatch):
    def run(*questions, seconds=0.3):
        monkeypatch.setattr(health, "QUESTIONS", questions)
        listener = Listener()
        report = Health(deadline_seconds=seconds).run(Systems(TOLD), listener)
        return report, listener

    return run


def test_one_that_hangs_is_named_and_costs_no_other(run):
    gate = threading.Event()
    preload()
    began = time.monotonic()
    report, listener = run(
        question("a", ok), question("b", lambda _: (gate.wait(30), ok(_))[1], subject="PostgreSQL"), question("c", ok)
    )
    assert time.monotonic() - began < 10
    gate.set()
    assert [(check.name, check.status) for check in report.checks] == [
        ("b", Status.FAIL),
        ("a", Status.OK),
        ("c", Status.OK),
    ]
    assert report.checks[0].sentence == "PostgreSQL did not answer within 0.3 s."
    assert report.summary == "PostgreSQL did not answer within 0.3 s."
    assert listener.counts[-1] == (3, 3, "checks")
    assert listener.steps == ["Asking 3 questions at once"]


def test_a_bug_is_unknown_and_its_id_is_in_the_log(run):
    with capture_logs() as logged:
        report, _ = run(question("a", raising(RuntimeError("s3cret"))), question("b", ok))
    (check,) = (check for check in report.checks if check.name == "a")
    assert check.status is Status.UNKNOWN
    assert "s3cret" not in check.sentence
    assert logged[0]["incident"] in check.sentence
    assert logged[0]["exc_info"]


def test_one_abandoned_at_its_deadline_asks_nothing_more_and_is_no_bug(run):
    """As at a slow start: libraries load for longer than the deadline, and then it wants to ask something beside."""
    gate, over = threading.Event(), []

    def late(asking):
        gate.wait(5)
        try:
            return asking.aside(lambda: ok(asking)).result()
        except BaseException as error:
            over.append(type(error))
            raise

    def waiting(asking):
        asking.aside(lambda: gate.wait(5)).result()
        return ok(asking)

    many = [question(str(number), waiting) for number in range(30)]
    with capture_logs() as logged:
        report, _ = run(question("late", late), *many)
        gate.set()
        deadline = time.monotonic() + 5
        while not over and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.2)
    assert [each.sentence for each in report.checks if each.name == "late"] == ["Late did not answer within 0.3 s."]
    assert over == [TimeoutError]
    assert logged == []


def test_what_is_not_configured_is_unknown_and_what_people_can_mend_fails(run):
    report, _ = run(
        question("a", raising(SettingsError("REDIS_URL is not set."))),
        question("b", raising(OperatorError("It is closed.", "Open it."))),
        question("c", raising(Nonsense("It answered HTML."))),
        question("d", raising(TimeoutError())),
    )
    said = {check.name: (check.status, check.sentence) for check in report.checks}
    assert said == {
        "a": (Status.UNKNOWN, "REDIS_URL is not set."),
        "b": (Status.FAIL, "It is closed."),
        "c": (Status.FAIL, "It answered HTML."),
        "d": (Status.FAIL, "D did not answer within 0.3 s."),
    }
    assert next(check for check in report.checks if check.name == "b").details[0].text == "Open it."


def test_all_is_asked_at_once():
    barrier = threading.Barrier(5)
    questions = [question(str(number), lambda _: (barrier.wait(2), ok(_))[1]) for number in range(5)]
    answers = list(ask_all(questions, Asking(Systems(TOLD), 3.0)))
    assert {answer.status for _, answer in answers} == {Status.OK}


def test_a_jobs_time_limit_ends_the_report(run):
    gate = threading.Event()
    with pytest.raises(JobTimeoutException), UnixSignalDeathPenalty(1, JobTimeoutException):
        run(question("a", lambda _: (gate.wait(30), ok(_))[1]), seconds=20)
    gate.set()


def test_a_crash_is_logged_with_the_operations_id(run):
    with capture_logs(processors=[merge_contextvars]) as logged, bound_contextvars(operation_id="ab12"):
        run(question("a", raising(RuntimeError())))
    assert logged[0]["operation_id"] == "ab12"


def test_importing_it_loads_no_client_library():
    code = "import sys, workers.operations.health; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"kubernetes", "boto3", "botocore", "psycopg", "rq", "redis", "cryptography", "urllib3"} & set(loaded)


def test_pods_are_fetched_once_for_all(monkeypatch):
    class Counting:
        asked = 0

        def within(self, _):
            return self

        def pods(self, _):
            Counting.asked += 1
            time.sleep(0.05)
            return []

    systems = Systems(TOLD)
    systems.__dict__["cluster"] = Counting()
    questions = [question(str(number), lambda asking: (asking.pods(), ok(asking))[1]) for number in range(4)]
    assert len(list(ask_all(questions, Asking(systems, 3.0)))) == 4
    assert Counting.asked == 1


def test_an_unknown_check_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean postgres"):
        Health(checks=("postgress",))
    assert Health(checks=("pods", "pods")).checks == ("pods",)
    assert json.loads(Health(checks=("pods",)).model_dump_json())["checks"] == ["pods"]


class TestBlame:
    def settle(self, *pairs):
        return {q.name: a for q, a in root_cause.settle({q.name: (q, a) for q, a in pairs})}

    def test_what_the_database_explains_is_a_warning_that_points_to_it(self):
        down = Answer(Status.FAIL, "PostgreSQL refuses connections.")
        settled = self.settle(
            (question("postgres", ok), down),
            (question("mlflow", ok, rests_on=("postgres",)), Answer(Status.FAIL, "MLflow cannot reach its database.")),
        )
        assert settled["postgres"].status is Status.FAIL
        assert settled["mlflow"].status is Status.WARN
        assert settled["mlflow"].sentence == "MLflow cannot reach its database; see the Postgres check."

    @pytest.mark.parametrize("other", [Answer(Status.OK, "Fine."), Answer(Status.UNKNOWN, "Not configured.")])
    def test_without_that_explanation_it_stays_red(self, other):
        failed = Answer(Status.FAIL, "MLflow cannot reach its database.")
        settled = self.settle(
            (question("postgres", ok), other), (question("mlflow", ok, rests_on=("postgres",)), failed)
        )
        assert settled["mlflow"] == failed

    def test_an_own_fault_is_not_excused(self):
        settled = self.settle(
            (question("postgres", ok), Answer(Status.FAIL, "Down.")),
            (question("mlflow", ok, rests_on=("postgres",)), Answer(Status.FAIL, "Wrong host.", own_fault=True)),
        )
        assert settled["mlflow"].status is Status.FAIL

    def test_what_nobody_can_be_asked_about_is_unknown_behind_one_red_check(self):
        silent = Answer(Status.FAIL, "Kubernetes does not answer.", unreachable=True)
        settled = self.settle(
            (question("pods", ok), silent),
            (question("logs", ok, spokesman="pods"), silent),
            (question("ingress", ok, spokesman="pods"), Answer(Status.FAIL, "Expired.")),
        )
        assert [settled[name].status for name in ("pods", "logs", "ingress")] == [
            Status.FAIL,
            Status.UNKNOWN,
            Status.FAIL,
        ]
        assert settled["logs"].sentence == silent.sentence

    def test_worst_come_first_and_equals_keep_their_order(self):
        statuses = [Status.OK, Status.WARN, Status.FAIL, Status.UNKNOWN, Status.OK]
        given = {str(i): (question(str(i), ok), Answer(s, "x.")) for i, s in enumerate(statuses)}
        order = [(a.status.severity, int(q.name)) for q, a in root_cause.settle(given)]
        assert order == sorted(order, key=lambda pair: (-pair[0], pair[1]))

    @pytest.mark.parametrize(
        ("statuses", "words"),
        [
            ("ok ok", "All 2 checks OK."),
            ("ok", "Ok 0."),
            ("fail warn ok", "Fail 0; 1 warning."),
            ("fail fail fail fail", "Fail 0; 3 more failures."),
            ("warn ok ok", "Warn 0."),
            ("warn warn unknown ok", "Warn 0; 1 more warning, 1 unknown."),
            ("unknown unknown", "Unknown 0; 1 more unknown."),
        ],
    )
    def test_the_summary_stands_alone(self, statuses, words):
        checks = tuple(
            question(str(i), ok).check(Answer(Status(s), f"{s.title()} {i}."), TOLD)
            for i, s in enumerate(statuses.split())
        )
        assert root_cause.summary(checks) == words
        told = (checks[0].model_copy(update={"command": "logs"}), *checks[1:])
        following = "" if checks[0].status is Status.OK else " Next: /mlflow logs"
        assert root_cause.summary(told) == words + following

    @given(st.text("ab .", min_size=1, max_size=400), st.lists(st.sampled_from(Status), max_size=10))
    def test_the_headline_is_one_line_that_names_the_worst(self, sentence, others):
        worst = question("mlflow", ok, command="logs").check(Answer(Status.FAIL, f"x{sentence}"), TOLD)
        rest = [question(str(i), ok).check(Answer(s, f"{i}"), TOLD) for i, s in enumerate(others)]
        said = root_cause.summary((worst, *sorted(rest, key=lambda each: -each.status.severity)))
        assert len(said) <= root_cause.HEADLINE
        assert said.startswith("x")
        assert said.endswith(" Next: /mlflow logs")


def vitals(**changed):
    values = {
        "version": "18.4",
        "connect_seconds": 0.01,
        "round_trip_seconds": 0.001,
        "connections": 10,
        "max_connections": 100,
        "size_bytes": 12_345_678,
        "longest": None,
    }
    return Vitals(**(values | changed))


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, Status.OK, "10 of 100 connections"),
        ({"connections": 80}, Status.WARN, "fills up"),
        ({"connections": 95}, Status.FAIL, "nearly full"),
        ({"round_trip_seconds": 0.6}, Status.WARN, "600 ms"),
        (
            {"longest": RunningQuery(42, "trainer", "mlflow", "idle in transaction", 3700.0, "UPDATE runs")},
            Status.WARN,
            "trainer (pid 42) is idle in transaction for 1 h 1 min already",
        ),
    ],
)
def test_postgres(changed, status, words):
    answer = postgres.judge(vitals(**changed), TOLD)
    assert answer.status is status
    assert words in answer.sentence


@pytest.mark.parametrize(
    ("latency", "versioning", "status", "words"),
    [
        (0.01, "Enabled", Status.OK, "versioning is on"),
        (0.01, "Off", Status.WARN, "gone for good"),
        (0.01, "Suspended", Status.WARN, "suspended"),
        (1.5, "Enabled", Status.WARN, "1,500 ms"),
        (0.01, "unknown: The object store denies us access.", Status.OK, "could not be read"),
    ],
)
def test_storage(latency, versioning, status, words):
    answer = storage.judge(latency, versioning, TOLD)
    assert answer.status is status
    assert words in answer.sentence


def test_mlflow_percentiles_and_speed():
    burst = Burst(tuple(n / 1000 for n in range(1, 101)), ())
    assert [burst.percentile(p) for p in (50, 95, 99, 100)] == [0.05, 0.095, 0.099, 0.1]
    assert mlflow.judge(burst, "3.17.2", TOLD, "mlflow:5000").status is Status.OK
    slow = mlflow.judge(Burst((1.2,), ()), "3.17.2", TOLD, "mlflow:5000")
    assert (slow.status, slow.sentence) == (Status.WARN, "MLflow is slow: p95 is 1,200 ms.")
    partly = mlflow.judge(Burst((0.1,), (TrackingUnavailable("MLflow at x answers 503."),)), "unknown", TOLD, "x")
    assert (partly.status, partly.sentence) == (Status.WARN, "MLflow failed 1 of 2 requests: MLflow at x answers 503.")


class Pretending:
    """MLflow as its gateway shows it, up or down, with and without its database."""

    address = "mlflow:5000"

    def __init__(self, search=None, alive="OK"):
        self.search, self.alive = search, alive

    def within(self, _):
        return self

    def afresh(self):
        return self

    def timed(self, took):
        self.took = took
        return self

    def search_experiments(self):
        if self.search:
            raise self.search
        self.took.append(0.01)
        return []

    def health(self):
        if isinstance(self.alive, Exception):
            raise self.alive
        return self.alive

    def version(self):
        raise Nonsense("no")

    def call(self, method, body):
        return {}

    def ask(self, method, **query):
        return {}


@pytest.mark.parametrize(
    ("tracking", "status", "words"),
    [
        (Pretending(), Status.OK, "MLflow unknown answers"),
        (Pretending(TrackingUnavailable("MLflow answers 503.")), Status.FAIL, "is up but cannot reach its database"),
        (
            Pretending(TrackingUnavailable("MLflow answers 503."), TrackingUnavailable("x")),
            Status.FAIL,
            "MLflow answers 503.",
        ),
    ],
)
def test_mlflow_that_is_up_is_told_from_mlflow_that_works(tracking, status, words):
    systems = Systems(TOLD)
    systems.__dict__["tracking"] = tracking
    answer = mlflow.ask(Asking(systems, 2.0))
    assert answer.status is status
    assert words in answer.sentence


def test_no_question_to_mlflow_waits_for_a_kept_connections_late_acknowledgement():
    class Kept(Pretending):
        """One whose connection is kept: nothing may be asked over it but its version, which nothing waits for."""

        def afresh(self):
            return Pretending()

        def call(self, method, body):
            raise AssertionError(method)

        ask = search_experiments = call

    systems = Systems(TOLD)
    systems.__dict__["tracking"] = Kept()
    assert mlflow.ask(Asking(systems, 2.0)).status is Status.OK


REDIS = RedisState("redis:6379", 0.001, 1e6, append_only=True, last_write_ok=True)


def a_queue(name="quick", **changed):
    values = {"waiting": 0, "oldest_seconds": None, "workers": 1, "failed_today": 0}
    return QueueState(name=name, **(values | changed))


@pytest.mark.parametrize(
    ("state", "changed", "status", "words"),
    [
        (REDIS, {}, Status.OK, "2 workers on 2 queues"),
        (REDIS, {"workers": 0}, Status.WARN, "No worker serves quick"),
        (REDIS, {"workers": 0, "waiting": 3, "oldest_seconds": 5.0}, Status.FAIL, "3 jobs wait on quick and no worker"),
        (REDIS, {"waiting": 1, "oldest_seconds": 61.0}, Status.WARN, "has waited for 61 s"),
        (REDIS, {"failed_today": 2}, Status.WARN, "2 jobs failed"),
        (RedisState("r", 0.1, 1.0, append_only=False, last_write_ok=True), {}, Status.WARN, "append-only"),
        (RedisState("r", 0.1, 1.0, append_only=True, last_write_ok=False), {}, Status.FAIL, "cannot write"),
        (RedisState("r", 0.1, 1.0, append_only=None, last_write_ok=True), {}, Status.OK, "workers"),
    ],
)
def test_queues(state, changed, status, words):
    answer = queues.judge(state, [a_queue(**changed), a_queue("ops")], TOLD)
    assert answer.status is status
    assert words in answer.sentence


class Bucket:
    """A backups bucket in memory, through the same two methods."""

    def __init__(self, **sets):
        self.sets = {name.replace("_", "/"): content for name, content in sets.items()}
        self.read_names = []

    def folders(self, _bucket, prefix, *, after=""):
        return iter(sorted(name for name in self.sets if name >= after and name.startswith(prefix)))

    def read(self, _bucket, key, *, at_most):
        self.read_names.append(key)
        content = self.sets[key.removesuffix("manifest.json")]
        if content is None:
            raise ObjectMissing("no")
        return content[:at_most]


def a_set(moment, short="abc123"):
    return f"sets/{moment:%Y%m%dT%H%M%SZ}-{short}/"


def manifest(moment):
    name = a_set(moment)
    part = DatabasePart(
        dump=Stored(key=f"{name}database.dump", bytes=1, sha256=""), database="m", server_version="", pg_dump_version=""
    )
    artifacts = ArtifactsPart(
        listing=Stored(key=f"{name}artifacts.jsonl.zst", bytes=1, sha256=""), bucket="a", objects=1, bytes=1
    )
    made = Manifest(name=name, id="abc123", started_at=moment, finished_at=moment, database=part, artifacts=artifacts)
    return made.text()


def found_in(**sets):
    bucket = Bucket()
    bucket.sets = sets
    return backup.newest(bucket, "mlflow-backups", NOW, Trust.of(TOLD)), bucket


@pytest.mark.parametrize(("minutes", "status"), [(10, Status.OK), (59, Status.OK), (61, Status.FAIL)])
def test_the_age_of_the_last_backup(minutes, status):
    at = NOW - timedelta(minutes=minutes)
    found, _ = found_in(**{a_set(at): manifest(at), a_set(at - timedelta(days=1)): manifest(at - timedelta(days=1))})
    answer = backup.judge(found, TOLD, NOW)
    assert answer.status is status
    assert answer.figures["age_seconds"] == minutes * 60


def judged(cron, took, *, lost=(), **part):
    at = NOW - timedelta(minutes=10)
    made = Manifest.model_validate_json(manifest(at))
    artifacts = made.artifacts.model_copy(update=part)
    made = made.model_copy(update={"finished_at": at + timedelta(minutes=took), "artifacts": artifacts})
    entry = ScheduleEntry(cron=cron, command="backup")
    ops = TOLD.ops.model_copy(update={"schedule": {"backup": entry}})
    return backup.judge(backup.Found(made.name, made), TOLD.model_copy(update={"ops": ops}), NOW, None, lost)


@pytest.mark.parametrize(
    ("cron", "took", "status", "words"),
    [
        ("*/30 * * * *", 2, Status.OK, "began 10 min ago: that much would be lost now."),
        ("0 * * * *", 1, Status.WARN, "The schedule lets 1 h 1 min be lost (a set every 1 h, each takes 60 s)"),
        ("*/30 * * * *", 31, Status.WARN, "lets 1 h 1 min be lost (a set every 30 min, each takes 31 min)"),
        ("*/20 8-18 * * *", 1, Status.WARN, "a set every 13 h 20 min"),
    ],
)
def test_a_schedule_that_cannot_keep_the_loss_within_an_hour_is_told(cron, took, status, words):
    answer = judged(cron, took)
    assert answer.status is status
    assert words in answer.sentence
    assert answer.figures["backup_seconds"] == took * 60


def test_the_default_schedule_keeps_the_loss_within_what_is_allowed():
    from workers.settings.schedule import BACKUP

    assert judged(BACKUP.cron, 29).status is Status.OK


def test_what_is_in_no_backup_is_told_with_its_age():
    elsewhere = (Elsewhere(place="gs://ml", why="Google Cloud Storage", experiments=2, names=("churn", "fraud")),)
    answer = judged("*/30 * * * *", 1, elsewhere=elsewhere, left_out_objects=3, left_out_bytes=10)
    assert "In no backup: artifacts of 2 experiments and 3 artifacts that can't be read." in answer.sentence
    told = dict(answer.details[0].items)["in no backup"]
    assert told == "3 artifacts (10 B) couldn't be read."
    assert ("in no backup", "Artifacts of 2 experiments (churn, fraud) at gs://ml: Google Cloud Storage.") in (
        answer.details[0].items
    )


def test_what_the_live_database_lost_since_is_told_and_a_table_is_a_failure():
    rows = judged("*/30 * * * *", 1, lost=(Loss("rows", "51 of 500 rows of runs"),))
    assert rows.status is Status.WARN
    assert rows.sentence.startswith("Lost from the live database since the backup abc123: 51 of 500 rows of runs.")
    assert judged("*/30 * * * *", 1, lost=(Loss("tables", "1 table: metrics"),)).status is Status.FAIL


def test_sets_without_a_good_manifest_are_passed_over_and_old_ones_are_found():
    old, newer, newest = (NOW - timedelta(days=days) for days in (30, 1, 0.1))
    sets = {a_set(old): manifest(old), a_set(newer): b'{"finished', a_set(newest): None}
    found, bucket = found_in(**sets)
    assert found.name == a_set(old)
    assert len(found.passed_over) == 2
    assert all(later > earlier for later, earlier in pairwise(bucket.read_names))


@pytest.mark.parametrize("sets", [{}, {a_set(NOW): None}, {a_set(NOW): b"[]"}, {a_set(NOW): b'{"finished_at": 3}'}])
def test_no_good_backup_is_a_warning(sets):
    found, _ = found_in(**sets)
    answer = backup.judge(found, TOLD, NOW)
    assert (answer.status, answer.figure) == (Status.WARN, "none yet")


def test_a_set_without_a_manifest_may_be_one_in_the_making_and_its_age_is_told():
    found, _ = found_in(**{a_set(NOW - timedelta(seconds=15)): None, a_set(NOW - timedelta(days=3)): b"[]"})
    assert found.passed_over[0] == f"{a_set(NOW - timedelta(seconds=15))}, begun 15 s ago, has no manifest"
    sentence = backup.judge(found, TOLD, NOW).sentence
    assert sentence.endswith("yet; 2 sets without a good manifest, the last begun 15 s ago.")
    foreign, _ = found_in(**{"sets/zzz/": None})
    assert foreign.passed_over == ("sets/zzz/, of a name that is not ours, has no manifest",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (3600, "1 h"), (3660, "1 h 1 min"), (90000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (300 * 2**20, "300 MiB")]
)
def test_sizes(number, words):
    assert size(number) == words


def test_a_database_that_is_away_is_told_once_with_its_address():
    class Away:
        def within(self, _):
            return self

        def vitals(self):
            raise DatabaseUnreachable("PostgreSQL at db:5432 refuses connections.", "Check its pod.")

    systems = Systems(TOLD)
    systems.__dict__["database"] = Away()
    answer = postgres.ask(Asking(systems, 1.0))
    assert (answer.status, answer.sentence) == (Status.FAIL, "PostgreSQL at db:5432 refuses connections.")
    assert answer.unreachable


RESTORED = (
    '{"mlflow-ops": "restored and checked", "set": "sets/20261130T040000Z-abcdef/", "at": "2026-11-30T04:00:00+00:00"}'
)


@pytest.mark.parametrize(
    ("comment", "commands"),
    [
        (RESTORED, ["restore database abcdef"]),
        (RESTORED.replace("restored and checked", "put aside"), []),
        (RESTORED.replace("abcdef/", "abcdef/; drill"), []),
        (RESTORED.replace("2026-11-30T04:00:00+00:00", "yesterday"), []),
        ("of another team", []),
        ("[]", []),
        ("", []),
    ],
)
def test_a_restored_database_that_waits_is_offered(comment, commands):
    beside = (Beside("mlflow_restore_abcdef", 4096, comment),)
    answer = postgres.judge(vitals(beside=beside), TOLD)
    assert [offer.command for offer in answer.offers] == commands


@pytest.mark.parametrize(
    ("live", "command"), [("mlflow_auth", "restore auth abcdef"), ("mlflow", "restore database abcdef")]
)
def test_a_restored_database_of_basic_auth_is_offered_as_that(live, command):
    comment = RESTORED.replace("{", f'{{"live": "{live}", ')
    told = settings.load({"MLFLOW_OPS_AUTH_DATABASE_URL": "postgresql://mlflow@db/mlflow_auth"})
    answer = postgres.judge(vitals(beside=(Beside("mlflow_auth_restore_abcdef", 4096, comment),)), told)
    assert [offer.command for offer in answer.offers] == [command]


def test_a_slow_read_is_among_the_times_that_are_told():
    class SlowToRead(Pretending):
        def search_experiments(self):
            time.sleep(0.01)
            return super().search_experiments()

        def call(self, method, body):
            self.took.append(3.0)
            return {}

    systems = Systems(TOLD)
    systems.__dict__["tracking"] = SlowToRead()
    answer = mlflow.ask(Asking(systems, 2.0))
    assert (answer.status, answer.sentence) == (Status.WARN, "MLflow is slow: p95 is 3,000 ms.")


@pytest.mark.parametrize("refused_first", [1, 2, 3])
def test_a_read_that_one_refused_search_left_out_is_made_all_the_same(refused_first):
    class Unlucky(Pretending):
        def __init__(self):
            super().__init__()
            self.left = itertools.count(1)
            self.models = 0

        def search_experiments(self):
            if next(self.left) <= refused_first:
                raise TrackingUnavailable("MLflow at x answers 503.")
            return super().search_experiments()

        def ask(self, method, **query):
            self.models += 1
            return {}

    systems = Systems(TOLD)
    unlucky = systems.__dict__["tracking"] = Unlucky()
    answer = mlflow.ask(Asking(systems, 2.0))
    assert answer.status is Status.WARN
    assert f"MLflow failed {refused_first} of " in answer.sentence
    assert unlucky.models == 1
    assert {"a run", "a model version"} <= dict(answer.details[0].items).keys()
