"""Artifacts, bucket to bucket, against `aws s3 sync`: the same data, the same store, in one run.

MLFLOW_OPS_BENCH_ARTIFACTS sets how many objects (4,000; 20,000 and 100,000 for the full claim). The claims are made on
a store that costs little for each call (light_store.py); the sandbox's, which is moto, takes most of the time itself
and is shown beside it. Our time is that of the operation in a worker, which has its libraries loaded; what the CLI
takes to start is shown, and left out of a second ratio.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import boto3
import pytest

from tests.bench import seed_artifacts
from tests.bench.stores import ROOT, Store, starting

OBJECTS = int(os.environ.get("MLFLOW_OPS_BENCH_ARTIFACTS", "4000"))
MEMORY = (1000, int(os.environ.get("MLFLOW_OPS_BENCH_ARTIFACTS_MEMORY", "10000")))
MOTO_OBJECTS = 1000
SIZE = 4000
SOURCE, BACKUPS, THEIRS = "mlflow-artifacts", "mlflow-backups", "theirs"

COPY = """
import json, sys, time
from workers import settings
from workers.operations.backup.artifacts import copy
from workers.systems.s3.objects import Objects, preload
from workers.operation import Unwatched

preload()
objects = Objects.connect(settings.load({"AWS_ENDPOINT_URL_S3": sys.argv[1]}))
began = time.perf_counter()
copied = copy(objects, "mlflow-artifacts", "mlflow-backups", sys.argv[2], tuple(sys.argv[3:]), Unwatched())
took = time.perf_counter() - began
status = open("/proc/self/status").read()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"took": took, "objects": copied.objects, "copied": copied.copied_objects, "peak": peak}))
"""


@pytest.fixture
def moto(own_credentials, free_port, tmp_path):
    """The sandbox's own object store."""
    keys = {"access_key": "AKIDSANDBOX", "secret_key": "hunter2", "region": "us-east-1"}
    buckets = {SOURCE: {"versioning": True}, BACKUPS: {"versioning": False}, THEIRS: {"versioning": False}}
    (tmp_path / "server.json").write_text(json.dumps(keys | {"buckets": buckets}))
    command = [
        sys.executable,
        "-m",
        "mlflow_ops_sandbox.parts.s3.server",
        "--port",
        str(free_port),
        "--data",
        str(tmp_path),
    ]
    store = Store(command, free_port)
    yield store
    store.stop()


def ours(store, name, *previous):
    run = subprocess.run(
        [sys.executable, "-c", COPY, store.url, name, *previous], check=True, capture_output=True, text=True, cwd=ROOT
    )
    return json.loads(run.stdout)


def theirs(aws, store):
    began = time.perf_counter()
    command = [aws, "--endpoint-url", store.url, "s3", "sync", "--only-show-errors", f"s3://{SOURCE}", f"s3://{THEIRS}"]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


@pytest.mark.bench
@pytest.mark.timeout(300 + OBJECTS // 20)
def test_a_first_copy_and_one_where_nothing_changed_against_aws_s3_sync(aws, light, say, ratio):
    light.order(f"seed?bucket={SOURCE}&objects={OBJECTS}&size={SIZE}")
    start = starting(aws)
    light.order("count")
    first = ours(light, "sets/0/")
    calls = light.order("count")
    their_first = theirs(aws, light)
    their_calls = light.order("count")
    again, their_again = [], []
    for n in range(3):
        again.append(ours(light, f"sets/{n + 1}/", f"sets/{n}/"))
        again_calls = light.order("count")
        their_again.append(theirs(aws, light))
        their_again_calls = light.order("count")
    assert (first["copied"], {run["copied"] for run in again}) == (OBJECTS, {0})
    mine, other = statistics.median(run["took"] for run in again), statistics.median(their_again)

    def row(what, seconds, counted):
        bare = sum(number for name, number in counted.items() if name != "bytes copied")
        moved = counted.get("bytes copied", 0)
        say(f"| {what} | {seconds:.2f} s | {OBJECTS / seconds:,.0f} | {bare / OBJECTS:.3f} | {moved:,} |")

    say(f"\n| {OBJECTS:,} artifacts of {SIZE:,} bytes | took | a second | calls per artifact | bytes the store moved |")
    say("| --- | --- | --- | --- | --- |")
    row("first copy, ours", first["took"], calls)
    row("first copy, aws s3 sync", their_first, their_calls)
    row("nothing changed, ours", mine, again_calls)
    row("nothing changed, aws s3 sync", other, their_again_calls)
    say(f"first copy {their_first / first['took']:.1f} times as fast; nothing changed {other / mine:.1f} times;")
    say(
        f"without the CLI's start ({start:.2f} s): {(their_first - start) / first['took']:.1f} and "
        f"{(other - start) / mine:.1f} times. The minimum is 1 call for an artifact and {OBJECTS * SIZE:,} bytes."
    )
    # One call for each artifact, one for a thousand listed, and a handful for the set itself.
    assert calls["CopyObject"] == OBJECTS
    assert calls["bytes copied"] == OBJECTS * SIZE
    assert sum(again_calls.values()) <= OBJECTS / 1000 + 12
    ratio(f"First copy of {OBJECTS:,} artifacts: aws s3 sync", ours=first["took"], theirs=their_first, bar=1.5)
    ratio(f"Copy of {OBJECTS:,} artifacts that nothing has changed: aws s3 sync", ours=mine, theirs=other, bar=2)


@pytest.mark.bench
def test_on_the_sandboxs_store_it_is_the_store_that_bounds_both(aws, moto, say, ratio):
    client = boto3.client("s3", endpoint_url=moto.url)
    seed_artifacts.seed(client, SOURCE, MOTO_OBJECTS, SIZE)
    first = ours(moto, "sets/0/")
    their_first = theirs(aws, moto)
    again = ours(moto, "sets/1/", "sets/0/")
    their_again = theirs(aws, moto)
    say(f"\n| the sandbox's store (moto), {MOTO_OBJECTS:,} artifacts | ours | aws s3 sync | ratio |")
    say("| --- | --- | --- | --- |")
    for what, mine, other in (("first copy", first, their_first), ("nothing changed", again, their_again)):
        say(f"| {what} | {mine['took']:.2f} s | {other:.2f} s | {other / mine['took']:.1f} |")
    assert (first["copied"], again["copied"]) == (MOTO_OBJECTS, 0)
    # Both wait for moto most of the time; what is left is noise.
    ratio(
        f"First copy of {MOTO_OBJECTS:,} artifacts, a slow store: aws s3 sync",
        ours=first["took"],
        theirs=their_first,
        bar=0.8,
    )


@pytest.mark.bench
@pytest.mark.timeout(300 + MEMORY[1] // 50)
def test_memory_does_not_grow_with_the_number_of_artifacts(light, say):
    peaks = {}
    for objects in MEMORY:
        for bucket in (SOURCE, BACKUPS):
            light.order(f"forget?bucket={bucket}")
        light.order(f"seed?bucket={SOURCE}&objects={objects}&size={SIZE}")
        runs = ours(light, "sets/0/"), ours(light, "sets/1/", "sets/0/")
        assert [run["copied"] for run in runs] == [objects, 0]
        peaks[objects] = max(run["peak"] for run in runs)
    say("\n| artifacts | peak memory of the process |")
    say("| --- | --- |")
    for objects, peak in peaks.items():
        say(f"| {objects:,} | {peak:.0f} MB |")
    few, many = peaks.values()
    assert many < 300
    assert many / few < 1.2
