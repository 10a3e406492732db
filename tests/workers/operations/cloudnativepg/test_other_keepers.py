"""Where another program keeps the WAL, what keeps it here refuses, and what can't go back says what to run."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
import yaml

from bot.process import wal
from workers import settings
from workers.errors import OperatorError
from workers.operations.backup.wal import access
from workers.operations.cloudnativepg import live
from workers.operations.restore import by_hand, moment
from workers.operations.restore.recover_moment import look as recover_from
from workers.settings import SettingsError
from workers.systems import Systems

AT = datetime(2026, 11, 30, 14, 5, 10, 250000, tzinfo=UTC)
OTHERS = ("cnpg", "pgbackrest", "barman")


@dataclass(frozen=True)
class Nowhere:
    """A cluster of which only the namespace is asked."""

    namespace: str


@pytest.fixture
def systems(tmp_path):
    """Makes a worker's systems with such a source; nothing of them is there."""

    def make(source):
        file = tmp_path / "ops.yaml"
        file.write_text(yaml.safe_dump({"recovery": {"point_in_time": True, "source": source}, "channels": ["C0OPS"]}))
        url = "postgresql://mlflow:p@mlflow-db-rw.data.svc/mlflow"
        return Systems(settings.load({"MLFLOW_OPS_CONFIG": str(file), "MLFLOW_OPS_DATABASE_URL": url}))

    return make


@pytest.mark.parametrize("source", OTHERS)
def test_nothing_is_kept_twice(systems, source):
    made = systems(source)
    with pytest.raises(OperatorError, match="kept by another program"):
        access.refuse_off(made)
    with pytest.raises(SettingsError, match=f"recovery.source is {source}"):
        wal.serve(made.settings, threading.Event(), lambda: None)
    assert "base" not in made.settings.ops.clock
    assert ("moment" in made.settings.ops.clock) is (source == "cnpg")
    with pytest.raises(OperatorError, match="and recovery"):
        recover_from(made, None, AT, alone=False)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "pgbackrest",
            (
                "pgbackrest --stanza=STANZA --pg1-path=SIDE --archive-mode=off --type=time "
                "--target='2026-11-30 14:05:10.250000+00' --target-action=promote restore"
            ),
        ),
        (
            "barman",
            "barman restore --target-time '2026-11-30 14:05:10.250000+00' --target-action promote SERVER auto SIDE",
        ),
    ],
)
def test_the_line_to_run_by_hand_is_said_with_the_moment(systems, source, line):
    with pytest.raises(OperatorError, match="doesn't restore from it") as caught:
        moment.choose(systems(source), AT)
    assert line in caught.value.hint
    assert by_hand.PAGE in caught.value.hint


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("mlflow-db-rw", ("data-platform", "mlflow-db")),
        ("mlflow-db-rw.data", ("data", "mlflow-db")),
        ("mlflow-db-rw.data.svc.cluster.local", ("data", "mlflow-db")),
        ("postgres.example.com", None),
        ("-rw", None),
    ],
)
def test_the_cluster_is_the_one_that_the_address_says(systems, host, named):
    made = systems("cnpg")
    made.__dict__["cluster"] = Nowhere("data-platform")
    made.__dict__["database"] = type("Address", (), {"url": f"host={host} dbname=mlflow"})()
    if named is None:
        with pytest.raises(OperatorError, match="no Service of a CloudNativePG"):
            live.named(made)
        return
    clusters, name = live.named(made)
    assert (clusters.namespace, name) == named
