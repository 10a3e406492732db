"""What goes wrong while a set is made: no set that claims to be good, nothing left behind, and a sentence about it."""

import base64
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest

from mlflow_ops_sandbox.testing import wait_for
from tests.series import slow
from tests.workers.operations.backup.artifacts.conftest import Way, trouble  # noqa: F401 - a fixture
from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.backup import database, leftovers, sets, stream
from workers.operations.backup.backup import Backup
from workers.operations.backup.show import BackupList
from workers.operations.backup.verify import BackupVerify, BackupVerifyDeep
from workers.report import Status
from workers.systems.errors import AccessDenied, ObjectsError, StoreFull
from workers.systems.s3 import requests
from workers.systems.s3.multipart import Upload
from workers.systems.s3.transfer import Transfer

ROOT = Path(__file__).resolve().parents[4]


@contextmanager
def locked(url, table="metrics"):
    """A table that nobody can read meanwhile."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def pg_dumps(url):
    """The running pg_dumps of that database: other tests have ones of the same name on other ports."""
    wanted, flag = where(url), "--dbname="
    return [
        each
        for each in psutil.process_iter(["name", "cmdline"])
        if each.info["name"] == "pg_dump"
        and any(
            word.startswith(flag) and where(word.removeprefix(flag)) == wanted for word in each.info["cmdline"] or ()
        )
    ]


def where(address):
    parts = psycopg.conninfo.conninfo_to_dict(address)
    return parts["port"], parts["dbname"]


@pytest.fixture
def nothing_is_left(s3, buckets, keys_in):
    """Asserts that there is no set, no dump and no upload under way."""

    def check():
        assert not [key for key in keys_in(buckets[1]) if key.endswith(("manifest.json", ".dump"))]
        assert "Uploads" not in s3.list_multipart_uploads(Bucket=buckets[1])

    return check


@pytest.mark.slow
def test_a_table_that_stays_locked_is_told_and_the_next_run_succeeds(systems, progress, database_url, nothing_is_left):
    ready = systems()
    with locked(database_url), pytest.raises(OperatorError, match="A table was locked"):
        Backup(parts=("database",)).run(ready, progress)
    nothing_is_left()
    assert Backup(parts=("database",)).run(ready, progress).status is Status.OK


def while_locked(systems, progress, database_url, harm):
    """Back up the database, and do harm while pg_dump waits for a table; what the backup raised."""
    raised = []

    def run():
        try:
            Backup(parts=("database",)).run(ready, progress)
        except OperatorError as error:
            raised.append(error)

    ready = systems()
    with locked(database_url):
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: pg_dumps(database_url), "pg_dump", 20)
        wait_for(lambda: _waits(database_url), "pg_dump to wait", 20)
        harm()
        thread.join(30)
    assert not thread.is_alive()
    return raised[0]


def _waits(url):
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event_type = 'Lock'"
        return connection.execute(query).fetchone()


def test_a_pg_dump_that_is_killed_leaves_nothing(systems, progress, database_url, nothing_is_left):
    error = while_locked(systems, progress, database_url, lambda: [each.kill() for each in pg_dumps(database_url)])
    assert "pg_dump was killed (SIGKILL)" in error.message
    nothing_is_left()


def test_a_database_that_goes_in_the_middle_leaves_nothing(systems, progress, database_url, nothing_is_left):
    def gone():
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND application_name IN ('pg_dump', 'mlflow-ops')"
            )

    error = while_locked(systems, progress, database_url, gone)
    assert "The dump failed and nothing was kept" in error.message
    assert "broke off the connection" in error.message
    nothing_is_left()


@pytest.mark.slow
def test_a_pg_dump_that_ends_half_way_with_an_error_leaves_no_object(
    systems, progress, tmp_path, parts, nothing_is_left
):
    """The trap of a pipe: what came before the end looks whole."""
    real = Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"])
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "pg_restore").symlink_to(real / "pg_restore")
    script = fake / "pg_dump"
    script.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        f"done = subprocess.run([{str(real / 'pg_dump')!r}, *sys.argv[1:]], capture_output=True)\n"
        "sys.stderr.buffer.write(done.stderr)\n"
        "sys.stdout.buffer.write(done.stdout if '--version' in sys.argv else done.stdout[:40000])\n"
        "sys.exit(0 if '--version' in sys.argv else 1)\n"
    )
    script.chmod(0o755)
    with pytest.raises(OperatorError, match="The dump failed"):
        Backup(parts=("database",)).run(systems(MLFLOW_OPS_POSTGRES_BIN=str(fake)), progress)
    nothing_is_left()
    # And where it lies about its end: read back, it is no whole dump.
    script.write_text(script.read_text().replace("else 1)", "else 0)").replace("[:40000]", "[:200]"))
    with pytest.raises(OperatorError, match="no whole dump"):
        Backup(parts=("database",)).run(systems(MLFLOW_OPS_POSTGRES_BIN=str(fake)), progress)
    assert BackupList().run(systems(), progress).status is Status.WARN


def program(folder, name, version):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) {version}"\n')
    path.chmod(0o755)
    return str(folder)


def test_a_pg_dump_that_is_older_than_the_server_is_refused(systems, progress, tmp_path, nothing_is_left):
    ready = systems(MLFLOW_OPS_POSTGRES_BIN=program(tmp_path / "old", "pg_dump", "16.3 (Debian 16.3-1)"))
    with pytest.raises(OperatorError, match=r"pg_dump 16.3 is older than the server, PostgreSQL 18") as raised:
        Backup(parts=("database",)).run(ready, progress)
    assert "MLFLOW_OPS_POSTGRES_BIN" in raised.value.hint
    nothing_is_left()


def test_without_pg_dump_the_plan_says_so(systems, tmp_path):
    with pytest.raises(OperatorError, match="pg_dump is not in"):
        Backup().plan(systems(MLFLOW_OPS_POSTGRES_BIN=str(tmp_path)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"MLFLOW_OPS_DATABASE_URL": "postgresql://mlflow:x@127.0.0.1:9/none"}, "refuses connections"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "refuses connections"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong-wrong-wrong"}, "denies us access"),
    ],
)
def test_what_is_away_or_refuses_is_a_sentence(systems, progress, change, said):
    with pytest.raises(OperatorError, match=said):
        Backup().run(systems(**change), progress)


@pytest.mark.slow
@pytest.mark.parametrize("refusal", [StoreFull("It is full."), AccessDenied("It is denied."), KeyboardInterrupt()])
def test_a_store_that_refuses_half_way_leaves_nothing(
    systems, progress, monkeypatch, nothing_is_left, refusal, database_url
):
    with psycopg.connect(database_url, autocommit=True) as connection:
        noise = "md5(random()::text), 1, md5(n::text) FROM generate_series(1, 60000) n"
        connection.execute(f"INSERT INTO runs SELECT {noise}")
    monkeypatch.setattr(stream, "FIRST_PART", 256 * 1024)
    send = Upload.part

    def part(self, number, body):
        if number == 5:
            raise refusal
        send(self, number, body)

    monkeypatch.setattr(Upload, "part", part)
    with pytest.raises(type(refusal)):
        Backup(parts=("database",)).run(systems(), progress)
    nothing_is_left()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, *slow(2, 3)])
def test_a_whole_set_through_a_store_that_fails_slows_down_and_hangs_up(
    systems,
    progress,
    parts,
    s3,
    buckets,
    keys_in,
    monkeypatch,
    trouble,  # noqa: F811
    seed,
    database_url,
):
    monkeypatch.setattr(requests, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(stream, "FIRST_PART", 5 << 20)
    monkeypatch.setattr(database, "compression", lambda *_: "none")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE large AS SELECT repeat(md5(n::text), 100) FROM generate_series(1, 4000) n")
    way = Way(parts.env["AWS_ENDPOINT_URL_S3"])
    try:
        through = systems(AWS_ENDPOINT_URL_S3=way.url)
        way.meet = trouble(seed, 0.12)
        report = Backup().run(through, progress)
    finally:
        way.close()
    assert report.status is Status.OK, report
    assert way.calls["UploadPUT"] > 2, way.calls
    assert BackupVerifyDeep().run(systems(), progress).status is Status.OK
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=buckets[1])
    assert len([key for key in keys_in(buckets[1]) if key.endswith("manifest.json")]) == 1


def test_parts_grow_so_that_ten_thousand_hold_two_terabytes():
    assert stream.part_bytes(1) == stream.part_bytes(1250) == 8 << 20
    assert stream.part_bytes(1251) == 16 << 20
    assert sum(stream.part_bytes(number) for number in range(1, 10_001)) > 2 << 40
    assert stream.part_bytes(10_000) <= 5 << 30


def test_a_missing_bucket_is_a_sentence(systems, progress, s3, buckets):
    s3.delete_bucket(Bucket=buckets[1])
    with pytest.raises(OperatorError, match=f"has no bucket {buckets[1]}"):
        Backup().run(systems(), progress)


def test_stopped_at_a_safe_point_it_leaves_no_set(systems, progress_that, nothing_is_left):
    class Stopping(progress_that):
        def checkpoint(self):
            if self.steps[-1].startswith("Artifacts"):
                raise Cancelled

    with pytest.raises(Cancelled):
        Backup().run(systems(), Stopping())


RUN = """
import sys
from workers import settings
from workers.operations.backup.backup import Backup
from workers.systems import Systems

