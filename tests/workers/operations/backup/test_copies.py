"""Each set once more in a second bucket: what is copied, what reads a copy, and who says that one is behind."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from tests.workers.operations.backup import forging
from tests.workers.operations.backup.artifacts.conftest import store  # noqa: F401 - a fixture
from tests.workers.operations.backup.test_forged import place  # noqa: F401 - a fixture
from workers.operation import Unwatched
from workers.operations.backup import copies, drill_result, prune, sets
from workers.operations.backup.backup import Backup
from workers.operations.backup.drill_result import DrillResult
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.verify import BackupVerifyDeep
from workers.operations.health import backup as health
from workers.operations.health.questions import Asking
from workers.operations.restore import drill
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.report import Status

pytestmark = pytest.mark.slow


@pytest.fixture
def copied(place, store, tmp_path):  # noqa: F811 - the fixture
    """The gateways with a copy in a second bucket, which is there."""
    second = f"{place.backups}-copy"
    place.s3.create_bucket(Bucket=second)
    path = tmp_path / "ops.yaml"
    backup = {"copies": [{"bucket": second, "endpoint_url": store}], "retention": dict.fromkeys(
        ("hourly", "daily", "weekly", "monthly"), 0)}  # fmt: skip
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"backup": backup}), encoding="utf-8")
    return place.load(), second


def keys(place, bucket):  # noqa: F811 - the fixture
    listed = place.s3.list_objects_v2(Bucket=bucket).get("Contents", ())
    return {each["Key"]: each["ETag"] for each in listed}


def back_up(systems):
    return Backup(parts=("artifacts",)).run(systems, Unwatched())


def test_a_copy_is_the_same_objects_and_is_read_like_a_set(copied, place):  # noqa: F811
    systems, second = copied
    assert f"s3://{second}" in " ".join(Backup(parts=("artifacts",)).plan(systems).steps)
    report = back_up(systems)
    assert "compared" in next(each.text for each in report.sections if each.title == "Copies")
    assert keys(place, second) == keys(place, place.backups)
    (there,) = copies.every(systems)
    assert BackupVerifyDeep().run(there, Unwatched()).status is Status.OK
    for key in keys(place, place.backups):
        place.s3.delete_object(Bucket=place.backups, Key=key)
    place.s3.delete_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl")
    assert RestoreArtifacts().run(there, Unwatched()).status is Status.OK
    assert place.s3.get_object(Bucket=place.artifacts, Key="1/run1/artifacts/model.pkl")["Body"].read() == b"model 1"


def test_only_what_is_new_is_copied_and_what_was_lost_is_made_up_for(copied, place):  # noqa: F811
    systems, second = copied
    back_up(systems)
    place.s3.put_object(Bucket=place.artifacts, Key="2/new", Body=b"new")
    report = back_up(systems)
    told = next(each.text for each in report.sections if each.title == "Copies")
    assert "2 objects" in told
    lost = next(key for key in keys(place, second) if "run2" in key)
    place.s3.delete_object(Bucket=second, Key=lost)
    back_up(systems)
    assert keys(place, second) == keys(place, place.backups)


def test_a_copy_that_fails_is_told_and_the_set_is_good(copied, place):  # noqa: F811
    systems, second = copied
    place.s3.delete_bucket(Bucket=second)
    report = back_up(systems)
    assert report.status is Status.WARN
    assert f"NOT COPIED to s3://{second}" in report.summary
    assert sets.good(systems, "latest").artifacts.objects == 3


def test_prune_removes_from_a_copy_what_the_retention_does_not_keep(copied, place):  # noqa: F811
    systems, second = copied
    back_up(systems)
    back_up(systems)
    plan = BackupPrune().plan(systems)
    assert any(f"1 set of s3://{second}" in step for step in plan.steps)
    report = BackupPrune().run(systems, Unwatched())
    assert f"s3://{second}" in report.model_dump_json()
    (there,) = copies.every(systems)
    assert len(sets.every(there)) == len(sets.every(systems)) == 1
    assert prune.choose(there).going == ()


def test_a_copy_that_cannot_be_looked_at_keeps_nothing_else_from_being_pruned(copied, place):  # noqa: F811
    systems, second = copied
    back_up(systems)
    back_up(systems)
    for key in keys(place, second):
        place.s3.delete_object(Bucket=second, Key=key)
    place.s3.delete_bucket(Bucket=second)
    assert f"Nothing is removed from s3://{second}" in " ".join(BackupPrune().plan(systems).warnings)
    report = BackupPrune().run(systems, Unwatched())
    assert report.status is Status.WARN
    assert len(sets.every(systems)) == 1


def test_health_knows_the_age_of_each_copy(copied, place):  # noqa: F811
    systems, second = copied
    made = forging.made(place, forging.now(), keys=place.keys, progress=Unwatched())
    assert [each.problem for each in copies.make(systems, made, Unwatched())] == [""]
    (there,) = copies.every(systems)
    for later, behind in ((timedelta(minutes=1), False), (timedelta(hours=3), True)):
        told, words, late = health._copy(there, Asking(systems, 30, datetime.now(UTC) + later))
        assert second in told
        assert made.id in words
        assert late is behind
    asking = Asking(systems, 30)
    for key in keys(place, second):
        place.s3.delete_object(Bucket=second, Key=key)
    assert health._copy(there, asking)[1:] == ("no set", True)


def test_drills_take_the_first_place_and_the_copy_by_turns(copied, place):  # noqa: F811
    systems, second = copied
    seen = []
    for _ in range(4):
        there = drill._place(systems)
        seen.append(there.settings.ops.storage.backups_bucket)
        result = DrillResult(
            set_id="abcdef", at=forging.now(), well=True, seconds=1, place="" if there is systems else seen[-1]
        )
        drill_result.keep(systems.backups, place.backups, result)
    assert seen == [place.backups, second] * 2
