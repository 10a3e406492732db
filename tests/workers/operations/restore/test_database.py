"""The live database is replaced only by what stands beside it, checked; and comes back with one command."""

from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from workers.errors import AlreadySo, OperatorError
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import Manifest
from workers.operations.backup.signing import signed
from workers.operations.backup.stream import Reading
from workers.operations.restore import downtime, pg_restore, scratch
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.switching import repair
from workers.operations.restore.undo import RestoreUndo
from workers.report import Status
from workers.systems import Systems
from workers.systems.postgres.admin import Server


def rows(url, table="runs"):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(f"SELECT count(*), sum(hashtext(t::text)) FROM {table} t").fetchone()


def do(url, statement):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture
def backed_up(systems, database_url, progress):
    """The gateways and a set; afterwards the databases that restores have left are removed."""
    made = systems()
    assert Backup(parts=("database",)).run(made, progress).status in {Status.OK, Status.WARN}
    yield made
    server, live = made.server, made.database.name
    for name in server.databases():
        if name.startswith(f"{live}_") or name == "looked_into":
            server.drop(name)


def test_what_was_lost_is_back_and_what_was_newer_can_be_had_again(backed_up, database_url, progress):
    before = rows(database_url)
    do(database_url, "DELETE FROM metrics; DELETE FROM runs WHERE experiment_id < 10")
    do(database_url, "INSERT INTO experiments VALUES (900, 'newer')")
    damaged = rows(database_url)
    plan = RestoreDatabase().plan(backed_up)
    assert plan.digest == RestoreDatabase().plan(backed_up).digest
    report = RestoreDatabase().run(backed_up, progress)
    assert report.status is Status.OK
    assert report.undo == "restore undo"
    assert rows(database_url) == before
    assert rows(database_url, "metrics")[0] == 30_000
    assert RestoreUndo().run(backed_up, progress).status is Status.OK
    assert rows(database_url) == damaged
    assert rows(database_url, "experiments")[0] == 21
    with pytest.raises(AlreadySo, match="No restore has put a database aside"):
        RestoreUndo().plan(backed_up)


@pytest.mark.slow
def test_undo_takes_the_last_one_put_aside_and_a_set_can_be_restored_twice(backed_up, database_url, progress):
    server, live = backed_up.server, backed_up.database.name
    do(database_url, "INSERT INTO experiments VALUES (900, 'first')")
    RestoreDatabase().run(backed_up, progress)
    (first,) = (name for name in server.databases() if "_before_" in name)
    # The last by its name, as where the set that was restored first has the larger id.
    with server.connected() as connection:
        connection.execute(f"ALTER DATABASE {first} RENAME TO {live}_before_ffffff")
    do(database_url, "INSERT INTO experiments VALUES (901, 'second'), (902, 'third')")
    RestoreDatabase().run(backed_up, progress)
    assert rows(database_url, "experiments")[0] == 20
    RestoreUndo().run(backed_up, progress)
    assert rows(database_url, "experiments")[0] == 22
    RestoreUndo().run(backed_up, progress)
    assert rows(database_url, "experiments")[0] == 21
    RestoreDatabase().run(backed_up, progress)
    RestoreDatabase().run(backed_up, progress)
    assert sum("_before_" in name for name in server.databases()) == 2


@pytest.mark.slow
def test_a_database_of_somebodys_own_is_not_taken_for_one_of_ours(backed_up, database_url, progress):
    server, live = backed_up.server, backed_up.database.name
    RestoreDatabase(beside=f"{live}_restore_mine").run(backed_up, progress)
    RestoreDatabase().run(backed_up, progress)
    assert f"{live}_restore_mine" in server.databases()
    with pytest.raises(OperatorError, match="is a name that restores give to their own"):
        RestoreDatabase(beside=f"{live}_restore_abcdef").plan(backed_up)


