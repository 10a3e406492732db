"""Back to any second: real servers, their WAL, and what is restored from it."""

import tempfile
import time
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.workers.operations.backup.wal.conftest import (
    add_run,
    being_kept,
    now,
    purged_experiment,
    reaches,
    runs,
    until,
)
from tests.world.conftest import OWNER
from workers.errors import OperatorError
from workers.operations.backup.wal import access, archive, drilled, keeping
from workers.operations.backup.wal import base as wal_base
from workers.operations.backup.wal.base import BackupBase
from workers.operations.health import recovery
from workers.operations.health.questions import Asking
from workers.operations.restore import moment, rows, side_database
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill_moment import DrillMoment
from workers.operations.restore.undo import RestoreUndo
from workers.systems.postgres import private_server
from workers.systems.s3.transfer import Transfer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def reach_now(systems, server):
    """Wait until what is kept reaches the present."""
    at = now(server)
    until(lambda: reaches(systems, at))


def based(systems, progress):
    """A base backup, once the slot is there."""
    until(lambda: access.replication(systems).look())
    return BackupBase(now=True).run(systems, progress)


def test_restore_to_a_moment_has_what_was_committed_then_and_undo_goes_back(kept, server, live, progress):
    add_run(server, live, "run 1")
    report = based(kept, progress)
    assert report.status == "ok"
    between = add_run(server, live, "run 2")
    time.sleep(0.05)
    server.do("DELETE FROM metrics", "DELETE FROM runs", role=OWNER, database=live)
    after = add_run(server, live, "run 3")
    until(lambda: reaches(kept, after))

    operation = RestoreDatabase(at=between)
    plan = operation.plan(kept)
    assert archive.moment_of(between) in plan.summary
    report = operation.run(kept, progress)

    assert runs(server, live) == ["run 1", "run 2"]
    assert server.do("SELECT count(*) FROM metrics", role=OWNER, database=live) == [(30000,)]
    assert "as it was at" in report.summary
    RestoreUndo().run(kept, progress)
    assert runs(server, live) == ["run 3"]


def test_a_moment_after_the_last_commit_is_the_end_of_what_is_kept(kept, server, live, progress):
    based(kept, progress)
    add_run(server, live, "run 1")
    time.sleep(1.5)
    quiet = now(server)
    until(lambda: reaches(kept, quiet))

    RestoreDatabase(at=quiet, beside="mlflow_then").run(kept, progress)

    assert runs(server, "mlflow_then") == ["run 1"]


def test_exclusive_leaves_out_what_was_committed_at_that_very_moment(kept, server, live, progress):
    based(kept, progress)
    with psycopg.connect(server.url("postgres", live), autocommit=True) as connection:
        connection.execute("INSERT INTO runs VALUES ('run 1', 1, 0, '')")
    committed = server.do("SELECT clock_timestamp()")[0][0]
    add_run(server, live, "run 2")
    reach_now(kept, server)

    RestoreDatabase(at=committed, exclusive=True, beside="mlflow_then").run(kept, progress)

    assert runs(server, "mlflow_then") == ["run 1"]


def test_across_many_segments(kept, server, live, progress):
    based(kept, progress)
    for number in range(40):
        add_run(server, live, f"run {number:02}")
        server.do("SELECT pg_switch_wal()")
    wanted = now(server)
    add_run(server, live, "run 99")
    reach_now(kept, server)

    RestoreDatabase(at=wanted, beside="mlflow_then").run(kept, progress)

    assert runs(server, "mlflow_then") == [f"run {number:02}" for number in range(40)]


def test_moments_that_cannot_be_reached_are_refused_with_those_that_can(kept, server, live, progress):
    early = now(server)
    with pytest.raises(OperatorError, match="no base backup"):
        RestoreDatabase(at=early).plan(kept)
    based(kept, progress)

    with pytest.raises(OperatorError, match="begins at"):
        RestoreDatabase(at=early).plan(kept)
    with pytest.raises(OperatorError, match="reaches up to"):
        RestoreDatabase(at=now(server) + timedelta(hours=1)).plan(kept)


def test_a_process_that_follows_a_killed_one_leaves_no_gap(systems, server, live, progress, tmp_path):
    made = systems()
    with being_kept(made, tmp_path / "one"):
        based(made, progress)
        add_run(server, live, "run 1")
        server.do("SELECT pg_switch_wal()")
    for number in range(5):
        add_run(server, live, f"run 2 {number}")
        server.do("SELECT pg_switch_wal()")
    with being_kept(made, tmp_path / "two"):
        last = add_run(server, live, "run 3")
        until(lambda: reaches(made, last))
        RestoreDatabase(at=last, beside="mlflow_then").run(made, progress)

    assert runs(server, "mlflow_then") == ["run 1", *(f"run 2 {number}" for number in range(5)), "run 3"]


