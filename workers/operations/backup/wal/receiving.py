"""Keeping the WAL: pg_receivewal, its spool, the bucket, and our slot, turn by turn.

The order is what makes it safe: first bytes are in the bucket, then the slot lets the server forget them. Killed in
between, the next process begins at the slot and stores the same bytes again. Two processes at once, for a moment, do
no harm for the same reason.

What is too much is bounded on both sides: the spool by stopping to receive, the slot by giving it up, which is said
before; then WAL is missing, and only a new base begins a new window.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from psycopg.conninfo import make_conninfo

from workers.errors import OperatorError
from workers.operations.backup.wal import access, locked
from workers.operations.backup.wal.archive import Point
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Places
from workers.operations.backup.wal.spool import Spool
from workers.systems.postgres import programs
from workers.systems.postgres.replication import RECEIVER, Identity, Replication
from workers.systems.postgres.wal_position import shown
from workers.wording import listed, size

if TYPE_CHECKING:
    from workers.settings import Recovery
    from workers.systems import Systems
    from workers.systems.postgres.programs import Running
    from workers.systems.postgres.replication import Slot
    from workers.systems.s3.transfer import Transfer

CALLS_AT_ONCE: Final = 4
CATCH_UP_SECONDS: Final = 2.0
"""How long a flush waits for what the server has written to come."""
LOOK_SECONDS: Final = 0.1
SEGMENTS: Final = 4
BEGINS_AT_SLOT: Final = 15
"""The version since which pg_receivewal asks its slot where to begin; the server has to tell it, too."""
WARN_SHARE: Final = 0.8
"""Of slot_bytes, from which on it is said that the slot will be given up."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class State:
    """How it is. problem: a sentence, or nothing where all is well. stored: up to where all is in the bucket.

    point_at: the newest moment that can be brought back, in epoch seconds of the server; 0 before the first.
    """

    problem: str = ""
    stored: str = ""
    lag_bytes: int = 0
    spool_bytes: int = 0
    point_at: float = 0.0


