"""A small MLflow comes back on every version of PostgreSQL, by the newest client and without a superuser."""

from datetime import UTC, datetime

import boto3
import psycopg
import pytest
import yaml

from mlflow_ops_sandbox import testing
from tests.world.conftest import OTHERS, OURS, OWNER
from workers.errors import AlreadySo, OperatorError
from workers.operation import Unwatched
from workers.operations.backup import database as dumping
from workers.operations.backup import manifest, sets
from workers.operations.backup.encryption import Keys
from workers.operations.backup.show import BackupList
from workers.operations.backup.signing import signed
from workers.operations.database.indexes import look
from workers.operations.health import postgres
from workers.operations.health.questions import Asking
from workers.operations.restore import pg_restore, room, rows, side_database
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.prune import RestorePrune
from workers.operations.restore.undo import RestoreUndo
from workers.report import Status
from workers.systems import Systems
from workers.systems.errors import DatabaseFull
from workers.systems.s3.transfer import Transfer

NO_PROGRAMS = {"MLFLOW_OPS_POSTGRES_BIN": "/nowhere"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An object store, and nothing else of the sandbox."""
    left_out = ("postgres", "redis", "kubernetes", "mlflow", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
    words = (word for part in left_out for word in ("--without", part))
    started = testing.start(tmp_path_factory.mktemp("store") / "data", *words)
    yield started.env
    testing.remove(started)


@pytest.fixture
def systems(made, live, server, store, tmp_path, monkeypatch):
    """Systems with a bucket of their own."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
    for name in names:
        monkeypatch.setenv(name, store[name])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"world-{live}-{server.major}-{datetime.now(UTC):%f}".replace("_", "-")
    # Of a session of its own: boto3's keeps the keys of whichever test came first.
    boto3.session.Session().client("s3", endpoint_url=store["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=bucket)
    ops = tmp_path / "ops.yaml"
    storage = {"backups_bucket": bucket, "artifacts_bucket": bucket}
    ops.write_text(yaml.safe_dump({"storage": storage, "restore": {"switch_seconds": 1}}))
    return made(MLFLOW_OPS_CONFIG=str(ops), **{name: store[name] for name in names})


def written(systems, found):
    """A set's manifest, signed where there is a key to sign with."""
    keys, bucket = Keys.of(systems.settings), systems.settings.ops.storage.backups_bucket
    found = signed(found, keys) if keys else found
    systems.backups.write(bucket, f"{found.name}{manifest.NAME}", found.text())
    return found


@pytest.fixture
def backed_up(systems, progress):
    """The manifest of a set that holds the database."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    now = datetime.now(UTC)
    name = sets.new_name(now, ())
    with Transfer.of(objects, 4) as transfer:
        part = dumping.dump(systems.database, transfer, bucket, f"{name}{dumping.NAME}", systems.settings, progress)
    made = manifest.Manifest(name=name, id=sets.id_of(name), started_at=now, finished_at=now, database=part)
    return written(systems, made)


@pytest.fixture
def again(backed_up, systems, progress):
    """A second set, the latest."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    now = datetime.now(UTC)
    name = sets.new_name(now, [backed_up.name])
    part, moved = backed_up.database, {}
    for what in ("dump", "catalog"):
        stored = getattr(part, what)
        key = stored.key.replace(backed_up.name, name)
        objects.write(bucket, key, objects.read(bucket, stored.key, at_most=1 << 30))
        moved[what] = stored.model_copy(update={"key": key})
    part = part.model_copy(update=moved)
    found = backed_up.model_copy(update={"name": name, "id": sets.id_of(name), "database": part, "finished_at": now})
    return written(systems, found)


def test_what_was_lost_comes_back_and_can_be_undone(backed_up, systems, server, live, content, progress):
    before = content(live)
    server.do("TRUNCATE metrics, runs", role=OWNER, database=live)
    RestoreDatabase().plan(systems)
    report = RestoreDatabase().run(systems, progress)
    assert report.status is Status.OK, report.summary
    assert content(live) == [(*before[0][:3], before[0][3], *before[0][4:])]
    RestoreUndo().plan(systems)
    assert RestoreUndo().run(systems, progress).status is Status.OK
    assert server.do("SELECT count(*) FROM runs", role=OWNER, database=live) == [(0,)]


class Watching(Unwatched):
    """Progress that calls a function with each step."""

    def __init__(self, at=lambda _: None):
        self.steps, self._at = [], at

    def step(self, name, of=""):
        self.steps.append(name)
        self._at(name)


@pytest.fixture
def in_the_way(server, live):
    """A progress under which a superuser comes in at the last moment, and stays until the test lets it go."""
    came = []

    def at(step):
        if step.startswith("Switching"):
            came.append(psycopg.connect(server.url("postgres", live), application_name="a dba"))

    yield Watching(at), came
    for each in came:
        each.close()


def test_what_was_restored_is_kept_for_the_next_try(backed_up, systems, server, live, content, in_the_way):
    before = content(live)
    server.do("TRUNCATE metrics, runs", role=OWNER, database=live)
    progress, came = in_the_way
    with pytest.raises(OperatorError, match=r"was still in use after 1 s: session \d+ of postgres \(a dba\)") as told:
        RestoreDatabase().run(systems, progress)
    kept = f"{live}_restore_{backed_up.id}"
    assert f"what was restored is kept as {kept}" in told.value.message
    assert f"`/mlflow restore database {backed_up.id}` takes it up in seconds" in told.value.hint
    assert not systems.server.databases()[kept].open
    assert server.do("SELECT count(*) FROM runs", role=OWNER, database=live) == [(0,)]
    said = RestoreDatabase().aftermath(systems, RestoreDatabase(beside="other").plan(systems))
    assert f"`restore database {backed_up.id}` takes it up" in said
    asking = Asking(systems, 30)
    try:
        (offer,) = postgres.ask(asking).offers
    finally:
        asking.close()
    assert offer.command == f"restore database {backed_up.id}"
    with pytest.raises(OperatorError, match=r"is in use by session \d+ of postgres|while it is in use by session"):
        RestoreDatabase().plan(systems)
    came.pop().close()
    assert any(step.startswith(f"Take up {kept}") for step in RestoreDatabase().plan(systems).steps)
    again = Watching()
    assert RestoreDatabase().run(systems, again).status is Status.OK
    assert not [step for step in again.steps if step.startswith(("Making", "Restoring"))]
    assert content(live) == before
    assert kept not in systems.server.databases()


@pytest.mark.parametrize("how", ["rows", "comment", "schema"])
def test_what_was_kept_and_is_not_what_it_was_is_restored_anew(
    backed_up, systems, server, live, content, in_the_way, how
):
    before = content(live)
    progress, came = in_the_way
    with pytest.raises(OperatorError):
        RestoreDatabase().run(systems, progress)
    came.pop().close()
    kept = f"{live}_restore_{backed_up.id}"
    if how == "comment":
        server.do(f"COMMENT ON DATABASE {kept} IS 'mine'")
    else:
        changed = {
            "rows": "DELETE FROM metrics WHERE step = 1",
            "schema": "UPDATE alembic_version SET version_num = 'x'",
        }
        server.do(f"ALTER DATABASE {kept} ALLOW_CONNECTIONS true")
        server.do(changed[how], role=OWNER, database=kept)
    again = Watching()
    assert RestoreDatabase().run(systems, again).status is Status.OK
    assert [step for step in again.steps if step.startswith("Making")]
    assert content(live)[0][:3] == before[0][:3]


def test_a_restore_that_eats_the_last_room_is_stopped(backed_up, systems, server, live, progress, monkeypatch):
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(room, "LEAST_BYTES", 1 << 20)
    taken = systems.server.taken_bytes()
    assert taken > 20 << 20
    limit = taken + (2 << 20)
    restore = systems.settings.ops.restore.model_copy(update={"database_disk_bytes": limit})
    ops = systems.settings.ops.model_copy(update={"restore": restore})
    small = Systems(systems.settings.model_copy(update={"ops": ops}))
    with pytest.raises(OperatorError, match=r"The restored database takes .* has 2.0 MiB left"):
        RestoreDatabase().plan(small)
    with pytest.raises(DatabaseFull, match="The restore was stopped"):
        RestoreDatabase().run(small, progress)
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]
    with pytest.raises(OperatorError, match="says nothing about the backup"):
        Drill().run(small, progress)
    assert sets.drilled(systems.backups, systems.settings.ops.storage.backups_bucket, backed_up.name)[0] is None


def test_a_drill_and_what_it_leaves(backed_up, systems, server, live, progress):
    report = Drill().run(systems, progress)
    assert report.status is Status.OK, report.summary
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_a_drill_that_lacks_a_right_says_nothing_of_the_set(backed_up, systems, made, server, progress, tmp_path):
    """Nor does one whose program is missing."""
    bucket = systems.settings.ops.storage.backups_bucket
    config = str(tmp_path / "ops.yaml")
    server.do("CREATE ROLE weak LOGIN")
    try:
        for lacking in (made("weak", MLFLOW_OPS_CONFIG=config), made(MLFLOW_OPS_CONFIG=config, **NO_PROGRAMS)):
            lacking.__dict__["backups"] = systems.backups
            with pytest.raises(OperatorError, match=rf"says nothing about the backup {backed_up.id}"):
                Drill().run(lacking, progress)
            assert sets.drilled(systems.backups, bucket, backed_up.name) == (None, "")
            assert sets.good(systems, "latest").id == backed_up.id
    finally:
        server.do("DROP ROLE weak")


def test_a_drill_that_finds_damage_condemns_the_set_and_all_say_so(backed_up, again, systems, progress):
    bucket = systems.settings.ops.storage.backups_bucket
    systems.backups.write(bucket, again.database.dump.key, b"rotten")
    report = Drill().run(systems, progress)
    assert report.status is Status.FAIL
    well, problem = sets.drilled(systems.backups, bucket, again.name)
    assert well is False
    assert "is damaged" in problem
    assert sets.good(systems, "latest").id == backed_up.id
    first, second = BackupList().run(systems, progress).sections[0].rows
    assert first[-1].startswith("failed its drill: ")
    assert second[-1] == "good"
    (told,) = [each for each in RestoreDatabase().plan(systems).warnings if "newer" in each]
    assert told.startswith(f"The newer backup {again.id} is passed over: it failed its drill: ")
    assert Drill().run(systems, progress).status is Status.OK
    assert BackupList().run(systems, progress).sections[0].rows[1][-1] == "good, passed its drill"


def test_a_drill_removes_only_what_drills_made(backed_up, systems, server, live, progress):
    RestoreDatabase().run(systems, progress)
    RestoreUndo().run(systems, progress)
    server.do(
        f"CREATE DATABASE {live}_restore_ffffff OWNER {OWNER}", f"CREATE DATABASE {live}_drill_ffffff OWNER {OWNER}"
    )
    Drill().run(systems, progress)
    kept = {f"{live}_restore_ffffff", f"{live}_restore_undone"}
    assert {name for name in systems.server.databases() if name.startswith(f"{live}_")} == kept
    assert RestorePrune().plan(systems).steps == (f"DROP DATABASE {live}_restore_ffffff",)
    plan = RestorePrune(everything=True).plan(systems)
    assert set(plan.steps) == {f"DROP DATABASE {name}" for name in kept}
    RestorePrune(everything=True).run(systems, progress)
    for nothing in (RestorePrune(), RestorePrune(everything=True)):
        with pytest.raises(AlreadySo) as told:
            nothing.plan(systems)
        assert "--all" not in told.value.hint


def test_what_was_put_aside_is_removed(backed_up, systems, live, progress):
    RestoreDatabase().run(systems, progress)
    RestorePrune(everything=True).plan(systems)
    assert RestorePrune(everything=True).run(systems, progress).status is Status.OK
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_a_dump_that_does_not_fit_on_our_disk(backed_up, systems, live, content, progress, monkeypatch):
    monkeypatch.setattr(pg_restore, "SPARE_BYTES", 1 << 60)
    before = content(live)
    with side_database.restored_beside(systems, backed_up, progress, side_database.DRILL) as beside:
        assert content(beside.name) == before


def test_a_dump_that_is_cut_short(backed_up, systems, live, progress, tmp_path):
    part = backed_up.database
    bucket = systems.settings.ops.storage.backups_bucket
    whole = systems.backups.read(bucket, part.dump.key, at_most=1 << 30)
    systems.backups.write(bucket, part.dump.key, whole[: len(whole) // 2])
    with (
        pytest.raises(OperatorError, match="is damaged"),
        side_database.restored_beside(systems, backed_up, progress, side_database.DRILL),
    ):
        pass
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_one_run_comes_back_with_what_refers_to_it(backed_up, systems, server, live, content, progress):
    before = content(live)
    run = server.do("SELECT min(run_uuid) FROM runs", role=OWNER, database=live)[0][0]
    server.do(
        f"DELETE FROM metrics WHERE run_uuid = '{run}'",
        f"DELETE FROM runs WHERE run_uuid = '{run}'",
        role=OWNER,
        database=live,
    )
    with side_database.restored_beside(systems, backed_up, progress, side_database.DRILL) as side:
        copied = rows.copy(side, systems.database, ("runs", "run_uuid"), run, progress)
    assert copied == {"runs": 1, "metrics": 60}
    assert content(live)[0][:3] == before[0][:3]


def test_the_other_team_is_asked_for_nothing(systems, server):
    assert systems.server.databases()[OTHERS].size_bytes == 0
    assert not server.do(f"SELECT has_database_privilege('{OURS}', '{OTHERS}', 'CONNECT')")[0][0]


def test_tables_and_indexes_are_found_in_mlflows_schema(systems):
    assert {each.name for each in systems.maintenance.tables()} == {"alembic_version", "experiments", "runs", "metrics"}
    assert "index_metrics_run_uuid" in {each.name for each in look(systems).there}
    systems.maintenance.vacuum("metrics", full=False, how_far=lambda *_: None)


def test_the_parts_of_a_databases_size_add_up(systems, server, live):
    schema = "public" if live.endswith("public") else "tracking"
    server.do(
        "CREATE SCHEMA other",
        "CREATE TABLE other.large AS SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n",
        f"ALTER TABLE {schema}.runs ALTER COLUMN note SET STORAGE EXTERNAL",
        "CHECKPOINT",
        database=live,
    )
    server.do("UPDATE runs SET note = repeat(note, 300)", role=OWNER, database=live)
    parts = systems.maintenance.parts()
    named = (parts.rows, parts.indexes, parts.long_values, parts.others, parts.catalogs)
    assert all(named)
    assert sum(named) + parts.files == parts.whole == server.do(f"SELECT pg_database_size('{live}')")[0][0]
    assert parts.others > 5_000_000
    assert parts.long_values > 5_000_000
    assert parts.files < 1_000_000
    tables = systems.maintenance.tables()
    assert parts.rows + parts.indexes + parts.long_values == sum(each.total_bytes for each in tables)
