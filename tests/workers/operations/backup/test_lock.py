"""Object Lock on moto, which removes nothing that is locked: what backups lock, extend and hold; what prune knows."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from tests.workers.operations.backup.test_forged import place  # noqa: F401 - a fixture
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.backup import locking, prune, sets
from workers.operations.backup.artifacts import object_copying, references
from workers.operations.backup.backup import Backup
from workers.operations.backup.hold import BackupHold
from workers.report import Status
from workers.systems.s3 import lock
from workers.systems.s3.lock import Lock

pytestmark = pytest.mark.slow


@pytest.fixture
def locked(place, tmp_path):  # noqa: F811 - the fixture
    """Makes the gateways with a bucket that has Object Lock, and backup.lock as given."""
    place.backups += "-locked"
    place.s3.create_bucket(Bucket=place.backups, ObjectLockEnabledForBucket=True)
    path = tmp_path / "ops.yaml"

    def make(**backup):
        ops = yaml.safe_load(path.read_text())
        ops |= {"storage": ops["storage"] | {"backups_bucket": place.backups}, "backup": backup}
        path.write_text(yaml.safe_dump(ops), encoding="utf-8")
        return place.load()

    return make


def back_up(systems):
    Backup(parts=("artifacts",)).run(systems, Unwatched())
    return sets.good(systems, "latest")


def until(place, key):  # noqa: F811 - the fixture
    found = place.s3.head_object(Bucket=place.backups, Key=key)
    return found.get("ObjectLockMode"), found.get("ObjectLockRetainUntilDate")


def versions(place):  # noqa: F811 - the fixture
    return place.s3.list_object_versions(Bucket=place.backups)["Versions"]


@pytest.mark.parametrize("mode", ["governance", "compliance"])
@pytest.mark.parametrize("encrypt", ["all", "config"])
def test_each_object_of_a_set_is_locked_as_it_is_written(locked, place, mode, encrypt):  # noqa: F811
    systems = locked(lock={"mode": mode, "days": 8}, encrypt=encrypt)
    began = datetime.now(UTC)
    made = back_up(systems)
    assert made.locked_until >= began + timedelta(days=8) - timedelta(seconds=1)
    kept = list(references(systems.backups, place.backups, made.name, place.keys))
    assert len(kept) == 3
    for key in (f"{made.name}manifest.json", made.artifacts.listing.key, *kept):
        told, when = until(place, key)
        assert told == mode.upper(), key
        assert when >= made.locked_until
    for each in versions(place):
        if each["Key"] in {*kept, f"{made.name}manifest.json"}:
            with pytest.raises(ClientError, match="AccessDenied"):
                place.s3.delete_object(Bucket=place.backups, Key=each["Key"], VersionId=each["VersionId"])


def test_bytes_that_a_new_set_uses_too_are_locked_for_longer_only_when_that_is_needed(
    locked, place, monkeypatch  # noqa: F811 - the fixture
):  # fmt: skip
    systems = locked(lock={"mode": "governance", "days": 8})
    first = back_up(systems)
    (key, *_) = references(systems.backups, place.backups, first.name, place.keys)
    before = until(place, key)
    calls = []
    with monkeypatch.context() as watched:
        watched.setattr(object_copying, "retain", lambda *given: calls.append(given[2]))
        assert back_up(systems).artifacts.copied_objects == 0
    assert calls == []
    longer = locked(lock={"mode": "governance", "days": 16})
    second = back_up(longer)
    assert second.artifacts.copied_objects == 0
    assert until(place, key)[1] > before[1] + timedelta(days=7)
    assert until(place, key)[1] >= second.locked_until


def test_prune_leaves_a_set_until_its_lock_is_over(locked, place, monkeypatch):  # noqa: F811
    nothing = {"hourly": 0, "daily": 0, "weekly": 0, "monthly": 0}
    systems = locked(lock={"mode": "governance", "days": 2}, retention=nothing)
    older, newer = back_up(systems), back_up(systems)
    chosen = prune.choose(systems)
    assert chosen.going == ()
    assert chosen.reasons[older.name].startswith("locked until ")
    later = datetime.now(UTC) + timedelta(days=3)
    assert [each.name for each in prune.choose(systems, later).going] == [older.name]
    BackupHold(id=older.id).run(systems, Unwatched())
    assert prune.choose(systems, later).reasons[older.name] == "held"
    assert newer.name in chosen.reasons


@pytest.mark.parametrize("number", [1, 20])
def test_a_hold_is_on_each_object_and_goes_with_the_last_set_that_needs_it(locked, place, number):  # noqa: F811
    """Also where artifacts are kept together: each set's new ones in a bundle."""
    systems = locked()

    def put(folder):
        for each in range(number):
            place.s3.put_object(Bucket=place.artifacts, Key=f"{folder}/{each}", Body=b"new")

    put("1/more")
    first = back_up(systems)
    put("2/new")
    second = back_up(systems)

    def on(key):
        return place.s3.head_object(Bucket=place.backups, Key=key).get("ObjectLockLegalHoldStatus") == "ON"

    shared = list(references(systems.backups, place.backups, first.name, place.keys))
    (alone,) = set(references(systems.backups, place.backups, second.name, place.keys)) - set(shared)
    for made in (first, second):
        plan = BackupHold(id=made.id).plan(systems)
        assert not BackupHold(id=made.id).gated(systems.settings.ops)
        assert made.name in plan.changes[0].what
        assert BackupHold(id=made.id).run(systems, Unwatched()).status is Status.OK
    assert all(map(on, (*shared, alone, f"{first.name}manifest.json", second.artifacts.listing.key)))
    release = BackupHold(id=second.id, release=True)
    assert release.gated(systems.settings.ops)
    release.run(systems, Unwatched())
    assert all(map(on, shared))
    assert not on(alone)
    assert not on(f"{second.name}manifest.json")
    with pytest.raises(AlreadySo):
        release.plan(systems)


