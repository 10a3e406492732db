"""The gateways to the outside world, made from Settings, once per process and when first used.

A gateway offers what operations need in the domain's words, holds no policy, and gives every call a timeout. The
heavy client libraries are imported when a gateway is first used; `preload` does that ahead of a worker's fork.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

from workers.settings import Settings

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings.ops import CopyTo
    from workers.systems.alertmanager import Alertmanager
    from workers.systems.cluster.client import Cluster
    from workers.systems.git.repository import Repository
    from workers.systems.mlflow.tracking import Tracking
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.maintenance import DatabaseMaintenance
    from workers.systems.s3.objects import Objects


@dataclass(frozen=True)
class Systems:
    """Kubernetes, PostgreSQL, the object store, MLflow, Git and Redis, as one operation sees them.

    copy: of the backups, that is seen in their place.
    """

    settings: Settings
    copy: CopyTo | None = None

    @cached_property
    def cluster(self) -> Cluster:
        """Kubernetes, from KUBECONFIG or the pod's own service account."""
        from workers.systems.cluster.client import Cluster

        return Cluster.connect(self.settings)

    @cached_property
    def database(self) -> Database:
        """MLflow's PostgreSQL database."""
        from workers.systems.postgres.database import Database

        return Database.connect(self.settings)

    @cached_property
    def maintenance(self) -> DatabaseMaintenance:
        """Care of MLflow's database, as MLflow's own role, which owns its tables."""
        from workers.systems.postgres.maintenance import DatabaseMaintenance

        return DatabaseMaintenance(self.database)

    @cached_property
    def admin_maintenance(self) -> DatabaseMaintenance:
        """The sessions of the whole server, as the role that may end those of others."""
        from workers.systems.postgres.maintenance import DatabaseMaintenance

        return DatabaseMaintenance(self.admin_database)

    @cached_property
    def admin_database(self) -> Database:
        """The same server, as the role that may create and rename databases."""
        from workers.systems.postgres.database import Database

        return Database.connect(self.settings, admin=True)

    @property
    def server(self) -> Server:
        """The whole server, where databases are made, renamed and removed, as that role."""
        from workers.systems.postgres.admin import Server

        return Server(self.admin_database)

    @cached_property
    def objects(self) -> Objects:
        """The S3 object store, with the artifacts."""
        from workers.systems.s3.objects import Objects

        return Objects.connect(self.settings)

    @cached_property
    def backups(self) -> Objects:
        """The S3 object store that the backups are in: another one where MLFLOW_OPS_BACKUP_S3_ENDPOINT_URL names it."""
        from workers.systems.s3.objects import Objects

        if self.copy:
            return Objects.of_copy(self.settings, self.copy)
        if self.settings.environment.backup_s3_endpoint_url is None:
            return self.objects
        return Objects.connect(self.settings, backups=True)

    @cached_property
    def tracking(self) -> Tracking:
        """The MLflow server."""
        from workers.systems.mlflow.tracking import Tracking

        return Tracking.connect(self.settings)

    @cached_property
    def alertmanager(self) -> Alertmanager:
        """Alertmanager, where its silences are made."""
        from workers.systems.alertmanager import Alertmanager

        return Alertmanager.connect(self.settings)

    @cached_property
    def git(self) -> Repository:
        """The repository that changes are proposed in. Raises OperatorError where none is configured."""
        from workers.systems.git.connecting import connect

        return connect(self.settings)

    @cached_property
    def redis(self) -> Redis:
        """Our own Redis: records and queues."""
        from workers.systems.redis import connect

        return connect(self.settings)


@cache
def preload() -> None:
    """Import what operations will need, once: so that work-horses fork with it in memory, and so that in a terminal a
    deadline is a system's and not the imports'.
    """
    import workers.systems.cluster.client
    import workers.systems.mlflow.tracking
    import workers.systems.postgres.database  # noqa: F401
    from workers.systems.s3 import objects

    objects.preload()
