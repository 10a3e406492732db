"""What MLflow notices of a base backup: the p95 of its answers while one is streamed at the pace of the schedule's.

What asks the server is what counts: the worker and the store, which are elsewhere, have what processor is left over.
Requests come at a fixed pace and count from when they were due, so that one that waits for another is not forgotten.
Stretches with a base and without one take turns, so that what else the machine does falls on both; where that leaves
MLflow hardly time to answer, nothing is said.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import urllib3

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("slack", "bot", "scheduler", "worker-quick", "worker-ops")
MEGABYTES = int(os.environ.get("MLFLOW_OPS_BENCH_MEGABYTES", "150"))
SECONDS = float(os.environ.get("MLFLOW_OPS_BENCH_LOAD_SECONDS", "20"))
TURNS = 4
EVERY = 0.2
ROWS = 9_000
BAR = 1.1
BASES = """
import os, sys, time
os.nice(19)
from workers import settings
from workers.operation import Unwatched
from workers.operations.backup.wal import base
from workers.systems import Systems, preload

preload()
systems = Systems(settings.load())
most = base.pace(systems)
print("ready", flush=True)
sys.stdin.readline()
made = base.make(systems, Unwatched(), fast=True, full=True, most=most)
print(made.tar_bytes, made.seconds, flush=True)
"""


@pytest.fixture(scope="module")
def parts(start_sandbox_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("load") / "data"
    return start_sandbox_once(path, "--point-in-time", *(word for part in LEFT_OUT for word in ("--without", part)))


def waited(url, seconds):
    """How long each request took from when it was due."""
    took, began, number = [], time.perf_counter(), 0
    with urllib3.PoolManager(retries=False, timeout=30) as pool:
        while (due := began + number * EVERY) < began + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            body = {"experiment_ids": ["0"], "max_results": 20}
            assert pool.request("POST", f"{url}/api/2.0/mlflow/runs/search", json=body).status == 200
            took.append(time.perf_counter() - due)
            number += 1
    return took


def p95(took):
    return statistics.quantiles(took, n=20)[-1]


def test_mlflow_answers_as_fast_while_a_base_backup_runs(parts, say):
    env = {**parts.process_env, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "deploy" / "sandbox")))}
    url = parts.env["MLFLOW_TRACKING_URI"]
    with psycopg.connect(parts.env["MLFLOW_OPS_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("CREATE TABLE filling (n bigint, key text, value float8, at bigint)")
        fill = "INSERT INTO filling SELECT n, md5(n::text), random(), n FROM generate_series(1, {}) n"
        connection.execute(fill.format(MEGABYTES * ROWS))
    os.setpriority(os.PRIO_PROCESS, parts.process("objects").pid, 19)
    waited(url, 5)
    without, within, told = [], [], []
    for _ in range(TURNS):
        without += waited(url, SECONDS)
        program = subprocess.Popen(
            [sys.executable, "-c", BASES], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert program.stdout.readline() == "ready\n"
        program.stdin.write("\n")
        program.stdin.flush()
        while program.poll() is None:
            within += waited(url, 1)
        size, seconds = program.stdout.read().split()
        told.append((int(size), float(seconds)))
    assert program.returncode == 0
    size, seconds = told[-1]
    say(
        f"\na base of {size / 1e6:.0f} MB in {seconds:.0f} s: MLflow's p95 {p95(within) * 1000:.1f} ms, "
        f"{p95(without) * 1000:.1f} ms without: {p95(within) / p95(without):.2f} times"
    )
    for name, took in (("with", within), ("without", without)):
        say(f"  {name} a base: {len(took)} requests, median {statistics.median(took) * 1000:.1f} ms")
    if statistics.median(without) > EVERY / 2:
        pytest.skip("the machine is too busy to tell: MLflow hardly keeps up without a base backup")
    assert p95(within) <= BAR * p95(without)
