"""Whether a set may take the live database's place, and what would be lost: said before anybody is asked to approve.

May it: of this MLflow, its schema known, with room and rights; each refusal is a sentence. Lost: the runs and
experiments that were begun after the backup, counted by asking.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

from workers.errors import OperatorError
from workers.systems.errors import GatewayError
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.manifest import DatabasePart, Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.database import Database


@dataclass(frozen=True)
class Lost:
    """How many were begun since the backup."""

    runs: int
    experiments: int

    def words(self, what: str, more: str = "") -> str:
        """As in "Not in the backup: 3 runs created since." more: where these are."""
        numbers = ((self.runs, "run"), (self.experiments, "experiment"))
        some = " and ".join(count(number, word) for number, word in numbers if number)
        return f"Not in {what}: {some} created since{more}." if some else "No run or experiment was created since."


def refuse_newer(systems: Systems, found: Manifest, part: DatabasePart, revision: str) -> None:
    """Raise OperatorError where the set comes from a newer MLflow than the one that runs, and has another schema."""
    if not revision or part.alembic_revision == revision:
        return
    try:
        runs = systems.tracking.version()
    except GatewayError:
        return
    if found.mlflow_version and _parts(found.mlflow_version) > _parts(runs):
        raise OperatorError(
            f"The backup {found.id} was made with MLflow {found.mlflow_version} and has the schema "
            f"{part.alembic_revision}; MLflow {runs} runs, and does not know it.",
            f"Update MLflow first: /mlflow update v{found.mlflow_version}",
        )


def refuse_without_rights(server: Server, live: Database) -> None:
    """Raise OperatorError where our role lacks a right that the restore of that database needs."""
    lacking = server.lacking(live)
    if lacking:
        role = conninfo_to_dict(server.admin.url).get("user")
        raise OperatorError(
            f"The role {role} of MLFLOW_OPS_DATABASE_ADMIN_URL {' and '.join(each.what for each in lacking)}.",
            f"As a superuser: {' '.join(each.grant for each in lacking)}",
        )


def lost_since(database: Database, found: Manifest) -> Lost | None:
    """What a database has that the backup has not; None where it cannot be asked."""
    begun = int(found.started_at.timestamp() * 1000)
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            runs = connection.execute("SELECT count(*) FROM runs WHERE start_time > %s", (begun,)).fetchone()
            made = connection.execute("SELECT count(*) FROM experiments WHERE creation_time > %s", (begun,)).fetchone()
    except psycopg.Error:
        return None
    return Lost(runs[0] if runs else 0, made[0] if made else 0)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])