def test_all_belongs_to_the_role_that_owned_it(backed_up, database_url, progress):
    RestoreDatabase().run(backed_up, progress)
    with psycopg.connect(database_url, autocommit=True) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [("mlflow",)]
        connection.execute("CREATE TABLE afterwards (n int)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("free", "allowed", "given"), [(1 << 40, None, Path), (0, None, Reading), (1 << 40, 1, Reading)]
)
def test_extensions_and_sequences_are_as_they_were_by_file_and_by_stream(
    backed_up, database_url, progress, monkeypatch, parts, free, allowed, given
):
    """vector is one of those that MLflow's own role may not make, as pg_stat_statements is."""
    admin = backed_up.server.database(backed_up.database.name, backed_up.admin_database)
    do(admin.url, "CREATE EXTENSION vector")
    do(database_url, "CREATE TABLE kept (id serial, at vector(2)); INSERT INTO kept (at) VALUES ('[1,2]'), ('[3,4]')")
    Backup(parts=("database",)).run(backed_up, progress)
    do(database_url, "DROP TABLE kept")
    replay, dumps = pg_restore.replay, []
    monkeypatch.setattr(pg_restore, "replay", lambda *a, **more: (dumps.append(a[1]), replay(*a, **more)))
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setitem(backed_up.settings.environment.__dict__, "scratch_bytes", allowed)
    assert RestoreDatabase().run(backed_up, progress).status is Status.OK
    assert [isinstance(each, given) for each in dumps] == [True]
    do(database_url, "INSERT INTO kept (at) VALUES ('[5,6]')")
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT id, at::text FROM kept ORDER BY id").fetchall()[1:] == [
            (2, "[3,4]"),
            (3, "[5,6]"),
        ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [psycopg.errors.UniqueViolation, psycopg.errors.DuplicateDatabase])
def test_what_a_dead_workers_session_has_made_meanwhile_is_removed(
    backed_up, database_url, progress, monkeypatch, kind
):
    """Both errors are what PostgreSQL says of it: before and after the other session's end."""
    create, asked = Server.create, []

    def late(self, name, like, comment):
        asked.append(name)
        if len(asked) == 1:
            create(self, name, like, "of a dead worker")
            with self.connected():
                raise kind("database exists")
        create(self, name, like, comment)

    monkeypatch.setattr(Server, "create", late)
    RestoreDatabase().run(backed_up, progress)
    assert len(asked) == 2
    assert rows(database_url, "metrics")[0] == 30_000


def test_beside_the_live_one_is_not_touched(backed_up, database_url, progress):
    do(database_url, "DELETE FROM metrics")
    RestoreDatabase(beside="looked_into").run(backed_up, progress)
    assert rows(database_url, "metrics")[0] == 0
    server = backed_up.server
    assert rows(server.database("looked_into", backed_up.database).url, "metrics")[0] == 30_000
    with pytest.raises(OperatorError, match="There is a database looked_into already"):
        RestoreDatabase(beside="looked_into").plan(backed_up)


