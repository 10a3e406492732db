"""Back to which moment one can go, by what the operator says of backups in an object store."""

from datetime import UTC, datetime

import pytest

from tests.workers.operations.cloudnativepg.test_manifest import PLUGIN, live
from workers.systems.cluster.cloudnativepg import Clusters, Window, archives

EARLY, FIRST, LAST = "2026-11-01T00:00:00Z", "2026-11-20T02:30:00Z", "2026-11-30T02:30:00Z"
SINCE = datetime(2026, 11, 20, 2, 30, 1, tzinfo=UTC)
THEN = datetime(2026, 11, 30, 2, 30, tzinfo=UTC)


class Held:
    """A namespace with one ObjectStore."""

    namespace = "data"

    def __init__(self, status):
        self.status = status

    def named(self, kind, name, group):
        assert (kind, name, group) == ("objectstores", "store", "apis/barmancloud.cnpg.io/v1")
        return {"status": self.status}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"firstRecoverabilityPoint": FIRST, "lastSuccessfulBackup": LAST}, Window(SINCE, THEN)),
        (
            {
                "firstRecoverabilityPoint": EARLY,
                "firstRecoverabilityPointByMethod": {
                    "barmanObjectStore": FIRST,
                    "volumeSnapshot": "2026-11-01T00:00:00Z",
                },
                "lastSuccessfulBackupByMethod": {"barmanObjectStore": LAST},
            },
            Window(SINCE, THEN),
        ),
        # Snapshots alone are not what a second Cluster is made from.
        (
            {"firstRecoverabilityPoint": FIRST, "firstRecoverabilityPointByMethod": {"volumeSnapshot": FIRST}},
            Window(None, None),
        ),
        ({}, Window(None, None)),
        ({"firstRecoverabilityPoint": "nonsense"}, Window(None, None)),
    ],
)
def test_of_the_clusters_own_backups(status, expected):
    item = live(status=status, backup={"barmanObjectStore": {"destinationPath": "s3://b/"}})
    assert Clusters(Held({})).window(item) == expected


@pytest.mark.parametrize(("name", "expected"), [("mlflow-db", Window(SINCE, THEN)), ("another", Window(None, None))])
def test_of_the_plugins_store_it_is_this_servers(name, expected):
    windows = {name: {"firstRecoverabilityPoint": FIRST, "lastSuccessfulBackupTime": LAST}}
    item = live(plugins=[PLUGIN], status={"firstRecoverabilityPoint": "2020-01-01T00:00:00Z"})
    assert Clusters(Held({"serverRecoveryWindow": windows})).window(item) == expected


@pytest.mark.parametrize(("status", "well"), [("True", True), ("False", False), ("Unknown", True)])
def test_whether_it_archives_is_the_operators_word(status, well):
    condition = {"type": "ContinuousArchiving", "status": status, "message": "said"}
    assert archives(live(status={"conditions": [condition]}))[0] is well
    assert archives(live())[0] is True
