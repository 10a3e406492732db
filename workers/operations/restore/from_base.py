"""The server of a moment from a base backup and WAL that we keep, by a private PostgreSQL in the worker's volume.

The volume holds the base's files and a little WAL ahead of what is replayed, however much there is of it. The server is
as of the last transaction that was committed at the moment, by the server's own clock, and never takes a write.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup import encryption
from workers.operations.backup.encryption import NAME_END, Keys
from workers.operations.backup.stream import MIB, Reading
from workers.operations.backup.wal import access, archive, overview
from workers.operations.backup.wal.archive import Archive, Base, Kept, Point, Window, moment_of
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Places
from workers.operations.moments import Missing, Moment, Reach
from workers.operations.restore import scratch, unpacking
from workers.operations.restore.feeding import AHEAD, Feeder
from workers.systems.postgres import private_server, wal_reading
from workers.systems.postgres.replication import HOT_STANDBY
from workers.systems.postgres.wal_position import Segment, position
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.settings import Settings
    from workers.systems import Systems
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.private_server import Door, PrivateServer
    from workers.systems.postgres.programs import Program
    from workers.systems.s3.transfer import Transfer

CALLS_AT_ONCE: Final = 4
LOOK_SECONDS: Final = 0.1
STALLED_SECONDS: Final = 60.0
SPARE_BYTES: Final = 256 * MIB
PACE: Final = 60 * MIB
"""Bytes a second, for an estimate: to fetch and unpack, to replay."""


@dataclass(frozen=True)
class FromBase:
    """How a moment is reached. rests_on: the bases that its base holds only the changes of, the full one first."""

    where: Places
    window: Window
    kept: Kept
    point: Point
    rests_on: tuple[Base, ...] = ()

    @property
    def base(self) -> Base:
        """The newest base before it."""
        return self.window.base

    @property
    def server(self) -> str:
        """Whose moment it is."""
        return self.where.system

    @property
    def version(self) -> str:
        """Of the server."""
        return self.base.server_version

    @property
    def rests(self) -> str:
        """What a plan that was approved is bound to."""
        return self.base.name

    @property
    def estimate_seconds(self) -> float:
        """How long until MLflow's database is dumped from it."""
        return (self.tar_bytes * 3 + self.kept.bytes * 3) / PACE + 5

    @property
    def tar_bytes(self) -> int:
        """Of all the bases that are fetched."""
        return self.base.tar_bytes + sum(each.tar_bytes for each in self.rests_on)

    def steps(self, to: Moment | None, database: str) -> tuple[str, ...]:
        """For a plan: until it is dumped."""
        base = f"the base backup of {moment_of(self.base.finished_at)}" if to else "a base backup"
        when = f"up to {moment_of(to.at)}" if to else "since then"
        return (
            f"Fetch {base} into this worker's volume",
            f"Replay the WAL {when} in a private PostgreSQL, and dump {database} from it",
        )

    def facts(self) -> tuple[tuple[str, str], ...]:
        """For a plan, and for a drill's report."""
        of = f" with {count(len(self.rests_on), 'base')} that it rests on" if self.rests_on else ""
        return (
            ("base backup", f"{moment_of(self.base.finished_at)}, {size(self.tar_bytes)}{of}"),
            ("WAL kept since", f"{count(len(self.kept.ordered()), 'segment')}, {size(self.kept.bytes)} compressed"),
            ("from this base", f"{moment_of(self.window.since)} to {moment_of(self.window.until)}"),
        )

    @contextmanager
    def database(self, systems: Systems, to: Moment, progress: Progress) -> Iterator[Database]:
        """MLflow's as it was, as the superuser. Raises OperatorError, and Cancelled."""
        with replayed(systems, self, to, progress) as server:
            yield server.database(systems.database.name)


def choose(systems: Systems, to: Moment | None, there: Archive | None = None) -> tuple[Moment, FromBase]:
    """How that moment is reached. to: None for the newest. there: of which server; None: of the one that is there.

    Raises OperatorError where it cannot be, and says which can.
    """
    from workers.systems.s3.transfer import Transfer

    private_server.refuse_root(systems.settings)
    there = there or access.archive(systems)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        last, found = there.point(), there.bases()
        kept = archive.list_wal(transfer, there.bucket, there.where, since=found[0].first if found else None)
    windows = archive.windows(found, kept, last)
    to = to or Moment(max((each.until for each in windows), default=datetime.now(UTC)))
    window = archive.window_of(windows, to.at)
    assert last is not None
    private_server.find(systems.settings, window.base.major)
    *rests_on, _ = archive.chain(found, window.base) or [window.base]
    return to, FromBase(there.where, window, kept.since(window.base.first), last, tuple(rests_on))


def reach(systems: Systems) -> Reach:
    """Where one can go back to with what is kept. Raises OperatorError."""
    seen = overview.look(systems)
    missing = (Missing(each.since, each.until, archive.gap_words(each, seen.where.segment_bytes)) for each in seen.gaps)
    return Reach(archive.spans(seen.windows), seen.point_seconds, tuple(missing))


