"""What is said of WAL that another program keeps: by what the server's archiver says of itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from workers.operations.health import archiving
from workers.report import Status
from workers.systems.postgres.archiving import Archiver

NOW = datetime(2026, 11, 30, 14, 5, tzinfo=UTC)
GOOD = Archiver(
    now=NOW,
    at=NOW - timedelta(seconds=200),
    segment="0000000100000002000000FE",
    current="0000000100000002000000FF",
    segment_bytes=16 << 20,
    failing=False,
    failed="",
    timeout_seconds=300,
    on=True,
    switches=True,
    version="16.4",
)
LONG_AGO = NOW - timedelta(hours=9)


@pytest.mark.parametrize(
    ("change", "status", "said", "point"),
    [
        ({}, Status.OK, "at most 3 min old", 200),
        # A quiet night: nothing was written, so nothing waits.
        ({"at": LONG_AGO}, Status.OK, "at most 5 min old", 300),
        ({"at": LONG_AGO, "current": "000000010000000300000004"}, Status.FAIL, "5 segments", 9 * 3600),
        ({"current": "000000010000000300000004"}, Status.OK, "old", 200),
        ({"failing": True, "failed": "0000000100000002000000FF"}, Status.FAIL, "0000000100000002000000FF failed", 200),
        ({"at": None, "segment": ""}, Status.FAIL, "archived no WAL yet", None),
        ({"on": False}, Status.FAIL, "archive_mode is off", 200),
        # What was archived last is a timeline's history, right after a failover.
        ({"segment": "00000002.history"}, Status.OK, "old", 200),
        ({"timeout_seconds": 0}, Status.WARN, "archive_timeout is 0", 200),
    ],
)
def test_of_the_archiver(change, status, said, point):
    answer = archiving.judge(replace(GOOD, **change), "pgBackRest")
    assert answer.status is status, answer
    assert said in answer.sentence
    assert answer.figures.get("point_seconds") == point


@pytest.mark.parametrize(
    ("last", "segment", "there"),
    [
        ("0000000100000002000000FE", "0000000100000002000000FE", True),
        ("0000000100000002000000FE", "0000000100000002000000FF", False),
        ("0000000100000002000000FF", "000000010000000300000000", False),
        # Of a newer timeline, after a failover.
        ("000000020000000300000000", "0000000100000002000000FF", True),
        ("00000002.history", "0000000100000002000000FF", False),
    ],
)
def test_whether_a_segment_is_archived(last, segment, there):
    assert replace(GOOD, segment=last).has(segment) is there
