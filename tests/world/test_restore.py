"""A small MLflow comes back on every version of PostgreSQL, by the newest client and without a superuser."""

from datetime import UTC, datetime

import boto3
import pytest
import yaml

from mlflow_ops_sandbox import testing
from tests.world.conftest import OTHERS, OURS, OWNER
from workers.errors import OperatorError
from workers.operations.backup import database as dumping
from workers.operations.backup import manifest, sets
from workers.operations.database.indexes import look
from workers.operations.restore import pg_restore, rows, side_database
from workers.operations.restore.database import RestoreDatabase, RestoreUndo
from workers.operations.restore.drill import Drill
from workers.operations.restore.prune import RestorePrune
from workers.report import Status
from workers.systems.s3.transfer import Transfer

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
    boto3.client("s3", endpoint_url=store["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=bucket)
    ops = tmp_path / "ops.yaml"
    ops.write_text(yaml.safe_dump({"storage": {"backups_bucket": bucket, "artifacts_bucket": bucket}}))
    return made(MLFLOW_OPS_CONFIG=str(ops), **{name: store[name] for name in names})


@pytest.fixture
def backed_up(systems, progress):
    """The manifest of a set that holds the database."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    now = datetime.now(UTC)
    name = sets.new_name(now, ())
    with Transfer.of(objects, 4) as transfer:
        part = dumping.dump(systems.database, transfer, bucket, f"{name}{dumping.NAME}", systems.settings, progress)
    found = manifest.Manifest(name=name, id=sets.id_of(name), started_at=now, finished_at=now, database=part)
    objects.write(bucket, f"{name}{manifest.NAME}", found.text())
    return found


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


def test_a_drill_and_what_it_leaves(backed_up, systems, server, live, progress):
    report = Drill().run(systems, progress)
    assert report.status is Status.OK, report.summary
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_what_was_put_aside_is_removed(backed_up, systems, live, progress):
    RestoreDatabase().run(systems, progress)
    RestorePrune(everything=True).plan(systems)
    assert RestorePrune(everything=True).run(systems, progress).status is Status.OK
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_a_dump_that_does_not_fit_on_our_disk(backed_up, systems, live, content, progress, monkeypatch):
    monkeypatch.setattr(pg_restore, "SPARE_BYTES", 1 << 60)
    before = content(live)
    with side_database.restored_beside(systems, backed_up, progress) as beside:
        assert content(beside.name) == before


def test_a_dump_that_is_cut_short(backed_up, systems, live, progress, tmp_path):
    part = backed_up.database
    bucket = systems.settings.ops.storage.backups_bucket
    whole = systems.backups.read(bucket, part.dump.key, at_most=1 << 30)
    systems.backups.write(bucket, part.dump.key, whole[: len(whole) // 2])
    with pytest.raises(OperatorError, match="is damaged"), side_database.restored_beside(systems, backed_up, progress):
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
    with side_database.restored_beside(systems, backed_up, progress) as side:
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