def test_without_object_lock_nothing_is_held_and_a_locked_backup_fails_and_says_why(place, tmp_path):  # noqa: F811
    made = forging.made(place, forging.now(), keys=place.keys, progress=Unwatched())
    with pytest.raises(OperatorError, match="has no Object Lock"):
        BackupHold(id=made.id).plan(place.systems)
    path = tmp_path / "ops.yaml"
    ops = yaml.safe_load(path.read_text()) | {"backup": {"lock": {"mode": "compliance", "days": 1}}}
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    with pytest.raises(OperatorError, match=r"no Object Lock|ObjectLock|InvalidRequest"):
        Backup(parts=("artifacts",)).run(place.load(), Unwatched())


def test_check_finds_out_by_trying_whether_a_lock_holds(locked, place):  # noqa: F811
    systems = locked(lock={"mode": "governance", "days": 1})
    soon = Lock("COMPLIANCE", datetime.now(UTC) + timedelta(minutes=1))
    assert lock.try_out(systems.backups, place.backups, "check/lock", soon) == ""
    over = Lock("COMPLIANCE", datetime.now(UTC) - timedelta(minutes=1))
    assert "removed a locked object" in lock.try_out(systems.backups, place.backups, "check/lock", over)


def test_the_rule_is_by_key():
    now = datetime.now(UTC)
    rule = locking.Locking("GOVERNANCE", now, now + timedelta(days=1)).rule
    name = "sets/20261130T000000Z-abcdef/"
    for file in ("manifest.json", "database.dump.enc", "auth-database.catalog.jsonl", "config.yaml.enc",
                 "artifacts.jsonl.zst.enc"):  # fmt: skip
        assert rule(f"{name}{file}") == Lock("GOVERNANCE", now)
    for file in ("begun.json", "artifacts.part-00001.jsonl.zst.enc", "artifacts.previous.json", "drill-failed.json"):
        assert rule(f"{name}{file}") is None
    assert rule("objects/a!/0").until == now + timedelta(days=1)
    assert rule("drills/latest.json") is None
