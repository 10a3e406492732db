"""The export: what is written where, what Redis keeps, and what is read from it."""

import base64
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from workers.engine import running
from workers.engine.sealing import Sealing
from workers.operation import Unwatched
from workers.operations.audit import export as exporting
from workers.operations.audit.trail import Audit, told_one_by_one
from workers.records.audit_log import Entry
from workers.records.record import Phase, Record
from workers.report import Status

DAY = 24 * 3600


def age(kept, days):
    """As if everything had been written so many days ago."""
    aged = []
    for entry_id, fields in kept.entries():
        at, _, number = entry_id.decode().partition("-")
        aged.append((f"{int(at) - int(days * DAY * 1000)}-{number}", fields))
    kept.put(aged, [])
    kept.redis.delete("mlflow-ops:mlflow:audit:sealed")


def rows_of(kept):
    bodies = [kept.s3.get_object(Bucket=kept.bucket, Key=key)["Body"].read().decode() for key in kept.files()]
    return [json.loads(line) for body in bodies for line in body.splitlines()]


def test_what_is_new_is_exported_each_time_and_once(kept):
    kept.run(4)
    assert kept.export().summary.startswith("12 moments exported to s3://")
    assert kept.export().summary.startswith("0 moments exported")
    kept.run(1)
    assert kept.export().summary.startswith("3 moments exported")
    assert [row["n"] for row in rows_of(kept) if "n" in row] == list(range(1, 16))
    assert all(key.startswith(f"audit/mlflow/{datetime.now(UTC):%Y}") for key in kept.files())
    assert kept.verify().status is Status.OK


def test_files_are_small_however_much_is_new(kept, monkeypatch):
    monkeypatch.setattr(exporting, "ENTRIES_AT_MOST", 10)
    kept.run(12)
    kept.export()
    assert len(kept.files()) == 4
    assert kept.verify().status is Status.OK


