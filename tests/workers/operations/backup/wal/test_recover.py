"""The server is gone, and another one is there: the database comes back from the WAL, newer than the last backup."""

from datetime import timedelta

import pytest

from tests.workers.operations.backup.wal.conftest import (
    OURS,
    OWNER,
    REPLICATOR,
    add_run,
    being_kept,
    now,
    reaches,
    until,
    with_roles,
)
from workers.errors import OperatorError
from workers.operations.backup import sets
from workers.operations.backup.backup import Backup
from workers.operations.backup.wal import access
from workers.operations.backup.wal.base import BackupBase
from workers.operations.restore import recover_moment
from workers.operations.restore.recover import Recover, _Recovery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def other(server):
    """Another server of the same version, with the same roles and nothing else."""
    with with_roles(server.major) as started:
        yield started


@pytest.fixture
def kept(systems, redis_url):
    """As conftest's, with a Redis, which backups are noted in; the WAL is kept while `newer` is made only."""
    return systems(REDIS_URL=redis_url)


@pytest.fixture
def newer(kept, server, live, progress, tmp_path):
    """What is kept: a base, a backup, and a run that is in the WAL alone. When that was committed.

    The server is lost then: nothing more is kept of it, so what can be brought back stays the same.
    """
    with being_kept(kept, tmp_path / "spool"):
        until(lambda: access.replication(kept).look())
        BackupBase(now=True).run(kept, progress)
        assert Backup(parts=("database",)).run(kept, progress).status in {"ok", "warn"}
        at = add_run(server, live, "run after the backup")
        until(lambda: reaches(kept, at))
    return at


@pytest.fixture
def moved(systems, other, live):
    """The worker's systems where only the other server is there."""
    return systems(
        MLFLOW_OPS_DATABASE_URL=other.url(OWNER, live),
        MLFLOW_OPS_DATABASE_ADMIN_URL=other.url(OURS),
        MLFLOW_OPS_REPLICATION_URL=other.url(REPLICATOR),
    )


def test_a_young_servers_first_segment_is_taken_up_again(systems, other, live, redis_url, progress, tmp_path):
    """What was left in it by a process that was killed, when the server has gone on since."""
    other.do(f"CREATE DATABASE {live} OWNER {OWNER}")
    made = systems(
        REDIS_URL=redis_url,
        MLFLOW_OPS_DATABASE_URL=other.url(OWNER, live),
        MLFLOW_OPS_DATABASE_ADMIN_URL=other.url(OURS),
        MLFLOW_OPS_REPLICATION_URL=other.url(REPLICATOR),
    )
    assert other.do("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 24)") == [("000000010000000000000001",)]
    with being_kept(made, tmp_path / "one"):
        until(lambda: access.archive(made).point())
    for number in range(2):
        other.do(f"CREATE TABLE at_{number} (a int)", "SELECT pg_switch_wal()", database=live)
    at = now(other)
    with being_kept(made, tmp_path / "two"):
        until(lambda: reaches(made, at))
        assert access.replication(made).look().kept_from >= 3 * access.places(made).segment_bytes


def look(systems, *, at=None, alone=False):
    return recover_moment.look(systems, sets.good(systems, "latest", part="database"), at, alone=alone)


def test_a_new_server_gets_the_newest_moment(newer, moved, other, live, progress):
    beyond = look(moved)
    assert beyond.chosen.at >= newer
    assert "newer than the backup" in beyond.notes[0]
    assert look(moved).chosen.at == beyond.chosen.at
    assert look(moved, alone=True) == recover_moment.Beyond()

    recovery = _Recovery.of(moved, Recover(), progress)
    for step in recovery.database_steps():
        if step.missing():
            said = step.do()

    assert "As it was at" in said
    assert other.do("SELECT count(*) FROM runs WHERE run_uuid = 'run after the backup'", role=OWNER, database=live) == [
        (1,)
    ]
    assert [step.missing() for step in recovery.database_steps()] == ["", ""]


def test_the_same_server_holds_the_loss_too_so_the_moment_must_be_named(newer, kept, server, live, progress):
    server.do(f"DROP DATABASE {live} WITH (FORCE)")
    beyond = look(kept)
    assert beyond.chosen is None
    assert "recover --at TIME" in beyond.notes[0]
    assert look(kept, at=newer).chosen.at == newer
    with pytest.raises(OperatorError, match="can't be brought back"):
        look(kept, at=newer + timedelta(hours=1))

    for step in _Recovery.of(kept, Recover(at=newer), progress).database_steps():
        if step.missing():
            step.do()

    assert server.do("SELECT run_uuid FROM runs WHERE run_uuid LIKE 'run %'", role=OWNER, database=live) == [
        ("run after the backup",)
    ]


def test_wal_of_another_mlflows_server_is_not_taken(newer, moved, kept):
    found = sets.good(kept, "latest", part="database")
    stranger = found.model_copy(
        update={"database": found.database.model_copy(update={"system": "7000000000000000001"})}
    )
    beyond = recover_moment.look(moved, stranger, None, alone=False)
    assert beyond.chosen is None
    assert "No WAL is kept of the server" in beyond.notes[0]


def test_wal_that_is_of_no_use_leaves_the_backup(newer, moved, kept, client, bucket):
    where = access.places(kept)
    for item in client.list_objects_v2(Bucket=bucket, Prefix=f"{where.prefix}base/")["Contents"]:
        client.delete_object(Bucket=bucket, Key=item["Key"])
    beyond = look(moved)
    assert beyond.chosen is None
    assert "The WAL is of no use" in beyond.notes[0]
