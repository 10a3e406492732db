"""One artifact backup by one, two and four worker processes: how much more each of them brings, and where it ends.

Each worker copies with 16 threads, so with a store that answers like S3 does (FAR_SECONDS for a copy) a worker waits,
and another one waits beside it. With a store next door the work is this machine's, store and all, and more workers
share its cores. MLFLOW_OPS_BENCH_SCALING is how many artifacts there are.
"""

import os
import subprocess
import sys
import threading
import time

import pytest
import yaml
from rq import Worker

from mlflow_ops_sandbox.testing import wait_for
from tests.bench.stores import LIGHT, ROOT, Store
from tests.bench.test_artifacts_speed import BACKUPS, SIZE, SOURCE
from workers import settings
from workers.engine import locks, queues
from workers.operation import Unwatched
from workers.operations.backup import parallel
from workers.operations.backup.artifacts import copying, spans
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering.message import asked
from workers.systems import Systems

OBJECTS = int(os.environ.get("MLFLOW_OPS_BENCH_SCALING", "2000"))
NEAR_SECONDS, FAR_SECONDS = 0.005, 0.1
WORKERS = (1, 2, 4)


@pytest.fixture
def env(tmp_path, redis_url, monkeypatch):
    """What workers need to copy, and nothing else."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    config = tmp_path / "ops.yaml"
    config.write_text(yaml.safe_dump({"storage": {"artifacts_bucket": SOURCE, "backups_bucket": BACKUPS}}))
    keys = {"AWS_ACCESS_KEY_ID": "AKIDSANDBOX", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in {**keys, "PYTHONPATH": str(ROOT)}.items():
        monkeypatch.setenv(name, value)
    return {"REDIS_URL": redis_url, "MLFLOW_OPS_CONFIG": str(config)}


@pytest.fixture
def announced(redis):
    """The bot's part: whatever is asked for is put on its queue."""
    stop, records = threading.Event(), Records(redis)

    def begin():
        while not stop.wait(0.02):
            for record in filter(None, map(records.get, records.open())):
                if record.operation == parallel.BackupHelper.name and record.phase is Phase.ACCEPTED:
                    queues.enqueue(record, redis)

    beginner = threading.Thread(target=begin)
    beginner.start()
    yield
    stop.set()
    beginner.join()


def copied(systems, redis, set_name, workers):
    """Seconds for a first copy of everything by so many workers, of which this process is one; what one of them does
    before and after, a walk over the keys, is left out.
    """
    helpers = systems.settings.ops.backup.model_copy(update={"helpers": workers - 1, "split_above": 100})
    ops = systems.settings.ops.model_copy(update={"backup": helpers})
    systems = Systems(systems.settings.model_copy(update={"ops": ops}))
    sources = copying.Sources(SOURCE, BACKUPS, set_name, ())
    record = Record(operation="backup", arguments={}, words="backup", requester="U0OMAR", channel="C0OPS")
    Records(redis).accept(record, record.id, asked(record.words, record.requester))
    with locks.held(redis, record, ("backup",)):
        cut = spans.cut(systems.objects, sources, 100, workers * parallel.SPANS_PER_WORKER)
        began = time.perf_counter()
        parallel.copy_together(systems, sources, cut, Unwatched())
        took = time.perf_counter() - began
    done = copying.whole(systems.objects, sources, Unwatched(), after_spans=True)
    assert (done.objects, done.copied_objects) == (OBJECTS, 0)
    return took


@pytest.mark.bench
def test_one_two_and_four_workers_on_one_backup(env, redis, announced, free_port, say, ratio):
    url = f"http://127.0.0.1:{free_port}"
    env["AWS_ENDPOINT_URL_S3"] = url
    running = [
        subprocess.Popen([sys.executable, "-m", "bot", "worker", "--queue", "ops"], env={**os.environ, **env})
        for _ in range(max(WORKERS) - 1)
    ]
    rates = {}
    try:
        wait_for(lambda: len(Worker.all(connection=redis)) == len(running), "the workers", 60)
        for delay in (NEAR_SECONDS, FAR_SECONDS):
            store = Store([sys.executable, LIGHT, str(free_port), str(delay)], free_port)
            try:
                systems = Systems(settings.load(env))
                store.order(f"seed?bucket={SOURCE}&objects={OBJECTS}&size={SIZE}")
                for workers in WORKERS:
                    store.order(f"forget?bucket={BACKUPS}")
                    took = copied(systems, redis, f"sets/20260101T00000{workers}Z-{workers:06}/", workers)
                    rates[delay, workers] = OBJECTS / took
            finally:
                store.stop()
    finally:
        for each in running:
            each.terminate()
        for each in running:
            each.wait(20)
    cores = len(os.sched_getaffinity(0))
    heads = " | ".join(f"{n} worker{'s' if n > 1 else ''}" for n in WORKERS)
    say(f"\n| {OBJECTS:,} artifacts, so many a second ({cores} cores) | {heads} |")
    say("| --- " * (len(WORKERS) + 1) + "|")
    for delay, what in ((FAR_SECONDS, "a store that takes"), (NEAR_SECONDS, "one next door")):
        figures = " | ".join(f"{rates[delay, n]:,.0f}" for n in WORKERS)
        say(f"| {what} {delay * 1000:.0f} ms | {figures} |")
    far = [rates[FAR_SECONDS, n] for n in WORKERS]
    say(f"far: {far[1] / far[0]:.1f} and {far[2] / far[0]:.1f} times as fast; near, the machine is the limit.")
    for number, bar in ((1, 1.4), (2, 2)):
        what = f"{OBJECTS:,} artifacts by {WORKERS[number]} workers from far away: by one worker"
        ratio(what, ours=OBJECTS / far[number], theirs=OBJECTS / far[0], bar=bar)