@dataclass
class Keeping:
    """Keeps one server's WAL. `turn` it about every second. clock: monotonic seconds."""

    systems: Systems
    transfer: Transfer
    folder: Path
    clock: Callable[[], float] = time.monotonic
    _identity: Identity | None = None
    _spool: Spool | None = None
    _receiver: Running | None = None
    _slot: str = ""
    _running: ExitStack = field(default_factory=ExitStack)
    _flush_due: float = 0.0
    _point_at: float = 0.0

    def turn(self) -> State:
        """Receive, store, and let the server forget what is stored. Raises OperatorError; the next turn goes on."""
        spool = self._received()
        held = spool.bytes
        if self._receiver and held > self._spool_most:
            _log.warning("the spool is full: the server keeps the rest", bytes=held)
            self._stop_receiving()
        slot = self._replication.look()
        lag = slot.lag_bytes if slot else 0
        problem = self._slot_problem(lag)
        if self._spool is not None:
            due = self.clock() >= self._flush_due
            if due or spool.finished():
                self._flush(spool)
            if due:
                self._flush_due = self.clock() + self._ours.flush_seconds
        return State(problem, shown(spool.stored), lag, held, self._point_at)

    def stop(self) -> None:
        """Stop receiving; what is on our disk is not needed any more."""
        self._stop_receiving()
        self._spool = None
        if self._slot:
            with suppress(OperatorError):  # whoever begins next does it; he may have begun by now
                self._replication.end_receivers(self._slot)
            self._slot = ""

    @property
    def _ours(self) -> Recovery:
        return self.systems.settings.ops.recovery

    @property
    def _spool_most(self) -> int:
        """What may wait on our disk: one segment is being written, and one waits, at the least."""
        least = SEGMENTS * self._identity.segment_bytes if self._identity else 0
        return max(least, self._ours.spool_bytes)

    @property
    def _replication(self) -> Replication:
        return access.replication(self.systems)

    def _received(self) -> Spool:
        """The spool that is being filled. Raises OperatorError where the server does not let us."""
        if self._receiver and self._receiver.process.poll() is not None:
            said = self._receiver.said()
            self._stop_receiving()
            self._spool = None
            raise OperatorError(f"pg_receivewal has ended: {said or 'it said nothing'}.", "It is started again.")
        if self._spool is None or (self._receiver is None and self._spool.bytes < self._spool_most // 2):
            self._begin()
        assert self._spool is not None
        return self._spool

    def _begin(self) -> None:
        replication = self._replication
        lacking = replication.lacking()
        if lacking:
            raise OperatorError(
                f"The WAL can't be kept: {listed([each.what for each in lacking])}.",
                " ".join(each.remedy for each in lacking),
            )
        self._identity = known = replication.identity()
        slot = replication.look()
        if slot is not None and slot.kept_from is None:
            self._give_up("the server has removed WAL that we had not stored yet (max_slot_wal_keep_size)")
            slot = None
        elif slot is not None and _left_behind(slot, known):
            self._give_up("pg_receivewal before 15 can't begin at a server's first segment")
            slot = None
        slot = slot or replication.make()
        assert slot.kept_from is not None
        where = Places(known.system, known.segment_bytes)
        self._spool = Spool.begin(
            self.folder,
            where,
            self.transfer,
            self.systems.settings.ops.storage.backups_bucket,
            Packing.of(self.systems.settings),
            kept_from=slot.kept_from,
            timeline=known.timeline,
        )
        self._slot = replication.new_receiver()
        program = programs.find("pg_receivewal", self.systems.settings)
        program.not_older_than(known.major)
        database = replication.database
        command: list[str | Path] = [
            program.path,
            f"--directory={self.folder}",
            "--synchronous",
            "--no-loop",
            "--no-password",
            f"--slot={self._slot}",
            f"--dbname={make_conninfo(programs.address(database), application_name=RECEIVER)}",
        ]
        self._receiver = self._running.enter_context(programs.running(command, database))
        self._flush_due = self.clock()

    def _flush(self, spool: Spool) -> None:
        """Store what the server has by now, and say up to when all is there."""
        replication, known = self._replication, self._identity
        assert known is not None
        wanted = seen = replication.position(self._slot)
        until = self.clock() + CATCH_UP_SECONDS
        while self._receiver and (seen.received or 0) < wanted.written and self.clock() < until:
            if self._receiver.process.poll() is not None:
                break
            time.sleep(LOOK_SECONDS)
            seen = replication.position(self._slot)
        stored = spool.store(seen.received)
        if stored >= wanted.written:
            point = Point(
                at=wanted.at,
                written=shown(wanted.written),
                segment_bytes=known.segment_bytes,
                timeline=known.timeline,
                server_version=known.version,
            )
            document = spool.packing.document(point.model_dump_json().encode(), spool.where.point)
            self.transfer.put(spool.bucket, spool.where.point, document)
            self._point_at = point.at.timestamp()
        replication.advance(stored)

    def _slot_problem(self, lag: int) -> str:
        allowed = self._ours.slot_bytes
        if lag > allowed:
            self._give_up(f"the server kept {size(lag)} of WAL for us, more than recovery.slot_bytes allows")
            self.stop()
            return f"The replication slot was given up at {size(lag)}: WAL is missing, and a new base is needed."
        if lag > allowed * WARN_SHARE:
            return f"The server keeps {size(lag)} of WAL for us; at {size(allowed)} the slot is given up."
        return ""

    def _give_up(self, why: str) -> None:
        _log.error("the replication slot is given up, a new base is needed", why=why)
        self._stop_receiving()
        self._replication.end_receivers()
        self._replication.drop()

    def _stop_receiving(self) -> None:
        self._receiver = None
        self._running.close()


def _left_behind(slot: Slot, known: Identity) -> bool:
    """Whether our slot is in the server's first segment, where pg_receivewal can't begin, and the server beyond it."""
    assert slot.kept_from is not None
    first, now = (lsn // known.segment_bytes for lsn in (slot.kept_from, slot.kept_from + slot.lag_bytes))
    return known.major < BEGINS_AT_SLOT and first <= 1 < now


@contextmanager
def keeping(systems: Systems, folder: Path) -> Iterator[Keeping]:
    """Keeping the WAL of that target's server, with `folder` for its spool; afterwards nothing runs."""
    from workers.systems.s3.transfer import Transfer

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Transfer.of(systems.backups, CALLS_AT_ONCE, locked.rule(systems.settings)) as transfer:
        going = Keeping(systems, transfer, folder)
        try:
            yield going
        finally:
            going.stop()
            shutil.rmtree(folder, ignore_errors=True)
