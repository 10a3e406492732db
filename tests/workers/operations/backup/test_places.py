"""Experiments whose artifacts are elsewhere: copied where we may read, and named where we may not."""

import sys

import psycopg
import pytest

from tests.workers.operations.backup.artifacts.conftest import Way
from workers.operations.backup import places, sets
from workers.operations.backup.artifacts.listing import entries
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.show import BackupShow
from workers.operations.backup.verify import BackupVerifyDeep
from workers.operations.health.questions import Asking
from workers.operations.preflight import places as preflight
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.report import Status
from workers.systems.mlflow.artifact_locations import ArtifactLocations
from workers.systems.s3.transfer import Transfer

ELSEWHERE = {
    "gs://ml/4": "gs://ml",
    "wasbs://c@acc.blob.core.windows.net/5": "wasbs://c@acc.blob.core.windows.net",
    "dbfs:/databricks/mlflow-tracking/6": "dbfs:/databricks/mlflow-tracking",
    "file:///mlruns/7": "file:/mlruns",
    "./mlruns/8": "file:./mlruns",
    "/mnt/shared/mlruns/9": "file:/mnt/shared/mlruns",
    "s3://no-such-bucket-here/10": "s3://no-such-bucket-here",
    "s3://arn:aws:s3:eu-west-1:1:accesspoint/x/11": "s3://arn:aws:s3:eu-west-1:1:accesspoint",
    "odd": "file:/",
    "": "file:/",
}


def locate(url, locations):
    """Give experiments their artifact locations, by their ids."""
    with psycopg.connect(url, autocommit=True) as connection:
        for number, location in locations.items():
            connection.execute(
                "UPDATE experiments SET artifact_location = %s WHERE experiment_id = %s", (location, number)
            )


def keys(s3, bucket):
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]


@pytest.fixture
def team(s3, buckets):
    """Another bucket, of which experiments have two prefixes, and other people the rest."""
    bucket = f"team-{buckets[0].removeprefix('artifacts-')}"
    s3.create_bucket(Bucket=bucket)
    for key in ("lake/0", "ml/2/run/artifacts/model.pkl", "ml/2/run/artifacts/!x", "ml/22/a", "ml/3/b", "zoo"):
        s3.put_object(Bucket=bucket, Key=key, Body=f"{bucket}/{key}".encode())
    return bucket


@pytest.fixture
def scattered(systems, environ, database_url, team):
    """Systems whose experiments are in all kinds of places."""
    inside = {2: f"s3://{team}/ml/2", 3: f"s3://{team}/ml/3/", 15: f"s3://{team}/ml/2/run"}
    locate(database_url, inside | dict(enumerate(ELSEWHERE, 4)))
    return systems()


def test_what_is_in_another_bucket_is_in_the_set_and_what_is_in_none_is_named(scattered, progress, s3, team):
    report = Backup().run(scattered, progress)
    made = sets.good(scattered, "latest")
    assert report.status is Status.WARN
    assert made.parts == ("database", "artifacts", "config")
    (other,) = made.artifacts.others
    assert (other.bucket, other.objects) == (team, 3)
    assert made.artifacts.objects == 13
    named = {each.place: each for each in made.artifacts.elsewhere}
    assert set(named) == set(ELSEWHERE.values())
    assert named["gs://ml"].names == ("experiment 4",)
    assert named["file:/"].experiments == 2
    said = report.model_dump_json()
    for place in named:
        assert place in said
        assert place in " ".join(made.warnings)
    with Transfer.of(scattered.backups, 1) as transfer:
        bucket = scattered.settings.ops.storage.backups_bucket
        part, keys = made.artifacts.listing, Keys.all_of(scattered.settings)
        held = list(entries(transfer, bucket, part.key, part.sha256, keys))
    assert [each.key for each in held if each.bucket] == [
        "ml/2/run/artifacts/!x", "ml/2/run/artifacts/model.pkl", "ml/3/b",
    ]  # fmt: skip
    assert all(each.kept.startswith(f"objects/!{team}/") for each in held if each.bucket)
    assert BackupVerifyDeep().run(scattered, progress).status is Status.OK
    assert team in BackupShow().run(scattered, progress).model_dump_json()
    again = Backup(parts=("artifacts",)).run(scattered, progress)
    assert again.status is Status.WARN
    assert sets.good(scattered, "latest").artifacts.copied_objects == 0
    BackupPrune().run(scattered, progress)
    assert BackupVerifyDeep().run(scattered, progress).status is Status.OK


