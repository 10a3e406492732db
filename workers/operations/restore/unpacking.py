"""Base backups' files on a worker's disk: unpacked as they come, compared, and combined where one rests on others."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from workers.errors import OperatorError
from workers.operations.backup.stream import MIB, Reading
from workers.operations.backup.wal import incremental, packing
from workers.operations.backup.wal.archive import Base, moment_of
from workers.systems.postgres import programs
from workers.wording import size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.systems.postgres.private_server import PrivateServer
    from workers.systems.postgres.programs import Program

COMBINE_SECONDS: Final = 6 * 3600.0
_ANOTHER: Final = "Go back to a moment of another base."


def unpack(
    bases: Sequence[Base],
    server: PrivateServer,
    program: Program,
    reading: Callable[[Base], Reading],
    progress: Progress,
) -> None:
    """Have a base's files in the private server's folder. bases: those that it rests on, oldest first, and itself.

    program: its `postgres`. reading: opens a base's tar. Raises OperatorError, Cancelled.
    """
    if len(bases) == 1:
        _unpacked(bases[0], server.data, reading(bases[0]), progress)
        return
    folders = []
    for number, each in enumerate(bases):
        folder = server.folder / f"base-{number}"
        folder.mkdir(mode=0o700)
        _unpacked(each, folder, reading(each), progress)
        folders.append(folder)
    progress.step(f"Combining {len(folders)} base backups")
    server.data.rmdir()
    command: list[str | Path] = [
        program.beside(incremental.COMBINE).path,
        "--no-sync",
        f"--output={server.data}",
        *folders,
    ]
    with programs.running(command) as combining:
        if combining.wait(COMBINE_SECONDS, progress.checkpoint) != 0:
            raise OperatorError(f"The base backups can't be combined: {combining.said()}", _ANOTHER)
    for folder in folders:
        shutil.rmtree(folder)


def _unpacked(base: Base, folder: Path, reading: Reading, progress: Progress) -> None:
    progress.step(f"Fetching the base backup of {moment_of(base.finished_at)}: {size(base.tar.bytes)}", of="Fetch ")
    stream = cast("IO[bytes]", _Stream(packing.decompressed(reading, base.tar.key)))
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=MIB) as files:
            for member in files:
                files.extract(member, folder, filter="data")
                files.members = []  # type: ignore[attr-defined]  # it would keep a line for each file
    except (tarfile.TarError, EOFError) as error:
        hint = _ANOTHER
        raise OperatorError(f"The base backup {base.name} is no whole tar: {error}.", hint) from None
    while stream.read(MIB):
        pass
    reading.compare(_ANOTHER)
    for name in ("backup_label", "PG_VERSION"):
        if not (folder / name).exists():
            raise OperatorError(f"The base backup {base.name} has no {name}.", _ANOTHER)


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
