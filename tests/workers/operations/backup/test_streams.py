"""A dump in several streams: one moment, one set, and the same database again, whichever way it is restored."""

import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import psycopg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import OperatorError
from workers.operations.backup import sets, sharing
from workers.operations.backup.backup import Backup
from workers.operations.backup.verify import BackupVerify
from workers.operations.restore import pg_restore, scratch
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill import Drill
from workers.report import Status
from workers.systems.postgres.snapshot import tables

MORE = """
CREATE TABLE params (id bigserial PRIMARY KEY, run_uuid text REFERENCES runs, key text, value text);
INSERT INTO params (run_uuid, key, value)
    SELECT md5((1 + n % 500)::text), 'p' || n, repeat('x', 40) FROM generate_series(1, 20000) n;
CREATE SCHEMA "odd.one";
CREATE TABLE "odd.one"."we""ird*Name$" (id int PRIMARY KEY, body text);
INSERT INTO "odd.one"."we""ird*Name$" SELECT n, repeat('y', 100) FROM generate_series(1, 10000) n;
CREATE TABLE tags (run_uuid text REFERENCES runs, key text, value text);
INSERT INTO tags SELECT md5((1 + n % 500)::text), 't' || n, repeat('z', 40) FROM generate_series(1, 20000) n;
CREATE VIEW newest AS SELECT max(id) AS id FROM params;
"""
MIB = 1 << 20


@given(
    st.dictionaries(
        st.tuples(st.just("public"), st.text(min_size=1, max_size=3)), st.integers(0, 1 << 40), max_size=40
    ),
    st.integers(2, 9),
)
def test_each_large_table_is_in_one_stream_and_none_has_much_more_than_its_share(found, number):
    shared = sharing.shares(found, number)
    apart = [name for share in shared for name in share]
    assert len(shared) < number
    assert len(set(apart)) == len(apart)
    assert all(shared)
    left = sum(size for name, size in found.items() if name not in apart)
    weights = [left, *(sum(found[name] for name in share) for share in shared)]
    fair = sum(found.values()) / number
    # What is largest can't be divided; else none has more than a fair share and a table that made it full.
    assert max(weights) <= max(fair + max(found.values(), default=0), left)


@pytest.mark.parametrize(
    ("size", "wanted", "number"),
    [(0, None, 1), (511 * MIB, None, 1), (512 * MIB, None, 2), (1 << 40, None, 4), (0, 3, 3), (1 << 40, 1, 1)],
)
def test_small_databases_are_dumped_in_one_stream(size, wanted, number):
    assert sharing.streams(size, wanted) == number


def test_names_are_given_to_pg_dump_as_they_are():
    assert sharing.rows_only([("a.b", 'c"d*')]) == ["--section=data", '--table="a.b"."c""d*"']


