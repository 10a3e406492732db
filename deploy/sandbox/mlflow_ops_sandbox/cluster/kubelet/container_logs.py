"""Container logs as a node keeps them: one file per start of a container, each line with its time (the CRI format).

``<data>/logs/<namespace>_<pod>_<uid>/<container>/<restarts>.log``. At 10 MiB a file is set aside and begun anew;
like a real kubelet, reading shows the current file only. Reading goes in pieces of 64 KiB whatever the size, and
``follow`` waits at the end until told that the container has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from mlflow_ops_sandbox.cluster.api.objects import Object, name_of, namespace_of, uid_of
from mlflow_ops_sandbox.cluster.api.times import Clock, from_rfc3339, to_micro_time

ROTATE_BYTES = 10 * 1024 * 1024
KEPT_FILES = 4
_PIECE = 64 * 1024
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class LogOptions:
    """The parameters of reading a log."""

    tail: int | None = None
    since: datetime | None = None
    timestamps: bool = False
    limit_bytes: int | None = None
    follow: bool = False


class LogDirectory:
    """Where all container logs are."""

    def __init__(self, root: Path, clock: Clock, rotate_bytes: int = ROTATE_BYTES) -> None:
        self.root = root
        self._clock = clock
        self._rotate_bytes = rotate_bytes

    def path(self, pod: Object, container: str, restarts: int) -> Path:
        """Return the file of one start of a container."""
        return self.root / f"{namespace_of(pod)}_{name_of(pod)}_{uid_of(pod)}" / container / f"{restarts}.log"

    def append(self, pod: Object, container: str, restarts: int, *lines: str) -> None:
        """Write lines, with the time of now."""
        path = self.path(pod, container, restarts)
        path.parent.mkdir(parents=True, exist_ok=True)
        now = self._clock()
        stamp = to_micro_time(now).replace("Z", "000Z")
        text = "".join(f"{stamp} stdout F {line}\n" for line in lines)
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)
            size = file.tell()
        if size > self._rotate_bytes:
            path.rename(path.with_name(f"{path.name}.{now.strftime('%Y%m%d-%H%M%S-%f')}"))
            for old in sorted(path.parent.glob(f"{path.name}.*"))[:-KEPT_FILES]:
                old.unlink(missing_ok=True)

    def forget(self, pod: Object) -> None:
        """Remove the logs of a pod that is gone."""
        directory = self.path(pod, "_", 0).parent.parent
        for file in directory.glob("*/*"):
            file.unlink(missing_ok=True)
        for below in directory.glob("*"):
            below.rmdir()
        if directory.is_dir():
            directory.rmdir()


async def read_log(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield the lines that the options select, in pieces; with ``follow`` until ``ended()`` holds."""
    left = options.limit_bytes
    async for piece in _pieces(path, options, ended):
        shown = b"".join(_shown(line, options) for line in piece)
        if left is not None:
            shown = shown[:left]
            left -= len(shown)
        if shown:
            yield shown
        if left == 0:
            return


async def _pieces(path: Path, options: LogOptions, ended: Callable[[], bool]) -> AsyncIterator[list[bytes]]:
    file = _open(path)
    if file is not None and options.tail is not None:
        file.seek(_tail_position(file, options.tail))
    rest = b""
    try:
        while True:
            over = ended()
            data = file.read(_PIECE) if file is not None else b""
            if data:
                *lines, rest = (rest + data).split(b"\n")
                yield lines
                await asyncio.sleep(0)
                continue
            if not options.follow or over:
                return
            await asyncio.sleep(_POLL_SECONDS)
            if file is None or _was_rotated(path, file):
                following = _open(path)
                if following is not None and file is not None:
                    file.close()
                file = following or file
    finally:
        if file is not None:
            file.close()


def _open(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None


def _was_rotated(path: Path, file: BinaryIO) -> bool:
    try:
        return path.stat().st_size < file.tell()
    except FileNotFoundError:
        return False


def _tail_position(file: BinaryIO, lines: int) -> int:
    """Return where the last so many lines begin, reading backwards."""
    position = file.seek(0, 2)
    if lines == 0:
        return position
    wanted = lines + 1  # the line end at the very end of the file counts, too
    while position > 0:
        begin = max(position - _PIECE, 0)
        file.seek(begin)
        block = file.read(position - begin)
        found = block.count(b"\n")
        if found >= wanted:
            at = len(block)
            for _ in range(wanted):
                at = block.rindex(b"\n", 0, at)
            return begin + at + 1
        wanted -= found
        position = begin
    return 0


def _shown(line: bytes, options: LogOptions) -> bytes:
    stamp, _, rest = line.partition(b" ")
    text = rest.split(b" ", 2)[-1]
    if options.since is not None and from_rfc3339(stamp.decode()) < options.since:
        return b""
    return (stamp + b" " + text if options.timestamps else text) + b"\n"
