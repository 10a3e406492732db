"""What a program says of a dump, or makes of its beginning: pg_restore's table of contents, and its first settings."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from workers.systems.postgres import programs

SECONDS: Final = 60


def asked(command: Sequence[str | Path], dump: Path | Iterable[bytes]) -> list[str]:
    """The lines that a program writes of a dump; none where it is no dump.

    dump: a file, or its bytes, of which only as many are taken as are needed.
    """
    place = [dump] if isinstance(dump, Path) else []
    with (
        tempfile.TemporaryFile() as told,
        programs.running([*command, *place], fed=not place, output=told) as program,
    ):
        if not isinstance(dump, Path):
            for piece in dump:
                if not program.give(piece):
                    break
        program.wait(SECONDS)
        told.seek(0)
        return told.read().decode("utf-8", "replace").splitlines()