def test_a_damaged_dump_leaves_the_live_one_and_nothing_else(backed_up, database_url, progress, s3, buckets):
    (key,) = [
        item["Key"]
        for item in s3.list_objects_v2(Bucket=buckets[1], Prefix="sets/")["Contents"]
        if item["Key"].endswith("database.dump.enc")
    ]
    body = bytearray(s3.get_object(Bucket=buckets[1], Key=key)["Body"].read())
    body[len(body) // 2] ^= 1
    s3.put_object(Bucket=buckets[1], Key=key, Body=bytes(body))
    before = rows(database_url)
    with pytest.raises(OperatorError, match=r"is damaged|pg_restore failed"):
        RestoreDatabase().run(backed_up, progress)
    assert rows(database_url) == before
    assert [name for name in backed_up.server.databases() if "_restore_" in name] == []


@pytest.mark.slow
def test_rows_that_are_not_those_of_the_manifest_stop_it(backed_up, database_url, progress, s3, buckets):
    (key,) = [
        item["Key"]
        for item in s3.list_objects_v2(Bucket=buckets[1], Prefix="sets/")["Contents"]
        if item["Key"].endswith("manifest.json")
    ]
    told = Manifest.model_validate_json(s3.get_object(Bucket=buckets[1], Key=key)["Body"].read())
    rows_told = {**told.database.rows, "runs": 501}
    other = told.model_copy(update={"database": told.database.model_copy(update={"rows": rows_told})})
    keys = Keys.of(backed_up.settings)
    s3.put_object(Bucket=buckets[1], Key=key, Body=(signed(other, keys) if keys else other).text())
    before = rows(database_url)
    with pytest.raises(OperatorError, match="other numbers of rows in runs"):
        RestoreDatabase().run(backed_up, progress)
    assert rows(database_url) == before


class CutOffError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("at", ["Making", "Restoring", "Comparing", "Switching"])
def test_cut_off_at_any_step_the_live_one_serves(backed_up, database_url, progress_that, at):
    before = rows(database_url)

    def die(step):
        if step.startswith(at):
            raise CutOffError

    with pytest.raises(CutOffError):
        RestoreDatabase().run(backed_up, progress_that(die))
    assert rows(database_url) == before
    assert RestoreDatabase().run(backed_up, progress_that()).status is Status.OK
    assert rows(database_url) == before


@pytest.mark.slow
def test_sessions_are_ended_and_come_back_to_the_new_one(backed_up, database_url, progress):
    with psycopg.connect(database_url, autocommit=True) as held:
        held.execute("SELECT 1")
        RestoreDatabase().run(backed_up, progress)
        with pytest.raises(psycopg.OperationalError):
            held.execute("SELECT 1")
    assert rows(database_url)[0] == 500


@pytest.mark.slow
def test_mlflow_has_no_pods_while_its_database_is_switched_where_that_is_wanted(
    backed_up, database_url, progress_that, progress
):
    ops = backed_up.settings.ops.model_copy(
        update={"restore": backed_up.settings.ops.restore.model_copy(update={"while_switching": "scaled-to-0"})}
    )
    made, cluster, seen = Systems(backed_up.settings.model_copy(update={"ops": ops})), backed_up.cluster, []

    def look(step):
        if step.startswith("Switching"):
            seen.append((cluster.scale("mlflow")["spec"]["replicas"], cluster.pods("app=mlflow")))

    before = cluster.scale("mlflow")["spec"]["replicas"]
    plan = RestoreDatabase().plan(made)
    assert {"Scale mlflow to 0", "Scale mlflow back"} <= set(plan.steps)
    RestoreDatabase().run(made, progress_that(look))
    assert seen == [(0, [])]
    assert cluster.scale("mlflow")["spec"]["replicas"] == before > 0

    class Killed(BaseException):
        pass

    def die(step):
        if step.startswith("Switching"):
            raise Killed

    with pytest.raises(Killed):
        RestoreUndo().run(made, progress_that(die))
    assert cluster.scale("mlflow")["spec"]["replicas"] == before
    # As kill -9 leaves it, which runs no clean-up.
    cluster.patch_deployment(
        "mlflow", {"metadata": {"annotations": {downtime.REPLICAS: str(before)}}, "spec": {"replicas": 0}}
    )
    assert f"MLflow had been scaled to 0, and gets its {before} pods back" in RestoreDatabase().aftermath(made, plan)
    assert cluster.scale("mlflow")["spec"]["replicas"] == before
    assert downtime.bring_back(made) == 0


def test_a_database_that_was_left_closed_is_opened_again(backed_up, database_url):
    server, live = backed_up.server, backed_up.database.name
    server.allow(live, connections=False)
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        rows(database_url)
    assert repair(server, live)
    assert not repair(server, live)
    assert rows(database_url)[0] == 500


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Robert'); DROP", "UPPER", "1st", "x" * 64])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="is no database's name"):
        RestoreDatabase(beside=name)
