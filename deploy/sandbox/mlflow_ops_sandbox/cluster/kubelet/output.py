"""Follows the output file of a real process, line by line, from where it was read up to before.

The position is kept in a small file, so that a restart neither repeats nor loses lines. A file that became shorter
was begun anew and is read from its start.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

_PIECE = 64 * 1024
_POLL_SECONDS = 0.2


async def follow_output(path: Path, position_file: Path) -> AsyncIterator[list[str]]:
    """Yield batches of complete lines as they are written, for ever."""
    position = _read_position(position_file)
    while True:
        data = _read(path, position)
        if data is None:
            position = 0
            continue
        end = data.rfind(b"\n") + 1
        if not end and len(data) == _PIECE:
            end = _PIECE  # one endless line: cut it
        if end:
            position += end
            yield data[:end].decode(errors="replace").rstrip("\n").split("\n")
            _write_position(position_file, position)
        await asyncio.sleep(0 if len(data) == _PIECE else _POLL_SECONDS)


def _read(path: Path, position: int) -> bytes | None:
    """Return what follows the position; None where the file is shorter than that."""
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < position:
                return None
            file.seek(position)
            return file.read(_PIECE)
    except OSError:
        return b""


def _write_position(path: Path, position: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(position))


def _read_position(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