def test_with_object_lock_nobody_removes_a_file(made):
    kept = made(lock=True, ops={"backup": {"lock": {"mode": "compliance", "days": 30}}})
    kept.run(1)
    kept.export()
    found = kept.s3.head_object(Bucket=kept.bucket, Key=kept.files()[0])
    assert found["ObjectLockMode"] == "COMPLIANCE"
    assert found["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)


def test_what_is_exported_and_old_leaves_redis_and_is_still_shown(kept):
    kept.run(5, words="old")
    age(kept, 100)
    kept.export()
    kept.run(5, words="new")
    assert "15 older ones removed from Redis" not in kept.export().summary
    kept.run(1, words="newest")
    report = kept.export()
    assert len(kept.entries()) <= 21
    assert kept.verify().status is Status.OK, kept.verify().summary
    shown = Audit(since_seconds=365 * DAY).run(kept.systems, Unwatched())
    (table,) = shown.sections
    assert [row[3] for row in table.rows] == [
        "newest 11",
        *(f"new {n}" for n in range(10, 5, -1)),
        *(f"old {n}" for n in range(5, 0, -1)),
    ]
    assert shown.summary.startswith("11 commands")
    assert report.status is Status.OK


def test_nothing_that_is_not_exported_leaves_redis(kept, monkeypatch):
    kept.run(5)
    age(kept, 100)
    while kept.seal():
        pass
    monkeypatch.setattr(exporting.Export, "write", lambda *_: (_ for _ in ()).throw(exporting.FileDamaged("no")))
    with pytest.raises(exporting.FileDamaged):
        kept.export()
    assert len(kept.entries()) == 15


def test_more_than_so_many_entries_do_not_stay_however_young(kept, monkeypatch):
    monkeypatch.setattr(exporting, "KEPT_AT_MOST", 20)
    kept.run(30)
    kept.export()
    assert len(kept.entries()) == 20
    assert kept.verify().status is Status.OK
    kept.run(1)
    kept.export()
    assert kept.verify().status is Status.OK


def test_without_a_key_everything_says_so(made):
    kept = made(MLFLOW_OPS_AUDIT_KEY="")
    kept.run(2)
    told = [kept.export(), kept.verify(), Audit().run(kept.systems, Unwatched())]
    assert [each.status for each in told] == [Status.WARN] * 3
    assert all("NOT SEALED" in each.summary for each in told), [each.summary for each in told]


def test_the_key_is_derived_from_the_backup_key_where_there_is_none(made):
    kept = made(MLFLOW_OPS_AUDIT_KEY="", MLFLOW_OPS_BACKUP_KEY=base64.b64encode(b"b" * 32).decode())
    kept.run(2)
    kept.export()
    assert kept.verify().status is Status.OK


def test_whoever_has_no_key_says_that_it_cannot_verify(made, kept):
    kept.run(2)
    kept.export()
    bot = made(MLFLOW_OPS_AUDIT_KEY="", ops={"storage": {"backups_bucket": kept.bucket}})
    report = bot.verify()
    assert report.status is Status.WARN
    assert "can't be verified" in report.summary


def test_each_entry_goes_to_standard_output_once_where_that_is_wanted(kept):
    told = io.StringIO()
    one, two = Sealing(kept.redis, kept.keys, told), Sealing(kept.redis, kept.keys, told)
    for _ in range(4):
        kept.run(2)
        one.step(), two.step()
    lines = [json.loads(each) for each in told.getvalue().splitlines()]
    assert [each["n"] for each in lines] == list(range(1, 25))
    assert json.loads(lines[0]["text"])["what"] == "asked"


def fill(redis, text):
    for _ in range(25_000):
        redis.xadd("mlflow-ops:mlflow:audit", {"e": text})


@pytest.mark.slow
def test_a_redis_of_a_few_megabytes_does_not_fill_with_the_record(kept, monkeypatch):
    monkeypatch.setattr(exporting, "KEPT_AT_MOST", 3_000)
    kept.redis.config_set("maxmemory", 5 << 20)
    kept.redis.config_set("maxmemory-policy", "noeviction")
    text = json.dumps({"what": "done", "id": "0" * 10, "outcome": "x" * 200})
    try:
        for _ in range(12):
            pipe = kept.redis.pipeline(transaction=False)
            for _ in range(1_000):
                pipe.xadd("mlflow-ops:mlflow:audit", {"e": text})
            pipe.execute()
            kept.export()
        assert kept.redis.info("memory")["used_memory"] < 5 << 20
        assert kept.verify().status is Status.OK
        # As it would have been.
        with pytest.raises((OutOfMemoryError, ResponseError)):
            fill(kept.redis, text)
    finally:
        kept.redis.config_set("maxmemory", 0)


def test_a_year_is_read_in_constant_memory():
    """Commands are told one by one: no more are held than are under way."""

    def moments():
        for number in range(5_000):
            for what in ("asked", "started", "done"):
                yield Entry(f"{1_780_000_000_000 + number}-{number}", json.dumps({"what": what, "id": str(number)}))

    tracemalloc.start()
    number = sum(1 for _ in told_one_by_one(moments()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 5_000
    assert peak < 1 << 19


@pytest.mark.parametrize(
    ("operation", "phase", "files"),
    [
        ("restore-database", Phase.DONE, 1),
        ("restore-database", Phase.FAILED, 1),
        ("restore-database", Phase.QUEUED, 0),
        ("scale", Phase.DONE, 0),
    ],
)
def test_what_is_destructive_is_exported_at_its_end(kept, monkeypatch, operation, phase, files):
    monkeypatch.setattr(running, "systems_here", lambda: kept.systems)
    kept.run(1)
    record = Record(operation=operation, arguments={}, words=operation, requester="U0VERA", channel="C0OPS")
    running._exported(record, phase)
    assert len(kept.files()) == files


def test_a_store_that_is_away_takes_nothing_from_the_end_of_a_command(kept, monkeypatch):
    monkeypatch.setattr(running, "systems_here", lambda: kept.systems)
    kept.s3.delete_bucket(Bucket=kept.bucket)
    kept.run(1)
    record = Record(operation="restore-database", arguments={}, words="", requester="U0VERA", channel="C0OPS")
    running._exported(record, Phase.DONE)
    assert len(kept.entries()) == 3
