"""The database schema that an image of MLflow needs, asked of the image itself, and the upgrade to it.

MLflow refuses to start on a schema that is older than it needs, and on one that it does not know
(https://mlflow.org/docs/latest/self-hosting/architecture/backend-store/). Its migrations are Alembic's and lie within
the image, so a Job of that image tells which revision it needs, and another one upgrades.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.database import mlflow_indexes
from workers.operations.deployment.job import NOT_PULLED, NOT_STARTED, JobResult, JobSpec, run_once, sweep
from workers.operations.deployment.rollout import LOOK_SECONDS
from workers.settings import SettingsError

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems import Systems
    from workers.systems.postgres.maintenance import DatabaseMaintenance

ASK_SECONDS: Final = 180.0
UPGRADE_SECONDS: Final = 3600.0
_UPGRADE_PURPOSE: Final = "db-upgrade"
_MARK: Final = "mlflow-ops-schema"
_NO_MLFLOW: Final = "no module named mlflow"

_ASK: Final = f"""
import importlib.util, os, sys
found = importlib.util.find_spec("mlflow")
if found is None:
    sys.exit("{_NO_MLFLOW}")
from alembic.script import ScriptDirectory
mlflow, = found.submodule_search_locations
scripts = ScriptDirectory(os.path.join(mlflow, "store", "db_migrations"))
known = any(each.revision == sys.argv[1] for each in scripts.walk_revisions())
print("{_MARK}", scripts.get_current_head(), "known" if known else "unknown")
"""

_UPGRADE: Final = """
import os, sys
from urllib.parse import urlsplit
from mlflow.cli import cli
address = urlsplit(os.environ[sys.argv[1]])
if len(sys.argv) > 2:
    address = address._replace(path="/" + sys.argv[2])
sys.argv = ["mlflow", "db", "upgrade", address.geturl()]
cli()
"""
"""The database's address, with its password, goes from a variable to MLflow and never into a process's arguments."""


@dataclass(frozen=True)
class Schema:
    """now: the database's revision. needed: the image's; empty where it could not be asked, and then why.

    early: indexes that are there and that only the upgrade makes: it would stop at the first of them.
    """

    now: str
    needed: str = ""
    why: str = ""
    early: tuple[str, ...] = ()

    @property
    def upgrade(self) -> bool:
        """True where `mlflow db upgrade` must run first."""
        return bool(self.needed) and self.needed != self.now


def ask(systems: Systems, progress: Progress, image: str, *, seconds: float = ASK_SECONDS) -> Schema:
    """What the database has and what the image needs. seconds: how long the look may take.

    Raises OperatorError if the image can't be pulled, holds no MLflow, or doesn't know the database's schema at all: no
    pod of it would come up.
    """
    try:
        now = systems.database.schema_revision()
    except SettingsError:
        return Schema(now="", why="MLFLOW_OPS_DATABASE_URL does not say where the database is")
    except OperatorError as error:
        return Schema(now="", why=f"the database could not be asked: {error.message.rstrip('.')}")
    try:
        ended = run_once(systems, progress, JobSpec(image, ("python", "-c", _ASK, now), "schema", seconds))
    except OperatorError as error:
        return Schema(now=now, why=error.message.rstrip("."))
    _require_mlflow(image, ended)
    told = next((line.split() for line in ended.lines if line.startswith(_MARK)), None)
    if told is None or len(told) != 3:  # noqa: PLR2004 - as it is printed
        return Schema(now=now, why=ended.why or "it did not answer")
    _, needed, known = told
    if known != "known":
        raise OperatorError(
            f"{image} does not know the database's schema {now}: it is older than the MLflow that made it, and would "
            "not start.",
            "Take a newer version, or restore a database backup from before.",
        )
    if needed == now or not mlflow_indexes.known(now):
        return Schema(now=now, needed=needed)
    return Schema(now=now, needed=needed, early=early(systems.maintenance, now, needed))


def early(maintenance: DatabaseMaintenance, now: str, needed: str = "") -> tuple[str, ...]:
    """The names of indexes that a database has and that only migrations from its revision to `needed` make.

    Somebody made them by hand, or with a list of a later version's. Raises DatabaseError.
    """
    return mlflow_indexes.too_early(now, [each.name for each in maintenance.indexes()], up_to=needed)


def _require_mlflow(image: str, ended: JobResult) -> None:
    """Raise OperatorError if the image isn't there, or isn't MLflow's; in the registry's or the runtime's words."""
    if ended.state in NOT_PULLED:
        raise OperatorError(
            f"{image} can't be pulled: {ended.said or ended.state}.",
            "Nothing was changed. Check the tag, and that the registry lets this namespace pull it.",
        )
    if ended.state in NOT_STARTED or _NO_MLFLOW in ended.lines:
        raise OperatorError(f"{image} holds no MLflow, so no pod of it would come up.", "Check the image's name.")


def upgrade(systems: Systems, progress: Progress, image: str, *, database: str = "") -> JobResult:
    """Run `mlflow db upgrade` in the image, on MLflow's database or another one of its server.

    Raises OperatorError and Cancelled.
    """
    variable = systems.settings.ops.kubernetes.backend_store_variable
    command = ("python", "-c", _UPGRADE, variable, *((database,) if database else ()))
    once = JobSpec(image, command, _UPGRADE_PURPOSE, UPGRADE_SECONDS)
    return run_once(systems, progress, once)


def require_no_upgrade(systems: Systems, *, patience_seconds: float = 0.0) -> None:
    """Return once no upgrade runs in the cluster: its Job goes on where the worker that began it is gone.

    Raises OperatorError where one still does after so many seconds.
    """
    ends = time.monotonic() + patience_seconds
    while sweep(systems.cluster, _UPGRADE_PURPOSE):
        if time.monotonic() >= ends:
            namespace = systems.settings.ops.kubernetes.namespace
            look = f"kubectl get jobs -n {namespace} -l mlflow-ops/purpose={_UPGRADE_PURPOSE}"
            raise OperatorError(
                "An upgrade of the database's schema runs in the cluster, as a Job.",
                f"Ask again once it has ended: {look}",
            )
        time.sleep(LOOK_SECONDS)
