"""The health report against the runbook's own script: its kubectl calls, one after the other."""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import grammar
from workers import settings
from workers.engine import performing
from workers.operation import Unwatched
from workers.report import Status
from workers.systems import Systems

SCRIPT = Path(__file__).with_name("runbook_health.sh")
ROUNDS = 7


@pytest.mark.bench
def test_the_report_is_at_least_five_times_as_fast_as_the_runbooks_script(sandbox, say, ratio):
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH: nothing to compare with")
    env = {**os.environ, "KUBECONFIG": sandbox.env["KUBECONFIG"], "MLFLOW_OPS_KUBECTL": kubectl}
    systems = Systems(settings.load(sandbox.env))

    def ours():
        return performing.perform(grammar.parse("health"), systems, Unwatched())

    def runbooks():
        return subprocess.run(["/bin/bash", str(SCRIPT)], env=env, capture_output=True, text=True, check=True).stdout

    def typed():
        command = [sys.executable, "-m", "bot", "run", "health"]
        return subprocess.run(command, env=sandbox.process_env, capture_output=True, text=True, check=True).stdout

    assert ours().status is not Status.FAIL
    assert "MLflow health" in typed()
    assert "Health Check Complete" in runbooks()
    took = {ours: [], runbooks: [], typed: []}
    for _ in range(ROUNDS):
        for run, times in took.items():
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
    mine, theirs = (statistics.median(took[run]) for run in (ours, runbooks))
    say("\n| health report | median of 7 |")
    say("| --- | --- |")
    say(f"| mlflow-ops, 11 checks | {mine * 1000:.0f} ms |")
    say(f"| the same as a whole command, started anew | {statistics.median(took[typed]) * 1000:.0f} ms |")
    say(f"| the runbook's script, 7 sections | {theirs * 1000:.0f} ms |")
    ratio("Health, eleven checks: the runbook's script, seven sections", ours=mine, theirs=theirs, bar=5)
