"""What comes back is what was there: owners, grants, settings, locale, and all that people make beside MLflow's tables.

On every version, by roles as managed services give them: no superuser, and a database that it may not enter.
"""

import re
import subprocess
from contextlib import suppress
from datetime import UTC, datetime

import boto3
import psycopg
import pytest
import yaml

from mlflow_ops_sandbox import testing
from tests.world.conftest import FOLDERS, OURS, OWNER, SUPERUSER, TABLES
from workers.errors import OperatorError
from workers.operations.backup import catalog_record, foreseen, manifest, outlook, sealing, sets
from workers.operations.backup import database as dumping
from workers.operations.restore import auth as users
from workers.operations.restore.all import RestoreAll
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.undo import RestoreUndo
from workers.report import Status
from workers.systems.postgres import catalog
from workers.systems.s3.transfer import Transfer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MANAGED = {
    # As Amazon's and Google's say in their documentation: CREATEDB and CREATEROLE, and a role that may signal.
    "rds": ("rds_superuser", "rdsadmin"),
    "cloudsql": ("cloudsqlsuperuser", "cloudsqladmin"),
}
RICH = f"""
CREATE SCHEMA reporting AUTHORIZATION analyst;
GRANT USAGE ON SCHEMA reporting TO grafana, {OWNER};
CREATE TABLE reporting.team (id int PRIMARY KEY, name text, secret text);
INSERT INTO reporting.team VALUES (1, 'one', 's'), (2, 'two', 't');
ALTER TABLE reporting.team OWNER TO analyst;
GRANT SELECT ON reporting.team TO {OWNER};
SET ROLE {OWNER};
GRANT SELECT ON experiments, runs TO grafana;
GRANT SELECT (run_uuid, key) ON metrics TO grafana;
GRANT SELECT ON runs TO analyst WITH GRANT OPTION;
GRANT USAGE ON SEQUENCE metrics_id_seq TO grafana;
REVOKE INSERT, UPDATE ON losses FROM {OWNER};
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO grafana;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN share AS float8 CHECK (VALUE BETWEEN 0 AND 1);
CREATE TYPE place AS (x int, y int);
CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY, mood mood, part share, "Wide Name" text COLLATE "C",
  made timestamptz DEFAULT now(), twice int GENERATED ALWAYS AS (2 * 1) STORED) WITH (fillfactor = 70);
INSERT INTO notes (mood, part) SELECT 'happy', 0.5 FROM generate_series(1, 10);
COMMENT ON COLUMN notes."Wide Name" IS 'wide';
ALTER TABLE notes ALTER COLUMN "Wide Name" SET STORAGE EXTERNAL, ALTER COLUMN mood SET STATISTICS 77;
CREATE UNLOGGED TABLE scratch (n int);
CREATE TABLE parts (day date, n int) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO parts VALUES ('2026-01-05', 1);
CREATE INDEX parts_n ON parts (n);
CREATE MATERIALIZED VIEW totals AS SELECT key, count(*) AS n FROM metrics GROUP BY key;
CREATE UNIQUE INDEX totals_key ON totals (key);
CREATE FUNCTION least_loss(text) RETURNS float8 LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT 1.0::float8';
GRANT EXECUTE ON FUNCTION least_loss(text) TO grafana;
CREATE PROCEDURE tidy() LANGUAGE plpgsql AS 'BEGIN NULL; END';
CREATE AGGREGATE product (float8) (SFUNC = float8mul, STYPE = float8, INITCOND = '1');
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touch BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE notes DISABLE TRIGGER touch;
CREATE RULE nothing AS ON DELETE TO scratch DO INSTEAD NOTHING;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes FOR SELECT TO grafana USING (id > 3);
CREATE STATISTICS together (dependencies) ON mood, part FROM notes;
CREATE TEXT SEARCH CONFIGURATION plain (COPY = pg_catalog.simple);
CREATE SEQUENCE counting START 5 INCREMENT 3 CYCLE MAXVALUE 50;
CREATE PUBLICATION one FOR TABLE runs, experiments WITH (publish = 'insert, update');
CREATE CAST (mood AS int) WITH FUNCTION mood_number(mood);
RESET ROLE
"""
CAST = "CREATE FUNCTION mood_number(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An object store, and nothing else of the sandbox."""
    left_out = ("postgres", "redis", "kubernetes", "mlflow", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
    words = (word for part in left_out for word in ("--without", part))
    started = testing.start(tmp_path_factory.mktemp("store") / "data", *words)
    yield started.env
    testing.remove(started)


@pytest.fixture(scope="module")
def people(server):
    """Other roles of the server, and administrators as managed services have them, each beside a closed database."""
    server.do("CREATE ROLE grafana LOGIN", "CREATE ROLE analyst LOGIN")
    for name, (group, closed) in MANAGED.items():
        server.do(
            f"CREATE ROLE {group} NOLOGIN",
            f"GRANT pg_monitor, pg_signal_backend TO {group}",
            f"CREATE ROLE {name} LOGIN CREATEDB CREATEROLE IN ROLE {group}",
            f"GRANT {OWNER}, analyst TO {name}",
            f"CREATE DATABASE {closed}",
            f"REVOKE ALL ON DATABASE {closed} FROM PUBLIC",
        )


def _create(server, name):
    """A database with the most that this server can of a locale: ICU with rules, ICU, the builtin one, libc's C."""
    for since, locale in (
        (16, "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' ICU_RULES '&a < g'"),
        (15, "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'"),
        (17, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"),
        (13, "LC_COLLATE 'C'"),
    ):
        if server.major >= since:
            with suppress(psycopg.errors.FeatureNotSupported):
                server.do(f"CREATE DATABASE {name} TEMPLATE template0 OWNER {OWNER} {locale}")
                return


@pytest.fixture
def live(server, people):
    """MLflow's database with something of everything in it; its name."""
    name = "mlflow_rich"
    _create(server, name)
    server.do(TABLES, role=OWNER, database=name)
    before, cast, after = RICH.partition("CREATE CAST")
    server.do(before, f"SET ROLE {OWNER}", CAST, cast + after, database=name)
    server.do(
        f"ALTER DATABASE {name} SET search_path = public, reporting",
        f"ALTER DATABASE {name} SET statement_timeout = '50min'",
        f"ALTER ROLE {OWNER} IN DATABASE {name} SET work_mem = '9MB'",
        f"ALTER ROLE grafana IN DATABASE {name} SET work_mem = '11MB'",
        f"ALTER DATABASE {name} CONNECTION LIMIT 70",
        f"COMMENT ON DATABASE {name} IS 'of the ML team; ask #ml'",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO grafana, analyst",
        role=SUPERUSER,
        database=name,
    )
    server.do("SELECT lo_from_bytea(4711, 'of MLflow')", "SELECT lo_from_bytea(4712, 'more')",
              "GRANT SELECT ON LARGE OBJECT 4711 TO grafana", role=OWNER, database=name)  # fmt: skip
    yield name
    for (each,) in server.do(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}')"):
        server.do(f"DROP DATABASE {each} WITH (FORCE)")
    assert server.do("SELECT rolname FROM pg_roles WHERE rolname LIKE 'mlflow_ops_replay_%'") == []


@pytest.fixture
def systems_as(made, live, server, store, tmp_path, monkeypatch):
    """Systems with a bucket of their own, as an administrator of that name."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3")
    for name in names:
        monkeypatch.setenv(name, store[name])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"same-{server.major}-{datetime.now(UTC):%f}"
    boto3.session.Session().client("s3", endpoint_url=store["AWS_ENDPOINT_URL_S3"]).create_bucket(Bucket=bucket)
    ops = tmp_path / "ops.yaml"
    ops.write_text(yaml.safe_dump({"storage": {"backups_bucket": bucket, "artifacts_bucket": bucket}}))
    return lambda ours, **more: made(ours, MLFLOW_OPS_CONFIG=str(ops), **{name: store[name] for name in names}, **more)


def backed_up(systems, progress, *, auth=None):
    """The manifest of a set that holds the database, and that of basic-auth where one is given."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    now = datetime.now(UTC)
    name, parts = sets.new_name(now, ()), {}
    with Transfer.of(objects, 4) as transfer:
        for field, source, file in (("database", systems.database, dumping.NAME), ("auth_database", auth, "auth.dump")):
            if source:
                parts[field] = dumping.dump(source, transfer, bucket, f"{name}{file}", systems.settings, progress)
    found = manifest.Manifest(name=name, id=sets.id_of(name), started_at=now, finished_at=now, **parts)
    objects.write(bucket, f"{name}{manifest.NAME}", found.text())
    return found


def schema_of(server, database):
    """What pg_dump says of it but the rows, without what is new in each dump."""
    said = subprocess.run(
        [FOLDERS[max(FOLDERS)] / "pg_dump", "--schema-only", server.url(SUPERUSER, database)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    # The number in pg_attver is Debian's server's own affair, and new in each table.
    said = re.sub(r"pg_attver=\d+", "pg_attver", said)
    # Sorted: who was granted something first is no part of what was.
    return sorted(line for line in said.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict")))


WRECK = ("DROP TABLE metrics, notes CASCADE", "TRUNCATE runs", "DROP SCHEMA reporting CASCADE")


@pytest.mark.parametrize("ours", [*MANAGED, SUPERUSER, OURS])
def test_all_of_it_comes_back(ours, systems_as, server, live, progress):
    server.do(f"GRANT analyst TO {OURS}")
    systems = systems_as(ours)
    backed_up(systems, progress)
    as_superuser = systems_as(SUPERUSER)
    before, schema = catalog.read(as_superuser.database), schema_of(server, live)
    rows = server.do("SELECT count(*), min(name) FROM reporting.team", database=live)
    server.do(*WRECK, database=live)
    plan = RestoreDatabase().plan(systems)
    report = RestoreDatabase().run(systems, progress)
    after = catalog.read(as_superuser.database)
    told = " ".join(plan.warnings)
    for line in before ^ after:
        what = line.detail.partition("=")[0] if line.kind == "setting" else line.name
        assert what in told or (line.kind, line.name) == ("database", "collation version"), (line, told)
    if ours == SUPERUSER:
        assert before == after
        assert schema_of(server, live) == schema
        assert report.status is Status.OK, report.sections
    assert server.do("SELECT count(*), min(name) FROM reporting.team", database=live) == rows
    assert server.do("SELECT count(*) FROM pg_largeobject_metadata", database=live) == [(2,)]
    assert RestoreUndo().run(systems, progress).status is Status.OK
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    assert server.do(comment, database=live) == [("of the ML team; ask #ml",)]
    report = Drill().run(systems, progress)
    assert report.status is Status.OK, report.summary


def test_what_cannot_be_kept_is_named_before_anybody_approves(systems_as, server, live, progress):
    server.do("CREATE ROLE leaver", "CREATE ROLE stranger")
    server.do(
        "CREATE TABLE of_leaver (n int)",
        f"GRANT SELECT ON of_leaver TO {OWNER}",
        "ALTER TABLE of_leaver OWNER TO leaver",
        "CREATE TABLE of_stranger (n int)",
        f"GRANT SELECT ON of_stranger TO {OWNER}",
        "ALTER TABLE of_stranger OWNER TO stranger",
        "GRANT SELECT ON experiments TO leaver",
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "CREATE EVENT TRIGGER note ON ddl_command_end WHEN TAG IN ('DROP AGGREGATE') EXECUTE FUNCTION noted()",
        f"ALTER DATABASE {live} SET log_min_duration_statement = '10s'",
        database=live,
    )
    systems = systems_as("rds")
    backed_up(systems, progress)
    server.do("DROP OWNED BY leaver CASCADE", database=live)
    server.do("DROP ROLE leaver")
    try:
        plan = " ".join(RestoreDatabase().plan(systems).warnings)
        report = RestoreDatabase().run(systems, progress)
    finally:
        server.do("DROP EVENT TRIGGER IF EXISTS note", database=live)
    assert report.status is Status.WARN
    for told in (plan, str(report.sections)):
        assert "the role leaver is gone" in told
        assert "GRANT stranger TO rds" in told
        assert "publication everything" in told
        assert "event trigger note" in told
        assert "log_min_duration_statement" in told
    assert "Changed since the backup" in plan
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'of_leaver'"
    assert server.do(owner, database=live) == [(OWNER,)]
    for (each,) in server.do(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{live}')"):
        if each != live:
            server.do(f"DROP DATABASE {each} WITH (FORCE)")
    server.do("DROP OWNED BY stranger CASCADE", "DROP ROLE stranger", database=live)


def test_a_set_from_before_there_was_a_record_takes_the_live_ones_rights(systems_as, server, live, progress):
    systems = systems_as("rds")
    found = backed_up(systems, progress)
    old = found.model_copy(update={"database": found.database.model_copy(update={"catalog": None})})
    bucket = systems.settings.ops.storage.backups_bucket
    systems.backups.write(bucket, f"{found.name}{manifest.NAME}", old.text())
    before = catalog.read(systems_as(SUPERUSER).database)
    assert RestoreDatabase().run(systems, progress).status in {Status.OK, Status.WARN}
    after = catalog.read(systems_as(SUPERUSER).database)
    left = {line for line in before ^ after if line.name not in {"schema public", "collation version", "grafana"}}
    assert not left


def test_what_was_put_into_a_dump_stops_the_switch(systems_as, server, live, progress):
    """The record says what was there, whatever the dump holds."""
    systems = systems_as("rds")
    found = backed_up(systems, progress)
    bucket = systems.settings.ops.storage.backups_bucket
    with Transfer.of(systems.backups, 2) as transfer:
        lines = catalog_record.read(found.database, None, transfer, bucket)
        fewer = {line for line in lines if line.name != "public.least_loss(text)" and "least_loss" not in line.name}
        stored = catalog_record.store(fewer, None, transfer, bucket, found.database.dump.key)
    forged = found.model_copy(update={"database": found.database.model_copy(update={"catalog": stored})})
    systems.backups.write(bucket, f"{found.name}{manifest.NAME}", forged.text())
    with pytest.raises(OperatorError, match=r"function public.least_loss\(text\) was not there"):
        RestoreDatabase().run(systems, progress)
    assert [name for name in systems.server.databases() if name.startswith(live)] == [live]


def test_basic_auths_database_is_restored_with_it(systems_as, server, live, progress):
    auth = f"{live}_users"
    server.do(f"CREATE DATABASE {auth} OWNER {OWNER}")
    server.do(
        "CREATE TABLE users (id int PRIMARY KEY, username text)",
        "INSERT INTO users VALUES (1, 'admin')",
        role=OWNER,
        database=auth,
    )
    systems = systems_as("rds", MLFLOW_OPS_AUTH_DATABASE_URL=server.url(OWNER, auth))
    found = backed_up(systems, progress, auth=users.systems_of(systems).database)
    server.do("DELETE FROM users", role=OWNER, database=auth)
    report = RestoreDatabase().run(systems, progress)
    assert f"restore auth {found.id}" in str(report.sections)
    assert server.do("SELECT count(*) FROM users", database=auth) == [(0,)]
    restored = RestoreDatabase(auth=True).run(systems, progress)
    assert restored.undo == "restore undo --auth"
    assert server.do("SELECT username FROM users", database=auth) == [("admin",)]
    assert RestoreUndo(auth=True).run(systems, progress).status is Status.OK
    assert server.do("SELECT count(*) FROM users", database=auth) == [(0,)]
    assert "restored too" in str(Drill().run(systems, progress).sections)
    plan = RestoreAll().plan(systems)
    assert any(auth in step for step in plan.steps)
    without = systems_as("rds")
    assert any("are not restored" in each for each in RestoreAll().plan(without).warnings)


def test_the_roles_that_are_named_are_in_the_manifest(systems_as, progress):
    part = backed_up(systems_as("rds"), progress).database
    assert {OWNER, "grafana", "analyst"} <= set(part.roles)


def test_the_record_is_encrypted_where_a_key_is_set(systems_as, progress):
    key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    systems = systems_as("rds", MLFLOW_OPS_BACKUP_KEY=key)
    part = backed_up(systems, progress).database
    content = systems.backups.read(systems.settings.ops.storage.backups_bucket, part.catalog.key, at_most=1 << 20)
    assert b"grafana" not in content
    assert content.startswith(sealing.MAGIC)
    assert foreseen.roles(catalog.read(systems.database)) >= {"grafana"}


def test_a_backup_warns_where_a_restore_would_be_impossible(systems_as, server, live, progress):
    server.do("CREATE ROLE newcomer LOGIN")
    try:
        allowed = systems_as("rds")
        part = backed_up(allowed, progress).database
        lines = catalog.read(allowed.database)
        assert outlook.warnings(allowed, allowed.database, part, lines) == ()
        told = " ".join(outlook.warnings(systems_as("newcomer"), allowed.database, part, lines))
        assert "ALTER ROLE newcomer CREATEDB" in told
        assert f"GRANT {OWNER} TO newcomer" in told
        server.do("CREATE FUNCTION fast() RETURNS timestamptz LANGUAGE internal AS 'now'", database=live)
        lines = catalog.read(allowed.database) | {catalog.Line("extension", "postgis", "3.4 in public")}
        first, second = outlook.warnings(allowed, allowed.database, part, lines)
        assert first.startswith(f"{live} could not be restored from this set as things are:")
        assert "extension postgis" in first
        assert "only a superuser makes the function public.fast()" in second
        backed_up(allowed, progress)
        with pytest.raises(OperatorError, match="pg_restore failed"):
            RestoreDatabase().run(allowed, progress)
    finally:
        server.do("DROP ROLE newcomer")


def test_more_than_is_described_is_backed_up_and_restored_and_said(systems_as, server, live, progress, monkeypatch):
    """Of a database with very many objects the rows and objects count; who owns them is told not to be known."""
    monkeypatch.setattr(catalog, "AT_MOST", 50)
    systems = systems_as("rds")
    found = backed_up(systems, progress)
    assert (found.database.catalog, found.database.roles) == (None, ())
    rows = server.do("SELECT count(*), min(name) FROM reporting.team", database=live)
    server.do(*WRECK, database=live)
    told = " ".join(RestoreDatabase().plan(systems).warnings)
    assert f"{live} has more than 50 objects and rights on them." in told
    assert "everything will be its owner's, without grants and settings, and the result isn't compared" in told
    report = RestoreDatabase().run(systems, progress)
    assert report.status is Status.WARN
    assert f"{live} has more than 50 objects" in str(report.sections)
    assert server.do("SELECT count(*), min(name) FROM reporting.team", database=live) == rows
    owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'metrics'"
    assert server.do(owner, database=live) == [(OWNER,)]


def test_what_the_server_writes_in_other_words_once_it_was_restored_is_the_same(systems_as, server, live, progress):
    """As MLflow's own checks are: a varchar that must be one of some words."""
    server.do(
        "CREATE TABLE staged (stage varchar(20) DEFAULT 'active' CHECK (stage IN ('active', 'deleted')), n numeric)",
        "CREATE INDEX staged_active ON staged (stage) WHERE stage IN ('active', 'x')",
        "CREATE VIEW gone AS SELECT * FROM staged WHERE stage IN ('deleted', 'y') AND n > 1",
        role=OWNER,
        database=live,
    )
    systems = systems_as(SUPERUSER)
    backed_up(systems, progress)
    report = RestoreDatabase().run(systems, progress)
    assert report.status is Status.OK, report.sections
