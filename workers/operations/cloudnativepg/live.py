"""The Cluster that MLflow's database is in: its backups, and back to which moment one can go with them.

How far they reach is the operator's own word (its status, or the plugin's ObjectStore's); that no WAL is missing in
between is known only once it was replayed, which the weekly drill does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.systems.cluster import cloudnativepg
from workers.systems.cluster.cloudnativepg import Clusters

if TYPE_CHECKING:
    from datetime import datetime

    from workers.systems import Systems
    from workers.systems.cluster.requests import Json

READ_WRITE: Final = "-rw"
"""How the name of a Cluster's Service for writing ends."""


@dataclass(frozen=True)
class Live:
    """It, with its backups. since: the first moment that can be gone back to. last: when the last backup was made."""

    clusters: Clusters
    item: Json
    since: datetime | None
    last: datetime | None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.item["metadata"]["name"])

    @property
    def words(self) -> str:
        """As kubectl has it."""
        return f"cluster/{self.name} in {self.clusters.namespace}"

    @property
    def system(self) -> str:
        """The server's system identifier; empty where an older operator doesn't tell."""
        return str((self.item.get("status") or {}).get("systemID") or "")

    @property
    def server(self) -> str:
        """By what it is known."""
        return self.system or str(self.item["metadata"]["uid"])


def named(systems: Systems) -> tuple[Clusters, str]:
    """Where it is, and its name. Raises OperatorError where nobody says."""
    from psycopg.conninfo import conninfo_to_dict

    wanted, namespace = systems.settings.ops.recovery.cluster, systems.settings.ops.kubernetes.namespace
    if wanted:
        elsewhere, _, name = wanted.rpartition("/")
    else:
        host = str(conninfo_to_dict(systems.database.url).get("host") or "")
        service, _, rest = host.partition(".")
        name, elsewhere = service.removesuffix(READ_WRITE), rest.partition(".")[0]
        if not service.endswith(READ_WRITE) or not name:
            raise OperatorError(
                f"MLflow's database is at {host or 'no host'}, no Service of a CloudNativePG Cluster (NAME-rw).",
                "Name the Cluster in ops.yaml: recovery.cluster.",
            )
    return Clusters.of(systems.cluster, elsewhere or namespace), name


def look(systems: Systems) -> Live:
    """Look at it. Raises OperatorError where it isn't there or has no backups that a second one can be made from."""
    clusters, name = named(systems)
    item = clusters.find(name)
    if item is None:
        if not clusters.installed():
            raise OperatorError("CloudNativePG isn't installed: there is no kind Cluster.", "Check recovery.source.")
        raise OperatorError(
            f"There is no CloudNativePG Cluster {name} in {clusters.namespace}.",
            "Name the one that MLflow's database is in: recovery.cluster in ops.yaml.",
        )
    if not (cloudnativepg.plugin(item) or cloudnativepg.object_store(item)):
        raise OperatorError(
            f"cluster/{name} has no backups in an object store, so no moment can be brought back.",
            "Configure the Barman Cloud plugin (spec.plugins) or spec.backup.barmanObjectStore, and make a backup.",
        )
    window = clusters.window(item)
    return Live(clusters, item, window.since, window.last)
