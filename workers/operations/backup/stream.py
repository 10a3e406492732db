"""A stream of unknown length into one object, and an object of a set as a stream: hashed, and encrypted, on its way.

Written, its parts are sent side by side, all or nothing. The object is there once `complete` was reached and never
before; left in any other way, the upload is aborted, so a dump that died never looks like one that is whole. Memory is
bounded whatever the length: at most `in_flight` bytes are on their way. S3 takes 10,000 parts
(docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html), so parts grow as the stream does: 2.4 TiB fit.
"""

from __future__ import annotations

import hashlib
import selectors
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import IO, TYPE_CHECKING, Any, Final, Self

from workers.errors import SetDamaged
from workers.operations.backup.encryption import NAME_END
from workers.operations.backup.manifest import Stored
from workers.operations.backup.sealing import CHUNK, Sealer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from workers.operation import Progress
    from workers.operations.backup.encryption import Keys
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
    """An object that is being written. key: in the bucket. size: of what is stored, as far as it was written."""

    def __init__(
        self, transfer: Transfer, bucket: str, key: str, keys: Keys | None = None, *, in_flight: int = IN_FLIGHT
    ) -> None:
        """keys: to encrypt with; the object's key gets an ending then. in_flight: the most bytes on their way, at
        least a part. Nothing is asked of the store yet.
        """
        from workers.systems.s3.multipart import Upload

        self.key = f"{key}{NAME_END}" if keys else key
        self._key_id = keys.current_id if keys else ""
        self._sealer = Sealer(keys.current, self.key) if keys else None
        self._upload = Upload(transfer, bucket, self.key, FIRST_PART, {})
        self._part = bytearray()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="upload")
        self._sending: dict[Future[None], int] = {}
        self._hash = hashlib.sha256()
        self._number = 0
        self._in_flight = in_flight
        self.size = 0

    def __enter__(self) -> Self:
        self._upload.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A part that is still being sent after the abort would be kept, and paid for, as a part of nothing.
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._upload.__exit__(kind, error, at)

    @property
    def stored(self) -> Stored:
        """What was written."""
        return Stored(key=self.key, bytes=self.size, sha256=self._hash.hexdigest(), key_id=self._key_id)

    def take(self, source: IO[bytes], moved: Callable[[int], object]) -> None:
        """Send all that `source`, an unbuffered stream, gives until it ends.

        moved: is told the bytes stored so far, once a part and once a second while nothing comes; what it raises ends
        the upload.
        """
        piece = bytearray(CHUNK)
        with selectors.DefaultSelector() as waiting, memoryview(piece) as view:
            waiting.register(source, selectors.EVENT_READ)
            while True:
                if not waiting.select(IDLE_SECONDS):
                    moved(self.size + len(self._part))
                    continue
                count = source.readinto(view)  # type: ignore[attr-defined]
                if not count:
                    break
                self._write(self._sealer.add(view[:count]) if self._sealer else view[:count], moved)
        self._write(self._sealer.end() if self._sealer else b"", moved)
        if self._part:
            self._send(moved)

    def _write(self, piece: bytes | memoryview, moved: Callable[[int], object]) -> None:
        self._part += piece
        while len(self._part) >= part_bytes(self._number + 1):
            self._send(moved)

    def complete(self) -> None:
        """The stream was whole: let the object be there. Raises ObjectsError."""
        for each in list(self._sending):
            each.result()
        if not self.size:
            # S3 completes no upload without parts.
            self._upload.part(1, b"")
        self._upload.complete()

    def _send(self, moved: Callable[[int], object]) -> None:
        self._number += 1
        longest = part_bytes(self._number)
        part, self._part = self._part[:longest], self._part[longest:]
        self._hash.update(part)
        self.size += len(part)
        moved(self.size)
        while self._sending and sum(self._sending.values()) + len(part) > self._in_flight:
            done, _ = wait(self._sending, return_when=FIRST_COMPLETED)
            for each in done:
                del self._sending[each]
                each.result()
        sent: Any = part
        self._sending[self._pool.submit(self._upload.part, self._number, sent)] = len(part)


class Reading:
    """The bytes of a stored object, piece by piece, told as progress. Read to its end, `compare` says whether it is it.

    Begun anew each time that it is read. size: how many bytes were read so far.
    """

    def __init__(
        self,
        stored: Stored,
        transfer: Transfer,
        bucket: str,
        progress: Progress | None = None,
        keys: Keys | None = None,
    ) -> None:
        """keys: to decrypt with what is encrypted; without, the bytes are those in the bucket.

        Nothing is asked of the store yet.
        """
        self.where = f"{bucket}/{stored.key}"
        self.stored = stored
        self._transfer, self._bucket = transfer, bucket
        self._progress = progress
        self._keys = keys if stored.key.endswith(NAME_END) else None
        self._hash, self.size = hashlib.sha256(), 0
        self._seen = self._proven = ""

    def __iter__(self) -> Iterator[bytes]:
        """Raises ObjectsError, SetDamaged where it is not what was written, WrongKey, and Cancelled."""
        return self._keys.opened(self._raw(), self.stored.key) if self._keys else self._raw()

    def _raw(self) -> Iterator[bytes]:
        self._hash, self.size = hashlib.sha256(), 0
        described, pieces = self._transfer.open(self._bucket, self.stored.key, self._proven)
        self._seen = described.etag
        for piece in pieces:
            self._hash.update(piece)
            self.size += len(piece)
            if self.size > self.stored.bytes:
                self.compare()
            yield piece
            if self._progress:
                self._progress.checkpoint()
                self._progress.advance(self.size // MIB, self.stored.bytes // MIB, "MiB")

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
        if (self.size, self._hash.hexdigest()) != (self.stored.bytes, self.stored.sha256):
            raise SetDamaged(
                f"{self.where} is damaged: its bytes are not those that were written "
                f"({self.size:,} of {self.stored.bytes:,}, or another SHA-256).",
                hint,
            )
