"""Artifacts into a set: every byte there once, every property kept, and only what is new copied the next time."""

import hashlib
import json
import threading

import pytest
import zstandard

from workers.operation import Cancelled
from workers.operations.backup.artifacts import Tuning, copy, references, verify
from workers.operations.backup.artifacts.copying import whole
from workers.operations.backup.artifacts.known import Sources

ODD_KEYS = [
    "plain/model.pkl",
    "with space/and  two",
    "plus+and%20percent%/100%",
    "/leading/slash",
    "double//slash",
    "ünïcode/Ωmega/模型.bin",
    "emoji-🚀",
    "a",
    "a!",
    "a/b",
    "a b",
    "a-b",
    "a/b/c!/d",
    "quote'\"<&>",
    "question?mark&and=more",
    "tilde~(and)*star,comma;semi:colon@at",
    "folder/",
    "dots/./here",
    "k" * 1000,
    "ünï" * 200,
]


def lines(place, set_name):
    body = place.read(f"{set_name}artifacts.jsonl.zst")
    text = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True).read()
    return [json.loads(line) for line in text.splitlines()]


def test_every_artifact_is_there_whatever_its_key(place, listening):
    wanted = {key: f"bytes of {n}".encode() for n, key in enumerate(ODD_KEYS)}
    wanted["empty"] = b""
    for key, body in wanted.items():
        place.put(key, body)
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert (copied.objects, copied.copied_objects) == (len(wanted), len(wanted))
    assert copied.bytes == copied.copied_bytes == sum(map(len, wanted.values()))
    assert (copied.changed, copied.vanished) == ((), ())

    *found, end = lines(place, "sets/one/")
    assert end == {"end": True, "objects": len(wanted), "bytes": copied.bytes}
    assert [line["key"] for line in found] == sorted(wanted)
    for line in found:
        assert place.read(line["kept"]) == wanted[line["key"]]
        assert line["size"] == len(wanted[line["key"]])
        assert line["checksum"] == {"sha256": hashlib.sha256(wanted[line["key"]]).hexdigest()}
    assert verify(place.objects, place.backups, "sets/one/", deep=False, progress=listening()).problems == ()
    deep = verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening())
    assert (deep.objects, deep.bytes, deep.problems) == (len(wanted), copied.bytes, ())
    assert list(references(place.objects, place.backups, "sets/one/")) == [line["kept"] for line in found]

    again = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening())
    assert (again.objects, again.copied_objects) == (len(wanted), 0)


def test_the_listing_is_what_its_checksum_says(place, listening):
    place.fill(20)
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    body = place.read("sets/one/artifacts.jsonl.zst")
    assert copied.listing.sha256 == hashlib.sha256(body).hexdigest()
    assert copied.listing.bytes == len(body)
    assert place.keys("sets/") == ["sets/one/artifacts.jsonl.zst"]


def test_an_empty_bucket_makes_an_empty_set(place, listening):
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert (copied.objects, copied.bytes) == (0, 0)
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    assert list(references(place.objects, place.backups, "sets/one/")) == []


def test_a_second_run_copies_only_what_is_new_and_asks_for_no_object(place, way, listening):
    place.fill(60)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    place.put("0/run/artifacts/file-00000", b"other bytes")
    place.put("1/new", b"new")
    place.direct.delete_object(Bucket=place.source, Key="2/run/artifacts/file-00002")
    way.calls.clear()
    copied = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening())
    assert (copied.objects, copied.copied_objects, copied.copied_bytes) == (60, 2, 14)
    assert way.calls["CopyObject"] == 2
    assert way.calls["HEAD"] == 2, "the listing is looked for, encrypted and not, and no object"
    for name in ("sets/one/", "sets/two/"):
        assert verify(place.objects, place.backups, name, deep=True, progress=listening()).problems == ()
    assert len(place.keys("objects/")) == 62


def test_content_type_metadata_and_tags_stay(place, listening):
    more = {
        "ContentType": "application/json",
        "CacheControl": "no-store",
        "ContentDisposition": "attachment",
        "Metadata": {"run": "7", "who": "a b"},
        "Tagging": "team=ml&stage=a%20b",
    }
    place.put("small", b"{}", **more)
    place.put("large", b"x" * (11 * 1024 * 1024), **more)
    tuning = Tuning(parts_above=6 * 1024 * 1024, part_bytes=5 * 1024 * 1024)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=tuning)
    for kept in references(place.objects, place.backups, "sets/one/"):
        shown = place.direct.get_object(Bucket=place.backups, Key=kept)
        told = {name: value for name, value in more.items() if name != "Tagging"}
        assert {name: shown[name] for name in told} == told
        tags = place.direct.get_object_tagging(Bucket=place.backups, Key=kept)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "ml", "stage": "a b"}


