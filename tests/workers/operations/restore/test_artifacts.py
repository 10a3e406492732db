"""Artifacts come back as they were: only what is missing or differs is touched; nothing goes unless it was asked."""

import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operations.backup.backup import Backup
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.operations.storage.locations import prefix_of
from workers.report import Status
from workers.systems import Systems


def content(s3, bucket):
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", ()):
            found[item["Key"]] = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
    return found


@pytest.fixture
def backed_up(systems, s3, buckets, progress):
    source = buckets[0]
    for number in range(60):
        key = f"{number % 3}/run{number}/artifacts/a b+ü{number}.txt"
        s3.put_object(Bucket=source, Key=key, Body=b"x" * number, ContentType="text/plain", Metadata={"n": str(number)})
    upload = s3.create_multipart_upload(Bucket=source, Key="1/large.bin")["UploadId"]
    parts = []
    for number, size in ((1, 6 << 20), (2, 1 << 20)):
        place = {"Bucket": source, "Key": "1/large.bin", "UploadId": upload, "PartNumber": number}
        parts.append({"PartNumber": number, "ETag": s3.upload_part(**place, Body=bytes([number]) * size)["ETag"]})
    s3.complete_multipart_upload(Bucket=source, Key="1/large.bin", UploadId=upload, MultipartUpload={"Parts": parts})
    made = systems()
    assert Backup(parts=("artifacts",)).run(made, progress).status is Status.OK
    return made


def damage(s3, bucket):
    keys = [key for key in content(s3, bucket) if key != "1/large.bin"]
    for key in keys[:10]:
        s3.delete_object(Bucket=bucket, Key=key)
    for key in keys[10:15]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"something else")
    s3.delete_object(Bucket=bucket, Key="1/large.bin")
    s3.put_object(Bucket=bucket, Key="1/newer.txt", Body=b"newer than the backup")


def test_what_is_missing_is_added_and_what_differs_is_put_back(backed_up, s3, buckets, progress):
    before = content(s3, buckets[0])
    damage(s3, buckets[0])
    plan = RestoreArtifacts().plan(backed_up)
    assert "16 artifacts" in plan.summary
    assert {change.before for change in plan.changes} == {"missing", "another"}
    assert "1 artifact that the backup does not hold stay" in " ".join(plan.warnings)
    report = RestoreArtifacts().run(backed_up, progress)
    assert report.status is Status.OK
    assert "11 added, 5 put back" in report.summary
    after = content(s3, buckets[0])
    assert after.pop("1/newer.txt") == b"newer than the backup"
    assert after == before
    key = next(key for key in before if key.endswith("7.txt"))
    head = s3.head_object(Bucket=buckets[0], Key=key)
    assert head["ContentType"] == "text/plain"
    # Header names have no case, and rclone's server writes them its own way.
    assert "n" in {name.lower() for name in head["Metadata"]}
    with pytest.raises(AlreadySo, match="All 71 artifacts are as the backup"):
        RestoreArtifacts(prefix="").plan(backed_up)


def test_only_what_was_asked_for(backed_up, s3, buckets, progress):
    before = content(s3, buckets[0])
    for key in before:
        s3.delete_object(Bucket=buckets[0], Key=key)
    RestoreArtifacts(prefix="2/").run(backed_up, progress)
    assert content(s3, buckets[0]) == {key: value for key, value in before.items() if key.startswith("2/")}
    with pytest.raises(OperatorError, match="holds no artifact under 7/"):
        RestoreArtifacts(prefix="7/").plan(backed_up)


def test_exact_removes_only_where_versions_are_kept(backed_up, s3, buckets, progress):
    before = content(s3, buckets[0])
    damage(s3, buckets[0])
    with pytest.raises(OperatorError, match="keeps no versions"):
        RestoreArtifacts(exact=True).plan(backed_up)
    s3.put_bucket_versioning(Bucket=buckets[0], VersioningConfiguration={"Status": "Enabled"})
    plan = RestoreArtifacts(exact=True).plan(backed_up)
    assert plan.digest == RestoreArtifacts(exact=True).plan(backed_up).digest
    s3.put_object(Bucket=buckets[0], Key="1/newest.txt", Body=b"since the plan")
    assert plan.digest != RestoreArtifacts(exact=True).plan(backed_up).digest
    assert "2 removed" in RestoreArtifacts(exact=True).run(backed_up, progress).summary
    assert content(s3, buckets[0]) == before


@pytest.mark.slow
def test_damaged_bytes_take_nobodys_place(backed_up, s3, buckets, progress):
    source, backups = buckets
    damage(s3, source)
    there = content(s3, source)
    kept = [key for key in content(s3, backups) if key.startswith("objects/")]
    for key in kept:
        s3.put_object(Bucket=backups, Key=key, Body=b"rotten")
    report = RestoreArtifacts(exact=False).run(backed_up, progress)
    assert report.status is Status.FAIL
    assert "16 artifacts could not be put back" in report.summary
    assert content(s3, source) == there


@pytest.mark.slow
def test_one_that_is_cut_off_goes_on_from_there(backed_up, s3, buckets, progress, progress_that):
    before = content(s3, buckets[0])
    for key in before:
        s3.delete_object(Bucket=buckets[0], Key=key)
    RestoreArtifacts(prefix="0/").run(backed_up, progress)
    report = RestoreArtifacts().run(backed_up, progress)
    assert "51 added, 0 put back" in report.summary
    assert "20 were right" in report.summary
    assert content(s3, buckets[0]) == before


@pytest.mark.slow
def test_a_set_of_another_bucket_is_refused_unless_it_is_meant(backed_up, systems, s3, progress):
    other = systems()
    ops = other.settings.ops.model_copy(
        update={"storage": other.settings.ops.storage.model_copy(update={"artifacts_bucket": "elsewhere"})}
    )
    other = Systems(other.settings.model_copy(update={"ops": ops}))
    with pytest.raises(OperatorError, match=r"is of another MLflow: of the bucket .*, not elsewhere"):
        RestoreArtifacts().plan(other)
    s3.create_bucket(Bucket="elsewhere")
    assert RestoreArtifacts(from_elsewhere=True).run(other, progress).status is Status.OK
    assert len(content(s3, "elsewhere")) == 71


@pytest.mark.slow
@pytest.mark.parametrize(
    ("location", "prefix"),
    [("mlflow-artifacts:/12/abc/artifacts", "12/abc/artifacts/"), ("mlflow-artifacts://host:5000/7", "7/")],
)
def test_where_an_experiment_lies_in_the_bucket(backed_up, location, prefix):
    assert prefix_of(backed_up, location) == prefix
    bucket = backed_up.settings.ops.storage.artifacts_bucket
    assert prefix_of(backed_up, f"s3://{bucket}/mine/") == "mine/"
    with pytest.raises(OperatorError, match="which is not in"):
        prefix_of(backed_up, "gs://other/x")
