"""A table is dropped and artifacts are deleted behind our back: what the next backup says, and all that reads sets."""

import psycopg

from workers.operations.backup import sets
from workers.operations.backup.accept import BackupAccept
from workers.operations.backup.backup import Backup
from workers.operations.backup.prune import BackupPrune
from workers.operations.backup.show import BackupList
from workers.operations.health import backup as health
from workers.operations.health.questions import Asking
from workers.operations.restore.database import RestoreDatabase
from workers.report import Status
from workers.settings import Retention
from workers.systems import Systems


def test_a_set_that_shrank_is_told_everywhere_and_the_one_from_before_is_what_is_restored(
    systems, progress, s3, buckets, database_url
):
    ready = systems()
    for number in range(40):
        s3.put_object(Bucket=buckets[0], Key=f"2/run/artifacts/{number}", Body=b"x")
    Backup().run(ready, progress)
    whole = sets.good(ready, "latest")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE metrics")
    for number in range(40):
        s3.delete_object(Bucket=buckets[0], Key=f"2/run/artifacts/{number}")
    asked = health.ask(Asking(ready, 30.0))
    assert asked.status is Status.FAIL
    assert asked.sentence.startswith(f"Lost from the live database since the backup {whole.id}: 1 table: metrics.")

    report = Backup().run(ready, progress)
    assert report.status is Status.WARN
    assert report.summary.startswith(f"SHRANK: it lost 1 table: metrics; 40 of 50 artifacts since {whole.id}. ")
    shrunk = next(each.manifest for each in sets.every(ready) if each.id != whole.id)
    assert sets.good(ready, "latest").id == whole.id
    listed = BackupList().run(ready, progress)
    assert listed.status is Status.WARN
    assert listed.summary.startswith(f"1 good set in {buckets[1]}; the newest, {whole.id}, is ")
    assert listed.summary.endswith(f"; 1 set shrank, the last is {shrunk.id}.")
    rows = listed.sections[0].rows
    assert rows[0][-1] == "SHRANK: lost 1 table: metrics; 40 of 50 artifacts"
    plan = RestoreDatabase().plan(ready)
    assert plan.summary == f"from the backup {whole.id}"
    assert any(each.startswith(f"Skipping {shrunk.id}, which lost 1 table: metrics") for each in plan.warnings)
    nothing = Retention(hourly=0, daily=0, weekly=0, monthly=0)
    ops = ready.settings.ops
    ops = ops.model_copy(update={"backup": ops.backup.model_copy(update={"retention": nothing})})
    none = Systems(ready.settings.model_copy(update={"ops": ops}))
    pruning = BackupPrune().plan(none)
    assert dict(pruning.sections[0].rows) == {
        shrunk.name: "stays: the newest",
        whole.name: "stays: the last before something was lost",
    }
    assert "1 table: metrics" in " ".join(health.ask(Asking(ready, 30.0)).details[0].items[2])
    BackupAccept(id=shrunk.id).run(ready, progress)
    assert sets.good(ready, "latest").id == shrunk.id
    assert not sets.good(ready, "latest").shrunk
