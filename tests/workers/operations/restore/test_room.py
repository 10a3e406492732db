"""The room on the server's disk: said before, watched meanwhile, and not known where nobody says it."""

from types import SimpleNamespace

import pytest

from workers.errors import OperatorError
from workers.operation import Unwatched
from workers.operations.restore import room
from workers.systems.errors import DatabaseFull
from workers.systems.postgres.admin import Wal

GIB = 1 << 30
DF = """Filesystem     1024-blocks      Used Available Capacity Mounted on
/dev/sdb          52428800  41943040  10485760      80% /var/lib/postgresql/data
"""
POD = {
    "metadata": {"name": "postgres-0"},
    "spec": {
        "volumes": [{"name": "conf", "configMap": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "d"}}],
        "containers": [
            {"name": "exporter", "volumeMounts": [{"name": "conf", "mountPath": "/etc/x"}]},
            {"name": "postgres", "volumeMounts": [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]},
        ],
    },
}


@pytest.fixture
def told(monkeypatch):
    """What the plan says of a set of 4 GiB on a server with such a disk."""

    def tell(disk, wal=Wal(GIB, kept=False)):  # noqa: B008 - it is frozen
        monkeypatch.setattr(room, "find", lambda *_: disk)
        systems = SimpleNamespace(server=SimpleNamespace(wal=lambda: wal))
        return room.warnings(systems, SimpleNamespace(size_bytes=4 * GIB))

    return tell


def test_enough_is_not_worth_a_word(told):
    assert told(room.Disk(100 * GIB, 50 * GIB, "df in postgres-0")) == ()


def test_too_little_is_refused(told):
    with pytest.raises(
        OperatorError, match=r"takes 4.0 GiB, and the server's disk of 100 GiB \(df in x\) has 3.0 GiB left"
    ):
        told(room.Disk(100 * GIB, 3 * GIB, "df in x"))


def test_what_is_tight_is_told_with_what_is_needed(told):
    (warning,) = told(room.Disk(100 * GIB, 5 * GIB, "df in x"))
    assert "needs 4.0 GiB for data and indexes, and up to 1.0 GiB of WAL" in warning
    assert "stopped if less than 1.0 GiB is left" in warning


def test_wal_that_somebody_keeps_is_as_much_as_is_written(told):
    (warning,) = told(room.Disk(100 * GIB, 8 * GIB, "df in x"), Wal(GIB, kept=True))
    assert "up to 4.0 GiB of WAL because a slot or the archive keeps it" in warning


def test_a_disk_that_nobody_knows_is_said_to_be_unknown(told):
    (warning,) = told(None)
    assert warning.startswith("The size of the server's disk is not known")
    assert "needs 4.0 GiB for data and indexes, and up to 1.0 GiB of WAL" in warning


def test_df_is_read():
    assert room._read(DF, "df in postgres-0") == room.Disk(50 * GIB, 10 * GIB, "df in postgres-0")
    assert room._read("df: command not found\n", "x") is None
    assert room._read("", "x") is None


def test_df_is_asked_where_the_claim_is_mounted():
    assert room._place(POD) == ("postgres-0", "postgres", "/var/lib/postgresql/data")
    assert room._place({"metadata": {"name": "x"}, "spec": {"volumes": [], "containers": []}}) is None


def test_a_restore_is_stopped_before_the_disk_is_full(monkeypatch):
    monkeypatch.setattr(room, "LOOK_SECONDS", 0.0)
    left = iter([3 * GIB, 2 * GIB, GIB // 2])
    watch = room._Watch(Unwatched(), lambda: room.Disk(100 * GIB, next(left), "df in x"))
    watch.checkpoint()
    watch.checkpoint()
    with pytest.raises(DatabaseFull, match="has only 512 MiB left"):
        watch.checkpoint()