@pytest.mark.slow
def test_what_is_said_of_six_kinds_of_places_an_archived_object_and_a_denied_one(
    systems, parts, database_url, team, progress, buckets, capsys
):
    """The report, the manifest and check, as people read them (pytest -s)."""
    six = ("gs://ml/4", "wasbs://c@acc.blob.core.windows.net/5", "dbfs:/databricks/6", "file:///mlruns/7", "./mlruns/8")
    locate(database_url, {2: f"s3://{team}/ml/2", **dict(enumerate(six, 4))})
    cold, denied = "1/run3/artifacts/model.pkl", "1/run4/artifacts/model.pkl"
    codes = {f"{buckets[0]}/{cold}": "InvalidObjectState", f"{buckets[0]}/{denied}": "AccessDenied"}

    def meet(request):
        of = request.headers.get("x-amz-copy-source", "").lstrip("/") or f"{request.bucket}/{request.key}"
        return (403, codes[of]) if request.operation in {"GET", "HEAD", "CopyObject"} and of in codes else None

    way = Way(parts.env["AWS_ENDPOINT_URL_S3"])
    way.meet = meet
    try:
        ready = systems(AWS_ENDPOINT_URL_S3=way.url)
        report = Backup().run(ready, progress)
        made = sets.good(ready, "latest")
        answer = preflight.ask(Asking(ready, 30.0))
    finally:
        way.close()
    assert report.status is answer.status is Status.WARN
    assert (made.artifacts.left_out_objects, made.artifacts.objects) == (2, 10)
    assert set(made.artifacts.left_out) == {f"{cold}: it is in an archive tier", f"{denied}: we may not read it"}
    assert sum(each.experiments for each in made.artifacts.elsewhere) == len(six)
    said = report.model_dump_json()
    for each in (cold, denied, *(place.place for place in made.artifacts.elsewhere)):
        assert each in said
    assert "2 artifacts" in said
    with capsys.disabled():
        notes = [each.text for each in report.sections if getattr(each, "text", "")]
        told = {
            "report": "\n".join([report.summary, *notes]),
            "manifest": made.artifacts.model_dump_json(include={"left_out", "elsewhere", "others"}, indent=1),
            "check": "\n".join([answer.sentence, *(f"{name}: {each}" for name, each in answer.details[0].items)]),
        }
        sys.stdout.write("".join(f"\n== {what}\n{text}\n" for what, text in told.items()))


def test_check_says_it_before_anybody_backs_up(scattered, team):
    answer = preflight.ask(Asking(scattered, 30.0))
    assert answer.status is Status.WARN
    assert answer.sentence.startswith("Artifacts of 10 experiments are in no backup: they are at ")
    assert (team, "3 experiments; backed up too") in answer.details[0].items


def test_it_comes_back_to_where_it_was_and_the_rest_of_that_bucket_stays(scattered, progress, s3, team, buckets):
    Backup().run(scattered, progress)
    before = keys(s3, team)
    for key in ("ml/2/run/artifacts/model.pkl", "ml/3/b"):
        s3.delete_object(Bucket=team, Key=key)
    s3.put_object(Bucket=team, Key="ml/2/run/artifacts/!x", Body=b"another")
    s3.put_object(Bucket=team, Key="ml/2/run/artifacts/between", Body=b"later")
    s3.delete_object(Bucket=buckets[0], Key="1/run3/artifacts/model.pkl")
    plan = RestoreArtifacts().plan(scattered)
    assert "4 artifacts" in plan.summary
    assert f"s3://{team}/" in plan.summary
    assert any("gs://ml" in each for each in plan.warnings)
    assert f"artifact s3://{team}/ml/3/b" in plan.facts
    assert RestoreArtifacts().run(scattered, progress).status is Status.OK
    assert keys(s3, team) == sorted([*before, "ml/2/run/artifacts/between"])
    body = s3.get_object(Bucket=team, Key="ml/2/run/artifacts/!x")["Body"].read()
    assert body == f"{team}/ml/2/run/artifacts/!x".encode()
    assert "1/run3/artifacts/model.pkl" in keys(s3, buckets[0])


def test_what_is_of_another_mlflow_is_not_written_to(scattered, progress, s3, team):
    Backup().run(scattered, progress)
    s3.delete_object(Bucket=team, Key="ml/3/b")
    restore = RestoreArtifacts(from_elsewhere=True, prefix="")
    s3.delete_object(Bucket=scattered.settings.ops.storage.artifacts_bucket, Key="1/run3/artifacts/model.pkl")
    assert any("stays as it is" in each for each in restore.plan(scattered).warnings)
    assert restore.run(scattered, progress).status is Status.OK
    assert "ml/3/b" not in keys(s3, team)


def test_a_database_that_cannot_be_asked_costs_no_artifacts(systems, progress):
    away = systems(MLFLOW_OPS_DATABASE_URL="postgresql://m:m@127.0.0.1:1/m")
    report = Backup(parts=("artifacts",)).run(away, progress)
    assert report.status is Status.WARN
    assert "is unknown: " in report.model_dump_json()
    assert sets.good(away, "latest").artifacts.objects == 10


def test_locations_come_page_by_page(systems, monkeypatch):
    from workers.systems.mlflow import artifact_locations

    locations = ArtifactLocations(systems().database)
    whole = list(locations.every()), list(locations.ordered("s3://"))
    assert len(whole[0]) == len(whole[1]) == 20
    assert whole[1] == sorted(whole[1])
    for size in (1, 7, 20):
        monkeypatch.setattr(artifact_locations, "PAGE", size)
        assert (list(locations.every()), list(locations.ordered("s3://"))) == whole


def test_more_places_than_anybody_reads_are_one(systems, environ, database_url, monkeypatch):
    monkeypatch.setattr(places, "PLACES_AT_MOST", 3)
    locate(database_url, {number: f"gs://bucket-{number}/x" for number in range(1, 11)})
    found = places.survey(systems())
    assert [each.experiments for each in found.elsewhere] == [1, 1, 1, 7]
    assert found.elsewhere[-1].place == "other places"
    assert found.own == 10
