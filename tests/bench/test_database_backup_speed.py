"""The database into the store, against `pg_dump -Fc | aws s3 cp -`: the same data, the same store, in one run.

Ours uses the quickest compression that this pg_dump was built with, where pg_dump by itself takes gzip at level 6: the
table shows the other one too, with the same compression. Reading back is what the other way does not do at all; it is
shown apart. Memory is the peak of a process that does nothing else.
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
from psycopg import sql

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("mlflow", "kubernetes", "slack", "bot", "scheduler", "redis", "worker-quick", "worker-ops")
BYTES_A_ROW = 118
OURS = """
import json, sys, time
from tests.peak_memory import peak_memory
from workers import settings
from workers.operations.backup import database
from workers.systems import Systems, preload
from workers.systems.s3.transfer import Transfer
from workers.operation import Unwatched

preload()
ready = Systems(settings.load())
with Transfer.of(ready.objects, 8) as transfer:
    began = time.perf_counter()
    part = database.dump(ready.database, transfer, "mlflow-backups", "bench/database.dump", ready.settings, Unwatched())
    dumped = time.perf_counter() - began
    began = time.perf_counter()
    database.read_back(part, transfer, "mlflow-backups", ready.settings, Unwatched())
    read = time.perf_counter() - began
peak = peak_memory()
print(json.dumps([dumped, read, part.bytes, peak, part.size_bytes]))
"""


@pytest.fixture(scope="module")
def parts(start_sandbox_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "data"
    return start_sandbox_once(path, *(word for part in LEFT_OUT for word in ("--without", part)))


def filled(parts, name, megabytes):
    """A database of about that size, with rows such as MLflow's metrics: the address."""
    with psycopg.connect(parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER mlflow").format(sql.Identifier(name)))
    url = urlsplit(parts.env["MLFLOW_OPS_DATABASE_URL"])._replace(path=f"/{name}").geturl()
    rows = megabytes * 1_000_000 // BYTES_A_ROW
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE metrics (key text, value float8, timestamp bigint, run_uuid text, step bigint, is_nan bool)"
        )
        connection.execute(
            "INSERT INTO metrics SELECT 'loss', random(), 1760000000000 + n, md5((n / 1000)::text), n, false "
            f"FROM generate_series(1, {rows}) n"
        )
        connection.execute("VACUUM ANALYZE metrics")
    return url


def ours(parts, url):
    env = {**parts.process_env, "MLFLOW_OPS_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", OURS], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def theirs(parts, url, *options):
    """Seconds, and bytes that were stored."""
    program = Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"]) / "pg_dump"
    aws = ["aws", "--endpoint-url", parts.env["AWS_ENDPOINT_URL_S3"], "s3", "cp", "--only-show-errors", "-"]
    env = {**os.environ, **{name: value for name, value in parts.env.items() if name.startswith("AWS_")}}
    began = time.perf_counter()
    with subprocess.Popen([program, "-Fc", *options, url], stdout=subprocess.PIPE) as dumping:
        subprocess.run([*aws, "s3://mlflow-backups/bench/theirs.dump"], stdin=dumping.stdout, env=env, check=True)
    seconds = time.perf_counter() - began
    keys = {name: parts.env[name.upper()] for name in ("aws_access_key_id", "aws_secret_access_key")}
    s3 = boto3.client("s3", endpoint_url=parts.env["AWS_ENDPOINT_URL_S3"], region_name="us-east-1", **keys)
    return seconds, s3.head_object(Bucket="mlflow-backups", Key="bench/theirs.dump")["ContentLength"]


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_against_pg_dump_into_the_aws_cli_and_the_memory_it_takes(parts, say, ratio):
    megabytes = int(os.environ.get("MLFLOW_OPS_BENCH_MEGABYTES", "400"))
    small, large = filled(parts, "small", 50), filled(parts, "large", megabytes)
    few = ours(parts, small)
    best_theirs = min(theirs(parts, large) for _ in range(2))
    same_compression = min(theirs(parts, large, "--compress=gzip:1") for _ in range(2))
    best_ours = min(ours(parts, large) for _ in range(2))
    dumped, read, stored, peak, size = best_ours

    def row(name, seconds, there):
        speed = f"{size / seconds / 1e6:.0f} MB/s of the database"
        say(f"| {name} | {seconds:.1f} s | {speed} | {there / 1e6:.0f} MB stored |")

    say(f"\n| database of {size / 1e6:.0f} MB | time | speed | size |\n|---|---|---|---|")
    row("pg_dump -Fc, aws s3 cp -", *best_theirs)
    row("the same with gzip:1, as ours", *same_compression)
    row("ours: dump, rows counted, checksum", dumped, stored)
    row("ours: read back and compared", read, stored)
    say(f"\n{best_theirs[0] / dumped:.2f} times as fast; {same_compression[0] / dumped:.2f} at the same compression")
    say(f"peak memory: {few[3] / 1e6:.0f} MB for {few[4] / 1e6:.0f} MB, {peak / 1e6:.0f} MB for {size / 1e6:.0f} MB")
    ratio(
        f"Dump of {size / 1e6:.0f} MB into the store: pg_dump, aws s3 cp", ours=dumped, theirs=best_theirs[0], bar=0.9
    )
    assert peak < 300e6
    assert peak < 1.2 * max(few[3], 1)
