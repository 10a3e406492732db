"""Base backups of what has changed: made where the server can, combined where one goes back, kept while rested on."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.workers.operations.backup.wal.conftest import add_run, reaches, until
from tests.world.conftest import FOLDERS, OWNER
from workers.operations.backup.manifest import Stored
from workers.operations.backup.wal import access, archive, keeping
from workers.operations.backup.wal.archive import Base, Kept, Point
from workers.operations.backup.wal.base import BackupBase
from workers.operations.backup.wal.places import Places
from workers.operations.restore import moment
from workers.operations.restore.database import RestoreDatabase
from workers.systems.postgres.wal_position import Segment, shown

SEGMENT = 16 << 20
WHERE = Places("7", SEGMENT)
NOW = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)


def base(name, days_ago, previous=""):
    at, start = NOW - timedelta(days=days_ago), (100 - days_ago) * SEGMENT
    return Base(
        name=name, system="7", segment_bytes=SEGMENT, timeline=1, starts=shown(start), checkpoint=shown(start),
        ends=shown(start + 300), started_at=at, finished_at=at, server_version="18.4", superuser="postgres",
        settings={},
        tar=Stored(key="", bytes=1, sha256=""), tar_bytes=1, files=1, seconds=1.0, previous=previous,
    )  # fmt: skip


CHAIN = [
    base("full", 12),
    base("a", 11, "full"),
    base("b", 10, "a"),
    base("c", 5, "b"),
    base("new", 3),
    base("d", 1, "new"),
]


def test_a_base_rests_on_all_before_it_down_to_a_full_one():
    assert [each.name for each in archive.chain(CHAIN, CHAIN[3])] == ["full", "a", "b", "c"]
    assert [each.name for each in archive.chain(CHAIN, CHAIN[5])] == ["new", "d"]
    assert archive.chain([each for each in CHAIN if each.name != "a"], CHAIN[3]) is None


def test_from_a_base_whose_ground_is_gone_one_cannot_go_back():
    numbers = range(88, 101)
    there = {Segment(number, 1): NOW - timedelta(days=100 - number) for number in numbers}
    kept, last = (
        Kept(whole=there, stored=dict(there)),
        Point(at=NOW, written=shown(0), segment_bytes=SEGMENT, timeline=1),
    )
    assert {each.base.name for each in archive.windows(CHAIN, kept, last)} == {each.name for each in CHAIN}
    without = [each for each in CHAIN if each.name != "full"]
    assert {each.base.name for each in archive.windows(without, kept, last)} == {"new", "d"}


@pytest.mark.parametrize(
    ("days", "going", "rested_on", "staying"),
    [
        (7, [], ["full", "a"], ["b", "c", "new", "d"]),
        (4, [], ["full", "a", "b"], ["c", "new", "d"]),
        (2, ["full", "a", "b", "c"], [], ["new", "d"]),
    ],
)
def test_pruning_keeps_what_is_rested_on_and_no_wal_for_it(days, going, rested_on, staying):
    chosen = keeping.choose(CHAIN, WHERE, days, NOW)
    assert [each.name for each in chosen.going] == going
    assert [each.name for each in chosen.rested_on] == rested_on
    assert [each.name for each in chosen.staying] == staying
    assert chosen.first == chosen.staying[0].first


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("server", [max(FOLDERS)], indirect=True, ids=["newest"])
def test_a_moment_comes_back_from_a_full_base_and_two_of_changes(kept, server, live, progress):
    server.do("ALTER SYSTEM SET summarize_wal = on", "SELECT pg_reload_conf()")
    until(lambda: access.replication(kept).look())
    BackupBase(now=True).run(kept, progress)
    for number in (1, 2):
        add_run(server, live, f"run {number}")
        report = BackupBase(now=True).run(kept, progress)
        assert "changes, " in report.summary, report
    made = access.archive(kept).bases()
    assert [each.previous for each in made] == ["", made[0].name, made[1].name]
    assert made[2].tar_bytes < made[0].tar_bytes / 2
    at = add_run(server, live, "run 3")
    server.do("DELETE FROM runs WHERE run_uuid LIKE 'run %'", role=OWNER, database=live)
    late = add_run(server, live, "run 4")
    until(lambda: reaches(kept, late))

    assert [each.name for each in moment.choose(kept, at).source.rests_on] == [made[0].name, made[1].name]
    RestoreDatabase(at=at, beside="mlflow_then").run(kept, progress)

    found = server.do(
        "SELECT run_uuid FROM runs WHERE run_uuid LIKE 'run %' ORDER BY 1", role=OWNER, database="mlflow_then"
    )
    assert found == [("run 1",), ("run 2",), ("run 3",)]
    BackupBase(now=True, full=True).run(kept, progress)
    assert access.archive(kept).bases()[-1].previous == ""
