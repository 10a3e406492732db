"""The second Cluster as CloudNativePG's own schema takes it, and what of the live one must not be in it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.operations.cloudnativepg.cnpg_api import broken
from workers.operations.cloudnativepg import manifest
from workers.operations.moments import Moment
from workers.systems.cluster import cloudnativepg

AT = Moment(datetime(2026, 11, 30, 14, 5, 10, 123456, tzinfo=UTC))
PLUGIN = {"name": cloudnativepg.PLUGIN, "isWALArchiver": True, "parameters": {"barmanObjectName": "store"}}
IN_TREE = {
    "barmanObjectStore": {
        "destinationPath": "s3://backups/",
        "endpointURL": "https://minio:9000",
        "s3Credentials": {"accessKeyId": {"name": "s3", "key": "id"}, "secretAccessKey": {"name": "s3", "key": "key"}},
        "wal": {"compression": "gzip", "maxParallel": 8},
    },
    "retentionPolicy": "30d",
}
FULL = {
    "instances": 3,
    "imageName": "ghcr.io/cloudnative-pg/postgresql:16.4",
    "imagePullSecrets": [{"name": "registry"}],
    "storage": {"size": "10Gi", "storageClass": "fast"},
    "walStorage": {"size": "2Gi"},
    "tablespaces": [{"name": "big", "storage": {"size": "1Gi"}}],
    "resources": {"requests": {"memory": "1Gi"}},
    "affinity": {"nodeSelector": {"disk": "ssd"}},
    "env": [{"name": "AWS_REGION", "value": "eu-central-1"}],
    "serviceAccountTemplate": {"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}},
    "priorityClassName": "high",
    "minSyncReplicas": 1,
    "maxSyncReplicas": 2,
    "enableSuperuserAccess": False,
    "superuserSecret": {"name": "super"},
    "inheritedMetadata": {"labels": {"app": "postgres"}},
    "certificates": {"serverTLSSecret": "tls", "serverCASecret": "ca"},
    "managed": {"roles": [{"name": "mlflow", "login": True}]},
    "monitoring": {"enablePodMonitor": True},
    "replica": {"enabled": False, "source": "elsewhere"},
    "bootstrap": {"initdb": {"database": "mlflow", "owner": "mlflow"}},
    "externalClusters": [{"name": "elsewhere", "connectionParameters": {"host": "elsewhere"}}],
    "postgresql": {
        "parameters": {"max_connections": "300", "wal_level": "logical"},
        "shared_preload_libraries": ["pg_cron"],
        "pg_hba": ["host all all all reject"],
        "synchronous": {"method": "any", "number": 1},
        "ldap": {"server": "ldap.example.com"},
    },
}
NEVER = {
    "backup", "plugins", "superuserSecret", "certificates", "managed", "monitoring", "replica", "minSyncReplicas",
    "maxSyncReplicas",
}  # fmt: skip


def live(name="mlflow-db", status=None, **spec):
    """A live Cluster."""
    metadata = {"name": name, "namespace": "data", "labels": {"app": "postgres"}, "annotations": {"a": "b"}}
    return {"metadata": metadata, "spec": {"instances": 3, "storage": {"size": "1Gi"}, **spec}, "status": status or {}}


@pytest.mark.parametrize("backups", [{"plugins": [PLUGIN]}, {"backup": IN_TREE}], ids=["plugin", "in-tree"])
@pytest.mark.parametrize("spec", [{}, FULL], ids=["least", "full"])
def test_cloudnativepg_takes_it_and_it_acts_on_nothing(spec, backups):
    given_live = live(**spec, **backups)
    assert broken({"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", **_as_posted(given_live)}) == []
    made = manifest.made(given_live, AT, "mlflow")

    assert broken(made) == []
    assert not NEVER & made["spec"].keys()
    assert made["spec"]["instances"] == 1
    assert set(made["spec"]["postgresql"]) <= {"parameters", "shared_preload_libraries", "extensions"}
    assert made["metadata"]["labels"] == manifest.labels("mlflow")
    assert "annotations" not in made["metadata"]
    assert "app" not in made["spec"]["inheritedMetadata"]["labels"]
    (origin,) = made["spec"]["externalClusters"]
    where = origin["plugin"]["parameters"] if "plugins" in backups else origin["barmanObjectStore"]
    assert where["serverName"] == "mlflow-db"
    for each in manifest.COPIED:
        assert made["spec"].get(each) == given_live["spec"].get(each)


def _as_posted(item):
    # The operator's own defaults fill in what a person leaves out.
    return {"metadata": item["metadata"], "spec": {"postgresql": {"parameters": {}}, **item["spec"], "instances": 3}}


def test_where_the_backups_have_another_name_that_counts():
    plugin = {**PLUGIN, "parameters": {"barmanObjectName": "store", "serverName": "before"}}
    (origin,) = manifest.made(live(plugins=[plugin]), AT, "t")["spec"]["externalClusters"]
    assert origin["plugin"]["parameters"] == {"barmanObjectName": "store", "serverName": "before"}
    in_tree = {"barmanObjectStore": {**IN_TREE["barmanObjectStore"], "serverName": "before"}}
    (origin,) = manifest.made(live(backup=in_tree), AT, "t")["spec"]["externalClusters"]
    assert origin["barmanObjectStore"]["serverName"] == "before"


def test_a_plugin_that_is_off_or_another_one_is_no_archive():
    for each in (
        {**PLUGIN, "enabled": False},
        {"name": "another.example.com", "parameters": {"barmanObjectName": "x"}},
    ):
        assert cloudnativepg.plugin(live(plugins=[each])) is None


def test_it_runs_what_the_live_one_runs():
    assert manifest.made(live(plugins=[PLUGIN]), AT, "t")["spec"].get("imageName") is None
    runs = {"status": {"image": "postgresql:16.9"}, "plugins": [PLUGIN]}
    made = manifest.made(live(**runs, imageName="postgresql:16"), AT, "t")
    assert made["spec"]["imageName"] == "postgresql:16.9"
    catalog = {"apiGroup": "postgresql.cnpg.io", "kind": "ImageCatalog", "name": "ours", "major": 16}
    made = manifest.made(live(**runs, imageCatalogRef=catalog), AT, "t")
    assert made["spec"]["imageCatalogRef"] == catalog
    assert "imageName" not in made["spec"]
    assert broken(made) == []


@given(
    at=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is added
    hours=st.integers(-12, 12),
    inclusive=st.booleans(),
)
def test_the_moment_is_said_to_the_microsecond_with_its_zone(at, hours, inclusive):
    wanted = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    made = manifest.made(live(plugins=[PLUGIN]), Moment(wanted, inclusive), "t")
    target = made["spec"]["bootstrap"]["recovery"]["recoveryTarget"]
    assert datetime.fromisoformat(target["targetTime"]) == wanted
    assert target.get("exclusive", False) is not inclusive
    assert broken(made) == []


@given(name=st.from_regex(r"[a-z]([-a-z0-9]{0,48}[a-z0-9])?", fullmatch=True))
def test_its_name_is_one_that_is_taken(name):
    made = manifest.made(live(name=name, plugins=[PLUGIN]), AT, "t")
    assert broken(made) == []
    assert made["metadata"]["name"] == manifest.name_of(name) != name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instanzes": 1}, "instanzes"),
        ({"instances": "one"}, "instances"),
        ({"bootstrap": {"recovery": {"source": "nowhere"}}}, "nowhere not found"),
    ],
)
def test_the_stand_in_refuses_what_cloudnativepg_refuses(change, said):
    made = manifest.made(live(plugins=[PLUGIN]), AT, "t")
    assert said in str(broken(made | {"spec": made["spec"] | change}))
