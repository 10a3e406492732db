"""MLflow's database as it was at a moment: by whichever server of then (moments.py), into a dump.

The dump then goes the way of every dump: into a database beside the live one, compared, switched to, undone. It lies
under moments/ in the backups' bucket for as long as it is needed and is no set: nobody lists it, and its checksum is
known to us alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operations.backup import database
from workers.operations.backup.manifest import Manifest
from workers.operations.backup.wal import access
from workers.operations.backup.wal.archive import moment_of
from workers.operations.cloudnativepg import beside
from workers.operations.moments import Moment, Reach
from workers.operations.restore import by_hand, from_base, from_cnpg
from workers.operations.restore.from_base import FromBase
from workers.systems.postgres import private_server
from workers.wording import ago

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.wal.archive import Archive
    from workers.operations.moments import Source
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

PREFIX: Final = "moments/"
CALLS_AT_ONCE: Final = 4
PACE: Final = from_base.PACE


@dataclass(frozen=True)
class Chosen:
    """A moment, and how it is reached."""

    to: Moment
    source: Source

    @property
    def at(self) -> datetime:
        """Which."""
        return self.to.at

    @property
    def inclusive(self) -> bool:
        """Whether what was committed at that very microsecond belongs to it."""
        return self.to.inclusive

    @property
    def id(self) -> str:
        """Six hexadecimal digits, the same for the same moment of the same server."""
        said = f"{self.source.server} {self.at.isoformat()} {self.inclusive}"
        return hashlib.sha256(said.encode()).hexdigest()[:6]

    @property
    def words(self) -> str:
        """As in "as it was at 2026-11-30 14:05:10 UTC"."""
        return f"as it was {'at' if self.inclusive else 'just before'} {moment_of(self.at)}"

    @property
    def estimate_seconds(self) -> float:
        """How long until the dump is there."""
        return self.source.estimate_seconds

    def manifest(self) -> Manifest:
        """What is known of the database before it is there."""
        name = f"{PREFIX}{self.at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.id}/"
        return Manifest(name=name, id=self.id, started_at=self.at, finished_at=self.at)

    def facts(self, now: datetime) -> tuple[tuple[str, str], ...]:
        """For a plan."""
        return (("moment", f"{moment_of(self.at)}, {ago((now - self.at).total_seconds())}"), *self.source.facts())


def choose(systems: Systems, at: datetime | None, *, inclusive: bool = True, there: Archive | None = None) -> Chosen:
    """How that moment is reached. at: None for the newest. there: kept by us, of which server; None: of the one that is
    there, by what recovery.source says.

    Raises OperatorError where it cannot be, and says which can.
    """
    to = Moment(at, inclusive) if at else None
    kept_by = systems.settings.ops.recovery.source
    if kept_by == "cnpg" and there is None:
        return Chosen(*from_cnpg.choose(systems, to))
    if kept_by != "own" and there is None:
        by_hand.refuse(kept_by, at, systems.database.name)
    return Chosen(*from_base.choose(systems, to, there))


def of_base(chosen: Chosen) -> FromBase:
    """From a base and WAL of ours. Raises OperatorError where it comes from elsewhere: that server takes writes."""
    if isinstance(chosen.source, FromBase):
        return chosen.source
    raise OperatorError(
        "`peek` opens a server that stays in recovery, and what recovery.source names doesn't give one.",
        "Look into the database instead: restore database --at TIME --as NAME.",
    )


def reach(systems: Systems) -> Reach:
    """Where one can go back to. Raises OperatorError."""
    match systems.settings.ops.recovery.source:
        case "own":
            return from_base.reach(systems)
        case "cnpg":
            return from_cnpg.reach(systems)
        case _:
            return Reach([], None)


def kept_at(systems: Systems, chosen: Chosen) -> Archive:
    """Where what is noted of such a server's moments is kept."""
    source = chosen.source
    return access.archive(systems, source.where if isinstance(source, FromBase) else access.places_of(source.server))


@contextmanager
def taken(systems: Systems, chosen: Chosen, progress: Progress) -> Iterator[Manifest]:
    """A dump of MLflow's database at that moment, for as long as this goes on. Raises OperatorError, and Cancelled."""
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.backups_bucket
    made = chosen.manifest()
    key = f"{made.name}{database.NAME}"
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        _sweep(transfer, bucket)
        try:
            with chosen.source.database(systems, chosen.to, progress) as then:
                progress.step(f"Dumping {systems.database.name} {chosen.words}", of="dump ")
                part = database.dump(then, transfer, bucket, key, systems.settings, progress, passing=True)
            yield made.model_copy(update={"database": part})
        finally:
            transfer.delete(bucket, [item.key for item in transfer.items(bucket, made.name)])


def clear(systems: Systems) -> None:
    """Remove what a run that was killed has left: its private server on this machine, a second Cluster, and its dump.

    Raises GatewayError.
    """
    from workers.systems.s3.transfer import Transfer

    private_server.sweep()
    if systems.settings.ops.recovery.source == "cnpg":
        beside.clear(systems)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        _sweep(transfer, systems.settings.ops.storage.backups_bucket)


def _sweep(transfer: Transfer, bucket: str) -> None:
    """Remove dumps that killed runs have left: restores of one target take turns, so what is there is nobody's."""
    for pending in list(transfer.uploads(bucket, PREFIX)):
        transfer.abort(bucket, pending.key, pending.upload)
    transfer.delete(bucket, [item.key for item in transfer.items(bucket, PREFIX)])
