"""Many small artifacts in one object: each is read by its range, and a bundle goes only when nothing needs it."""

import json
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import zstandard

from tests.series import slow
from workers.operations.backup.artifacts import (
    Tuning,
    listing,
    object_copying,
    object_keys,
    restoring,
    sweeping,
    verify,
)
from workers.operations.backup.artifacts.copying import whole
from workers.operations.backup.artifacts.known import Sources
from workers.operations.backup.artifacts.pairing import Wanted
from workers.operations.backup.encryption import Keys

KEYS = Keys((b"k" * 32,))
TUNING = Tuning(at_once=4, ahead=100, bundle_objects=20)


@pytest.fixture
def backup(place, listening):
    """Makes an encrypted set, on the ones before."""
    made = []

    def make(name, **more):
        sha256, objects = (made[-1].listing.sha256, made[-1].objects) if made else ("", 0)
        sources = Sources(
            place.source,
            place.backups,
            name,
            (f"sets/{len(made)}/",) if made else (),
            tuning=TUNING,
            keys=KEYS,
            encrypt=True,
            sha256=sha256,
            objects=objects,
        )
        made.append(whole(place.objects, replace(sources, **more), listening()))
        return made[-1]

    return lambda **more: make(f"sets/{len(made) + 1}/", **more)


def entries(place, number):
    body = b"".join(KEYS.opened([place.read(f"sets/{number}/{listing.NAME}.enc")], f"sets/{number}/{listing.NAME}.enc"))
    with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as read:
        return [each for each in map(json.loads, read.read().splitlines()) if "key" in each]


def problems(place, number, done, listening, *, deep=True):
    sha256 = done.listing.sha256
    found = verify(
        place.objects, place.backups, f"sets/{number}/", deep=deep, progress=listening(), sha256=sha256, keys=KEYS
    )
    return found.problems


def source(place):
    pages = place.direct.get_paginator("list_objects_v2").paginate(Bucket=place.source)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {key: place.direct.get_object(Bucket=place.source, Key=key)["Body"].read() for key in keys}


def sweep(place, kept):
    later = datetime.now(UTC) + timedelta(hours=1)
    return sweeping.sweep(place.objects, place.backups, kept, dry_run=False, older_than=later, keys=KEYS)


def test_what_is_small_is_kept_together_and_comes_back_as_it_was(place, backup, listening):
    place.fill(40)
    place.put("1/large.bin", random.Random(1).randbytes(object_copying.SMALL + 1))
    place.put("1/none", b"")
    before = source(place)
    done = backup()
    assert (done.objects, done.copied_objects) == (42, 42)
    bundles = place.keys(object_keys.BUNDLES)
    assert len(place.keys("objects/")) == 2 + 2
    assert len(bundles) == 2
    assert problems(place, 1, done, listening) == ()
    for key in before:
        place.direct.delete_object(Bucket=place.source, Key=key)
    wanted = Wanted(place.backups, "sets/1/", place.source, sha256=done.listing.sha256, keys=KEYS)
    assert restoring.restore(place.objects, wanted, listening()).added == 42
    assert source(place) == before


def test_content_type_metadata_and_tags_stay_with_what_is_kept_together(place, backup, listening):
    place.fill(20)
    place.put("1/told", b"x", ContentType="text/html", Metadata={"by": "bob"}, Tagging="a=1&b=2")
    done = backup()
    place.direct.delete_object(Bucket=place.source, Key="1/told")
    wanted = Wanted(place.backups, "sets/1/", place.source, sha256=done.listing.sha256, keys=KEYS)
    assert restoring.restore(place.objects, wanted, listening()).added == 1
    told = place.direct.get_object(Bucket=place.source, Key="1/told")
    assert (told["ContentType"], told["Metadata"], told["TagCount"]) == ("text/html", {"by": "bob"}, 2)


def test_few_are_kept_apart(place, backup, listening):
    place.fill(object_copying.AT_LEAST - 1)
    done = backup()
    assert place.keys(object_keys.BUNDLES) == []
    assert len(place.keys("objects/")) == object_copying.AT_LEAST - 1
    assert problems(place, 1, done, listening) == ()


def test_nothing_new_copies_nothing_and_something_new_only_that(place, backup, way, listening):
    place.fill(40)
    backup()
    way.calls.clear()
    again = backup()
    assert again.copied_objects == 0
    # The listing, and what it builds on.
    assert way.calls["PUT"] == 2
    place.put("0/new", b"new")
    assert backup().copied_objects == 1
    assert len(entries(place, 3)) == 41


