"""The server of a moment from CloudNativePG: a second Cluster that its operator recovers from the live one's backups.

Unlike our own private server it is promoted, so it could be written to; nobody but us knows its password, and it is
removed with all that is its own once MLflow's database is dumped from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup.wal.archive import moment_of
from workers.operations.cloudnativepg import archived, beside, live, manifest
from workers.operations.moments import Moment, Reach
from workers.systems.postgres import archiving, recovered

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.cloudnativepg.live import Live
    from workers.systems import Systems
    from workers.systems.postgres.database import Database

PACE: Final = 60 << 20
"""Bytes a second, for an estimate."""
START_SECONDS: Final = 90.0
"""For a volume, an image, and PostgreSQL to be there."""


@dataclass(frozen=True)
class FromCnpg:
    """How a moment is reached. until: the server's clock. size_bytes: of MLflow's database now."""

    of: Live
    since: datetime
    until: datetime
    version: str
    size_bytes: int
    wait_seconds: float

    @property
    def server(self) -> str:
        """Whose moment it is."""
        return self.of.server

    @property
    def rests(self) -> str:
        """What a plan that was approved is bound to."""
        return f"{self.of.clusters.namespace}/{self.of.name}"

    @property
    def estimate_seconds(self) -> float:
        """How long until MLflow's database is dumped from it; that of the WAL's replay nobody knows."""
        return START_SECONDS + self.wait_seconds + 3 * self.size_bytes / PACE

    def steps(self, to: Moment | None, database: str) -> tuple[str, ...]:
        """For a plan: until it is dumped."""
        name = manifest.name_of(self.of.name)
        when = f" up to {moment_of(to.at)}" if to else ""
        return (
            "Wait until the server's WAL is archived up to now",
            f"Have CloudNativePG recover cluster/{name}{when} from the backups of cluster/{self.of.name}",
            f"Dump {database} from it, and remove it with its volumes",
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For a plan, and for a drill's report."""
        last = moment_of(self.of.last) if self.of.last else "none that it tells of"
        return (
            ("from", f"CloudNativePG, {self.of.words}"),
            ("last base backup", last),
            ("reaches", f"{moment_of(self.since)} to now, as CloudNativePG says"),
        )

    @contextmanager
    def database(self, systems: Systems, to: Moment, progress: Progress) -> Iterator[Database]:
        """MLflow's as it was, as the superuser. Raises OperatorError, and Cancelled."""
        archived.until_now(systems.admin_database, progress)
        with beside.recovered(systems, self.of, to, progress) as then:
            _refuse_another(then, self.of, to)
            yield then


def choose(systems: Systems, to: Moment | None) -> tuple[Moment, FromCnpg]:
    """How that moment is reached. to: None for now. Raises OperatorError where it cannot be, and says which can."""
    found = live.look(systems)
    seen = archiving.look(systems.admin_database)
    why = archived.lacking(seen, systems.admin_database.role().name)
    if why:
        raise OperatorError(f"{why[0]}.", why[1])
    since, until = found.since, seen.now.astimezone(UTC)
    to = to or Moment(until)
    if since is None:
        raise OperatorError(f"{found.words} has no completed backup yet.", "Make one: kubectl cnpg backup.")
    if not since <= to.at <= until:
        said = f"what is kept begins at {moment_of(since)}" if to.at < since else f"it is {moment_of(until)} there"
        raise OperatorError(f"{moment_of(to.at)} can't be brought back: {said}.", "See /mlflow timeline.")
    now = systems.server.databases().get(systems.database.name)
    wait = 10.0 if seen.switches else float(seen.timeout_seconds)
    return to, FromCnpg(found, since, until, seen.version, now.size_bytes if now else 0, wait)


def reach(systems: Systems) -> Reach:
    """From the first recoverable moment until now, whose WAL is archived first; none where no backup is completed.

    Raises OperatorError.
    """
    found, seen = live.look(systems), archiving.look(systems.admin_database)
    return Reach([(found.since, seen.now.astimezone(UTC))] if found.since else [], seen.point_seconds)


def _refuse_another(then: Database, of: Live, to: Moment) -> None:
    """Raise OperatorError where MLflow's database was not there then, or the backups are another server's."""
    seen = recovered.look(then)
    if of.system and seen.system != of.system:
        raise OperatorError(
            f"The backups of {of.words} are of another server: system {seen.system}, and it is {of.system}.",
            "Look at the serverName of its backups.",
        )
    if not seen.whole:
        how = "was being dropped" if seen.whole is False else "wasn't there"
        raise OperatorError(
            f"{then.name} {how} at {moment_of(to.at)}.", "Go back to an earlier moment: /mlflow timeline."
        )
