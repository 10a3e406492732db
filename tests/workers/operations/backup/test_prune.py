"""Pruning: what the retention does not keep goes, and nothing that a remaining set needs.

The property is tested over random histories: sets of random artifacts and ages, a random retention, and a backup that
is being made at the same time. Whatever is kept can be restored: every byte that its listing names is there.
"""

import hashlib
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.series import slow
from workers.errors import OperatorError
from workers.operations.backup import manifest, sets
from workers.operations.backup.artifacts import copy, references, verify
from workers.operations.backup.backup import Backup
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import ArtifactsPart, Manifest
from workers.operations.backup.prune import BackupPrune, choose
from workers.operations.backup.show import BackupList
from workers.operations.backup.signing import signed
from workers.report import Status
from workers.settings import Retention


@pytest.fixture
def configured(systems, environ):
    """Makes the gateways with another retention."""

    def make(**retention):
        path = Path(environ["MLFLOW_OPS_CONFIG"])
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"backup": {"retention": retention}}))
        return systems()

    return make


NONE = {"hourly": 1, "daily": 0, "weekly": 0, "monthly": 0}


def add_set(ready, buckets, progress, made, previous=(), *, finished=True):
    """A set of the artifacts as they are now, under the name that it would have had then."""
    name = f"sets/{made:%Y%m%dT%H%M%SZ}-{hashlib.sha256(str(made).encode()).hexdigest()[:6]}/"
    done = copy(ready.objects, buckets[0], buckets[1], name, previous, progress)
    if finished:
        part = ArtifactsPart(
            listing=done.listing,
            bucket=buckets[0],
            objects=done.objects,
            bytes=done.bytes,
        )
        found = Manifest(name=name, id=sets.id_of(name), started_at=made, finished_at=made, artifacts=part)
        text = signed(found, Keys.of(ready.settings)).text()
        ready.objects.write(buckets[1], f"{name}{manifest.NAME}", text)
    return name


def test_the_plan_names_what_would_go_and_the_run_removes_it(configured, progress, buckets, keys_in):
    ready = configured(**NONE)
    now = datetime.now(UTC)
    old = add_set(ready, buckets, progress, now - timedelta(days=3))
    new = add_set(ready, buckets, progress, now - timedelta(hours=1), (old,))
    plan = BackupPrune().plan(ready)
    assert [change.what for change in plan.changes] == [f"{sets.id_of(old)} of {sets.begun(old):%Y-%m-%d %H:%M} UTC"]
    assert plan.digest == BackupPrune().plan(ready).digest
    report = BackupPrune().run(ready, progress)
    assert "1 set removed, 1 kept" in report.summary
    assert sets.names(ready.objects, buckets[1]) == [new]
    assert verify(ready.objects, buckets[1], new, deep=True, progress=progress).problems == ()
    assert not keys_in(buckets[1], old)


def test_the_last_good_set_stays_whatever_ops_yaml_says(configured, progress, buckets):
    ready = configured(hourly=0, daily=0, weekly=0, monthly=0)
    name = add_set(ready, buckets, progress, datetime.now(UTC) - timedelta(days=400))
    BackupPrune().run(ready, progress)
    assert sets.names(ready.objects, buckets[1]) == [name]


def test_what_an_unfinished_set_builds_on_stays_until_that_has_ended(configured, progress, buckets, s3):
    ready = configured(**NONE)
    now = datetime.now(UTC)
    base = add_set(ready, buckets, progress, now - timedelta(days=3))
    add_set(ready, buckets, progress, now - timedelta(hours=1), (base,))
    making = f"sets/{now:%Y%m%dT%H%M%SZ}-abcdef/"
    body = json.dumps({"previous": [base]}).encode()
    s3.put_object(Bucket=buckets[1], Key=f"{making}artifacts.previous.json", Body=body)
    chosen = choose(ready)
    assert chosen.going == ()
    assert chosen.reasons[base] == "an unfinished set builds on it"
    BackupPrune().run(ready, progress)
    assert verify(ready.objects, buckets[1], base, deep=True, progress=progress).problems == ()


def test_a_kept_set_whose_listing_is_lost_stops_the_sweep(configured, progress, buckets, s3, keys_in):
    ready = configured(**NONE)
    name = add_set(ready, buckets, progress, datetime.now(UTC) - timedelta(hours=1))
    s3.delete_object(Bucket=buckets[1], Key=f"{name}artifacts.jsonl.zst")
    kept = keys_in(buckets[1], "objects/")
    with pytest.raises(OperatorError):
        BackupPrune().run(ready, progress)
    assert keys_in(buckets[1], "objects/") == kept


