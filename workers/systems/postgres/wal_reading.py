"""What stands in WAL that lies in a folder, as pg_waldump tells it.

Trap this avoids: recovery to a time stops at the first commit after it, and has replayed all that lies before that
commit. DROP DATABASE marks a database as invalid, and removes its files, in records of their own before its commit
(dropdb in dbcommands.c): so at a moment shortly before it the database is gone already. Right after the last commit
before the moment it is not.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

from workers.systems.postgres import programs
from workers.systems.postgres.wal_position import position, shown

if TYPE_CHECKING:
    from pathlib import Path

    from workers.systems.postgres.programs import Program

_COMMIT: Final = re.compile(rb"lsn: ([0-9A-F]+/[0-9A-F]+), .*desc: COMMIT")


def last_commit(program: Program, folder: Path, timeline: int, first: int, end: int) -> int | None:
    """Where the last commit stands between two positions; None where there is none. program: pg_waldump.

    What cannot be read any more, because it isn't there, ends the reading.
    """
    command: list[str | Path] = [
        program.path,
        f"--path={folder}",
        f"--timeline={timeline}",
        f"--start={shown(first)}",
        f"--end={shown(end)}",
        "--rmgr=Transaction",
    ]
    found = None
    with programs.running(command, output=subprocess.PIPE) as reading:
        for line in reading.output:
            if seen := _COMMIT.search(line):
                found = position(seen[1].decode())
    return found
