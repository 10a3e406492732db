"""CloudNativePG's Clusters: what one says of itself, and a second one beside it (https://cloudnative-pg.io/docs).

Only what is documented is read: of the status the phase, readyInstances and the recoverability points; the Secret of
the superuser, which the operator makes; the labels of what belongs to a Cluster.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from workers.errors import OperatorError
from workers.systems.errors import ClusterForbidden, ClusterNotFound, GatewayError

if TYPE_CHECKING:
    from workers.systems.cluster.client import Cluster
    from workers.systems.cluster.requests import Json
    from workers.systems.postgres.database import Database

CLUSTERS: Final = "clusters"
GROUP: Final = "apis/postgresql.cnpg.io/v1"
STORES: Final = "objectstores"
STORES_GROUP: Final = "apis/barmancloud.cnpg.io/v1"
PLUGIN: Final = "barman-cloud.cloudnative-pg.io"
HEALTHY: Final = "Cluster in healthy state"
GIVEN_UP: Final = frozenset({
    "Cluster is unrecoverable and needs manual intervention",
    "Cluster cannot proceed to reconciliation due to an unknown plugin being required",
    "Cluster cannot proceed to reconciliation due to an error while interacting with plugins",
    "Cluster has incomplete or invalid image catalog",
    "Unable to create required cluster objects",
    "Invalid cluster definition",
})  # fmt: skip
"""Phases that the operator does not leave by itself (api/v1/cluster_types.go)."""
BELONGS: Final = "cnpg.io/cluster"
LAST_LINES: Final = 50
PORT: Final = 5432


@dataclass(frozen=True)
class Standing:
    """How a Cluster is. phase and reason: the operator's words. failed: it does not come to be healthy by itself."""

    phase: str
    reason: str
    healthy: bool
    failed: bool


@dataclass(frozen=True)
class Window:
    """since: the first moment that can be gone back to. last: when the last backup was completed."""

    since: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Clusters:
    """The Clusters of one namespace. Methods raise ClusterError or Nonsense."""

    cluster: Cluster

    @classmethod
    def of(cls, cluster: Cluster, namespace: str) -> Clusters:
        """Those of another namespace than MLflow's, perhaps."""
        return cls(replace(cluster, namespace=namespace))

    @property
    def namespace(self) -> str:
        """Where they are."""
        return self.cluster.namespace

    def installed(self) -> bool:
        """Whether there is CloudNativePG."""
        return self.cluster.knows(CLUSTERS, GROUP)

    def find(self, name: str) -> Json | None:
        """One, as it is; None where there is none."""
        try:
            return self.cluster.named(CLUSTERS, name, GROUP)
        except ClusterNotFound:
            return None

    def make(self, item: Json) -> None:
        """Make one. Raises ClusterInvalid where the operator or the CRD does not take it."""
        self.cluster.create(CLUSTERS, item, GROUP)

    def remove(self, name: str) -> None:
        """Have one removed with all that is its own: pods, volumes, Secrets."""
        self.cluster.remove(CLUSTERS, name, GROUP)

    def standing(self, name: str) -> Standing:
        """How it is. Raises ClusterNotFound where it is gone."""
        status = self.cluster.named(CLUSTERS, name, GROUP).get("status") or {}
        phase = str(status.get("phase") or "")
        healthy = phase == HEALTHY and int(status.get("readyInstances") or 0) > 0
        # An operator of before 2026 goes on with "Setting up primary" when its job has failed for good.
        failed = phase in GIVEN_UP or (not healthy and self._job_failed(name))
        return Standing(phase or "none yet", str(status.get("phaseReason") or ""), healthy, failed)

    def window(self, live: Json) -> Window:
        """Where one can go back to from its backups: of the plugin's ObjectStore or of the Cluster's own."""
        stored = plugin(live)
        if stored:
            item = self.cluster.named(STORES, stored["barmanObjectName"], STORES_GROUP)
            windows = (item.get("status") or {}).get("serverRecoveryWindow") or {}
            said = windows.get(stored["serverName"]) or {}
            return Window(_since(said.get("firstRecoverabilityPoint")), _moment(said.get("lastSuccessfulBackupTime")))
        status = live.get("status") or {}
        first, last = (_of_store(status, key) for key in ("firstRecoverabilityPoint", "lastSuccessfulBackup"))
        return Window(_since(first), _moment(last))

    def superuser(self, name: str, database: str) -> Database:
        """A database of it, as its superuser. Raises OperatorError where the Secret has no password."""
        from psycopg.conninfo import make_conninfo

        from workers.systems.postgres.database import Database

        secret = self.cluster.secret(superuser_secret(name))
        held = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        if not held.get("username") or not held.get("password"):
            raise OperatorError(f"The Secret {superuser_secret(name)} has no username and password.", "Look at it.")
        # The Service's name alone is known in its own namespace only.
        host = held.get("host") or f"{name}-rw"
        conninfo = make_conninfo(
            "",
            host=host if "." in host else f"{host}.{self.namespace}.svc",
            port=held.get("port") or PORT,
            dbname=database,
            user=held["username"],
            password=held["password"],
        )
        return Database(conninfo)

    def last_words(self, name: str) -> str:
        """What its pods have logged last that is an error; empty where nobody knows."""
        try:
            pods = self.cluster.pods(f"{BELONGS}={name}")
            said = [line for pod in pods for line in self._errors(pod)]
        except GatewayError:
            return ""
        return said[-1][:300] if said else ""

    def _errors(self, pod: Json) -> list[str]:
        name, (container, *_) = pod["metadata"]["name"], pod["spec"]["containers"]
        lines = self.cluster.log_lines(name, container["name"], tail_lines=LAST_LINES)
        return [found for line in lines if (found := _error(line.partition(" ")[2]))]

    def _job_failed(self, name: str) -> bool:
        try:
            jobs = self.cluster.jobs(f"{BELONGS}={name}")
        except ClusterForbidden:
            return False
        conditions = [each for job in jobs for each in (job.get("status") or {}).get("conditions") or []]
        return any(each.get("type") == "Failed" and each.get("status") == "True" for each in conditions)


