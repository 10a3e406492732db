"""What cannot end well is refused with a sentence, and nothing is touched."""

import base64

import psycopg
import pytest
from psycopg import sql

from workers.errors import OperatorError
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import Manifest
from workers.operations.backup.signing import signed
from workers.operations.restore.all import RestoreAll
from workers.operations.restore.configuration import RestoreConfiguration
from workers.operations.restore.database import RestoreDatabase
from workers.report import Status
from workers.systems import Systems

KEY = base64.b64encode(b"k" * 32).decode()


def manifest_key(s3, bucket):
    (key,) = [
        item["Key"]
        for item in s3.list_objects_v2(Bucket=bucket, Prefix="sets/")["Contents"]
        if item["Key"].endswith("manifest.json")
    ]
    return key


@pytest.fixture
def backed_up(systems, progress):
    made = systems(MLFLOW_OPS_BACKUP_KEY=KEY)
    assert Backup().run(made, progress).status in {Status.OK, Status.WARN}
    yield made
    server, live = made.server, made.database.name
    for name in server.databases():
        if name.startswith(f"{live}_"):
            server.drop(name)


def with_ops(made, **restore):
    ops = made.settings.ops.model_copy(update={"restore": made.settings.ops.restore.model_copy(update=restore)})
    return Systems(made.settings.model_copy(update={"ops": ops}))


def test_an_unfinished_set(backed_up, s3, buckets):
    key = manifest_key(s3, buckets[1])
    s3.delete_object(Bucket=buckets[1], Key=key)
    with pytest.raises(OperatorError, match="is not good: unfinished"):
        RestoreDatabase(set=key.split("-")[-1].partition("/")[0]).plan(backed_up)


def test_another_key(backed_up, systems):
    other = systems(MLFLOW_OPS_BACKUP_KEY=base64.b64encode(b"o" * 32).decode())
    for restore in (RestoreConfiguration(), RestoreDatabase()):
        with pytest.raises(OperatorError, match="is signed with the key"):
            restore.plan(other)


def test_no_room(backed_up):
    with pytest.raises(OperatorError, match=r"The restored database takes .* has 0 B left"):
        RestoreDatabase().plan(with_ops(backed_up, database_disk_bytes=1))
    RestoreDatabase().plan(with_ops(backed_up, database_disk_bytes=1 << 40))


def test_a_role_that_may_not_make_databases(backed_up, systems, parts):
    admin = parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS weak")
        connection.execute(sql.SQL("CREATE ROLE weak LOGIN PASSWORD 'weak-password'"))
    weak = admin.replace(admin.partition("//")[2].partition("@")[0], "weak:weak-password")
    with pytest.raises(OperatorError, match="The role weak of MLFLOW_OPS_DATABASE_ADMIN_URL may not create databases"):
        RestoreDatabase().plan(systems(MLFLOW_OPS_BACKUP_KEY=KEY, MLFLOW_OPS_DATABASE_ADMIN_URL=weak))


def test_a_schema_of_a_newer_mlflow(backed_up, systems, start_server, s3, buckets):
    key = manifest_key(s3, buckets[1])
    told = Manifest.model_validate_json(s3.get_object(Bucket=buckets[1], Key=key)["Body"].read())
    newer = told.database.model_copy(update={"alembic_revision": "ffffffffffff"})
    other = told.model_copy(update={"mlflow_version": "99.1.0", "database": newer})
    body = signed(other, Keys.of(backed_up.settings)).text()
    s3.put_object(Bucket=buckets[1], Key=key, Body=body)
    url = start_server(b"3.17.2")
    with pytest.raises(OperatorError, match=r"made with MLflow 99\.1\.0 .* MLflow 3\.17\.2 runs, and does not know it"):
        RestoreDatabase().plan(systems(MLFLOW_OPS_BACKUP_KEY=KEY, MLFLOW_TRACKING_URI=url))


@pytest.fixture
def start_server():
    """A server that answers every GET with the same words."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    servers = []

    def start(said):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.slow
def test_everything_at_once_and_what_fails_stops_the_rest(backed_up, database_url, s3, buckets, progress):
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM metrics")
    for item in s3.list_objects_v2(Bucket=buckets[0])["Contents"]:
        s3.delete_object(Bucket=buckets[0], Key=item["Key"])
    plan = RestoreAll().plan(backed_up)
    assert "10 missing artifacts" in " ".join(plan.steps)
    assert any("become" in step or "→" in step for step in plan.steps)
    report = RestoreAll().run(backed_up, progress)
    assert report.status is Status.OK, report.summary
    assert report.undo == "restore undo"
    assert len(s3.list_objects_v2(Bucket=buckets[0])["Contents"]) == 10
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM metrics").fetchone()[0] == 30_000
