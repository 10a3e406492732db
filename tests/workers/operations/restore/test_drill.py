"""A drill says the truth of a set, leaves nothing, and a set that failed one is not taken for the latest."""

import psycopg
import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operations.backup import drill_result, sets
from workers.operations.backup.backup import Backup
from workers.operations.backup.show import BackupList
from workers.operations.restore import side_database
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.prune import RestorePrune
from workers.operations.restore.undo import RestoreUndo
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import AccessDenied, DatabaseFull, DatabaseRefused, DatabaseUnreachable
from workers.wording import count

pytestmark = pytest.mark.slow


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
    assert "Scratch copies removed." in report.summary
    done = drill_result.last(backed_up.objects, buckets[1])
    assert done.well
    assert done.artifacts == 10
    assert done.seconds > 0
    assert set(backed_up.server.databases()) == databases
    assert keys(s3, buckets[1], "drills/") == [drill_result.RECORD]
    (row,) = BackupList().run(backed_up, progress).sections[0].rows
    assert row[-1].endswith(", passed its drill")


def test_only_what_drills_made_is_removed(backed_up, progress):
    """An undo promises to keep what it took out of the live one's place; a restore that waits keeps what it made."""
    server, live = backed_up.server, backed_up.database.name
    RestoreDatabase().run(backed_up, progress)
    RestoreUndo().run(backed_up, progress)
    like = server.databases()[live]
    server.create(f"{live}_restore_ffffff", like, "")
    server.create(f"{live}_drill_ffffff", like, "of a drill that was killed")
    assert Drill().run(backed_up, progress).status is Status.OK
    assert {name for name in server.databases() if name.startswith(f"{live}_")} == {
        f"{live}_restore_undone",
        f"{live}_restore_ffffff",
    }
    plan = RestorePrune(everything=True).plan(backed_up)
    assert sorted(plan.steps) == [f"DROP DATABASE {live}_restore_ffffff", f"DROP DATABASE {live}_restore_undone"]


@pytest.mark.parametrize("wanted", [1, 3, 7, 9, 10, 200])
def test_as_many_artifacts_are_compared_as_are_said(backed_up, buckets, progress, wanted):
    restore = backed_up.settings.ops.restore.model_copy(update={"drill_artifacts": wanted})
    ops = backed_up.settings.ops.model_copy(update={"restore": restore})
    made = Systems(backed_up.settings.model_copy(update={"ops": ops}))
    assert f"{min(wanted, 10)} artifact" in Drill().plan(made).summary
    Drill().run(made, progress)
    assert f"Reading {count(min(wanted, 10), 'artifact')}" in progress.steps
    assert drill_result.last(backed_up.objects, buckets[1]).artifacts == min(wanted, 10)


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
    assert [name for name in backed_up.server.databases() if "_drill_" in name] == []
    rows = BackupList().run(backed_up, progress).sections[0].rows
    assert rows[0][-1].startswith("failed its drill: ")
    (told,) = [each for each in RestoreDatabase().plan(backed_up).warnings if "newer" in each]
    assert told.startswith(f"The newer backup {second.id} is passed over: it failed its drill: ")
    assert not [each for each in RestoreDatabase(set=first.id).plan(backed_up).warnings if "newer" in each]


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


@pytest.mark.parametrize(
    "why",
    [
        DatabaseFull("pg_restore failed: PostgreSQL at db:5432 has no room left on its disk."),
        DatabaseRefused("The role ops may not do this: permission denied to create database."),
        DatabaseUnreachable("PostgreSQL at db:5432 broke off the connection."),
        AccessDenied("The object store denies us access."),
        OperatorError("pg_restore is not in PATH: no backup of the database can be made or read."),
    ],
)
def test_what_is_not_the_sets_fault_is_told_and_condemns_nothing(backed_up, buckets, progress, monkeypatch, why):
    def fails(*_, **__):
        raise why

    monkeypatch.setattr(side_database, "fill", fails)
    with pytest.raises(OperatorError) as told:
        Drill().run(backed_up, progress)
    assert why.message in told.value.message
    assert "says nothing about the backup" in told.value.message
    latest = sets.good(backed_up, "latest")
    assert sets.drilled(backed_up.objects, buckets[1], latest.name) == (None, "")
    assert drill_result.last(backed_up.objects, buckets[1]) is None
    assert [name for name in backed_up.server.databases() if "_drill_" in name] == []


def test_what_was_put_aside_is_removed_after_its_time(backed_up, progress):
    for nothing in (RestorePrune(), RestorePrune(everything=True)):
        with pytest.raises(AlreadySo, match="No restore has put a database aside") as told:
            nothing.plan(backed_up)
        assert "--all" not in told.value.hint
    RestoreDatabase().run(backed_up, progress)
    with pytest.raises(AlreadySo, match="more than 7 days ago") as told:
        RestorePrune().plan(backed_up)
    assert told.value.hint == "To remove 1 younger one too: /mlflow restore prune --all"
    (beside,) = backed_up.database.vitals().beside
    assert beside.size_bytes > 0
    plan = RestorePrune(everything=True).plan(backed_up)
    assert plan.steps == (f"DROP DATABASE {beside.name}",)
    server, name = backed_up.server, beside.name
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
    assert "Not in it: 3 runs created since." in " ".join(RestoreDatabase().plan(backed_up).warnings)
    assert "Not in the backup: 3 runs created since." in RestoreDatabase().run(backed_up, progress).summary


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
