"""Kept keys sort as the artifacts' own keys do; damaged listings are never taken for shorter ones."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.operations.backup.artifacts import ListingDamaged, object_keys
from workers.operations.backup.artifacts.listing import Entry, Frames, lines
from workers.systems.s3.metadata import Listed

LETTERS = st.sampled_from([*"\x01\t !\"%'()+,-./09:AZaz~", "é", "模", "\ud7ff", "\ue000", "🚀"])
KEYS = st.one_of(
    st.text(LETTERS, min_size=1, max_size=30),
    st.tuples(st.text(LETTERS, max_size=3), st.integers(200, 1000), st.text(LETTERS, max_size=6)).map(
        lambda t: (t[0] + "x" * t[1] + t[2])[:1000]
    ),
    st.tuples(st.integers(70, 90), st.text(LETTERS, max_size=4)).map(lambda t: "模" * t[0] + t[1]),
    st.tuples(st.integers(244, 252), st.text(LETTERS, max_size=4)).map(lambda t: "x" * t[0] + t[1]),
    st.tuples(st.integers(88, 100), st.text(LETTERS, max_size=4)).map(
        lambda t: ("y" * 200 + "/") * 4 + "z" * t[0] + t[1]
    ),
).filter(lambda key: len(key.encode()) <= 1024)
BUCKETS = st.sampled_from(["", "", "abc", "abc-d", "abc.d", "abc0", "x" * 63])


@given(KEYS, KEYS)
@example("a", "a!")
@example("a/b", "a b")
@example("a" * 249 + "+", "a" * 249 + "-")
@example("模" * 83 + "0", "模" * 84)
@example("a" * 250 + "/b", "a" * 251)
@example(("a" * 200 + "/") * 4 + "a" * 96 + "0", ("a" * 200 + "/") * 4 + "a" * 96 + "模")
def test_folders_keep_the_order_of_keys(one, other):
    low, high = sorted((one, other))
    assert object_keys.folder(low) + object_keys.END <= object_keys.folder(high) + object_keys.END


@given(KEYS, BUCKETS)
def test_kept_keys_fit_every_store(key, bucket):
    kept = object_keys.kept(Listed(key, 1, "etag", "2026-01-01T00:00:00+00:00", bucket), "sets/one/")
    assert len(kept.encode()) <= 1024
    assert all(len(part.encode()) <= 255 for part in kept.split("/") if part)
    assert object_keys.group(kept) == f"objects/{f'!{bucket}/' if bucket else ''}{object_keys.folder(key)}"


@given(st.lists(st.tuples(BUCKETS, KEYS), max_size=20))
@example([("a", "x"), ("a-b", "x"), ("a.b", "x"), ("", "!"), ("", "\x01"), ("a0", "x")])
def test_artifacts_of_several_buckets_are_listed_in_the_order_of_their_kept_keys(artifacts):
    by_order = sorted(artifacts, key=lambda each: object_keys.order(*each))
    places = [f"{object_keys.place(Listed(key, 1, 'e', 't', bucket))}{object_keys.END}" for bucket, key in by_order]
    assert places == sorted(places)


def test_a_listing_of_several_buckets_is_read_as_it_was_written():
    entries = [Entry("k", 1, "e", "t", "objects/k", "md5", "c", bucket=bucket) for bucket in ("a", "b", "")]
    frames = Frames()
    for each in entries:
        frames.add(each.line(), each.size)
    assert [Entry.read(found) for found, _ in lines("one", iter([frames.end()]))] == entries
    backwards = Frames()
    for each in reversed(entries):
        backwards.add(each.line(), each.size)
    with pytest.raises(ListingDamaged, match="not in the order"):
        list(lines("one", iter([backwards.end()])))


@given(KEYS, KEYS)
def test_short_keys_have_folders_of_their_own(one, other):
    if one != other and max(len(one.encode()), len(other.encode())) * 3 < object_keys.NAME_AT_MOST:
        assert object_keys.folder(one) != object_keys.folder(other)


def test_every_version_has_a_place_of_its_own():
    listed = Listed("k", 1, "e", "t")
    others = [Listed("k", 2, "e", "t"), Listed("k", 1, "f", "t"), Listed("k", 1, "e", "u"), Listed("l", 1, "e", "t")]
    assert len({object_keys.kept(item, "sets/one/") for item in [listed, *others]}) == 5
    assert object_keys.kept(listed, "sets/one/") != object_keys.kept(listed, "sets/two/")


def compressed(count):
    frames = Frames()
    body = b""
    for n in range(count):
        body += frames.add(Entry(f"{n:05}", n, "e", "t", f"objects/{n:05}", "md5", "0").line(), n)
    return body + frames.end()


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_a_listing_reads_as_it_was_written_in_pieces_of_any_size(count):
    body = compressed(count)
    for length in (7, 1000, len(body)):
        pieces = (body[at : at + length] for at in range(0, len(body), length))
        assert [found["size"] for found, _ in lines("it", pieces)] == list(range(count))


@given(st.data())
def test_a_listing_that_was_cut_or_flipped_gives_its_true_beginning_and_an_error_or_is_not_harmed(data):
    body = bytearray(WHOLE)
    if data.draw(st.booleans()):
        body = body[: data.draw(st.integers(0, len(body) - 1))]
    else:
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    seen = []
    try:
        seen.extend(found for found, _ in lines("it", iter([bytes(body)])))
    except ListingDamaged:
        assert seen == WRITTEN[: len(seen)]
    else:
        # zstd's headers have bits that mean nothing.
        assert seen == WRITTEN


WHOLE = compressed(2500)
WRITTEN = [found for found, _ in lines("it", iter([WHOLE]))]
