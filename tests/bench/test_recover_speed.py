"""From nothing to a passed smoke test: MLflow's deployment, database and bucket are deleted, and one command is given.

MLFLOW_OPS_BENCH_RECOVER_MEGABYTES and MLFLOW_OPS_BENCH_RECOVER_ARTIFACTS set how much there was (20 and 1,000; 1,100
and 20,000 for the full claim). The sandbox's store is moto, which takes most of the time that artifacts take.
"""

import os
import time

import boto3
import pytest

from tests.bench import seed_artifacts, seed_database
from tests.workers.operations.restore.test_recover import delete_everything, systems, whole  # noqa: F401 - fixtures
from workers.operations.backup.backup import Backup
from workers.operations.restore.recover import Recover
from workers.report import Status

MEGABYTES = int(os.environ.get("MLFLOW_OPS_BENCH_RECOVER_MEGABYTES", "20"))
ARTIFACTS = int(os.environ.get("MLFLOW_OPS_BENCH_RECOVER_ARTIFACTS", "1000"))
AIM_SECONDS = 1800
TOP = ("Role in", "Database", "Bucket", "Artifacts (", "Objects in", "Pods", "MLflow answers", "Smoke test")
SIZE = 4000


class Timed:
    """When each of the recovery's own steps began."""

    def __init__(self):
        self.began = []

    def step(self, name, of=""):
        if name.startswith(TOP):
            self.began.append((name.partition(" (")[0], time.perf_counter()))

    def advance(self, done, total, unit):
        pass

    def ended(self, said="", *, well=True):
        pass

    def checkpoint(self):
        pass


@pytest.mark.bench
@pytest.mark.timeout(1200)
def test_from_nothing_to_a_passed_smoke_test(whole, systems, say):  # noqa: F811
    size = seed_database.seed(systems.database.url, MEGABYTES)
    # A session of its own: the default one keeps the credentials of whichever sandbox asked first.
    store = boto3.session.Session().client("s3", endpoint_url=whole.env["AWS_ENDPOINT_URL_S3"])
    seed_artifacts.seed(store, "mlflow-artifacts", ARTIFACTS, SIZE)
    backing_up = time.perf_counter()
    assert Backup().run(systems, Timed()).status is Status.OK
    backed_up = time.perf_counter() - backing_up
    delete_everything(whole, systems)
    timed, began = Timed(), time.perf_counter()
    report = Recover().run(systems, timed)
    took = time.perf_counter() - began
    assert report.status is Status.OK, report.summary
    assert "made, read back and deleted" in dict(report.sections[0].items)["Smoke test"]
    ends = [moment for _, moment in timed.began[1:]] + [began + took]
    steps = {name: end - moment for (name, moment), end in zip(timed.began, ends, strict=True)}
    say(f"\n| recovered from nothing: {size / 1e6:.0f} MB, {ARTIFACTS:,} artifacts and the sandbox's own | took |")
    say("| --- | --- |")
    for name, seconds in steps.items():
        say(f"| {name} | {seconds:.1f} s |")
    say(f"| **all of it** | {took:.1f} s of {AIM_SECONDS:,} s |")
    a_gigabyte, ten_thousand = steps["Database"] / size * 1e9, steps["Artifacts"] / ARTIFACTS * 1e4
    say(
        f"{a_gigabyte:.0f} s a GB of database, {ten_thousand:.0f} s for 10,000 artifacts; the backup: {backed_up:.1f} s"
    )
    assert took < AIM_SECONDS
