"""The whole circle on a server of another version: backup, damage, restore, undo, drill, and back from nothing.

By a role that is no superuser, beside a database that it may not enter, with basic-auth's database in the set. Each
step looks at the rows themselves.
"""

import boto3
import psycopg
import pytest
import requests

from mlflow_ops_sandbox import testing
from tests.world.conftest import FOLDERS
from workers import settings
from workers.operations.backup.backup import Backup
from workers.operations.restore.auth import NOT_SET
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.recover import Recover
from workers.operations.restore.undo import RestoreUndo
from workers.report import Status
from workers.systems import Systems

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
LEFT_OUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")
AUTH = "mlflow_auth"
HELD = "SELECT count(*), sum(hashtext(run_uuid)) FROM runs"
USERS = "SELECT string_agg(username, ',' ORDER BY username) FROM users"


@pytest.fixture(scope="module", params=[15, 16, 18], ids=lambda major: f"postgres{major}")
def whole(request, tmp_path_factory):
    if request.param not in FOLDERS:
        pytest.skip(f"no server of PostgreSQL {request.param} on this machine")
    words = (word for part in LEFT_OUT for word in ("--without", part))
    path = tmp_path_factory.mktemp("circle") / "data"
    sandbox = testing.start(path, "--postgres", str(request.param), *words)
    yield sandbox
    testing.remove(sandbox)


@pytest.fixture
def do(whole):
    """Carry statements out as the superuser, each by itself; the last one's rows."""

    def do(*statements, database="postgres"):
        with psycopg.connect(whole.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], dbname=database, autocommit=True) as session:
            for statement in statements:
                done = session.execute(statement)
            return done.fetchall() if done.description else []

    return do


@pytest.fixture
def env(whole, do, monkeypatch):
    """The environment of a worker whose role makes databases and roles, and is no superuser."""
    for name, value in whole.env.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    do(
        "CREATE ROLE keeper LOGIN CREATEDB CREATEROLE PASSWORD 'kept'",
        "GRANT mlflow TO keeper WITH ADMIN OPTION",
        "CREATE DATABASE otherteam",
        "REVOKE CONNECT ON DATABASE otherteam FROM PUBLIC",
        f"CREATE DATABASE {AUTH} OWNER mlflow",
    )
    do(
        "SET ROLE mlflow",
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('8606fa83a998')",
        "CREATE TABLE users (id serial PRIMARY KEY, username text UNIQUE, is_admin boolean)",
        "INSERT INTO users (username, is_admin) VALUES ('ada', true), ('bo', false)",
        database=AUTH,
    )
    url = whole.env["MLFLOW_OPS_DATABASE_URL"]
    admin = psycopg.conninfo.conninfo_to_dict(whole.env["MLFLOW_OPS_DATABASE_ADMIN_URL"])
    return {
        **whole.env,
        "MLFLOW_OPS_DATABASE_ADMIN_URL": f"postgresql://keeper:kept@{admin['host']}:{admin['port']}/postgres",
        "MLFLOW_OPS_AUTH_DATABASE_URL": f"{url.rpartition('/')[0]}/{AUTH}",
    }


def delete_everything(env, systems, do):
    """Databases, their role, the Deployment, its ConfigMap and Secret, and the bucket."""
    for kind, group, name in (
        ("deployments", "apis/apps/v1", "mlflow"),
        ("configmaps", "api/v1", "mlflow-config"),
        ("secrets", "api/v1", "mlflow-backend-secret"),
    ):
        systems.cluster.requests.send(systems.cluster.path(kind, name, group=group), "DELETE")
    for (name,) in do("SELECT datname FROM pg_database WHERE starts_with(datname, 'mlflow')"):
        do(f'DROP DATABASE "{name}" WITH (FORCE)')
    do("DROP ROLE mlflow")
    session = boto3.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1")
    store = session.resource("s3", endpoint_url=env["AWS_ENDPOINT_URL_S3"])
    bucket = store.Bucket(systems.settings.ops.storage.artifacts_bucket)
    bucket.Versioning().suspend()
    for page in list(bucket.object_versions.pages()):
        gone = [{"Key": each.object_key, "VersionId": each.id} for each in page]
        bucket.delete_objects(Delete={"Objects": gone, "Quiet": True})
    bucket.delete()


def test_backup_damage_restore_undo_drill_recover(whole, env, do, progress, capfd):
    systems = Systems(settings.load(env))
    (before,), (users,) = do(HELD, database="mlflow"), do(USERS, database=AUTH)
    made = Backup().run(systems, progress)
    assert made.status in {Status.OK, Status.WARN}, made.summary

    do("DELETE FROM metrics", "TRUNCATE runs CASCADE", database="mlflow")
    RestoreDatabase().plan(systems)
    restored = RestoreDatabase().run(systems, progress)
    assert restored.status is Status.OK, restored.summary
    assert do(HELD, database="mlflow") == [before]

    RestoreUndo().plan(systems)
    assert RestoreUndo().run(systems, progress).status is Status.OK
    assert do(HELD, database="mlflow") == [(0, None)]

    drilled = Drill().run(systems, progress)
    assert drilled.status is Status.OK, drilled.summary

    delete_everything(env, systems, do)
    plan = Recover().plan(systems)
    told = {change.what: change.before for change in plan.changes}
    assert told["Database"] == "there is no database mlflow"
    assert told["Database of basic-auth"] == f"there is no database {AUTH}"
    assert told["Role in PostgreSQL"] == "there is no role mlflow"
    capfd.readouterr()
    report = Recover().run(systems, progress)
    assert report.status is Status.OK, report.summary
    assert capfd.readouterr().out == ""
    (steps,) = report.sections
    assert "made, read back and deleted" in dict(steps.items)["Smoke test"]
    # The smoke test's run stays deleted in the database, as MLflow leaves it.
    assert do("SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'", database="mlflow")[0][0] <= before[0]
    assert do(HELD, database="mlflow")[0][0] == before[0] + 1
    assert do(USERS, database=AUTH) == [users]
    owners = do("SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname IN ('mlflow', 'mlflow_auth')")
    assert sorted(owners) == [("mlflow", "mlflow"), (AUTH, "mlflow")]
    assert requests.get(f"{env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search?max_results=1").ok
    assert not do("SELECT 1 FROM pg_roles WHERE rolname LIKE 'mlflow%replay%'")

    without = {name: value for name, value in env.items() if name != "MLFLOW_OPS_AUTH_DATABASE_URL"}
    do(f"DROP DATABASE {AUTH} WITH (FORCE)")
    systems.cluster.requests.send(systems.cluster.path("configmaps", "mlflow-config"), "DELETE")
    assert any(NOT_SET in warning for warning in Recover().plan(Systems(settings.load(without))).warnings)
