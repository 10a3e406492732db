"""What a program says of a dump, or makes of its beginning: pg_restore's table of contents, and its first settings.

Of the contents some are not replayed: what others see to (extensions.py, handing_over.py), and what only a superuser
may make, which the role that replays is not.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

from workers.systems.postgres import programs

SECONDS: Final = 60
_ENTRY: Final = r"\d+; \d+ \d+ "
_ELSEWHERE: Final = (
    "ACL|DEFAULT ACL|EXTENSION|PUBLICATION|PUBLICATION TABLE|PUBLICATION TABLES IN SCHEMA|DATABASE|DATABASE PROPERTIES"
)
_SUPERUSERS: Final = (
    "SUBSCRIPTION|SUBSCRIPTION TABLE|EVENT TRIGGER|FOREIGN DATA WRAPPER|SERVER|USER MAPPING|FOREIGN TABLE|"
    "ACCESS METHOD|TRANSFORM|SECURITY LABEL"
)
_LEFT_OUT: Final = re.compile(
    rf"{_ENTRY}((?:{_ELSEWHERE}|{_SUPERUSERS}) |"
    rf"COMMENT - (?:EXTENSION|PUBLICATION|DATABASE|SCHEMA public |{_SUPERUSERS}))"
)
_SCHEMA: Final = re.compile(rf"{_ENTRY}SCHEMA - (\S+) ")


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


def replayed(lines: Iterable[str], schemas: Collection[str] = ()) -> str:
    """What of a table of contents is replayed, for pg_restore's --use-list. schemas: those that were made already."""
    kept = (
        line
        for line in lines
        if not _LEFT_OUT.match(line) and not ((found := _SCHEMA.match(line)) and found[1] in schemas)
    )
    return "\n".join(kept) + "\n"
