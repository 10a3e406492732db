"""What the health check says of point-in-time recovery, from what is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from workers.operations.backup.manifest import Stored
from workers.operations.backup.wal.archive import Base, Kept, Point
from workers.operations.backup.wal.drilled import MomentDrill
from workers.operations.backup.wal.overview import Overview
from workers.operations.backup.wal.places import Places
from workers.operations.health import recovery
from workers.report import Status
from workers.settings.recovery import Recovery
from workers.systems.postgres.replication import Slot
from workers.systems.postgres.wal_position import Segment, shown

NOW = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)
SEGMENT = 16 << 20


def base(hours_ago=3, number=10):
    at = NOW - timedelta(hours=hours_ago)
    start = number * SEGMENT
    return Base(
        name="20261130T110000Z-1a2b3c", system="7", segment_bytes=SEGMENT, timeline=1, starts=shown(start),
        checkpoint=shown(start), ends=shown(start + 300), started_at=at, finished_at=at, server_version="18.4",
        superuser="postgres", settings={}, tar=Stored(key="", bytes=1, sha256=""), tar_bytes=1, files=1, seconds=1.0,
    )  # fmt: skip


def kept(*numbers):
    there = {Segment(number, 1): NOW - timedelta(minutes=60 - number) for number in numbers}
    return Kept(whole=there, stored=dict(there))


def point(seconds_ago=12):
    return Point(at=NOW - timedelta(seconds=seconds_ago), written="0/0", segment_bytes=SEGMENT, timeline=1)


WELL = Overview(Places("7", SEGMENT), NOW, [base()], kept(10, 11, 12, 13), point(), Slot(0, 4096))


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, Status.OK, "any second up to 12 s ago"),
        ({"point": None}, Status.FAIL, "No WAL has been stored yet"),
        ({"point": point(200)}, Status.WARN, "is 3 min old"),
        ({"point": point(7200)}, Status.FAIL, "No WAL has been stored for 2 h"),
        ({"bases": []}, Status.FAIL, "There is no base backup"),
        ({"bases": [base(hours_ago=100)]}, Status.WARN, "The last base backup is 4 d 4 h old"),
        ({"kept": kept(10, 11, 13)}, Status.FAIL, "WAL is missing: 00000001000000000000000C"),
        ({"kept": kept(10, 11, 13), "bases": [base(), base(1, 13)]}, Status.WARN, "WAL is missing"),
        ({"kept": kept(11, 12)}, Status.FAIL, "WAL is missing: 00000001000000000000000A"),
        ({"slot": None}, Status.FAIL, "The server keeps no WAL for us"),
        ({"slot": Slot(None, 0)}, Status.FAIL, "a new base is needed"),
        ({"slot": Slot(0, 15 << 30)}, Status.WARN, "The server keeps 15.0 GiB for us; at 16.0 GiB"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_else_is_ok(changed, status, words):
    found = recovery.judge(replace(WELL, **changed), Recovery())

    assert found.status is status
    assert words in found.sentence


def test_a_drill_that_failed_is_not_ok():
    drill = MomentDrill(moment=NOW, at=NOW, well=False, seconds=3.0, point_seconds=1.0, problem="Rows differ.")

    found = recovery.judge(WELL, Recovery(), drill)

    assert (found.status, found.sentence) == (Status.WARN, "The last drill failed: Rows differ.")
    assert found.figures["drill_well"] == 0.0
