"""A drill says the truth of a set, leaves nothing, and a set that failed one is not taken for the latest."""

import psycopg
import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operations.backup import drill_result, sets
from workers.operations.backup.backup import Backup
from workers.operations.restore.database import RestoreDatabase, RestoreUndo
from workers.operations.restore.drill import Drill
from workers.operations.restore.prune import RestorePrune
from workers.report import Status


def keys(s3, bucket, prefix=""):
    return [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())]


@pytest.fixture
def backed_up(systems, progress):
    made = systems()
    assert Backup(parts=("database", "artifacts")).run(made, progress).status is Status.OK
    yield made
    server, live = made.server, made.database.name
    for name in server.databases():
        if name.startswith(f"{live}_"):
            server.drop(name)


def test_a_good_set_is_restored_checked_and_thrown_away(backed_up, buckets, s3, progress):
    databases = set(backed_up.server.databases())
    report = Drill().run(backed_up, progress)
    assert report.status is Status.OK
    assert "nothing of it stays" in report.summary
    done = drill_result.last(backed_up.objects, buckets[1])
    assert done.well
    assert done.artifacts == 10
    assert done.seconds > 0
    assert set(backed_up.server.databases()) == databases
    assert keys(s3, buckets[1], "drills/") == [drill_result.RECORD]


def test_a_set_that_fails_is_never_the_latest(backed_up, buckets, s3, progress):
    first = sets.good(backed_up, "latest")
    Backup(parts=("database", "artifacts")).run(backed_up, progress)
    second = sets.good(backed_up, "latest")
    assert second.id != first.id
    s3.put_object(Bucket=buckets[1], Key=second.database.dump.key, Body=b"rotten")
    report = Drill().run(backed_up, progress)
    assert report.status is Status.FAIL
    assert "is not `latest` any more" in report.summary
    assert not drill_result.last(backed_up.objects, buckets[1]).well
    assert sets.good(backed_up, "latest").id == first.id
    assert sets.good(backed_up, second.id).id == second.id
    assert [name for name in backed_up.server.databases() if "_restore_" in name] == []


def test_lost_artifacts_are_found(backed_up, buckets, s3, progress):
    for key in keys(s3, buckets[1], "objects/"):
        s3.delete_object(Bucket=buckets[1], Key=key)
    report = Drill().run(backed_up, progress)
    assert report.status is Status.FAIL
    assert "10 artifacts cannot be restored" in report.summary


def test_a_server_that_is_away_says_nothing_about_the_set(backed_up, systems, buckets, progress):
    away = systems(MLFLOW_OPS_DATABASE_ADMIN_URL="postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(OperatorError):
        Drill().run(away, progress)
    assert drill_result.last(backed_up.objects, buckets[1]) is None


def test_what_was_put_aside_is_removed_after_its_time(backed_up, progress):
    with pytest.raises(AlreadySo, match="more than 7 days ago"):
        RestorePrune().plan(backed_up)
    RestoreDatabase().run(backed_up, progress)
    with pytest.raises(AlreadySo):
        RestorePrune().plan(backed_up)
    beside = dict(backed_up.database.vitals().beside)
    assert len(beside) == 1
    assert next(iter(beside.values())) > 0
    plan = RestorePrune(everything=True).plan(backed_up)
    assert plan.steps == (f"DROP DATABASE {next(iter(beside))}",)
    server, (name,) = backed_up.server, beside
    server.comment(name, '{"mlflow-ops": "put aside", "at": "2020-01-01T00:00:00+00:00"}')
    assert RestorePrune().run(backed_up, progress).status is Status.OK
    assert backed_up.database.vitals().beside == ()
    with pytest.raises(AlreadySo, match="No restore"):
        RestoreUndo().plan(backed_up)


def test_what_is_lost_is_counted_after_the_switch(backed_up, database_url, progress):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE runs ADD start_time bigint")
        connection.execute("ALTER TABLE experiments ADD creation_time bigint")
        moment = "extract(epoch FROM now()) * 1000"
        connection.execute(f"INSERT INTO runs SELECT 'new' || n, 1, '', {moment} FROM generate_series(1, 3) n")
    assert "3 runs and 0 experiments" in " ".join(RestoreDatabase().plan(backed_up).warnings)
    assert "3 runs and 0 experiments" in RestoreDatabase().run(backed_up, progress).summary


def test_a_set_of_another_mlflow_is_refused_unless_it_is_meant(backed_up, systems, database_url, progress):
    other = systems(MLFLOW_OPS_DATABASE_URL=database_url.replace("/test_", "/other_"))
    server = other.server
    server.create(other.database.name, server.databases()[backed_up.database.name], "")
    try:
        with pytest.raises(OperatorError, match="is of another MLflow: of the database test_"):
            RestoreDatabase().plan(other)
        RestoreDatabase(from_elsewhere=True).plan(other)
    finally:
        server.drop(other.database.name)