@pytest.mark.parametrize("harm", ["gone", "short", "other bytes", "a member in another's place"])
def test_harm_to_a_bundle_is_seen_and_copied_again(harm, place, backup, listening):
    place.fill(18)
    first = backup()
    (bundle,) = place.keys(object_keys.BUNDLES)
    body = place.read(bundle)
    members = sorted(entries(place, 1), key=lambda each: each["at"])
    if harm == "gone":
        place.direct.delete_object(Bucket=place.backups, Key=bundle)
    elif harm == "short":
        place.direct.put_object(Bucket=place.backups, Key=bundle, Body=body[:-1])
    elif harm == "other bytes":
        place.direct.put_object(Bucket=place.backups, Key=bundle, Body=body[:700] + b"?" + body[701:])
    else:
        one, other = members[1:3]
        length = one["encrypted"]["bytes"]
        assert other["encrypted"]["bytes"] == length
        swapped = body[other["at"] :][:length] + body[one["at"] :][:length]
        place.direct.put_object(
            Bucket=place.backups, Key=bundle, Body=body[: one["at"]] + swapped + body[other["at"] + length :]
        )
    bad = {"gone": 18, "short": 1, "other bytes": 1, "a member in another's place": 2}[harm]
    assert len(problems(place, 1, first, listening)) == bad
    seen_by_size = harm in {"gone", "short"}
    assert bool(problems(place, 1, first, listening, deep=False)) == seen_by_size
    distrust = frozenset() if seen_by_size else frozenset([bundle])
    after = backup(distrust=distrust)
    assert after.missing == (bad if seen_by_size else 0)
    assert after.copied_objects == (bad if seen_by_size else 18)
    assert problems(place, 2, after, listening) == ()


def test_a_bundle_stays_as_long_as_one_of_it_is_needed(place, backup, listening):
    place.fill(20)
    backup()
    for key in sorted(source(place))[1:]:
        place.direct.delete_object(Bucket=place.source, Key=key)
    second = backup()
    place.direct.delete_object(Bucket=place.source, Key=min(source(place)))
    backup()
    assert sweep(place, ["sets/1/", "sets/2/", "sets/3/"]).objects == 0
    assert sweep(place, ["sets/2/", "sets/3/"]).objects == 0
    assert problems(place, 2, second, listening) == ()
    assert sweep(place, ["sets/3/"]).objects == 1
    assert place.keys("objects/") == []


def test_what_becomes_of_one_costs_the_others_nothing(place, backup, way, listening):
    place.fill(40)
    gone, denied, changed, grown = (f"0/run/artifacts/file-{n:05}" for n in (3, 6, 9, 12))
    seen = set()

    def meet(request):
        if request.operation != "GET" or request.bucket != place.source:
            return None
        if request.key == denied:
            return (403, "AccessDenied")
        if request.key not in seen:
            seen.add(request.key)
            if request.key == gone:
                place.direct.delete_object(Bucket=place.source, Key=gone)
            if request.key == changed:
                place.put(changed, b"changed")
            if request.key == grown:
                place.put(grown, b"g" * (object_copying.SMALL + 1))
        return None

    way.meet = meet
    done = backup()
    way.meet = lambda _request: None
    assert done.vanished == (gone,)
    assert done.left_out == (f"{denied}: we may not read it",)
    assert sorted(done.changed) == [changed, grown]
    assert problems(place, 1, done, listening) == ()
    found = {each["key"]: each for each in entries(place, 1)}
    assert len(found) == 38
    assert "at" in found[changed]
    assert "at" not in found[grown]


@pytest.mark.parametrize("seed", [0, *slow(1, 2, 3)])
def test_a_store_that_fails_at_random_loses_none(seed, place, backup, way, trouble, listening):
    place.fill(50)
    way.meet = trouble(seed, 0.05)
    done = backup()
    way.meet = lambda _request: None
    assert problems(place, 1, done, listening) == ()
    assert done.objects == 50
    sweep(place, ["sets/1/"])
    assert problems(place, 1, done, listening) == ()


def test_a_line_that_says_a_bundle_and_no_place_in_it_is_none():
    bundle = object_keys.bundle()
    line = {"key": "a", "size": 1, "etag": "e", "last_modified": "m", "checksum": {"sha256": "x"}, "kept": bundle}
    for more in ({}, {"at": 0}, {"at": -1, "encrypted": {"key_id": "k", "bytes": 9}}, {"at": "0"}):
        with pytest.raises(ValueError, match=r"^(None|0|-1)$"):
            listing.Entry.read(line | more)
    with pytest.raises(ValueError, match=r"^0$"):
        listing.Entry.read(line | {"kept": "objects/a!/0", "at": 0, "encrypted": {"key_id": "k", "bytes": 9}})
    entry = listing.Entry.read(line | {"at": 5, "encrypted": {"key_id": "k", "bytes": 9}})
    assert listing.Entry.read(json.loads(entry.line())) == entry
