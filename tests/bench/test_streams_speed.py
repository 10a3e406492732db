"""A dump in four streams against one, and against `pg_dump -Fc | aws s3 cp -`, where the network is the bottleneck.

Each connection to PostgreSQL gets so much a second and no more (throttle.py), as behind a proxy, a VPN or across
regions; the server has time to spare. Encryption is on. What is dumped is read back, and its rows are those of the
tables, so the streams hold the same as the one.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml
from psycopg import sql

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("mlflow", "kubernetes", "slack", "bot", "scheduler", "redis", "worker-quick", "worker-ops")
MEGABYTES = int(os.environ.get("MLFLOW_OPS_BENCH_MEGABYTES", "160"))
RATE = 6_000_000
"""Bytes a second of each connection."""
TABLES = ("metrics", "params", "tags", "spans")
BYTES_A_ROW = 110
OURS = """
import json, sys, time
from workers import settings
from workers.operations.backup import database
from workers.systems import Systems, preload
from workers.systems.s3.transfer import Transfer
from workers.operation import Unwatched

preload()
ready = Systems(settings.load())
with Transfer.of(ready.objects, 8) as transfer:
    began = time.perf_counter()
    part = database.dump(ready.database, transfer, "mlflow-backups", sys.argv[1], ready.settings, Unwatched())
    took = time.perf_counter() - began
    database.read_back(part, transfer, "mlflow-backups", ready.settings, Unwatched())
print(json.dumps({"took": took, "rows": part.rows, "streams": len(part.dumps), "bytes": part.bytes,
                  "encrypted": all(each.key_id for each in part.dumps)}))
"""


@pytest.fixture(scope="module")
def parts(start_sandbox_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "data"
    return start_sandbox_once(path, *(word for part in LEFT_OUT for word in ("--without", part)))


@pytest.fixture(scope="module")
def url(parts):
    """A database whose rows are in four tables, as those of long training runs with traces are; over a slow network."""
    with psycopg.connect(parts.env["MLFLOW_OPS_DATABASE_ADMIN_URL"], autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE streams OWNER mlflow"))
    whole = urlsplit(parts.env["MLFLOW_OPS_DATABASE_URL"])._replace(path="/streams")
    rows = MEGABYTES * 1_000_000 // BYTES_A_ROW // len(TABLES)
    with psycopg.connect(whole.geturl(), autocommit=True) as connection:
        for number, table in enumerate(TABLES):
            made = sql.SQL(
                "CREATE TABLE {} AS SELECT md5((n / 1000)::text) AS run_uuid, md5((n * {})::text) AS key, n AS step "
                "FROM generate_series(1, {}) n"
            )
            connection.execute(made.format(sql.Identifier(table), sql.Literal(number + 7), sql.Literal(rows)))
        connection.execute("VACUUM ANALYZE")
    command = [sys.executable, ROOT / "tests/bench/throttle.py", whole.hostname, str(whole.port), str(RATE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        port = running.stdout.readline().strip()
        host = f"{whole.username}:{whole.password}@127.0.0.1:{port}"
        yield whole._replace(netloc=host).geturl()
        running.terminate()


def ours(parts, url, tmp_path, jobs):
    ops = tmp_path / f"ops-{jobs}.yaml"
    written = yaml.safe_load(Path(parts.env["MLFLOW_OPS_CONFIG"]).read_text(encoding="utf-8"))
    ops.write_text(yaml.safe_dump(written | {"backup": {"dump_jobs": jobs}}), encoding="utf-8")
    env = {
        **parts.process_env,
        "MLFLOW_OPS_DATABASE_URL": url,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_OPS_CONFIG": str(ops),
    }
    command = [sys.executable, "-c", OURS, f"bench/{jobs}/database.dump"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def theirs(parts, url):
    program = Path(parts.env["MLFLOW_OPS_POSTGRES_BIN"]) / "pg_dump"
    aws = ["aws", "--endpoint-url", parts.env["AWS_ENDPOINT_URL_S3"], "s3", "cp", "--only-show-errors", "-"]
    env = {**os.environ, **{name: value for name, value in parts.env.items() if name.startswith("AWS_")}}
    began = time.perf_counter()
    with subprocess.Popen([program, "-Fc", url], stdout=subprocess.PIPE) as dumping:
        subprocess.run([*aws, "s3://mlflow-backups/bench/theirs.dump"], stdin=dumping.stdout, env=env, check=True)
    return time.perf_counter() - began


def test_four_streams_against_one_over_a_slow_network(parts, url, tmp_path, say, ratio):
    one, four = ours(parts, url, tmp_path, 1), ours(parts, url, tmp_path, 4)
    assert (one["streams"], four["streams"]) == (1, 4)
    assert one["encrypted"]
    assert four["encrypted"]
    assert one["rows"] == four["rows"]
    what = f"{MEGABYTES} MB in {len(TABLES)} tables, {RATE / 1e6:.0f} MB/s a connection, encrypted"
    say(f"\n| {what} | took |\n| --- | --- |")
    for what, seconds in (("one stream", one["took"]), ("four streams", four["took"])):
        say(f"| {what} | {seconds:.1f} s |")
    ratio(
        f"Dump of {MEGABYTES} MB over a slow network in four streams: one stream",
        ours=four["took"],
        theirs=one["took"],
        bar=2,
    )
    if shutil.which("aws"):
        other = theirs(parts, url)
        say(f"| pg_dump -Fc, aws s3 cp - | {other:.1f} s |")
        ratio(
            f"Dump of {MEGABYTES} MB over a slow network, four streams: pg_dump, aws s3 cp",
            ours=four["took"],
            theirs=other,
            bar=1.5,
        )