def test_wal_that_is_missing_is_found_before_it_is_needed(kept, server, live, progress, client, bucket):
    based(kept, progress)
    for _ in range(3):
        add_run(server, live, f"run {now(server)}")
        server.do("SELECT pg_switch_wal()")
    late = now(server)
    until(lambda: reaches(kept, late))
    where = access.places(kept)
    base = access.archive(kept).bases()[0]
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket, Prefix=where.folder(1))["Contents"]]
    whole = [key for key in keys if ".part/" not in key]
    client.delete_object(Bucket=bucket, Key=whole[-2])

    with Transfer.of(kept.backups, 2) as transfer:
        (gap,) = archive.list_wal(transfer, bucket, where).gaps(base.first)
    assert gap.first.name(where.segment_bytes) in whole[-2]
    with pytest.raises(OperatorError, match="can't be brought back"):
        RestoreDatabase(at=late).plan(kept)


def test_a_slot_that_grew_too_long_is_given_up_and_a_new_base_begins_anew(systems, server, live, progress, tmp_path):
    made = systems()
    with being_kept(made, tmp_path / "one"):
        based(made, progress)
    for _ in range(3):
        add_run(server, live, f"run {now(server)}")
        server.do("SELECT pg_switch_wal()")
    small = systems(recovery={"slot_bytes": 32 << 20})
    with being_kept(small, tmp_path / "two") as said:
        until(lambda: any("given up" in each for each in said))
        until(lambda: said[-1] == "")
        reach_now(small, server)
        asking = Asking(small, 10.0)
        answer = recovery.ask(asking)
        assert answer.status == "fail", answer
        assert "WAL is missing" in answer.sentence

        BackupBase(now=True).run(small, progress)
        at = add_run(server, live, "run 9")
        until(lambda: reaches(small, at))
        assert recovery.ask(asking).status == "warn"
        RestoreDatabase(at=at, beside="mlflow_then").run(small, progress)
        asking.close()

    assert "run 9" in runs(server, "mlflow_then")


def test_a_purged_experiment_comes_back_and_later_runs_of_others_stay(kept, server, live, progress):
    based(kept, progress)
    there = purged_experiment(server, live)
    late = add_run(server, live, "run later")
    until(lambda: reaches(kept, late))

    chosen = moment.choose(kept, there)
    with (
        moment.taken(kept, chosen, progress) as found,
        side_database.restored_beside(kept, found, progress, side_database.ROWS) as side,
    ):
        rows.copy(side, kept.database, ("experiments", "experiment_id"), 77, progress)

    assert runs(server, live) == ["run churn", "run later"]
    assert [name for (name,) in server.do("SELECT datname FROM pg_database WHERE datname LIKE 'mlflow_%'")] == []


def test_a_drill_of_a_random_moment_leaves_nothing_but_its_result(kept, server, live, progress, client, bucket):
    based(kept, progress)
    at = add_run(server, live, "run 1")
    until(lambda: reaches(kept, at))

    report = DrillMoment().run(kept, progress)

    assert report.status == "ok"
    assert "Drill passed" in report.summary
    drill = drilled.last(access.archive(kept))
    assert drill.well
    assert [name for (name,) in server.do("SELECT datname FROM pg_database WHERE datname LIKE 'mlflow_%'")] == []
    assert client.list_objects_v2(Bucket=bucket, Prefix=moment.PREFIX)["KeyCount"] == 0
    assert not list(Path(tempfile.gettempdir()).glob(f"{private_server.FOLDER}*"))


def test_pruning_keeps_what_the_bases_that_stay_need(kept, server, live, progress, client, bucket):
    based(kept, progress)
    for _ in range(3):
        add_run(server, live, f"run {now(server)}")
        server.do("SELECT pg_switch_wal()")
    reach_now(kept, server)
    where = access.places(kept)
    BackupBase(now=True).run(kept, progress)
    old, new = access.archive(kept).bases()
    chosen = keeping.choose([old, new], where, 1, new.finished_at + timedelta(days=1))
    assert chosen.going == (old,)

    with Transfer.of(kept.backups, 2) as transfer:
        removed = keeping.remove(chosen, transfer, bucket)
        left = archive.list_wal(transfer, bucket, where).ordered()

    assert removed > 0
    assert left[0] == new.first
    assert [each.name for each in access.archive(kept).bases()] == [new.name]
    RestoreDatabase(at=new.finished_at, beside="mlflow_then").run(kept, progress)


def test_a_base_at_leisure_has_its_pace_and_a_large_server_is_read_faster(systems, server, live, monkeypatch):
    def pace(**recovery):
        return wal_base.pace(systems(recovery=recovery))

    assert pace() == 8 << 20
    assert pace(base_bytes_per_second=None) is None
    whole = access.replication(systems()).size_bytes()
    (told,) = server.do("SELECT sum(pg_database_size(oid)) FROM pg_database")
    assert 0 < whole <= float(told[0]) * 1.1
    monkeypatch.setattr(wal_base, "UNHURRIED_SECONDS", 1)
    assert pace(base_bytes_per_second=32 << 10) == pytest.approx(whole, rel=0.1)
    monkeypatch.setattr(wal_base, "RATE_AT_MOST", 1 << 20)
    assert pace(base_bytes_per_second=32 << 10) == 1 << 20
