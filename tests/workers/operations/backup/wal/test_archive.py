"""What is kept is judged by its keys: no gap is passed over, and none is seen that is not there."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup.encryption import Keys
from workers.operations.backup.manifest import Stored
from workers.operations.backup.wal import archive, keeping
from workers.operations.backup.wal.archive import Base, Kept, Point
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Part, Places
from workers.operations.restore.drill_moment import some as some_moment
from workers.systems.postgres.wal_position import Segment, position, shown
from workers.systems.s3.metadata import Listed

SIZES = (1 << 20, 16 << 20, 1 << 30)
BEGAN = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)
WHERE = Places("7713869209933989547", 16 << 20)


@given(some.integers(0, (1 << 64) - 1))
def test_a_position_is_read_as_it_is_written(lsn):
    assert position(shown(lsn)) == lsn


@given(some.sampled_from(SIZES), some.integers(1, 1 << 31), some.integers(0, 1 << 28))
def test_a_segment_is_known_by_its_name(size, timeline, number):
    segment = Segment(number, timeline)

    assert Segment.named(segment.name(size), size) == segment
    assert Segment.holding(segment.start(size), timeline, size) == segment


@given(some.integers(1, 100), some.integers(0, 1 << 20), some.integers(0, 1 << 24), some.integers(1, 1 << 24))
def test_a_key_says_what_it_holds(timeline, number, first, length):
    segment = Segment(number, timeline)
    part = Part(segment, first, first + length)

    assert WHERE.read(WHERE.whole(segment)) == segment
    assert WHERE.read(WHERE.part(part)) == part
    assert WHERE.read(WHERE.history("00000002.history")) == "00000002.history"
    assert WHERE.read(f"{WHERE.prefix}base/20261130T140000Z-1a2b3c/base.json") is None


def kept_of(numbers, last_parts=()):
    """A listing with these whole segments, and parts of the one after the last."""
    kept = Kept()
    for number in numbers:
        add(kept, WHERE.whole(Segment(number, 1)), number)
    for first, end in last_parts:
        number = max(numbers, default=0) + 1
        add(kept, WHERE.part(Part(Segment(number, 1), first, end)), number)
    return kept


def add(kept, key, minutes):
    at = (BEGAN + timedelta(minutes=minutes)).isoformat()
    kept.add(WHERE.read(key), Listed(key=key, size=100, etag="", last_modified=at))


@given(some.sets(some.integers(10, 40), min_size=1), some.integers(10, 40))
def test_gaps_are_what_is_missing_between_what_is_there(there, first):
    kept = kept_of(sorted(there))

    missing = {
        number for gap in kept.gaps(Segment(first, 1)) for number in range(gap.first.number, gap.last.number + 1)
    }

    after = [number for number in there if number >= first]
    assert missing == ({number for number in range(first, max(after)) if number not in there} if after else set())
    reached = kept.reaches(Segment(first, 1))
    whole = first
    while whole in there:
        whole += 1
    assert (reached.number if reached else None) == (whole - 1 if whole > first else None)


def test_a_segment_of_which_only_parts_are_there_is_a_gap_once_others_follow():
    kept = kept_of([5, 6], last_parts=[(0, 100), (100, 300)])
    assert kept.gaps(Segment(5, 1)) == ()
    assert kept.end(Segment(7, 1), 16 << 20) == 300

    add(kept, WHERE.whole(Segment(8, 1)), 8)

    (gap,) = kept.gaps(Segment(5, 1))
    assert (gap.first.number, gap.last.number) == (7, 7)
    assert kept.reaches(Segment(5, 1)) == Segment(7, 1)


def test_parts_count_up_to_the_first_that_is_missing():
    kept = kept_of([5], last_parts=[(0, 100), (200, 300), (50, 150)])

    assert kept.end(Segment(6, 1), 16 << 20) == 150


@pytest.mark.parametrize(
    ("written", "missing"),
    [(0, None), (7 * (16 << 20), None), (7 * (16 << 20) + 300, None), (7 * (16 << 20) + 301, (7, 7)),
     (10 * (16 << 20), (7, 9)), (10 * (16 << 20) + 1, (7, 10))],
)  # fmt: skip
def test_what_is_missing_at_the_end_is_a_gap_although_nothing_follows(written, missing):
    kept = kept_of([5, 6], last_parts=[(0, 300)])
    last = Point(at=BEGAN, written=shown(written), segment_bytes=16 << 20, timeline=1)

    gaps = kept.gaps(Segment(5, 1), last)

    assert [(gap.first.number, gap.last.number) for gap in gaps] == ([missing] if missing else [])


def base(minutes, number):
    """A base backup that was finished so long after the beginning, and needs WAL from that segment on."""
    at = BEGAN + timedelta(minutes=minutes)
    start = number * (16 << 20)
    return Base(
        name=f"{at:%Y%m%dT%H%M%SZ}-1a2b3c", system=WHERE.system, segment_bytes=16 << 20, timeline=1,
        starts=shown(start + 40), checkpoint=shown(start + 100), ends=shown(start + 300), started_at=at,
        finished_at=at, server_version="18.4", superuser="postgres", settings={},
        tar=Stored(key="", bytes=1, sha256=""), tar_bytes=1, files=1, seconds=1.0,
    )  # fmt: skip


def point(minutes):
    """All is there up to so long after the beginning."""
    return Point(at=BEGAN + timedelta(minutes=minutes), written="0/0", segment_bytes=16 << 20, timeline=1)


def test_a_moment_is_reached_from_the_newest_base_before_it():
    seen = archive.windows([base(10, 10), base(20, 20)], kept_of(range(10, 31)), point(31))

    assert archive.window_of(seen, BEGAN + timedelta(minutes=15)).base.first.number == 10
    assert archive.window_of(seen, BEGAN + timedelta(minutes=25)).base.first.number == 20
    assert archive.spans(seen) == [(BEGAN + timedelta(minutes=10), BEGAN + timedelta(minutes=31))]
    for minutes, words in ((5, "begins at"), (32, "reaches up to")):
        with pytest.raises(OperatorError, match=words):
            archive.window_of(seen, BEGAN + timedelta(minutes=minutes))


def test_behind_a_gap_only_a_later_base_helps():
    seen = archive.windows([base(10, 10), base(20, 20)], kept_of([*range(10, 15), *range(17, 31)]), point(31))

    with pytest.raises(
        OperatorError, match="WAL is missing there, between 2026-11-30 14:14:00 UTC and 2026-11-30 14:20"
    ):
        archive.window_of(seen, BEGAN + timedelta(minutes=18))
    assert archive.window_of(seen, BEGAN + timedelta(minutes=25)).base.first.number == 20
    assert archive.window_of(seen, BEGAN + timedelta(minutes=12)).base.first.number == 10


@given(some.lists(some.integers(0, 60 * 24 * 30), min_size=1, max_size=40, unique=True), some.integers(1, 20))
def test_pruning_leaves_every_day_that_was_asked_for(ages, keep_days):
    now = BEGAN + timedelta(days=30)
    bases = sorted((base(60 * 24 * 30 - age, 10) for age in ages), key=lambda each: each.finished_at)

    chosen = keeping.choose(bases, WHERE, keep_days, now)

    cutoff = now - timedelta(days=keep_days)
    assert chosen.staying
    assert chosen.staying[-1] == bases[-1]
    assert sorted((*chosen.going, *chosen.staying), key=bases.index) == bases
    assert all(each.finished_at <= cutoff for each in chosen.going)
    older = [each for each in bases if each.finished_at <= cutoff]
    assert chosen.staying[0] == (older[-1] if older else bases[0])


def test_a_random_moment_is_one_that_can_be_reached():
    seen = archive.windows([base(10, 10), base(20, 20)], kept_of([*range(10, 15), *range(17, 31)]), point(31))

    for seed in range(200):
        at = some_moment(archive.spans(seen), random.Random(seed))
        assert archive.window_of(seen, at)


OURS, THEIRS = Keys((b"o" * 32,)), Keys((b"t" * 32,))
WITHOUT, WITH = Packing(), Packing(OURS, OURS)


@given(some.sampled_from([WITHOUT, WITH]), some.binary(max_size=5000), some.integers(1, 700))
def test_what_is_packed_comes_back_and_what_is_cut_or_changed_does_not(packing, content, pieces):
    made = packing.packed(content, "wal/1/x")
    cut = [made[at : at + pieces] for at in range(0, len(made), pieces)]

    assert b"".join(packing.unpacked(cut, "wal/1/x")) == content
    document = b"{" + content  # they are JSON; what begins like an encrypted stream is read as one
    assert packing.read(packing.document(document, "wal/1/y"), "wal/1/y") == document
    for damaged in (made[:-1], made + b"more", made[:-10]):
        with pytest.raises(SetDamaged, match="wal/1/x is damaged"):
            list(packing.unpacked([damaged], "wal/1/x"))


def test_with_a_key_only_what_we_have_written_is_read_and_where_we_put_it():
    content = b"WAL" * 1000
    for made, words in (
        (WITHOUT.packed(content, "wal/1/x"), "is not encrypted, although there is a key"),
        (WITH.packed(content, "wal/1/y"), "someone moved or exchanged it"),
        (Packing(THEIRS, THEIRS).packed(content, "wal/1/x"), "is encrypted with the key"),
    ):
        with pytest.raises(OperatorError, match=words):
            list(WITH.unpacked([made], "wal/1/x"))
    with pytest.raises(OperatorError, match="is not encrypted, although there is a key"):
        WITH.read(b'{"at": "2026-11-30T14:00:00Z"}', "wal/1/point.json")
    assert content not in WITH.packed(content, "wal/1/x")
