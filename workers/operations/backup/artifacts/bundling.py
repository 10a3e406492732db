"""Many small artifacts into one kept object: a store takes as long for a kilobyte as for a megabyte.

Each is read by itself, in threads, and encrypted as a stream of its own within the bundle, so one is restored and
looked at by its range alone. Whoever reads the last one writes the bundle: no thread waits for another.

Few of them are kept apart, each under a key of its own: what is lost of such a one can be mended in its place, and it
goes as soon as no set needs it; a bundle stays for as long as any of its artifacts is needed.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.operations.backup.artifacts.object_copying import ObjectCopied, ObjectCopier
    from workers.systems.s3.metadata import Listed

BYTES_AT_MOST: Final = 4 << 20


@dataclass
class Bundle:
    """One that is being made. copier: what writes it."""

    copier: ObjectCopier
    _told: list[Future[ObjectCopied]] = field(default_factory=list)
    _read: dict[int, tuple[ObjectCopied, bytes]] = field(default_factory=dict)
    _bytes: int = 0
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def full(self) -> bool:
        """Whether nothing more is to be added."""
        return len(self._told) >= self.copier.tuning.bundle_objects or self._bytes >= BYTES_AT_MOST

    def add(self, pool: ThreadPoolExecutor, reader: ObjectCopier, listed: Listed) -> Future[ObjectCopied]:
        """Have an artifact read, and told what became of it once the bundle is written. reader: reads it."""
        told: Future[ObjectCopied] = Future()
        told.set_running_or_notify_cancel()
        self._told.append(told)
        self._bytes += listed.size
        pool.submit(self._take, len(self._told) - 1, reader, listed)
        return told

    def close(self, pool: ThreadPoolExecutor) -> None:
        """Nothing more comes: it is written as soon as all of it is read."""
        with self._lock:
            self._closed = True
            ready = len(self._read) == len(self._told)
        if ready:
            pool.submit(self._write)

    def _take(self, number: int, reader: ObjectCopier, listed: Listed) -> None:
        try:
            found = reader.read(listed)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits, as a thread pool does
            self._fail(error)
            return
        with self._lock:
            self._read[number] = found
            ready = self._closed and len(self._read) == len(self._told)
        if ready:
            self._write()

    def _write(self) -> None:
        try:
            done = self.copier.write([self._read[number] for number in range(len(self._told))])
        except BaseException as error:  # noqa: BLE001 - as above
            self._fail(error)
            return
        for told, became in zip(self._told, done, strict=True):
            told.set_result(became)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            for told in self._told:
                if not told.done():
                    told.set_exception(error)
