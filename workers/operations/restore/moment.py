"""MLflow's database as it was at a moment: from a base backup and WAL, by a private PostgreSQL, into a dump.

The dump then goes the way of every dump: into a database beside the live one, compared, switched to, undone. It lies
under moments/ in the backups' bucket for as long as it is needed and is no set: nobody lists it, and its checksum is
known to us alone. It is as of the last transaction that was committed at the moment, by the server's own clock.

The worker's volume holds the base's files and a little WAL ahead of what is replayed, however much there is of it.
"""

from __future__ import annotations

import hashlib
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, cast

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup import database, encryption
from workers.operations.backup.encryption import NAME_END, Keys
from workers.operations.backup.manifest import Manifest
from workers.operations.backup.stream import MIB, Reading
from workers.operations.backup.wal import access, archive, packing
from workers.operations.backup.wal.archive import Base, Kept, Point, Window, moment_of
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Places
from workers.operations.restore import scratch
from workers.systems.errors import ObjectMissing
from workers.systems.postgres import private_server
from workers.systems.postgres.replication import HOT_STANDBY
from workers.systems.postgres.wal_position import Segment, position
from workers.wording import ago, count, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.settings import Settings
    from workers.systems import Systems
    from workers.systems.postgres.private_server import PrivateServer
    from workers.systems.s3.transfer import Transfer

PREFIX: Final = "moments/"
AHEAD: Final = 16
"""Segments that lie ready for the private server."""
CALLS_AT_ONCE: Final = 4
LOOK_SECONDS: Final = 0.1
STALLED_SECONDS: Final = 60.0
SPARE_BYTES: Final = 256 * MIB
PACE: Final = 60 * MIB
"""Bytes a second, for an estimate: to fetch and unpack, to replay."""


@dataclass(frozen=True)
class Chosen:
    """How a moment is reached. inclusive: what was committed at that very microsecond belongs to it."""

    at: datetime
    inclusive: bool
    where: Places
    window: Window
    kept: Kept
    point: Point

    @property
    def base(self) -> Base:
        """The newest base before it."""
        return self.window.base

    @property
    def id(self) -> str:
        """Six hexadecimal digits, the same for the same moment of the same server."""
        said = f"{self.where.system} {self.at.isoformat()} {self.inclusive}"
        return hashlib.sha256(said.encode()).hexdigest()[:6]

    @property
    def words(self) -> str:
        """As in "as it was at 2026-11-30 14:05:10 UTC"."""
        return f"as it was {'at' if self.inclusive else 'just before'} {moment_of(self.at)}"

    @property
    def estimate_seconds(self) -> float:
        """How long until the dump is there."""
        return (self.base.tar_bytes * 3 + self.kept.bytes * 3) / PACE + 5

    def manifest(self) -> Manifest:
        """What is known of the database before it is there."""
        name = f"{PREFIX}{self.at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.id}/"
        return Manifest(name=name, id=self.id, started_at=self.at, finished_at=self.at)

    def facts(self, now: datetime) -> tuple[tuple[str, str], ...]:
        """For a plan."""
        return (
            ("moment", f"{moment_of(self.at)}, {ago((now - self.at).total_seconds())}"),
            ("base backup", f"{moment_of(self.base.finished_at)}, {size(self.base.tar_bytes)}"),
            ("WAL kept since", f"{count(len(self.kept.ordered()), 'segment')}, {size(self.kept.bytes)} compressed"),
            ("from this base", f"{moment_of(self.window.since)} to {moment_of(self.window.until)}"),
        )


def choose(systems: Systems, at: datetime, *, inclusive: bool = True) -> Chosen:
    """How that moment is reached. Raises OperatorError where it cannot be, and says which can."""
    from workers.systems.s3.transfer import Transfer

    private_server.refuse_root(systems.settings)
    there = access.archive(systems)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        last, found = there.point(), there.bases()
        kept = archive.list_wal(transfer, there.bucket, there.where, since=found[0].first if found else None)
    window = archive.window_of(archive.windows(found, kept, last), at)
    assert last is not None
    private_server.find(systems.settings, window.base.major)
    return Chosen(at, inclusive, there.where, window, kept.since(window.base.first), last)


