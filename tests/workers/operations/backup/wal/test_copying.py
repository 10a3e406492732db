"""What lies under wal/ in a second bucket, and what is locked of it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.workers.operations.backup.wal.conftest import add_run, being_kept, reaches, until
from tests.world.conftest import FOLDERS, OWNER
from workers import settings
from workers.errors import SetDamaged
from workers.operations.backup import copies
from workers.operations.backup.wal import access, copying, locked
from workers.operations.backup.wal.base import BackupBase
from workers.operations.health import recovery
from workers.operations.restore.database import RestoreDatabase
from workers.systems.s3.multipart import Writer

SYSTEM = "7713869209933989547"
NOW = datetime(2026, 11, 30, 14, 5, 10, 500000, tzinfo=UTC)


@pytest.fixture
def second(client, bucket):
    """A second bucket."""
    client.create_bucket(Bucket=f"{bucket}-copy")
    return f"{bucket}-copy"


@pytest.fixture
def copied(systems, second, s3, tmp_path):
    """Systems whose WAL is being kept, with that bucket for a copy."""
    made = systems(backup={"copies": [{"bucket": second, "endpoint_url": s3}]})
    with being_kept(made, tmp_path / "spool"):
        yield made


def objects(client, bucket):
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="wal/"):
        for each in page.get("Contents", ()):
            found[each["Key"]] = client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", [max(FOLDERS)], indirect=True, ids=["newest"])
def test_a_moment_comes_back_from_the_copy_alone(copied, server, live, progress, client, bucket, second):
    until(lambda: access.replication(copied).look())
    report = BackupBase(now=True).run(copied, progress)
    assert ("copied", f"s3://{second}") in {(name, said.split(" at ")[0]) for name, said in report.sections[0].items}
    (one,) = copying.every(copied, access.places(copied))
    for number in range(3):
        add_run(server, live, f"run {number}")
        one.wal(progress.checkpoint)
        server.do("SELECT pg_switch_wal()")
    at = add_run(server, live, "run 9")
    until(lambda: reaches(copied, at))
    one.wal(progress.checkpoint)
    assert one.wal(progress.checkpoint) <= 1  # the part of a second or two
    there, here = objects(client, second), objects(client, bucket)
    assert {key for key in there if ".part/" not in key} <= set(here)
    assert all(here.get(key, content) == content for key, content in there.items() if not key.endswith(".json"))
    for key in here:
        client.delete_object(Bucket=bucket, Key=key)

    (elsewhere,) = copies.every(copied)
    RestoreDatabase(at=at, beside="mlflow_then").run(elsewhere, progress)

    held = server.do("SELECT count(*) FROM runs WHERE run_uuid LIKE 'run %'", role=OWNER, database="mlflow_then")
    assert held == [(4,)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", [max(FOLDERS)], indirect=True, ids=["newest"])
def test_a_store_that_keeps_other_bytes_is_found_and_has_no_point(copied, server, live, progress, monkeypatch):
    until(lambda: access.replication(copied).look())
    at = add_run(server, live, "run 1")
    until(lambda: reaches(copied, at))
    (one,) = copying.every(copied, access.places(copied))
    write = Writer.write
    monkeypatch.setattr(Writer, "write", lambda self, piece: write(self, bytes(len(piece))))
    with pytest.raises(SetDamaged, match="other bytes"):
        one.wal(progress.checkpoint)
    (there,) = copies.every(copied)
    assert access.archive(there, access.places(copied)).point() is None


@pytest.mark.parametrize(
    ("key", "is_locked"),
    [
        (f"wal/{SYSTEM}/00000001/000000010000000000000007.zst", True),
        (f"wal/{SYSTEM}/00000001/000000010000000000000007.part/00000000-00001000.zst", False),
        (f"wal/{SYSTEM}/history/00000002.history.zst", True),
        (f"wal/{SYSTEM}/base/20261130T110000Z-1a2b3c/base.tar.zst.enc", True),
        (f"wal/{SYSTEM}/base/20261130T110000Z-1a2b3c/base.json", True),
        (f"wal/{SYSTEM}/point.json", False),
        (f"wal/{SYSTEM}/drill.json", False),
        ("moments/20261130T140510Z-1a2b3c/database.dump", False),
    ],
)
def test_what_stays_is_locked_and_what_passes_is_not(key, is_locked):
    made = settings.load({})
    ops = made.ops.model_copy(update={"backup": made.ops.backup.model_validate({"lock": {"days": 30}})})
    lock = locked.rule(made.model_copy(update={"ops": ops}), lambda: NOW)(key)
    assert (lock is not None) == is_locked
    if lock:
        # One can go back seven days, so no longer than that.
        assert NOW + timedelta(days=7) <= lock.until <= NOW + timedelta(days=7, seconds=1)
        assert lock.mode == "GOVERNANCE"


def test_without_backup_lock_nothing_is_locked():
    assert locked.rule(settings.load({}))(f"wal/{SYSTEM}/00000001/000000010000000000000007.zst") is None


@pytest.mark.parametrize(
    ("copy", "words"),
    [
        (recovery.Copy("s3://b", late=20), ""),
        (recovery.Copy("s3://b", late=7200), "is 2 h behind"),
        (recovery.Copy("s3://b"), "isn't there yet"),
        (recovery.Copy("s3://b", problem="It is away."), "can't be looked at: It is away."),
    ],
)
def test_health_says_how_far_a_copy_is(copy, words):
    said = recovery._of_copy(copy, settings.load({}).ops.recovery)
    assert words in "".join(sentence for _, sentence in said)
    assert bool(said) == bool(words)
