"""WAL from the bucket, laid ready for a private PostgreSQL: a little ahead of what it replays, removed behind it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from workers.errors import OperatorError
from workers.systems.errors import ObjectMissing
from workers.systems.postgres.wal_position import Segment, position

if TYPE_CHECKING:
    from workers.operations.backup.wal.archive import Base, Kept
    from workers.operations.backup.wal.packing import Packing
    from workers.operations.backup.wal.places import Places
    from workers.systems.postgres.private_server import PrivateServer
    from workers.systems.s3.transfer import Transfer

AHEAD: Final = 16
"""Segments that lie ready for the private server."""
LOOK_SECONDS: Final = 0.1


@dataclass
class Feeder:
    """Lays WAL ready for the private server, a little ahead of it, and removes what it has replayed.

    replayed: how far it is; None before it says so. done: all that is kept lies ready.
    """

    base: Base
    kept: Kept
    where: Places
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
        for name in self.kept.histories:
            self.server.lay(name, self._pieces(self.where.history(name)))
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
        bytes_each = self.base.segment_bytes
        # Read first of all, and it may lie far behind where replaying begins.
        checkpoint = position(self.base.checkpoint) // bytes_each
        laid: list[Segment] = []
        for segment in self.kept.ordered():
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
        named = Segment.named(self.server.taken(), self.base.segment_bytes)
        return named.number if named else 0

    def _remove(self, laid: list[Segment], bytes_each: int) -> None:
        while self.replayed and laid and laid[0].number < self.replayed // bytes_each - 1:
            (self.server.wal / laid.pop(0).name(bytes_each)).unlink(missing_ok=True)

    def _segment(self, segment: Segment) -> Iterator[bytes]:
        where, kept = self.where, self.kept
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
        for part in sorted(self.kept.parts[segment]):
            if part.first > end:
                break  # what is missing there is beyond the plan's window
            held.append(b"".join(self._pieces(self.where.part(part)))[end - part.first :])
            end = max(end, part.end)
        return held

    def _pieces(self, key: str) -> Iterator[bytes]:
        return self.packing.unpacked(self.transfer.open(self.bucket, key)[1], key)
