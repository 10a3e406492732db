"""Several workers on one set: its keys are cut into spans, each artifact is copied once; a lost helper costs time."""

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rq import Worker

from mlflow_ops_sandbox.testing import wait_for
from tests.series import slow
from workers.engine import locks, queues
from workers.operations.backup import parallel
from workers.operations.backup.artifacts import copying, spans
from workers.operations.backup.artifacts.listing import Entry, lines
from workers.operations.backup.artifacts.object_copying import Tuning
from workers.records.record import Phase, Record
from workers.records.store import Records
from workers.rendering.message import asked
from workers.systems.errors import ObjectsUnreachable
from workers.systems.s3.transfer import Transfer

pytestmark = pytest.mark.slow

NUMBER = 300
SET = "sets/20260101T000000Z-aaaaaa/"


@pytest.fixture
def many(s3, buckets):
    """The two buckets, with more artifacts in the first, in folders as MLflow makes them."""
    for n in range(NUMBER):
        s3.put_object(Bucket=buckets[0], Key=f"{n % 7}/run{n:03}/artifacts/model.pkl", Body=f"model {n}".encode())
    return buckets


def sources_of(many, set_name=SET, previous=()):
    return copying.Sources(many[0], many[1], set_name, previous, tuning=Tuning(note_objects=10))


def listed(systems, bucket, set_name):
    name = f"{set_name}artifacts.jsonl.zst"
    with Transfer.of(systems.objects, 1) as transfer:
        return [Entry.read(found) for found, _ in lines(name, transfer.open(bucket, name)[1])]


def everything(keys_in, many):
    return sorted(keys_in(many[0]), key=lambda key: key.encode())


def test_a_small_bucket_is_not_cut(systems, many):
    assert spans.cut(systems().objects, sources_of(many), 1000, 4) == []


def test_spans_cover_each_key_once(systems, many, keys_in):
    cut = spans.cut(systems().objects, sources_of(many), 50, 4)
    assert [span.number for span in cut] == [1, 2, 3, 4]
    owners = Counter()
    for key in keys_in(many[0]):
        owners[key] = sum(key > span.after and (not span.until or key <= span.until) for span in cut)
    assert set(owners.values()) == {1}


@pytest.mark.parametrize("seed", [1, *slow(2, 3)])
def test_whatever_spans_were_done_the_set_is_whole_and_nothing_is_copied_twice(systems, many, keys_in, progress, seed):
    chance, made = random.Random(seed), systems()
    sources = sources_of(many)
    cut = spans.cut(made.objects, sources, 50, 6)
    spans.announce(made.objects, sources)
    done = chance.sample(cut, chance.randint(1, len(cut)))
    copied = sum(spans.copy_span(made.objects, sources, span, progress) for span in done)
    whole = copying.whole(made.objects, sources, progress, after_spans=True)
    assert whole.objects == NUMBER + 10
    assert copied + whole.copied_objects == NUMBER + 10
    assert [entry.key for entry in listed(made, many[1], SET)] == everything(keys_in, many)
    assert len(keys_in(many[1], "objects/")) == NUMBER + 10
    assert [key for key in keys_in(many[1], SET) if "part-" in key] == []


def test_the_next_set_is_cut_by_the_last_listing(systems, many, progress):
    made = systems()
    copying.whole(made.objects, sources_of(many), progress)
    again = sources_of(many, "sets/20260101T010000Z-bbbbbb/", (SET,))
    cut = spans.cut(made.objects, again, 50, 5)
    assert len(cut) == 5
    spans.announce(made.objects, again)
    assert [spans.copy_span(made.objects, again, span, progress) for span in cut] == [0] * 5
    assert copying.whole(made.objects, again, progress, after_spans=True).copied_objects == 0


@pytest.fixture
def ours(redis, environ, redis_url, tmp_path):
    """What workers need besides that use this test's Redis, and share work early."""
    path = Path(environ["MLFLOW_OPS_CONFIG"])
    ops = yaml.safe_load(path.read_text(encoding="utf-8"))
    ops["backup"] |= {"split_above": 50, "helpers": 2}
    path.write_text(yaml.safe_dump(ops), encoding="utf-8")
    return {"REDIS_URL": redis_url}


def a_backup(redis):
    record = Record(operation="backup", arguments={}, words="backup", requester="U0OMAR", channel="C0OPS")
    Records(redis).accept(record, record.id, asked(record.words, record.requester))
    return record


def begin_helpers(redis, stop):
    """What the bot does with a record that is announced."""
    records = Records(redis)
    while not stop.wait(0.05):
        for record_id in records.open():
            record = records.get(record_id)
            if record and record.operation == "backup-help" and record.phase is Phase.ACCEPTED:
                queues.enqueue(record, redis)


def test_two_other_workers_take_their_share(systems, many, keys_in, progress_that, ours, redis, environ):
    # Without a key, as the sources here.
    made, sources, env = systems(**ours), sources_of(many), {**environ, **ours}
    env.pop("MLFLOW_OPS_BACKUP_KEY", None)
    progress = progress_that(lambda _step: time.sleep(0.4))
    running = [subprocess.Popen([sys.executable, "-m", "bot", "worker", "--queue", "ops"], env=env) for _ in range(2)]
    stop = threading.Event()
    beginner = threading.Thread(target=begin_helpers, args=(redis, stop))
    beginner.start()
    try:
        wait_for(lambda: len(Worker.all(connection=redis)) == 2, "two workers", 30)
        cut = spans.cut(made.objects, sources, 50, 12)
        record = a_backup(redis)
        with locks.held(redis, record, ("backup",)):
            helped = parallel.copy_together(made, sources, cut, progress)
        whole = copying.whole(made.objects, sources, progress, after_spans=True)
    finally:
        stop.set()
        beginner.join()
        for each in running:
            each.terminate()
        for each in running:
            each.wait(20)
    assert helped == 2
    told = [Records(redis).get(each) for each in Records(redis).recent(10)]
    outcomes = [each.outcome for each in told if each.operation == "backup-help"]
    assert any("done" in (outcome or "") and not outcome.startswith("0 ") for outcome in outcomes), outcomes
    assert whole.copied_objects == 0
    assert [entry.key for entry in listed(made, many[1], SET)] == everything(keys_in, many)
    assert len(keys_in(many[1], "objects/")) == NUMBER + 10


def test_helpers_that_nobody_begins_are_dismissed(systems, many, progress, ours, redis):
    made, sources = systems(**ours), sources_of(many)
    cut = spans.cut(made.objects, sources, 50, 4)
    record = a_backup(redis)
    with locks.held(redis, record, ("backup",)):
        assert parallel.copy_together(made, sources, cut, progress) == 0
    told = [Records(redis).get(each) for each in Records(redis).recent(10)]
    helpers = [each for each in told if each.operation == "backup-help"]
    assert [each.phase for each in helpers] == [Phase.CANCELLED] * 2
    assert redis.keys("mlflow-ops:mlflow:spans:*") == []
    assert copying.whole(made.objects, sources, progress, after_spans=True).copied_objects == 0


def test_a_span_that_fails_fails_the_backup_and_leaves_nothing_to_be_taken(systems, many, progress, ours, redis):
    made = systems(**ours, AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    cut = [spans.Span(number=1, until="3/"), spans.Span(number=2, after="3/")]
    with pytest.raises(ObjectsUnreachable), locks.held(redis, a_backup(redis), ("backup",)):
        parallel.copy_together(made, sources_of(many), cut, progress)
    assert redis.keys("mlflow-ops:mlflow:spans:*") == []
