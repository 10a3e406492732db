"""Going back to any second, by its ratios: what is stored of a quiet database, a base, a moment against a backup.

The base backup is held against `pg_basebackup -Ft -z | aws s3 cp -`, which compares nothing; a moment half an hour
after a base, against an ordinary restore of the same database. MLFLOW_OPS_BENCH_MEGABYTES says how large that is.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import psycopg
import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("mlflow", "kubernetes", "slack", "bot", "scheduler", "worker-quick", "worker-ops")
MEGABYTES = int(os.environ.get("MLFLOW_OPS_BENCH_MEGABYTES", "150"))
QUIET_SECONDS = float(os.environ.get("MLFLOW_OPS_BENCH_QUIET_SECONDS", "90"))
ROWS = 9_000
"""Of a megabyte."""
ROW = "CREATE TABLE filling (n bigint, key text, value float8, at bigint)"
FILL = "INSERT INTO filling SELECT n, md5(n::text), random(), 1760000000000 + n FROM generate_series(1, {}) n"
HEAD = """
import json, sys, time
from datetime import UTC, datetime
from tests.peak_memory import peak_memory
from workers import settings
from workers.operation import Unwatched
from workers.systems import Systems, preload

preload()
systems = Systems(settings.load())
began = time.perf_counter()
"""
BASE = """
from workers.operations.backup.wal import base
made = base.make(systems, Unwatched(), fast=True, full=True)
print(json.dumps([time.perf_counter() - began, peak_memory(), made.tar_bytes]))
"""
BACKUP = """
from workers.operations.backup.backup import Backup
Backup(parts=("database",)).run(systems, Unwatched())
print(json.dumps([time.perf_counter() - began, peak_memory()]))
"""
RESTORE = """
from workers.operations.restore.database import RestoreDatabase
at = datetime.fromisoformat(sys.argv[2]) if sys.argv[2:] else None
RestoreDatabase(at=at, beside=sys.argv[1]).run(systems, Unwatched())
print(json.dumps([time.perf_counter() - began, peak_memory()]))
"""


@pytest.fixture(scope="module")
def parts(start_sandbox_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("recovery") / "data"
    return start_sandbox_once(path, "--point-in-time", *(word for part in LEFT_OUT for word in ("--without", part)))


@pytest.fixture(scope="module")
def s3(parts):
    keys = {name: parts.env[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
    return boto3.client("s3", endpoint_url=parts.env["AWS_ENDPOINT_URL_S3"], region_name="us-east-1", **keys)


@pytest.fixture(scope="module")
def live(parts):
    """MLflow's database, as its role; the server's positions as the administrator."""
    url = urlsplit(parts.env["MLFLOW_OPS_DATABASE_URL"]).geturl()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROW)
        yield connection


def ours(parts, program, *words):
    env = {**parts.process_env, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "deploy" / "sandbox")))}
    command = [sys.executable, "-c", HEAD + program, *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def stored(s3):
    """Bytes under wal/, without the bases."""
    return sum(size for key, size in kept(s3) if "/base/" not in key)


def kept(s3):
    """The keys under wal/, with their sizes."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="mlflow-backups", Prefix="wal/")
    return [(each["Key"], each["Size"]) for page in pages for each in page.get("Contents", ())]


def written(live):
    return live.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint, clock_timestamp()").fetchone()


def reached(parts, at):
    from workers import settings
    from workers.operations.backup.wal import access
    from workers.systems import Systems

    with pytest.MonkeyPatch.context() as patch:
        for name, value in parts.env.items():
            if name.startswith("AWS_"):
                patch.setenv(name, value)
        there = access.archive(Systems(settings.load(parts.process_env)))
        deadline = time.monotonic() + 300
        while (point := there.point()) is None or point.at < at:
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_a_quiet_database_costs_what_it_wrote(parts, live, s3, say):
    # The first part of all has its segment's beginning, which was written before anything was kept.
    while not any(".part/" in key for key, _ in kept(s3)):
        live.execute(FILL.format(20))
        reached(parts, written(live)[1])
    before, (began, _) = stored(s3), written(live)
    until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < until:
        live.execute(FILL.format(20))
        time.sleep(3)
    ended, at = written(live)
    reached(parts, at)
    took, wrote = stored(s3) - before, ended - began
    hour = 3600 / QUIET_SECONDS
    say(
        f"\na quiet database: {wrote * hour / 1e6:.2f} MB of WAL an hour, {took * hour / 1e6:.2f} MB stored: "
        f"{took / wrote:.2f} times as much"
    )
    assert took <= 1.5 * wrote


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_a_base_against_pg_basebackup_into_the_aws_cli_and_its_memory(parts, live, say, ratio):
    live.execute(FILL.format(MEGABYTES * ROWS))
    program = Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"]) / "pg_basebackup"
    admin = parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"]
    taking = [program, "-D", "-", "-Ft", "-z", "-X", "none", "--checkpoint=fast", "-d", admin]
    aws = ["aws", "--endpoint-url", parts.env["AWS_ENDPOINT_URL_S3"], "s3", "cp", "--only-show-errors", "-"]
    env = {**os.environ, **{name: value for name, value in parts.env.items() if name.startswith("AWS_")}}

    def theirs():
        began = time.perf_counter()
        with subprocess.Popen(taking, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            subprocess.run([*aws, "s3://mlflow-backups/bench/base.tar.gz"], stdin=running.stdout, env=env, check=True)
        return time.perf_counter() - began

    other = min(theirs() for _ in range(2))
    seconds, peak, size = min(ours(parts, BASE) for _ in range(2))
    say(f"\na base of {size / 1e6:.0f} MB: ours {seconds:.1f} s; theirs {other:.1f} s; {peak / 1e6:.0f} MB peak")
    assert peak < 300e6
    ratio(f"Base backup of {size / 1e6:.0f} MB: pg_basebackup -z, aws s3 cp", ours=seconds, theirs=other, bar=0.9)


def test_a_moment_against_an_ordinary_restore(parts, live, say, ratio):
    live.execute(FILL.format(MEGABYTES * ROWS))
    ours(parts, BASE)
    ours(parts, BACKUP)
    # What is written in half an hour.
    live.execute(FILL.format(MEGABYTES * ROWS // 5))
    at = written(live)[1]
    reached(parts, at)
    ordinary, _ = ours(parts, RESTORE, "then_by_backup")
    seconds, peak = ours(parts, RESTORE, "then_by_moment", at.isoformat())
    say(f"\na moment: {seconds:.1f} s; an ordinary restore: {ordinary:.1f} s; {peak / 1e6:.0f} MB peak")
    assert peak < 300e6
    ratio("Restore to a moment: an ordinary restore", ours=seconds, theirs=ordinary, bar=0.5)
