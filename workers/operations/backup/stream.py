"""A stream of unknown length into one object, and an object of a set as a stream: each hashed on its way.

Written, its parts are sent side by side, all or nothing. The object is there once `complete` was reached and never
before; left in any other way, the upload is aborted, so a dump that died never looks like one that is whole. Memory is
bounded whatever the length: at most `IN_FLIGHT` bytes are on their way. S3 takes 10,000 parts
(docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html), so parts grow as the stream does: 2.4 TiB fit.
"""

from __future__ import annotations

import hashlib
import selectors
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import IO, TYPE_CHECKING, Any, Final, Self

from workers.errors import SetDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from workers.operation import Progress
    from workers.operations.backup.manifest import Stored
    from workers.systems.s3.transfer import Transfer

MIB: Final = 1024 * 1024
FIRST_PART: Final = 8 * MIB
PARTS_OF_A_SIZE: Final = 1250
IN_FLIGHT: Final = 32 * MIB
AT_ONCE: Final = 4
IDLE_SECONDS: Final = 1.0


def part_bytes(number: int) -> int:
    """How long a part is, by its number from 1 on: twice as long after every 1,250."""
    return FIRST_PART << ((number - 1) // PARTS_OF_A_SIZE)


class Writing:
    """An object that is being written. sha256 and size: of what was written so far."""

    def __init__(self, transfer: Transfer, bucket: str, key: str) -> None:
        """Nothing is asked of the store yet."""
        from workers.systems.s3.multipart import Upload

        self._upload = Upload(transfer, bucket, key, FIRST_PART, {})
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._sending: dict[Future[None], int] = {}
        self._hash = hashlib.sha256()
        self._number = 0
        self.size = 0

    def __enter__(self) -> Self:
        self._upload.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A part that is still being sent after the abort would be kept, and paid for, as a part of nothing.
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._upload.__exit__(kind, error, at)

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()

    def take(self, source: IO[bytes], moved: Callable[[int], None]) -> None:
        """Send all that `source`, an unbuffered stream, gives until it ends.

        moved: is told the bytes read so far, once a part and once a second while nothing comes; what it raises ends
        the upload.
        """
        with selectors.DefaultSelector() as waiting:
            waiting.register(source, selectors.EVENT_READ)
            self._take(source, waiting, moved)

    def _take(self, source: IO[bytes], waiting: selectors.BaseSelector, moved: Callable[[int], None]) -> None:
        while True:
            self._number += 1
            part = bytearray(part_bytes(self._number))
            filled = 0
            while filled < len(part):
                if not waiting.select(IDLE_SECONDS):
                    moved(self.size + filled)
                    continue
                with memoryview(part) as view:
                    count = source.readinto(view[filled:])  # type: ignore[attr-defined]
                if not count:
                    break
                filled += count
            if filled < len(part):
                del part[filled:]
            if part:
                self._hash.update(part)
                self.size += len(part)
                moved(self.size)
                self._send(self._number, part)
            if filled < part_bytes(self._number):
                return

    def complete(self) -> None:
        """The stream was whole: let the object be there. Raises ObjectsError."""
        for each in list(self._sending):
            each.result()
        if not self.size:
            # S3 completes no upload without parts.
            self._upload.part(1, b"")
        self._upload.complete()

    def _send(self, number: int, part: bytearray) -> None:
        while self._sending and sum(self._sending.values()) + len(part) > IN_FLIGHT:
            done, _ = wait(self._sending, return_when=FIRST_COMPLETED)
            for each in done:
                del self._sending[each]
                each.result()
        sent: Any = part
        self._sending[self._pool.submit(self._upload.part, number, sent)] = len(part)


class Reading:
    """The bytes of a stored object, piece by piece, told as progress. Read to its end, `compare` says whether it is it.

    Begun anew each time that it is read.
    """

    def __init__(self, stored: Stored, transfer: Transfer, bucket: str, progress: Progress | None = None) -> None:
        """Nothing is asked of the store yet."""
        self.where = f"{bucket}/{stored.key}"
        self.stored = stored
        self._transfer, self._bucket = transfer, bucket
        self._progress = progress
        self._hash, self._size = hashlib.sha256(), 0
        self._seen = self._proven = ""

    def __iter__(self) -> Iterator[bytes]:
        """Raises ObjectsError, OperatorError where it is longer than it should be, and Cancelled."""
        self._hash, self._size = hashlib.sha256(), 0
        described, pieces = self._transfer.open(self._bucket, self.stored.key, self._proven)
        self._seen = described.etag
        for piece in pieces:
            self._hash.update(piece)
            self._size += len(piece)
            if self._size > self.stored.bytes:
                self.compare()
            yield piece
            if self._progress:
                self._progress.checkpoint()
                self._progress.advance(self._size // MIB, self.stored.bytes // MIB, "MiB")

    def prove(self) -> None:
        """Read it once to its end and compare it; from then on only that very object is read, by its etag.

        For whoever must use bytes before the last one is seen. Raises as reading it, and as `compare`.
        """
        for _ in self:
            pass
        self.compare()
        self._proven = self._seen

    def compare(self, hint: str = "Use another set: /mlflow backup list.") -> None:
        """Raise SetDamaged where what was read is not what was written."""
        if (self._size, self._hash.hexdigest()) != (self.stored.bytes, self.stored.sha256):
            raise SetDamaged(
                f"{self.where} is damaged: its bytes are not those that were written "
                f"({self._size:,} of {self.stored.bytes:,}, or another SHA-256).",
                hint,
            )