@contextmanager
def replayed(
    systems: Systems, chosen: FromBase, to: Moment, progress: Progress, door: Door | None = None
) -> Iterator[PrivateServer]:
    """A private server as the target's was at that moment, which nobody can write to: it never ends its recovery.

    door: whom it lets in besides us. Raises OperatorError, and Cancelled. Where its database was being dropped then, it
    is replayed once more, up to the last commit before that.
    """
    from workers.systems.s3.transfer import Transfer

    settings, bucket = systems.settings, systems.settings.ops.storage.backups_bucket
    program = private_server.find(settings, chosen.base.major)
    keys = Keys.all_of(settings)
    for each in (*chosen.rests_on, chosen.base):
        _refuse_plain(each, settings)

    def reading(transfer: Transfer, base: Base) -> Reading:
        return Reading(base.tar, transfer, bucket, progress, keys)

    target = private_server.at_target(to.at, inclusive=to.inclusive)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        for again in (False, True):
            with private_server.prepared(settings) as server:
                _refuse_no_room(chosen, server.folder, settings.environment.scratch_bytes)
                unpacking.unpack((*chosen.rests_on, chosen.base), server, program, partial(reading, transfer), progress)
                progress.step(f"Replaying the WAL up to {moment_of(to.at)}", of="replay the WAL")
                server.start(program, chosen.base.superuser, _settings(systems, chosen) | target, door)
                kept = chosen.base, chosen.kept, chosen.where
                with Feeder(*kept, server, transfer, bucket, Packing.of(settings)) as feeder:
                    stopped = _replay(chosen, to, server, feeder, progress)
                whole = server.holds(systems.database.name)
                if whole:
                    yield server
                    return
                if whole is None or again:
                    raise OperatorError(
                        f"There was no database {systems.database.name} at {moment_of(to.at)}.",
                        "Go back to an earlier moment: /mlflow timeline.",
                    )
                progress.step(
                    f"{systems.database.name} was being dropped then: once more, up to the commit before that"
                )
                target = private_server.after_position(_before_the_drop(chosen, server, program, stopped))


def _before_the_drop(chosen: FromBase, server: PrivateServer, program: Program, stopped: int) -> int:
    """Where the last commit before it stands; no earlier than where the base is whole (see wal_reading.py)."""
    bytes_each = chosen.base.segment_bytes
    laid = sorted(each for path in server.wal.iterdir() if (each := Segment.named(path.name, bytes_each)))
    beyond = [position(chosen.base.ends)]
    for segment in laid:
        first, end = segment.start(bytes_each), min(stopped, segment.start(bytes_each) + bytes_each)
        if first < end:
            waldump = program.beside("pg_waldump")
            found = wal_reading.last_commit(waldump, server.wal, segment.timeline, first, end)
            beyond += [found] if found is not None else []
    return max(beyond)


def _refuse_plain(base: Base, settings: Settings) -> None:
    """Raise SetDamaged where there is a key and a base's tar is not encrypted with one."""
    if encryption.for_data(settings) is not None and not base.tar.key.endswith(NAME_END):
        raise SetDamaged(
            f"The base backup {base.name} is not encrypted, although there is a key.",
            "Go back to a moment since there is a key: /mlflow backup base makes a new base.",
        )


def _settings(systems: Systems, chosen: FromBase) -> dict[str, str]:
    """What must not be less than it was, then or since."""
    then, now = chosen.base.settings, access.replication(systems).settings()
    return {name: str(max(then.get(name, 0), now.get(name, 0))) for name in HOT_STANDBY}


def _refuse_no_room(chosen: FromBase, folder: Path, allowed: int | None) -> None:
    # Combined, they take as much as the full one once more.
    combined = chosen.rests_on[0].tar_bytes if chosen.rests_on else 0
    needs = chosen.tar_bytes + combined + 2 * AHEAD * chosen.base.segment_bytes + SPARE_BYTES
    room = scratch.free(folder, allowed)
    if room < needs:
        raise OperatorError(
            f"Going back to a moment takes {size(needs)} of this worker's disk, and {size(room)} are left.",
            "Give the worker a larger volume in /tmp (MLFLOW_OPS_SCRATCH_BYTES says how much it may take).",
        )


def _replay(chosen: FromBase, to: Moment, server: PrivateServer, feeder: Feeder, progress: Progress) -> int:
    """Until it is as it was at the moment; up to where that is. Raises OperatorError where it does not get there."""
    furthest, since = -1, time.monotonic()
    first = chosen.base.first.number
    total = max(1, chosen.kept.ordered()[-1].number - first + 1)
    while True:
        progress.checkpoint()
        feeder.check()
        now = server.replayed()
        if now is not None:
            feeder.replayed = now.lsn
            if now.stopped:
                return now.lsn
            # Nothing was committed between the moment and the end of what is kept: it is as it was then.
            if feeder.done and now.lsn >= chosen.point.lsn:
                return now.lsn
            progress.advance(now.lsn // chosen.base.segment_bytes - first, total, "segments")
        at = now.lsn if now else len(server.taken())
        if at != furthest:
            furthest, since = at, time.monotonic()
        if feeder.done and time.monotonic() - since > STALLED_SECONDS:
            last = f" Its last transaction is of {moment_of(now.last)}." if now and now.last else ""
            raise OperatorError(
                f"The WAL that is kept ends before {moment_of(to.at)}, or is damaged.{last}",
                "Go back to an earlier moment; /mlflow health recovery shows what is kept.",
            )
        time.sleep(LOOK_SECONDS)
