"""`storage` over very many objects against `aws s3 ls --recursive --summarize`: the same store, in one run.

MLFLOW_OPS_BENCH_STORAGE sets how many objects (20,000; 100,000 for the full claim). The claim is made on a store that
costs little for each call (light_store.py). It is a single process, though, so beside both times stands what the store
alone takes for the same pages when nothing is made of them: no client can be quicker than that. Our time is that of the
listing and the adding up in a worker, which has its libraries loaded; what the CLI takes to start is shown, and left
out of a second ratio.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bench.stores import ROOT, starting

OBJECTS = int(os.environ.get("MLFLOW_OPS_BENCH_STORAGE", "20000"))
MEMORY = (2000, OBJECTS)
SIZE = 4000
BUCKET = "mlflow-artifacts"

LIST = """
import json, sys, time
from workers import settings
from workers.operations.storage.measuring import Measuring
from workers.systems.s3.transfer import Transfer
from workers.systems.s3.listing import AT_ONCE, Lister
from workers.systems.s3.objects import Objects, preload

preload()
objects = Objects.connect(settings.load({"AWS_ENDPOINT_URL_S3": sys.argv[1]}))
began = time.perf_counter()
measuring = Measuring(lambda owners: {each.id for each in owners})
with Transfer.of(objects, AT_ONCE) as transfer:
    for page in Lister(transfer, "mlflow-artifacts").pages():
        measuring.take(page)
found = measuring.end()
took = time.perf_counter() - began
status = open("/proc/self/status").read()
peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps({"took": took, "objects": found.total.objects, "bytes": found.total.bytes, "peak": peak}))
"""


def ours(store):
    run = subprocess.run([sys.executable, "-c", LIST, store.url], check=True, capture_output=True, text=True, cwd=ROOT)
    return json.loads(run.stdout)


def theirs(aws, store):
    command = [aws, "--endpoint-url", store.url, "s3", "ls", "--recursive", "--summarize", f"s3://{BUCKET}"]
    began = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    took = time.perf_counter() - began
    objects, size = (int(line.rpartition(" ")[2]) for line in said.strip().splitlines()[-2:])
    return took, objects, size


def the_store_alone(store, at_once=8):
    """What the store takes for pages of a thousand that nobody reads, several at a time."""
    after = [f"{n % 7}/{n // 20:032x}/artifacts/model/file-{n % 20:04}.bin" for n in range(0, OBJECTS, 1000)]

    def page(key):
        query = urllib.parse.urlencode({"list-type": 2, "max-keys": 1000, "start-after": key})
        with urllib.request.urlopen(f"{store.url}/{BUCKET}/?{query}") as answer:
            return len(answer.read())

    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        assert all(pool.map(page, after))
    return time.perf_counter() - began


@pytest.mark.bench
@pytest.mark.timeout(300 + OBJECTS // 100)
def test_adding_up_a_bucket_against_aws_s3_ls(aws, light, say, ratio):
    light.order(f"seed?bucket={BUCKET}&objects={OBJECTS}&size={SIZE}")
    start = starting(aws)
    mine, other, alone = [], [], []
    for _ in range(3):
        light.order("count")
        mine.append(ours(light))
        calls = light.order("count")["ListObjectsV2"]
        other.append(theirs(aws, light))
        their_calls = light.order("count")["ListObjectsV2"]
        alone.append(the_store_alone(light))
    assert {(run["objects"], run["bytes"]) for run in mine} == {(OBJECTS, OBJECTS * SIZE)}
    assert {run[1:] for run in other} == {(OBJECTS, OBJECTS * SIZE)}
    took, their_took = statistics.median(run["took"] for run in mine), statistics.median(run[0] for run in other)
    bound = statistics.median(alone)
    say(f"\n| {OBJECTS:,} objects | took | a second | calls |")
    say("| --- | --- | --- | --- |")
    say(f"| storage | {took:.2f} s | {OBJECTS / took:,.0f} | {calls} |")
    say(f"| aws s3 ls --recursive --summarize | {their_took:.2f} s | {OBJECTS / their_took:,.0f} | {their_calls} |")
    say(f"| the store alone, eight pages at a time | {bound:.2f} s | {OBJECTS / bound:,.0f} | {OBJECTS // 1000} |")
    say(
        f"{their_took / took:.1f} times as fast; without the CLI's start ({start:.2f} s): "
        f"{(their_took - start) / took:.1f} times. {took / bound:.1f} times what the store alone takes."
    )
    # A guess that finds nothing costs a call, and there are few of these.
    assert calls <= OBJECTS / 1000 + 120
    ratio(f"Add up {OBJECTS:,} objects: aws s3 ls --summarize", ours=took, theirs=their_took, bar=3)


@pytest.mark.bench
@pytest.mark.timeout(300)
def test_memory_does_not_grow_with_the_number_of_objects(light, say):
    peaks = {}
    for objects in MEMORY:
        light.order(f"forget?bucket={BUCKET}")
        light.order(f"seed?bucket={BUCKET}&objects={objects}&size={SIZE}")
        run = ours(light)
        assert run["objects"] == objects
        peaks[objects] = run["peak"]
    say("\n| objects | peak memory of the process |")
    say("| --- | --- |")
    for objects, peak in peaks.items():
        say(f"| {objects:,} | {peak:.0f} MB |")
    few, many = peaks.values()
    assert many < 200
    assert many / few < 1.25
