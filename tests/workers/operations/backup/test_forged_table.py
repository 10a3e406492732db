"""Forged sets against all that reads one, on a real database, store and cluster: a table of what each says (pytest -s).

Whoever forges may only write into the backups' bucket. Nothing that he puts there reaches a database, a bucket or the
cluster, whichever command meets it first.
"""

import base64
import sys
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql

from tests.workers.operations.backup import forging
from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.backup import sets
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.sealing import MAGIC
from workers.operations.backup.verify import BackupVerify
from workers.operations.restore.all import RestoreAll
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.operations.restore.recover import Recover
from workers.report import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CHUNK = (1 << 20) + 16
ROWS = "CREATE TABLE tags AS SELECT n, md5(n::text) || md5((n + 1)::text) AS value FROM generate_series(1, 60000) n"


def bytes_of(place, of, file):
    return place.s3.get_object(Bucket=place.backups, Key=f"{of.name}{file}")["Body"].read()


def put(place, of, file, body):
    place.s3.put_object(Bucket=place.backups, Key=f"{of.name}{file}", Body=body)


def a_truncated_chunk(place, older, newer):
    put(place, newer, "database.dump.enc", bytes_of(place, newer, "database.dump.enc")[:-17])


def a_chunk_left_out(place, older, newer):
    body = bytes_of(place, newer, "database.dump.enc")
    assert len(body) > 2 * CHUNK
    start = body.index(b"\n") + 1
    put(place, newer, "database.dump.enc", body[:start] + body[start + CHUNK :])


def a_chunk_of_another_set(place, older, newer):
    body, other = (bytes_of(place, each, "database.dump.enc") for each in (newer, older))
    start, theirs = body.index(b"\n") + 1, other.index(b"\n") + 1
    assert body.startswith(MAGIC)
    put(place, newer, "database.dump.enc", body[:start] + other[theirs : theirs + CHUNK] + body[start + CHUNK :])


def the_dump_of_another_set(place, older, newer):
    put(place, newer, "database.dump.enc", bytes_of(place, older, "database.dump.enc"))


def an_older_set_under_a_newer_name(place, older, newer):
    for part in older.stored:
        put(place, newer, part.key.rpartition("/")[2], bytes_of(place, older, part.key.rpartition("/")[2]))
    text = forging.json.dumps(forging.document(place, older))
    forging.written(place, newer, forging.json.loads(text.replace(older.name, newer.name).replace(older.id, newer.id)))


def a_yaml_bomb(place, older, newer):
    """481 bytes that would become gigabytes, in the place of the configuration."""
    told = forging.document(place, newer)
    forging.replaced(place, newer, told, "configuration", "config.yaml", forging.yaml_bomb(b""))
    told["configuration"]["key_id"], told["signature"] = "", None
    forging.written(place, newer, told)


FORGERIES = (
    forging.a_statement_in_the_dump,
    forging.no_signature,
    forging.a_plain_configuration,
    a_truncated_chunk,
    a_chunk_left_out,
    a_chunk_of_another_set,
    the_dump_of_another_set,
    forging.a_manifest_renamed,
    an_older_set_under_a_newer_name,
    a_yaml_bomb,
    forging.a_bomb_for_a_manifest,
)


@pytest.fixture
def place(systems, s3, buckets):
    key = base64.b64encode(b"k" * 32).decode()
    ready = systems(MLFLOW_OPS_BACKUP_KEY=key, MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    return SimpleNamespace(s3=s3, systems=ready, artifacts=buckets[0], backups=buckets[1], keys=Keys.of(ready.settings))


def said_by(operation, systems):
    """How it refuses: in its plan, or at the latest in its report."""
    try:
        if not isinstance(operation, BackupVerify):
            operation.plan(systems)
    except OperatorError as error:
        return f"in the plan: {error.message}"
    try:
        report = operation.run(systems, Unwatched())
    except OperatorError as error:
        return error.message
    assert report.status is Status.FAIL, report.summary
    return report.summary


def drop(systems):
    with psycopg.connect(systems.admin_database.url, autocommit=True) as connection:
        name = sql.Identifier(systems.database.name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def test_each_forged_set_is_refused_by_all_that_read_one(place, database_url, capsys):
    systems, progress = place.systems, Unwatched()
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(ROWS)
    Backup().run(systems, progress)
    older = sets.good(systems, "latest")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("INSERT INTO tags SELECT n, 'later' FROM generate_series(1, 10) n")
    Backup().run(systems, progress)
    newer = sets.good(systems, "latest")
    genuine = {
        each["Key"]: place.s3.get_object(Bucket=place.backups, Key=each["Key"])["Body"].read()
        for each in place.s3.list_objects_v2(Bucket=place.backups, Prefix=newer.name)["Contents"]
    }
    before = set(systems.server.databases())
    rows: list[tuple[str, ...]] = []
    for forge in FORGERIES:
        forge(place, older, newer)
        told = {
            "restore database": said_by(RestoreDatabase(set=newer.id), systems),
            "restore all": said_by(RestoreAll(set=newer.id), systems),
            "drill": said_by(Drill(set=newer.id), systems),
            "verify": said_by(BackupVerify(id=newer.id), systems),
        }
        assert set(systems.server.databases()) == before
        with psycopg.connect(database_url) as connection:
            assert connection.execute("SELECT count(*) FROM tags").fetchone() == (60_010,)
        rows.append(
            (forge.__name__.replace("_", " "), *(told[each] for each in ("restore database", "drill", "verify")))
        )
        place.s3.delete_object(Bucket=place.backups, Key=f"{newer.name}{sets.DRILL_FAILED}")
        for key, body in genuine.items():
            place.s3.put_object(Bucket=place.backups, Key=key, Body=body)
    # Last, because for a recovery the database must be gone.
    drop(systems)
    gone = before - {systems.database.name}
    for number, forge in enumerate(FORGERIES):
        forge(place, older, newer)
        rows[number] += (said_by(Recover(set=newer.id), systems),)
        assert set(systems.server.databases()) == gone
        for key, body in genuine.items():
            place.s3.put_object(Bucket=place.backups, Key=key, Body=body)
    assert Recover(set=newer.id).plan(systems)
    with capsys.disabled():
        sys.stdout.write("\n| forged | restore | drill | verify | recover |\n| --- | --- | --- | --- | --- |\n")
        for row in rows:
            sys.stdout.write(f"| {' | '.join(each.replace(newer.id, 'ID')[:150] for each in row)} |\n")