@contextmanager
def taken(systems: Systems, chosen: Chosen, progress: Progress) -> Iterator[Manifest]:
    """A dump of MLflow's database at that moment, for as long as this goes on. Raises OperatorError, and Cancelled."""
    from workers.systems.s3.transfer import Transfer

    settings, bucket = systems.settings, systems.settings.ops.storage.backups_bucket
    program = private_server.find(settings, chosen.base.major)
    made = chosen.manifest()
    key, keys = f"{made.name}{database.NAME}", Keys.all_of(settings)
    _refuse_plain(chosen.base, settings)
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        _sweep(transfer, bucket)
        try:
            with private_server.prepared(settings) as server:
                _refuse_no_room(chosen, server.folder, settings.environment.scratch_bytes)
                _unpack(chosen, server, Reading(chosen.base.tar, transfer, bucket, progress, keys), progress)
                progress.step(f"Replaying the WAL up to {moment_of(chosen.at)}", of="replay the WAL")
                target = private_server.at_target(chosen.at, inclusive=chosen.inclusive)
                server.start(program, chosen.base.superuser, _settings(systems, chosen) | target)
                with _Feeder(chosen, server, transfer, bucket, Packing.of(settings)) as feeder:
                    _replay(chosen, server, feeder, progress)
                progress.step(f"Dumping {systems.database.name} {chosen.words}", of="dump ")
                private = server.database(systems.database.name)
                part = database.dump(private, transfer, bucket, key, settings, progress)
            yield made.model_copy(update={"database": part})
        finally:
            transfer.delete(bucket, [item.key for item in transfer.items(bucket, made.name)])


def _refuse_plain(base: Base, settings: Settings) -> None:
    """Raise SetDamaged where there is a key and a base's tar is not encrypted with one."""
    if encryption.for_data(settings) is not None and not base.tar.key.endswith(NAME_END):
        raise SetDamaged(
            f"The base backup {base.name} is not encrypted, although there is a key.",
            "Go back to a moment since there is a key: /mlflow backup base makes a new base.",
        )


def clear(systems: Systems) -> None:
    """Remove what a run that was killed has left: its private server on this machine, and its dump.

    Raises ObjectsError.
    """
    from workers.systems.s3.transfer import Transfer

    private_server.sweep()
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        _sweep(transfer, systems.settings.ops.storage.backups_bucket)


def _settings(systems: Systems, chosen: Chosen) -> dict[str, str]:
    """What must not be less than it was, then or since."""
    then, now = chosen.base.settings, access.replication(systems).settings()
    return {name: str(max(then.get(name, 0), now.get(name, 0))) for name in HOT_STANDBY}


def _refuse_no_room(chosen: Chosen, folder: Path, allowed: int | None) -> None:
    needs = chosen.base.tar_bytes + 2 * AHEAD * chosen.base.segment_bytes + SPARE_BYTES
    room = scratch.free(folder, allowed)
    if room < needs:
        raise OperatorError(
            f"Going back to a moment takes {size(needs)} of this worker's disk, and {size(room)} are left.",
            "Give the worker a larger volume in /tmp (MLFLOW_OPS_SCRATCH_BYTES says how much it may take).",
        )


def _unpack(chosen: Chosen, server: PrivateServer, reading: Reading, progress: Progress) -> None:
    base = chosen.base
    progress.step(f"Fetching the base backup of {moment_of(base.finished_at)}: {size(base.tar.bytes)}", of="Fetch ")
    stream = cast("IO[bytes]", _Stream(packing.decompressed(reading, base.tar.key)))
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=MIB) as files:
            for member in files:
                files.extract(member, server.data, filter="data")
                files.members = []  # type: ignore[attr-defined]  # it would keep a line for each file
    except (tarfile.TarError, EOFError) as error:
        hint = "Go back to a moment of another base."
        raise OperatorError(f"The base backup {base.name} is no whole tar: {error}.", hint) from None
    while stream.read(MIB):
        pass
    reading.compare("Go back to a moment of another base.")
    for name in ("backup_label", "PG_VERSION"):
        if not (server.data / name).exists():
            raise OperatorError(f"The base backup {base.name} has no {name}.", "Go back to a moment of another base.")