def test_above_the_threshold_the_store_copies_in_parts(place, way, listening):
    body = bytes(range(256)) * 4096 * 11
    place.put("large", body)
    place.put("small", b"small")
    tuning = Tuning(parts_above=6 * 1024 * 1024, part_bytes=5 * 1024 * 1024)
    copied = copy(place.objects, place.source, place.backups, "sets/one/", (), listening(), tuning=tuning)
    assert (way.calls["UploadPartCopy"], way.calls["CopyObject"]) == (3, 1)
    large = lines(place, "sets/one/")[0]
    assert place.read(large["kept"]) == body
    assert large["part_bytes"] == 5 * 1024 * 1024
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    assert place.uploads() == []
    again = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening(), tuning=tuning)
    assert (copied.copied_objects, again.copied_objects) == (2, 0)


def test_between_two_stores_the_bytes_are_streamed_with_all_that_belongs_to_them(place, connect, store, listening):
    large = bytes(range(256)) * 4096 * 11
    place.put("large", large, ContentType="video/mp4")
    place.put("small", b"{}", ContentType="application/json", Metadata={"run": "7"}, Tagging="team=ml")
    place.put("empty")
    source = connect(store.replace("127.0.0.1", "localhost"))
    tuning = Tuning(stream_part_bytes=5 * 1024 * 1024)
    copied = copy(
        place.objects, place.source, place.backups, "sets/one/", (), listening(), source=source, tuning=tuning
    )
    assert (copied.objects, copied.copied_bytes) == (3, len(large) + 2)
    found = {line["key"]: line for line in lines(place, "sets/one/")[:-1]}
    assert place.read(found["large"]["kept"]) == large
    assert place.read(found["empty"]["kept"]) == b""
    shown = place.direct.get_object(Bucket=place.backups, Key=found["small"]["kept"])
    assert (shown["ContentType"], shown["Metadata"], shown["TagCount"]) == ("application/json", {"run": "7"}, 1)
    assert found["small"]["metadata"]["ContentType"] == "application/json"
    assert verify(place.objects, place.backups, "sets/one/", deep=True, progress=listening()).problems == ()
    assert place.uploads() == []


def test_the_same_bytes_are_kept_once_for_any_number_of_sets(place, listening):
    place.fill(10)
    names = [f"sets/{n}/" for n in range(4)]
    for n, name in enumerate(names):
        copy(place.objects, place.source, place.backups, name, tuple(reversed(names[:n])), listening())
    assert len(place.keys("objects/")) == 10


@pytest.mark.slow
def test_a_cancelled_run_leaves_what_the_next_one_goes_on_from(place, way, listening):
    place.fill(400)
    tuning = Tuning(at_once=4, ahead=50, note_objects=40)
    with pytest.raises(Cancelled):
        copy(place.objects, place.source, place.backups, "sets/one/", (), listening(200), tuning=tuning)
    done = way.calls["CopyObject"]
    assert 200 <= done < 400
    assert "sets/one/artifacts.jsonl.zst" not in place.keys("sets/")
    assert place.uploads() == []
    way.calls.clear()
    copied = copy(place.objects, place.source, place.backups, "sets/two/", ("sets/one/",), listening())
    # What was under way in a thread when it was cancelled is done, and not written down.
    assert 400 - done <= way.calls["CopyObject"] <= 400 - done + tuning.ahead
    assert copied.objects == 400
    assert verify(place.objects, place.backups, "sets/two/", deep=True, progress=listening()).problems == ()


@pytest.mark.slow
def test_progress_knows_the_total_from_the_set_before(place, listening):
    place.fill(300)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    progress = listening()
    whole(place.objects, Sources(place.source, place.backups, "sets/two/", ("sets/one/",), objects=300), progress)
    assert progress.heard[0] == (100, 300, "artifacts")


def test_threads_end_with_the_run(place, listening):
    place.fill(20)
    copy(place.objects, place.source, place.backups, "sets/one/", (), listening())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("artifacts")]
