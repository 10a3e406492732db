"""Options of columns that only the server knows that wrote them: left out of what pg_restore writes for another one.

Debian's PostgreSQL 15.20 gives each column an option `pg_attver`, and pg_dump writes it down like any other; no other
server knows it, so a dump from there could be restored nowhere else. It says nothing of the data. Only definitions are
looked at (pg_restore's section pre-data), never rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from workers.operations.restore import contents

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.programs import Program

DEFINITIONS: Final = "--section=pre-data"
_PRIVATE: Final = rb"pg_attver=\d+"
_LINE: Final = re.compile(rb"(ALTER (?:FOREIGN )?TABLE .+ ALTER COLUMN .+ SET \()([^()]*" + _PRIVATE + rb"[^()]*)(\);)")
_ONE: Final = re.compile(_PRIVATE)


def unknown(program: Program, dump: Path | Iterable[bytes], target: Database) -> bool:
    """Whether the dump has such options and the server does not take them. Raises DatabaseError."""
    lines = contents.asked([program.path, "--file=-", DEFINITIONS], dump)
    return any(_LINE.fullmatch(line.encode()) for line in lines) and not _taken(target)


def _taken(target: Database) -> bool:
    with target.session() as connection:
        try:
            with connection.transaction():
                connection.execute("CREATE TEMPORARY TABLE tried (n int) ON COMMIT DROP")
                connection.execute(sql.SQL("ALTER TABLE tried ALTER COLUMN n SET (pg_attver = 1)"))
        except psycopg.DataError:
            return False
    return True


class Without:
    """Passes definitions on, without those options."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._begun = b""

    def passed(self, piece: bytes) -> bytes:
        """What is to be passed on of the next bytes."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        return b"".join(kept + b"\n" for line in lines if (kept := without(line)) is not None)

    def rest(self) -> bytes:
        """What was not passed on yet, at the end."""
        begun, self._begun = self._begun, b""
        return begun


def without(line: bytes) -> bytes | None:
    """A line of a definition without such options; None where nothing else was in it."""
    found = _LINE.fullmatch(line)
    if found is None:
        return line
    kept = [each for each in found[2].split(b", ") if not _ONE.fullmatch(each)]
    return found[1] + b", ".join(kept) + found[3] if kept else None
