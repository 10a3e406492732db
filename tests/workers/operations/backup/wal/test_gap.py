"""A segment removed by hand from the bucket: who says so, what, and when. The table is printed (pytest -s or not)."""

import random
import sys
import time

import pytest

from bot.process import wal
from tests.workers.operations.backup.wal.conftest import add_run, reaches, until
from tests.world.conftest import FOLDERS
from workers.errors import OperatorError
from workers.operations.backup.wal import access, archive, overview, receiving
from workers.operations.backup.wal.base import BackupBase
from workers.operations.health import recovery
from workers.operations.health.questions import Asking
from workers.operations.restore.database import RestoreDatabase
from workers.operations.restore.drill_moment import DrillMoment, some
from workers.systems.s3.transfer import Transfer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def refused(operation, systems):
    try:
        operation.plan(systems)
    except OperatorError as error:
        return error.message
    return ""


@pytest.mark.parametrize("server", [max(FOLDERS)], indirect=True, ids=["newest"])
def test_who_says_that_wal_is_missing_and_when(kept, server, live, progress, client, bucket, tmp_path, capsys):
    until(lambda: access.replication(kept).look())
    BackupBase(now=True).run(kept, progress)
    before = add_run(server, live, "run 0")
    for number in range(1, 5):
        server.do("SELECT pg_switch_wal()")
        time.sleep(1.2)
        late = add_run(server, live, f"run {number}")
    until(lambda: reaches(kept, late))
    where = access.places(kept)
    listed = client.list_objects_v2(Bucket=bucket, Prefix=where.folder(1))["Contents"]
    whole = [each["Key"] for each in listed if ".part/" not in each["Key"]]
    assert overview.look(kept).gaps == ()

    client.delete_object(Bucket=bucket, Key=whole[-2])

    since, table = time.monotonic(), []

    def told(who, how_often, said):
        table.append((who, how_often, f"{time.monotonic() - since:.1f} s", said))
        return said

    name = whole[-2].rpartition("/")[2].removesuffix(".zst")
    asking = Asking(kept, 10.0)
    answer = recovery.ask(asking)
    asking.close()
    assert answer.status == "fail"
    assert name in told("health recovery, the hourly figures", "when asked; 1 h", answer.sentence)
    assert told("Prometheus: mlflow_ops gaps, and its alert", "1 h", f"gaps {answer.figures['gaps']:.0f}") == "gaps 1"
    with Transfer.of(kept.backups, 2) as transfer:
        going = receiving.Keeping(kept, transfer, tmp_path)
        assert name in told("mlflow-ops wal, which has a base made", "60 s", wal._no_base(kept, going))
    assert told("restore database --at, its plan", "when asked", refused(RestoreDatabase(at=late), kept))
    assert told("drill --at, its plan", "when asked", refused(DrillMoment(at=late), kept))
    # What lies before the gap can still be had, and a random moment is one of these.
    assert refused(RestoreDatabase(at=before, beside="mlflow_then"), kept) == ""
    seen = overview.look(kept)
    assert all(some(archive.spans(seen.windows), random.Random(seed)) < late for seed in range(50))

    BackupBase(now=True).run(kept, progress)
    at = add_run(server, live, "run 9")
    until(lambda: reaches(kept, at))
    assert refused(RestoreDatabase(at=at, beside="mlflow_now"), kept) == ""
    asking = Asking(kept, 10.0)
    assert recovery.ask(asking).status == "warn"
    asking.close()
    told("after another base: health recovery", "when asked", "warn; moments after the new base are there")
    with capsys.disabled():
        for row in (("who", "looks every", "said after", "what"), *table):
            sys.stdout.write("\n{:44} {:16} {:11} {}".format(*row))
        sys.stdout.write("\n")
