"""Backups in a store of their own: what takes the artifacts' store takes no backup; a restore comes from there."""

import os

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from workers.operations.backup.backup import Backup
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.show import BackupList
from workers.operations.backup.verify import BackupVerifyDeep
from workers.operations.health.questions import Asking
from workers.operations.preflight import backups as check
from workers.operations.restore.artifacts import RestoreArtifacts
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.report import Status


@pytest.fixture
def elsewhere(buckets):
    """Another S3 server, with a bucket for backups: its address, and a client."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    client = boto3.client(
        "s3", endpoint_url=url, aws_access_key_id="theirs", aws_secret_access_key="theirs", region_name="us-east-1"
    )
    client.create_bucket(Bucket=buckets[1])
    yield url, client
    server.stop()


@pytest.fixture
def made(systems, elsewhere):
    return systems(
        MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL=elsewhere[0],
        MLFLOW_OPS_BACKUP_S3_ACCESS_KEY_ID="theirs",
        MLFLOW_OPS_BACKUP_S3_SECRET_ACCESS_KEY="theirs",
        MLFLOW_OPS_BACKUP_S3_REGION="us-east-1",
    )


@pytest.mark.slow
def test_a_set_is_made_there_and_all_that_reads_one_reads_it_there(
    made, elsewhere, s3, buckets, keys_in, progress, database_url
):
    source, backups = buckets
    large = os.urandom(20 << 20)
    s3.put_object(Bucket=source, Key="1/large.bin", Body=large)
    s3.put_object(Bucket=source, Key="1/told.json", Body=b"{}", ContentType="application/json", Metadata={"run": "7"})
    assert Backup().run(made, progress).status is Status.OK
    assert keys_in(backups) == []
    assert elsewhere[1].list_objects_v2(Bucket=backups, Prefix="objects/")["KeyCount"] == 12
    assert BackupList().run(made, progress).status is Status.OK
    assert BackupVerifyDeep().run(made, progress).status is Status.OK
    answer = check.ask(Asking(made, 10.0))
    assert f"It is at {elsewhere[0].removeprefix('http://')}, not where the artifacts are" in answer.sentence

    before = {key: s3.get_object(Bucket=source, Key=key)["Body"].read() for key in keys_in(source)}
    for key in before:
        s3.delete_object(Bucket=source, Key=key)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM metrics")
    report = RestoreArtifacts().run(made, progress)
    assert report.status is Status.OK, report
    assert {key: s3.get_object(Bucket=source, Key=key)["Body"].read() for key in keys_in(source)} == before
    told = s3.head_object(Bucket=source, Key="1/told.json")
    assert (told["ContentType"], told["Metadata"]) == ("application/json", {"run": "7"})
    assert RestoreDatabase().run(made, progress).status is Status.OK
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM metrics").fetchone()[0] == 30_000
    assert Drill().run(made, progress).status is Status.OK
    assert BackupPrune().run(made, progress).status is Status.OK
    server = made.server
    for name in server.databases():
        if name.startswith(f"{made.database.name}_"):
            server.drop(name)


@pytest.mark.slow
def test_damaged_bytes_from_there_take_nobodys_place(made, elsewhere, s3, buckets, progress, keys_in):
    Backup(parts=("artifacts",)).run(made, progress)
    gone, other, *_ = keys_in(buckets[0])
    s3.delete_object(Bucket=buckets[0], Key=gone)
    s3.put_object(Bucket=buckets[0], Key=other, Body=b"another")
    for item in elsewhere[1].list_objects_v2(Bucket=buckets[1], Prefix="objects/")["Contents"]:
        elsewhere[1].put_object(Bucket=buckets[1], Key=item["Key"], Body=b"r" * item["Size"])
    report = RestoreArtifacts().run(made, progress)
    assert report.status is Status.FAIL
    assert "2 artifacts could not be put back" in report.summary
    assert gone not in keys_in(buckets[0])
    assert s3.get_object(Bucket=buckets[0], Key=other)["Body"].read() == b"another"
