"""Sweeping removes what no kept set uses, and nothing else, whatever happens beside it."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import OperatorError
from workers.operation import Cancelled
from workers.operations.backup.artifacts import ListingDamaged, Tuning, copy, references, sweep, verify
from workers.systems.errors import ObjectMissing

KEYS = ["a", "a!", "a/b", "b c", "b/ü", "z"]


def later():
    return datetime.now(UTC) + timedelta(minutes=1)


def remove(place, name):
    for key in place.keys(name):
        place.direct.delete_object(Bucket=place.backups, Key=key)


@pytest.mark.slow
@given(
    states=st.lists(st.dictionaries(st.sampled_from(KEYS), st.integers(0, 2)), min_size=1, max_size=5),
    choice=st.lists(st.booleans(), min_size=5, max_size=5),
    dry_first=st.booleans(),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_kept_sets_stay_whole_and_all_else_goes(place, listening, states, choice, dry_first):
    remove(place, "")
    made = []
    for number, state in enumerate(states):
        for key in KEYS:
            if key in state:
                place.put(key, f"{key} {state[key]}".encode())
            else:
                place.direct.delete_object(Bucket=place.source, Key=key)
        name = f"sets/{number}/"
        copy(place.objects, place.source, place.backups, name, tuple(reversed(made)), listening())
        made.append(name)
    kept = [name for name, stays in zip(made, choice, strict=False) if stays]
    used = {key for name in kept for key in references(place.objects, place.backups, name)}
    before = set(place.keys("objects/"))

    if dry_first:
        told = sweep(place.objects, place.backups, kept, dry_run=True, older_than=later())
        assert told.objects == len(before - used)
        assert set(place.keys("objects/")) == before
    # Sets that were begun lately are kept too, so those that go are gone before.
    swept = sweep(place.objects, place.backups, kept, dry_run=False, older_than=later())
    assert swept.objects == len(before - used)
    assert set(place.keys("objects/")) == used
    for name in kept:
        assert verify(place.objects, place.backups, name, deep=True, progress=listening()).problems == ()
    assert sweep(place.objects, place.backups, kept, dry_run=False, older_than=later()).objects == 0


def test_fresh_bytes_stay(place, listening):
    place.fill(10)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert sweep(place.objects, place.backups, [], dry_run=False, older_than=hour_ago).objects == 0
    assert len(place.keys("objects/")) == 10


def unfinished(place, listening, name, previous):
    tuning = Tuning(at_once=2, ahead=10, note_objects=5)
    with pytest.raises(Cancelled):
        copy(place.objects, place.source, place.backups, name, previous, listening(50), tuning=tuning)


@pytest.mark.slow
def test_an_unfinished_set_keeps_what_it_has_and_what_it_builds_on(place, listening):
    place.fill(60)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    for n in range(160):
        place.put(f"1/new-{n:05}", b"new")
    unfinished(place, listening, "sets/two/", ("sets/one/",))
    noted = set(references(place.objects, place.backups, "sets/two/"))
    assert noted
    swept = sweep(place.objects, place.backups, ["sets/two/"], dry_run=False, older_than=later())
    left = set(place.keys("objects/"))
    assert noted <= left
    assert set(references(place.objects, place.backups, "sets/one/")) <= left
    assert swept.objects <= 12
    copied = copy(place.objects, place.source, place.backups, "sets/three/", ("sets/two/", "sets/one/"), listening())
    assert copied.objects == 220
    assert verify(place.objects, place.backups, "sets/three/", deep=True, progress=listening()).problems == ()


@pytest.mark.slow
def test_a_set_begun_lately_is_kept_though_nobody_names_it(place, listening):
    place.put("old", b"old")
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    time.sleep(1.1)  # the store tells times in seconds
    moment = datetime.now(UTC)
    time.sleep(1.1)
    place.fill(210)
    unfinished(place, listening, "sets/two/", ("sets/one/",))
    # The old bytes are old enough to go; the new set, which nobody names, builds on them.
    assert sweep(place.objects, place.backups, [], dry_run=False, older_than=moment).objects == 0
    place.direct.delete_object(Bucket=place.backups, Key="sets/two/artifacts.previous.json")
    assert sweep(place.objects, place.backups, [], dry_run=False, older_than=moment).objects == 1


@pytest.mark.slow
def test_nothing_is_removed_where_what_an_unfinished_set_builds_on_is_gone(place, listening):
    place.fill(60)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    for n in range(160):
        place.put(f"1/new-{n:05}", b"new")
    unfinished(place, listening, "sets/two/", ("sets/one/",))
    remove(place, "sets/one/")
    before = place.keys("objects/")
    with pytest.raises(OperatorError, match="builds on sets/one/"):
        sweep(place.objects, place.backups, ["sets/two/"], dry_run=False, older_than=later())
    assert place.keys("objects/") == before


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_nothing_is_removed_where_a_kept_sets_listing_cannot_be_read(place, listening, how):
    place.fill(10)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    key = "sets/one/artifacts.jsonl.zst"
    body = place.read(key)
    place.direct.delete_object(Bucket=place.backups, Key=key)
    if how == "damaged":
        place.direct.put_object(Bucket=place.backups, Key=key, Body=body[: len(body) // 2])
    with pytest.raises(ObjectMissing if how == "missing" else ListingDamaged):
        sweep(place.objects, place.backups, ["sets/one/"], dry_run=False, older_than=later())
    assert len(place.keys("objects/")) == 10


def test_stale_uploads_are_aborted_and_fresh_ones_are_not(place, listening):
    copy(place.objects, place.source, place.backups, "sets/kept/", (), listening())
    for key in ("objects/a!/0", "sets/one/artifacts.jsonl.zst", "sets/kept/artifacts.jsonl.zst", "sets/one/other"):
        place.direct.create_multipart_upload(Bucket=place.backups, Key=key)
    # moto says of every upload that it was begun in 2010.
    sweep(place.objects, place.backups, ["sets/kept/"], dry_run=False, older_than=datetime(2009, 1, 1, tzinfo=UTC))
    sweep(place.objects, place.backups, ["sets/kept/"], dry_run=True, older_than=later())
    assert len(place.uploads()) == 4
    sweep(place.objects, place.backups, ["sets/kept/"], dry_run=False, older_than=later())
    assert [upload["Key"] for upload in place.uploads()] == ["sets/kept/artifacts.jsonl.zst", "sets/one/other"]


@pytest.mark.slow
def test_what_somebody_else_has_put_there_is_left_alone(place, listening):
    place.direct.put_object(Bucket=place.backups, Key="objects/readme.txt", Body=b"mind the gap")
    place.fill(3)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert sweep(place.objects, place.backups, [], dry_run=False, older_than=later()).objects == 3
    assert place.keys("objects/") == ["objects/readme.txt"]


@pytest.mark.slow
def test_a_sweep_in_the_middle_of_a_backup_takes_only_what_was_left_before(place, way, listening):
    place.fill(100)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    remove(place, "sets/one/")  # as prune does, and died before its sweep
    time.sleep(1.1)  # the store tells times in seconds
    moment = datetime.now(UTC)
    time.sleep(1.1)
    swept = []

    def meet(request):
        if request.operation == "CopyObject" and way.calls["CopyObject"] == 150:
            swept.append(sweep(place.objects, place.backups, [], dry_run=False, older_than=moment))

    way.meet = meet
    copy(place.objects, place.source, place.backups, "sets/two/", (), listening())
    assert [found.objects for found in swept] == [100]
    assert len(place.keys("objects/")) == 100
    assert verify(place.objects, place.backups, "sets/two/", deep=True, progress=listening()).problems == ()
