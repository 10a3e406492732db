"""The second Cluster: as the live one where PostgreSQL needs it to be, and with nothing that would act on the world.

Left out on purpose: `backup` and `plugins` (it would archive over the live one's WAL), labels, annotations and
`inheritedMetadata` (a Service, a NetworkPolicy or Argo CD may select by them), `managed` (Services, roles), pg_hba and
LDAP, `replica`, certificates, synchronous replication. Its application database is one of ours: the operator makes that
if it is not there, and MLflow's must not come to be by that.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from workers.systems.cluster import cloudnativepg
from workers.systems.cluster.annotations import PURPOSE as PURPOSE_LABEL

if TYPE_CHECKING:
    from workers.operations.moments import Moment
    from workers.systems.cluster.requests import Json

LONGEST: Final = 50
"""Characters of a Cluster's name (CloudNativePG's webhook)."""
END: Final = "-moment"
TARGET: Final = "mlflow-ops/target"
PURPOSE: Final = "moment"
ORIGIN: Final = "origin"
NOBODYS: Final = "mlflow_ops_moment"
"""A database and its owner, which the operator makes in it; nobody uses them."""
COPIED: Final = (
    "imagePullPolicy", "imagePullSecrets", "postgresUID", "postgresGID", "storage", "walStorage", "tablespaces",
    "resources", "affinity", "env", "envFrom", "serviceAccountName", "serviceAccountTemplate",
    "projectedVolumeTemplate", "ephemeralVolumeSource", "ephemeralVolumesSizeLimit", "priorityClassName",
    "schedulerName", "seccompProfile", "podSecurityContext", "securityContext",
)  # fmt: skip


def name_of(live: str) -> str:
    """What the second one is called: always the same, so that a Role can name it."""
    return f"{live[: LONGEST - len(END)]}{END}"


def labels(target: str) -> dict[str, str]:
    """By which ours is known. target: MLFLOW_OPS_TARGET."""
    return {"app.kubernetes.io/managed-by": "mlflow-ops", PURPOSE_LABEL: PURPOSE, TARGET: target}


def made(live: Json, to: Moment, target: str) -> Json:
    """The second Cluster. live: the first one, which has backups (live.look)."""
    spec = live["spec"]
    return {
        "apiVersion": "postgresql.cnpg.io/v1",
        "kind": "Cluster",
        "metadata": {
            "name": name_of(live["metadata"]["name"]),
            "namespace": live["metadata"]["namespace"],
            "labels": labels(target),
        },
        "spec": {
            **{key: spec[key] for key in COPIED if key in spec},
            **_image(live),
            "description": "A database as it was at a moment, for mlflow-ops, which removes it again.",
            "instances": 1,
            "enablePDB": False,
            "enableSuperuserAccess": True,
            # Its pods can be named in a NetworkPolicy.
            "inheritedMetadata": {"labels": {PURPOSE_LABEL: PURPOSE}},
            "postgresql": _postgresql(spec.get("postgresql") or {}),
            "bootstrap": {"recovery": _recovery(to)},
            "externalClusters": [{"name": ORIGIN, **_origin(live)}],
        },
    }


def _image(live: Json) -> dict[str, Any]:
    spec, status = live["spec"], live.get("status") or {}
    if "imageCatalogRef" in spec:
        return {"imageCatalogRef": spec["imageCatalogRef"]}
    # What runs: the operator's default may be another one by now.
    image = status.get("image") or spec.get("imageName")
    return {"imageName": image} if image else {}


def _postgresql(given: dict[str, Any]) -> dict[str, Any]:
    """No setting is less than where the WAL was written, and no subscription goes on with the live one's slot."""
    kept: dict[str, Any] = {key: given[key] for key in ("shared_preload_libraries", "extensions") if key in given}
    return {**kept, "parameters": {**(given.get("parameters") or {}), "max_logical_replication_workers": "0"}}


def _recovery(to: Moment) -> dict[str, Any]:
    target = {"targetTime": f"{to.at.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00"}
    return {
        "source": ORIGIN,
        "database": NOBODYS,
        "owner": NOBODYS,
        "recoveryTarget": target if to.inclusive else {**target, "exclusive": True},
    }


def _origin(live: Json) -> dict[str, Any]:
    parameters = cloudnativepg.plugin(live)
    if parameters:
        return {"plugin": {"name": cloudnativepg.PLUGIN, "parameters": parameters}}
    return {"barmanObjectStore": cloudnativepg.object_store(live)}