def superuser_secret(name: str) -> str:
    """The Secret that the operator makes where enableSuperuserAccess is on, and no superuserSecret is named."""
    return f"{name}-superuser"


def plugin(live: Json) -> dict[str, str] | None:
    """The parameters of the Barman Cloud plugin that a Cluster archives with, whole; None where it has none."""
    for each in live["spec"].get("plugins") or []:
        if each.get("name") == PLUGIN and each.get("enabled", True):
            given = {key: str(value) for key, value in (each.get("parameters") or {}).items()}
            if given.get("barmanObjectName"):
                return {"serverName": live["metadata"]["name"], **given}
    return None


def object_store(live: Json) -> dict[str, Any] | None:
    """The in-tree backup configuration of a Cluster, with the name that its backups are under; None where none is."""
    found = (live["spec"].get("backup") or {}).get("barmanObjectStore")
    return {"serverName": live["metadata"]["name"], **found} if found else None


def archives(live: Json) -> tuple[bool, str]:
    """Whether its WAL is being archived, by the operator's own condition, and its words. Without one nobody says no."""
    for each in (live.get("status") or {}).get("conditions") or []:
        if each.get("type") == "ContinuousArchiving":
            return each.get("status") != "False", str(each.get("message") or "")
    return True, ""


def _of_store(status: Json, key: str) -> Any:
    """By the kind of backup, where that is told: a second Cluster isn't made from volume snapshots."""
    kinds = status.get(f"{key}ByMethod")
    return kinds.get("barmanObjectStore") if isinstance(kinds, dict) else status.get(key)


def _since(said: Any) -> datetime | None:
    """It is told in whole seconds, cut off: from the next one on it is sure."""
    found = _moment(said)
    return found + timedelta(seconds=1) if found else None


def _moment(said: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(said) if isinstance(said, str) and said else None
    except ValueError:
        return None


def _error(line: str) -> str:
    """What an error says in a line of the operator's or PostgreSQL's log, which are JSON; empty for all else."""
    try:
        said = json.loads(line)
        record = said.get("record") or {}
        if record.get("error_severity") in {"FATAL", "PANIC"}:
            return str(record.get("message") or "")
        return f"{said.get('msg')}: {said.get('error') or ''}".rstrip(": ") if said.get("level") == "error" else ""
    except (ValueError, AttributeError):
        return ""