@pytest.fixture
def four(systems, environ, database_url):
    """The systems of a worker that dumps in four streams, and a database with several large tables."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(MORE)
    path = Path(environ["MLFLOW_OPS_CONFIG"])
    ops = yaml.safe_load(path.read_text(encoding="utf-8"))
    ops["backup"] = {"dump_jobs": 4, "lock_wait_seconds": 20}
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    return systems()


@pytest.fixture
def written(database_url):
    """Rows that come meanwhile: each transaction writes as many into metrics as into params and tags."""
    stop = threading.Event()

    def write():
        with psycopg.connect(database_url) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                with connection.transaction():
                    for table, columns in (
                        ("metrics", "run_uuid, key"),
                        ("params", "run_uuid, key"),
                        ("tags", "run_uuid, key"),
                    ):
                        connection.execute(f"INSERT INTO {table} ({columns}) VALUES (md5('1'), 'w{number}')")

    writers = [threading.Thread(target=write) for _ in range(2)]
    for each in writers:
        each.start()
    yield
    stop.set()
    for each in writers:
        each.join()


COUNTS = "SELECT (SELECT count(*) FROM {} WHERE key LIKE 'w%') FROM (SELECT 1) one"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("room", ["filed", "streamed"])
def test_what_comes_back_is_of_one_moment_however_it_is_restored(room, four, written, progress, monkeypatch, keys_in):
    report = Backup().run(four, progress)
    made = sets.good(four, "latest")
    part = made.database
    assert len(part.apart) == 3
    assert "in 4 streams" in report.model_dump_json()
    folder = keys_in(four.settings.ops.storage.backups_bucket, made.name)
    assert {each.key for each in part.apart} == {f"{made.name}database.apart-{n}.dump.enc" for n in (1, 2, 3)} & set(
        folder
    )
    assert all(each.key_id for each in part.dumps)
    if room == "streamed":
        monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: SimpleNamespace(free=pg_restore.SPARE_BYTES))
    beside = f"looked_{room}"
    assert RestoreDatabase(set=made.id, beside=beside).run(four, progress).status is not Status.FAIL
    restored = four.server.database(beside, four.database)
    try:
        with restored.session() as connection:
            counts = {
                table: connection.execute(COUNTS.format(table)).fetchone()[0] for table in ("metrics", "params", "tags")
            }
            assert len(set(counts.values())) == 1, counts
            # Indexes, keys, views and the sequence's place are there as well.
            # Numbers that a writer had taken and not committed yet are missing in between.
            assert connection.execute("SELECT id FROM newest").fetchone()[0] >= part.rows["params"]
            assert connection.execute("SELECT nextval('params_id_seq')").fetchone()[0] > part.rows["params"]
            assert connection.execute(
                "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'tags'::regclass"
            ).fetchone() == (1,)
        assert tables(restored, count=tuple(part.rows))[1] == part.rows
    finally:
        four.server.drop(beside)
    assert BackupVerify(id=made.id).run(four, progress).status is Status.OK
    assert Drill(set=made.id).run(four, progress).status is Status.OK


@pytest.mark.slow
@pytest.mark.parametrize("change", ["lost", "changed", "exchanged"])
def test_a_stream_that_is_not_what_was_written_is_found_by_all_that_read_a_set(change, four, progress, s3, keys_in):
    Backup().run(four, progress)
    made = sets.good(four, "latest")
    bucket, (one, other, _) = four.settings.ops.storage.backups_bucket, made.database.apart
    body = {each.key: s3.get_object(Bucket=bucket, Key=each.key)["Body"].read() for each in (one, other)}
    if change == "lost":
        s3.delete_object(Bucket=bucket, Key=one.key)
    else:
        other_bytes = {"changed": body[one.key][:-1] + b"x", "exchanged": body[other.key]}[change]
        s3.put_object(Bucket=bucket, Key=one.key, Body=other_bytes)
    report = BackupVerify(id=made.id).run(four, progress)
    assert report.status is Status.FAIL
    assert "database.apart-1.dump.enc is " in report.sections[0].text
    databases = set(four.server.databases())
    drilled = Drill(set=made.id).run(four, progress)
    assert drilled.status is Status.FAIL
    with pytest.raises(OperatorError):
        RestoreDatabase(set=made.id, beside="never").run(four, progress)
    assert set(four.server.databases()) == databases


@pytest.mark.slow
def test_where_one_stream_is_killed_there_is_no_set_and_the_others_end(four, progress, s3, monkeypatch):
    began = threading.Event()
    killed = []

    def kill():
        began.wait(30)
        until = time.monotonic() + 20
        while not killed and time.monotonic() < until:
            for each in psutil.Process().children():
                try:
                    words = each.cmdline()
                except psutil.Error:
                    continue
                if any("--section=data" in word for word in words):
                    os.kill(each.pid, signal.SIGKILL)
                    killed.append(each.pid)
                    return

    from workers.systems.postgres import programs

    running = programs.running

    def slow(command, *more, **named):
        if "--section=data" in command:
            # Long enough to be met: it waits for a lock that another session holds.
            began.set()
        return running(command, *more, **named)

    monkeypatch.setattr(programs, "running", slow)
    killer = threading.Thread(target=kill)
    killer.start()
    with psycopg.connect(four.database.url) as holder:
        monkeypatch.setattr("workers.systems.postgres.snapshot.Snapshot.rows", lambda _: {})
        monkeypatch.setattr("workers.systems.postgres.snapshot.Snapshot.catalog", lambda _: frozenset())
        sizes = {("public", name): 5 * MIB for name in ("metrics", "params", "tags")}
        monkeypatch.setattr("workers.systems.postgres.snapshot.Snapshot.sizes", lambda _: sizes)
        holder.execute("LOCK TABLE metrics, params, tags IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperatorError, match=r"was killed \(SIGKILL\)"):
            Backup().run(four, progress)
    killer.join()
    assert killed
    bucket = four.settings.ops.storage.backups_bucket
    assert not [each for each in psutil.Process().children() if "pg_dump" in each.name()]
    with pytest.raises(OperatorError, match="no finished backup"):
        sets.good(four, "latest")
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