class Spoken:
    def step(self, name, of=""):
        print(name, flush=True)
        if name.startswith(sys.argv[1]):
            import time
            time.sleep(60)
    def advance(self, *_): pass
    def ended(self, said="", *, well=True):
        pass
    def checkpoint(self): pass

Backup().run(Systems(settings.load()), Spoken())
"""


@contextmanager
def running(environ, until):
    """A backup in a process of its own that halts where a step begins with `until`."""
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH", "LANG"}}
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, until], env={**keep, **environ}, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "phase", ["Database", "Writing", *slow("Artifacts: copying", "Artifacts: looking", "Configuration: exp")]
)
def test_killed_in_any_phase_there_is_no_set_and_the_next_run_succeeds(
    systems, environ, progress, phase, s3, buckets, keys_in, database_url
):
    with running(environ, phase if phase != "Database" else "Nowhere") as process:
        if phase == "Database":
            with locked(database_url):
                wait_for(lambda: pg_dumps(database_url), "pg_dump", 30)
                wait_for(lambda: _waits(database_url), "pg_dump to wait", 20)
                process.send_signal(signal.SIGKILL)
                process.wait()
            assert s3.list_multipart_uploads(Bucket=buckets[1]).get("Uploads")
        else:
            for line in process.stdout:
                if line.startswith(phase):
                    break
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert not [key for key in keys_in(buckets[1]) if key.endswith("manifest.json")]
    ready = systems()
    listed = BackupList().run(ready, progress)
    assert listed.status is Status.WARN
    assert "unfinished" in listed.sections[0].rows[0][-1]
    report = Backup().run(ready, progress)
    assert report.status is Status.OK, report
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=buckets[1])
    assert BackupVerify().run(ready, progress).status is Status.OK
    wait_for(lambda: not pg_dumps(database_url), "pg_dump to end by itself", 20)


def test_an_unfinished_set_is_swept_after_a_day_and_a_good_one_is_not(systems, progress, s3, buckets, keys_in):
    ready = systems()
    Backup(parts=("config",)).run(ready, progress)
    dead = "sets/20260101T000000Z-abcdef/"
    s3.put_object(Bucket=buckets[1], Key=f"{dead}database.dump", Body=b"half")
    with Transfer.of(ready.objects, 2) as transfer:
        assert leftovers.sweep(transfer, buckets[1], datetime.now(UTC) + timedelta(hours=23)) == ()
        assert leftovers.sweep(transfer, buckets[1], datetime.now(UTC) + timedelta(hours=25)) == (dead,)
    assert not keys_in(buckets[1], dead)
    assert sets.good(ready, "latest").parts == ("config",)


@pytest.mark.slow
def test_a_clock_that_jumps_back_does_not_make_an_older_set(systems, progress, s3, buckets):
    ready = systems()
    ahead = datetime.now(UTC) + timedelta(hours=3)
    s3.put_object(Bucket=buckets[1], Key=f"sets/{ahead:%Y%m%dT%H%M%SZ}-abcdef/database.dump", Body=b"half")
    report = Backup(parts=("config",)).run(ready, progress)
    assert report.status is Status.WARN
    assert "behind the newest set" in report.model_dump_json()
    made = sets.good(ready, "latest")
    assert sets.begun(made.name) > ahead - timedelta(seconds=1)
    assert made.finished_at < ahead


@pytest.mark.slow
def test_the_password_is_in_no_arguments(systems, progress, database_url):
    seen = []

    def harm():
        for each in pg_dumps(database_url):
            seen.append(" ".join(each.cmdline()))
            each.kill()

    while_locked(systems, progress, database_url, harm)
    password = psycopg.conninfo.conninfo_to_dict(database_url)["password"]
    assert len(seen) == 1
    assert password not in seen[0]


@pytest.mark.slow
def test_two_at_once_without_a_lock_between_them_make_one_good_set(
    systems, progress, database_url, s3, buckets, keys_in
):
    """As two installations that share a bucket: who comes later aborts the other's upload, and that one says so."""
    ready, ended = systems(), []

    def run():
        try:
            ended.append(Backup(parts=("database",)).run(ready, progress))
        except OperatorError as error:
            ended.append(error)

    with locked(database_url):
        both = [threading.Thread(target=run) for _ in range(2)]
        for number, each in enumerate(both, 1):
            each.start()
            wait_for(lambda number=number: len(pg_dumps(database_url)) == number, "another pg_dump", 20)
    for each in both:
        each.join(30)
    failed = [each for each in ended if isinstance(each, OperatorError)]
    assert len(ended) == 2
    assert len(failed) == 1, failed
    assert isinstance(failed[0], ObjectsError)
    manifests = [key for key in keys_in(buckets[1]) if key.endswith("manifest.json")]
    assert len(manifests) == 1
    assert BackupVerify().run(ready, progress).status is Status.OK
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=buckets[1])


@pytest.mark.slow
def test_a_set_of_another_key_is_told_and_read_with_the_old_one(systems, environ, progress):
    Backup(parts=("config",)).run(systems(), progress)
    before, other = environ["MLFLOW_OPS_BACKUP_KEY"], base64.b64encode(b"another key of thirty-two bytes!").decode()
    with pytest.raises(OperatorError, match="is signed with the key") as refused:
        BackupVerify().run(systems(MLFLOW_OPS_BACKUP_KEY=other), progress)
    assert before not in str(refused.value)
    assert "MLFLOW_OPS_BACKUP_KEYS_OLD" in refused.value.hint
    rotated = systems(MLFLOW_OPS_BACKUP_KEY=other, MLFLOW_OPS_BACKUP_KEYS_OLD=before)
    assert BackupVerify().run(rotated, progress).status is Status.OK
