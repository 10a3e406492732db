"""What goes wrong while artifacts are copied: the set is right or it is not there, and the next run goes on."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.series import slow
from workers.operations.backup.artifacts import ListingDamaged, Tuning, copy, references, verify
from workers.systems.errors import AccessDenied, BucketMissing, ObjectsError, StoreFull
from workers.systems.s3 import requests
from workers.systems.s3.transfer import Transfer

QUICK = Tuning(at_once=4, ahead=40, note_objects=20)


@pytest.fixture
def impatient(monkeypatch):
    """Waits between attempts are as many, and shorter."""
    monkeypatch.setattr(requests, "FIRST_WAIT_SECONDS", 0.01)


def good(place, listening, name, objects):
    found = verify(place.objects, place.backups, name, deep=True, progress=listening())
    assert (found.objects, found.problems) == (objects, ())
    assert place.uploads() == []


@pytest.mark.parametrize("seed", [1, *slow(2, 3)])
def test_errors_slowdowns_and_cut_connections_are_got_over(place, way, listening, trouble, impatient, seed):
    place.fill(150)
    way.meet = trouble(seed, 0.12)
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=QUICK)
    again = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening(), tuning=QUICK)
    way.meet = lambda _request: None
    assert (copied.objects, copied.copied_objects) == (150, 150)
    assert (again.objects, again.copied_objects) == (150, 0)
    good(place, listening, "sets/two/", 150)
    assert [key for key in place.keys("sets/") if not key.endswith("/artifacts.jsonl.zst")] == []


def test_large_objects_survive_the_same(place, way, listening, trouble, impatient):
    place.put("large", bytes(range(256)) * 4096 * 11)
    way.meet = trouble(5, 0.2)
    tuning = Tuning(parts_above=6 * 1024 * 1024, part_bytes=5 * 1024 * 1024)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=tuning)
    way.meet = lambda _request: None
    found = verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening())
    assert (found.objects, found.problems) == (1, ())


def test_a_body_that_breaks_off_is_read_on(place, way, connect, store, listening):
    body = os.urandom(3_000_000)
    place.put("large", body)
    broken = []

    def meet(request):
        if request.operation == "GET" and request.key.startswith("objects/") and len(broken) < 3:
            broken.append(request.headers.get("range"))
            return "half"
        return None

    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    way.meet = meet
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    assert broken[0] is None
    assert [at for at in broken[1:] if at is None] == []


def test_an_error_inside_a_200_answer_is_an_error(place, way, listening, impatient):
    place.fill(5)
    told = []

    def meet(request):
        if request.operation == "CopyObject" and len(told) < 3:
            told.append(request.key)
            return (200, "InternalError")
        return None

    way.meet = meet
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert len(told) == 3
    good(place, listening, "sets/one/", 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        ((403, "AccessDenied"), AccessDenied, "denies us access"),
        ((507, "XMinioStorageFull"), StoreFull, "has no room left"),
        ((404, "NoSuchBucket"), BucketMissing, "has no bucket"),
    ],
)
def test_what_does_not_pass_ends_the_run_at_once_in_one_sentence(place, way, listening, answer, error, words):
    place.fill(60)
    way.meet = lambda request: answer if request.operation == "CopyObject" else None
    began = time.monotonic()
    with pytest.raises(error, match=words):
        copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=QUICK)
    assert time.monotonic() - began < 5
    assert way.calls["CopyObject"] <= 60
    assert "sets/one/artifacts.jsonl.zst" not in place.keys("sets/")
    assert place.uploads() == []
    way.meet = lambda _request: None
    copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening())
    good(place, listening, "sets/two/", 60)


def test_a_store_that_stays_away_is_given_up_with_a_sentence(place, way, listening, impatient):
    place.fill(30)
    way.meet = lambda request: "cut" if request.operation == "CopyObject" else None
    with pytest.raises(ObjectsError, match="broke off in the middle"):
        copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=QUICK)


def test_a_store_without_checksums_is_taken_by_its_etags(place, way, listening):
    place.fill(10)
    way.meet = lambda request: (501, "NotImplemented") if "x-amz-checksum-algorithm" in request.headers else None
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    good(place, listening, "sets/one/", 10)
    kept = next(references(place.objects, place.backups, "sets/one/"))
    place.direct.put_object(Bucket=place.backups, Key=kept, Body=b"x" * len(place.read(kept)))
    found = verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening())
    assert len(found.problems) == 1
    assert "md5" in found.problems[0]


def test_where_neither_checksum_nor_etag_tells_both_are_read(place, way, listening):
    upload = place.direct.create_multipart_upload(Bucket=place.source, Key="parts")["UploadId"]
    parts = []
    for number, body in enumerate((b"a" * 5 * 1024 * 1024, b"the end"), 1):
        etag = place.direct.upload_part(
            Bucket=place.source, Key="parts", UploadId=upload, PartNumber=number, Body=body
        )["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    place.direct.complete_multipart_upload(
        Bucket=place.source, Key="parts", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    way.meet = lambda request: (501, "NotImplemented") if "x-amz-checksum-algorithm" in request.headers else None
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    good(place, listening, "sets/one/", 1)
    assert way.calls["GET"] >= 2


def test_an_object_deleted_between_listing_and_copying_is_recorded(place, way, listening):
    place.fill(30)
    gone = "1/run/artifacts/file-00004"

    def meet(request):
        if request.operation == "CopyObject" and request.headers["x-amz-copy-source"].endswith(gone):
            place.direct.delete_object(Bucket=place.source, Key=gone)

    way.meet = meet
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert (copied.objects, copied.vanished, copied.changed) == (29, (gone,), ())
    good(place, listening, "sets/one/", 29)


@pytest.mark.slow
@pytest.mark.parametrize("conditions", [True, False], ids=["store looks at conditions", "store ignores them"])
def test_an_object_changed_between_listing_and_copying_is_taken_as_it_is_now(place, way, listening, conditions):
    place.fill(30)
    moved, seen = "1/run/artifacts/file-00004", []

    def meet(request):
        if request.operation == "CopyObject" and request.headers["x-amz-copy-source"].endswith(moved):
            seen.append(request)
            if len(seen) == 1:
                place.put(moved, b"quite another")
                return (412, "PreconditionFailed") if conditions else None
        return None

    way.meet = meet
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert (copied.objects, copied.vanished, copied.changed) == (30, (), (moved,))
    good(place, listening, "sets/one/", 30)
    kept = [key for key in references(place.objects, place.backups, "sets/one/") if moved in key]
    assert [place.read(key) for key in kept] == [b"quite another"]


@pytest.mark.slow
def test_verify_names_what_is_missing_what_is_short_and_with_deep_a_flipped_bit(place, listening):
    place.fill(30)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    missing, short, flipped = list(references(place.objects, place.backups, "sets/one/"))[3:25:10]
    place.direct.delete_object(Bucket=place.backups, Key=missing)
    place.direct.put_object(Bucket=place.backups, Key=short, Body=b"s")
    body = bytearray(place.read(flipped))
    body[len(body) // 2] ^= 1
    place.direct.put_object(Bucket=place.backups, Key=flipped, Body=bytes(body))

    shallow = verify(place.objects, place.backups, "sets/one/", deep=False, progress=listening())
    deep = verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening())
    assert (shallow.objects, len(shallow.problems), len(deep.problems)) == (30, 2, 3)
    for found in (shallow, deep):
        assert "its bytes are missing" in found.problems[0]
        assert missing in found.problems[0]
        assert "1 bytes are kept of" in found.problems[1]
        assert short in found.problems[1]
    assert "its bytes have changed" in deep.problems[2]
    assert flipped in deep.problems[2]

    assert deep.bad == (missing, short, flipped)
    again = copy(
        place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening(), distrust=deep.bad
    )
    assert again.copied_objects == 3
    good(place, listening, "sets/one/", 30)
    good(place, listening, "sets/two/", 30)


def test_a_store_that_does_not_list_in_order_is_refused(place, monkeypatch):
    place.fill(9)
    monkeypatch.setattr(
        "workers.systems.s3.objects.Objects.ask",
        lambda self, call, bucket: backwards(self._ask(call, bucket)),
    )
    with pytest.raises(ObjectsError, match="does not list"):
        list(Transfer.of(place.objects, 1).items(place.source))


def backwards(page):
    return page | {"Contents": page["Contents"][::-1]}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_a_damaged_listing_is_told_and_the_next_run_does_without_it(place, listening, how):
    place.fill(120)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    key = "sets/one/artifacts.jsonl.zst"
    body = bytearray(place.read(key))
    body[len(body) // 2] ^= 1
    place.direct.put_object(Bucket=place.backups, Key=key, Body=bytes(body) if how == "flipped" else bytes(body[:-40]))
    with pytest.raises(ListingDamaged, match="sets/one/"):
        verify(place.objects, place.backups, "sets/one/", deep=False, progress=listening())
    copied = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening())
    assert copied.objects == 120
    assert verify(place.objects, place.backups, "sets/two/", deep=False, progress=listening()).problems == ()


RUN = """
import os, sys
from workers import settings
from workers.operations.backup.artifacts import Tuning, copy
from workers.systems.s3.objects import Objects
from workers.operation import Unwatched
objects = Objects.connect(settings.load({"AWS_ENDPOINT_URL_S3": sys.argv[1]}))
tuning = Tuning(at_once=4, ahead=40, note_objects=20)
copy(objects, sys.argv[2], sys.argv[3], "sets/one/", (), Unwatched(), tuning=tuning)
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, 90, 200], ids=lambda n: f"after {n} copies")
def test_killed_in_the_middle_the_next_run_copies_only_the_rest(place, way, listening, at):
    place.fill(200)
    running = []

    def meet(request):
        copies = way.calls["CopyObject"]
        last = request.operation == "PUT" and request.key.endswith("artifacts.jsonl.zst")
        if (request.operation == "CopyObject" and copies > at) or (last and at == 200):
            running[0].send_signal(signal.SIGKILL)
            running[0].wait()
            return "cut"
        return None

    way.meet = meet
    arguments = [sys.executable, "-c", RUN, way.url, place.source, place.backups]
    running.append(subprocess.Popen(arguments))
    assert running[0].wait(60) == -signal.SIGKILL
    way.meet = lambda _request: None
    assert "sets/one/artifacts.jsonl.zst" not in place.keys("sets/")

    way.calls.clear()
    copied = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening(), tuning=QUICK)
    assert copied.objects == 200
    # Not written down yet: what was in the window, and less than a part.
    assert way.calls["CopyObject"] <= 200 - at + QUICK.ahead + QUICK.note_objects
    good(place, listening, "sets/two/", 200)