def _replay(chosen: Chosen, server: PrivateServer, feeder: _Feeder, progress: Progress) -> None:
    """Until it is as it was at the moment. Raises OperatorError where it does not get there."""
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
                return
            # Nothing was committed between the moment and the end of what is kept: it is as it was then.
            if feeder.done and now.lsn >= chosen.point.lsn:
                return
            progress.advance(now.lsn // chosen.base.segment_bytes - first, total, "segments")
        at = now.lsn if now else len(server.taken())
        if at != furthest:
            furthest, since = at, time.monotonic()
        if feeder.done and time.monotonic() - since > STALLED_SECONDS:
            last = f" Its last transaction is of {moment_of(now.last)}." if now and now.last else ""
            raise OperatorError(
                f"The WAL that is kept ends before {moment_of(chosen.at)}, or is damaged.{last}",
                "Go back to an earlier moment; /mlflow health recovery shows what is kept.",
            )
        time.sleep(LOOK_SECONDS)


@dataclass
class _Feeder:
    """Lays WAL ready for the private server, a little ahead of it, and removes what it has replayed.

    replayed: how far it is; None before it says so. done: all that is kept lies ready.
    """

    chosen: Chosen
    server: PrivateServer
    transfer: Transfer
    bucket: str
    packing: Packing
    replayed: int | None = None
    done: bool = False
    _error: BaseException | None = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for name in self.chosen.kept.histories:
            self.server.lay(name, self._pieces(self.chosen.where.history(name)))
        self._thread = threading.Thread(target=self._run, name="wal feeder", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def check(self) -> None:
        """Raises what has ended it."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._feed()
        except (OperatorError, OSError) as error:
            self._error = error

    def _feed(self) -> None:
        bytes_each = self.chosen.base.segment_bytes
        # Read first of all, and it may lie far behind where replaying begins.
        checkpoint = position(self.chosen.base.checkpoint) // bytes_each
        laid: list[Segment] = []
        for segment in self.chosen.kept.ordered():
            while segment.number > max(checkpoint, self._taken()) + AHEAD:
                if self._stop.wait(LOOK_SECONDS):
                    return
                self._remove(laid, bytes_each)
            if self._stop.is_set():
                return
            self.server.lay(segment.name(bytes_each), self._segment(segment), length=bytes_each)
            laid.append(segment)
        self.done = True

    def _taken(self) -> int:
        named = Segment.named(self.server.taken(), self.chosen.base.segment_bytes)
        return named.number if named else 0

    def _remove(self, laid: list[Segment], bytes_each: int) -> None:
        while self.replayed and laid and laid[0].number < self.replayed // bytes_each - 1:
            (self.server.wal / laid.pop(0).name(bytes_each)).unlink(missing_ok=True)

    def _segment(self, segment: Segment) -> Iterator[bytes]:
        where, kept = self.chosen.where, self.chosen.kept
        if segment in kept.whole:
            return self._pieces(where.whole(segment))
        try:
            return iter(self._parts(segment))
        except ObjectMissing:
            # It has become whole since it was listed.
            return self._pieces(where.whole(segment))

    def _parts(self, segment: Segment) -> list[bytes]:
        held: list[bytes] = []
        end = 0
        for part in sorted(self.chosen.kept.parts[segment]):
            if part.first > end:
                break  # what is missing there is beyond the plan's window
            held.append(b"".join(self._pieces(self.chosen.where.part(part)))[end - part.first :])
            end = max(end, part.end)
        return held

    def _pieces(self, key: str) -> Iterator[bytes]:
        return self.packing.unpacked(self.transfer.open(self.bucket, key)[1], key)


class _Stream:
    """Pieces as a file that is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._waiting = b""

    def read(self, wanted: int) -> bytes:
        """That many bytes; fewer at the end only."""
        held = [self._waiting]
        length = len(self._waiting)
        while length < wanted and (piece := next(self._pieces, b"")):
            held.append(piece)
            length += len(piece)
        whole = b"".join(held)
        self._waiting = whole[wanted:]
        return whole[:wanted]


def _sweep(transfer: Transfer, bucket: str) -> None:
    """Remove dumps that killed runs have left: restores of one target take turns, so what is there is nobody's."""
    for pending in list(transfer.uploads(bucket, PREFIX)):
        transfer.abort(bucket, pending.key, pending.upload)
    transfer.delete(bucket, [item.key for item in transfer.items(bucket, PREFIX)])