def test_a_set_whose_manifest_is_damaged_is_listed_and_not_removed(configured, progress, buckets, s3):
    ready = configured(**NONE)
    now = datetime.now(UTC)
    bad = add_set(ready, buckets, progress, now - timedelta(days=9))
    add_set(ready, buckets, progress, now - timedelta(hours=1))
    s3.put_object(Bucket=buckets[1], Key=f"{bad}manifest.json", Body=b"{}")
    BackupPrune().run(ready, progress)
    listed = BackupList().run(ready, progress)
    assert "cannot be read" in listed.model_dump_json()
    assert verify(ready.objects, buckets[1], bad, deep=True, progress=progress).problems == ()


@pytest.mark.parametrize("seed", [0, *slow(*range(1, 6))])
def test_whatever_is_kept_can_be_restored(seed, configured, progress, buckets, s3, monkeypatch):
    chance = random.Random(seed)
    wanted = {name: chance.randint(0, 3) for name in ("hourly", "daily", "weekly", "monthly")}
    ready = configured(**wanted)
    # Everything in the bucket counts as old, so that nothing stays for having been written lately.
    monkeypatch.setattr(
        "workers.operations.backup.leftovers.STALE", timedelta(days=-1) if chance.random() < 0.7 else timedelta(1)
    )
    now = datetime.now(UTC)
    ages = sorted((chance.randint(1, 24 * 90) for _ in range(chance.randint(2, 7))), reverse=True)
    previous = ()
    for hours in dict.fromkeys(ages):
        for _ in range(chance.randint(0, 4)):
            change_something(s3, buckets[0], chance)
        name = add_set(ready, buckets, progress, now - timedelta(hours=hours), previous)
        previous = (name,) if chance.random() < 0.9 else ()
    expected = {name: content(ready, buckets, name) for name in sets.names(ready.objects, buckets[1])}
    BackupPrune().run(ready, progress)
    left = sets.names(ready.objects, buckets[1])
    assert left
    assert left[-1] == max(expected)
    for name in left:
        assert verify(ready.objects, buckets[1], name, deep=True, progress=progress).problems == (), name
        assert content(ready, buckets, name) == expected[name]
    used = {key for name in left for key in references(ready.objects, buckets[1], name)}
    there = {item["Key"] for item in s3.list_objects_v2(Bucket=buckets[1], Prefix="objects/").get("Contents", ())}
    assert used <= there
    # And the next backup builds on what is left.
    assert Backup(parts=("artifacts",)).run(ready, progress).status is Status.OK


def change_something(s3, bucket, chance):
    key = f"1/run{chance.randint(0, 14)}/artifacts/model.pkl"
    if chance.random() < 0.3:
        s3.delete_object(Bucket=bucket, Key=key)
    else:
        s3.put_object(Bucket=bucket, Key=key, Body=chance.randbytes(200))


def content(ready, buckets, name):
    return list(references(ready.objects, buckets[1], name))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *slow(*range(1, 4))])
def test_a_backup_that_is_made_meanwhile_is_whole_afterwards(
    seed, configured, progress_that, buckets, s3, progress, keys_in, monkeypatch
):
    """No lock between them here: as if two installations shared the bucket."""
    chance = random.Random(1000 + seed)
    ready = configured(**NONE)
    now = datetime.now(UTC)
    previous = ()
    for hours in (2000, 900, 300, 30):
        change_something(s3, buckets[0], chance)
        previous = (add_set(ready, buckets, progress, now - timedelta(hours=hours), previous),)
    before = set(keys_in(buckets[1], "objects/"))
    # A day, made shorter: it began between what stands there and what is made now, however long that takes.
    time.sleep(1.1)  # the store tells times in seconds
    day_began = datetime.now(UTC)
    time.sleep(2.9)
    at = chance.choice(["Artifacts: copying", "Artifacts: looking", "Writing", "Removing"])

    def prune_now(step):
        if step.startswith(at):
            prune(progress)

    def prune(progress):
        monkeypatch.setattr("workers.operations.backup.leftovers.STALE", datetime.now(UTC) - day_began)
        BackupPrune().run(ready, progress)

    change_something(s3, buckets[0], chance)
    if at == "Removing":
        made = []
        backing_up = Backup(parts=("artifacts",))
        prune(progress_that(lambda _step: made or made.append(backing_up.run(ready, progress))))
    else:
        Backup(parts=("artifacts",)).run(ready, progress_that(prune_now))
    for found in sets.every(ready):
        if found.manifest:
            keys = Keys.of(ready.settings)
            assert verify(ready.objects, buckets[1], found.name, deep=True, progress=progress, keys=keys).problems == ()
    assert before - set(keys_in(buckets[1], "objects/")), "nothing was removed"


@pytest.mark.slow
def test_retention_of_a_good_history_is_what_prune_shows(configured, progress, buckets):
    ready = configured(**NONE)
    wanted = ready.settings.ops.backup.retention
    assert wanted == Retention(**NONE)
    add_set(ready, buckets, progress, datetime.now(UTC) - timedelta(hours=5))
    assert BackupPrune().plan(ready).steps[-1] == "Remove the bytes of artifacts that no remaining set uses"
