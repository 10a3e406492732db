"""`runs archive` against the runbook's loop, on the same MLflow, in one run: how many, how quickly, at whose cost.

MLFLOW_OPS_BENCH_RUNS is how many runs the experiment has (8,000; 20,000 for the full claim); a quarter is old. The
loop's rate is taken from its first LOOP runs, because it is the same for each; that it stops at MLflow's first page is
shown by counting what search_runs gives it. Beside both, a client asks for experiments all the while, as a user of the
web page does; its p95 is compared with that of a quiet MLflow.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from tests.workers.conftest import DAY_MS, RUNS
from workers import settings
from workers.report import Status
from workers.systems import Systems

ALL = int(os.environ.get("MLFLOW_OPS_BENCH_RUNS", "8000"))
OLD = ALL // 4
LOOP = min(150, OLD // 4)
PAGE = 1000
QUIET_SECONDS = 5

LOOP_PROGRAM = """
import json, sys, time
from mlflow.tracking import MlflowClient

client = MlflowClient(sys.argv[1])
cutoff_time = int((time.time() - 90*24*60*60) * 1000)
runs = client.search_runs(experiment_ids=[sys.argv[2]], filter_string=f"attributes.start_time < {cutoff_time}")
began = time.perf_counter()
for run in runs[: int(sys.argv[3])]:
    client.delete_run(run.info.run_id)
print(json.dumps({"found": len(runs), "took": time.perf_counter() - began}))
"""

ARCHIVE_PROGRAM = """
import json, sys, time
from commands import grammar
from workers import settings
from workers.engine import performing
from workers.operation import Unwatched
from workers.systems import Systems

systems = Systems(settings.load())
systems.tracking.search_experiments()
began = time.perf_counter()
report = performing.perform_here(grammar.parse(sys.argv[1]), sys.argv[1], "olga", systems, Unwatched())
print(json.dumps({"took": time.perf_counter() - began, "status": report.status, "said": report.summary}))
"""


class Client(threading.Thread):
    """Asks as somebody at the web page would, 20 times a second at most; how long each answer took."""

    def __init__(self, tracking):
        super().__init__(daemon=True)
        self._tracking = tracking.afresh()
        self._stopping = threading.Event()
        self.seconds = []

    def run(self):
        while not self._stopping.wait(0.05):
            began = time.perf_counter()
            self._tracking.search_experiments()
            self.seconds.append(time.perf_counter() - began)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        self.join(30)

    @property
    def p95(self):
        return statistics.quantiles(self.seconds, n=20)[-1]


@pytest.fixture
def run_program(sandbox):
    def run(program, *arguments):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={
                **sandbox.process_env,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
            },
        )
        return json.loads(done.stdout.strip().splitlines()[-1])

    return run


def write_runs(sandbox, experiment, seed, number, days_old):
    start = int(time.time() * 1000) - days_old * DAY_MS
    values = {"seed": seed, "number": number, "status": "FINISHED", "start": start, "experiment": int(experiment)}
    with psycopg.connect(sandbox.env["MLFLOW_OPS_DATABASE_URL"]) as connection:
        connection.execute(RUNS, values)


def active(systems, experiment, before):
    found = systems.tracking.within(60).pages(
        "runs/search",
        "runs",
        {"experiment_ids": [experiment], "filter": f"attributes.start_time < {before}", "run_view_type": "ACTIVE_ONLY"},
    )
    return sum(map(len, found))


@pytest.mark.bench
@pytest.mark.timeout(900)
def test_archiving_old_runs_against_the_runbooks_loop(sandbox, run_program, say, ratio):
    systems = Systems(settings.load(sandbox.process_env))
    cutoff = int((time.time() - 90 * 86_400) * 1000)
    name = "bench-archive"
    experiment = systems.tracking.call("experiments/create", {"name": name})["experiment_id"]
    write_runs(sandbox, experiment, "old", OLD, 100)
    write_runs(sandbox, experiment, "young", ALL - OLD, 3)
    systems.tracking.within(60).search_experiments()
    with Client(systems.tracking) as quiet:
        time.sleep(QUIET_SECONDS)
    with Client(systems.tracking) as beside_loop:
        loop = run_program(LOOP_PROGRAM, str(systems.settings.environment.mlflow_tracking_uri), experiment, str(LOOP))
    rest = active(systems, experiment, cutoff)
    assert rest == OLD - LOOP
    with Client(systems.tracking) as beside_ours:
        mine = run_program(ARCHIVE_PROGRAM, f"runs archive --older-than 90d --experiment {name}")
    assert mine["status"] == Status.OK, mine
    assert active(systems, experiment, cutoff) == 0
    each, their_each = mine["took"] / rest, loop["took"] / LOOP
    say(f"\n| {OLD:,} old of {ALL:,} runs | for a run | a second | reaches | p95 of another client |")
    say("| --- | --- | --- | --- | --- |")
    say(f"| nobody | | | | {quiet.p95 * 1000:.0f} ms |")
    say(
        f"| the runbook's loop | {their_each * 1000:.1f} ms | {1 / their_each:.0f} | {loop['found']:,} "
        f"| {beside_loop.p95 * 1000:.0f} ms |"
    )
    say(f"| runs archive | {each * 1000:.1f} ms | {1 / each:.0f} | {OLD:,} | {beside_ours.p95 * 1000:.0f} ms |")
    say(
        f"{their_each / each:.1f} times as fast for a run, with plan, mark and read-back counted in; the other "
        f"client's p95 is {beside_ours.p95 / quiet.p95:.1f} times its idle value."
    )
    # The loop sees MLflow's first page and never asks for the next.
    assert loop["found"] == min(OLD, PAGE)
    ratio("Archive a run: a loop over MLflow's client", ours=each, theirs=their_each, bar=5)
    assert beside_ours.p95 / quiet.p95 <= 2
