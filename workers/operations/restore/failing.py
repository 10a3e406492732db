"""What a pg_restore that failed says: of the set, or of the place where it was restored.

Only the first condemns a set, and only where the words prove it: the archive cannot be read, or its rows break their
own rules. Rights, room, an extension that is not there, a server that went away are told as what they are; what nobody
knows here is told in its own words, and condemns nothing either.

The words are pg_restore's and the server's in English (programs.environment asks for it; a server whose lc_messages is
another language proves nothing here).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError, SetDamaged
from workers.systems.errors import DatabaseFull, DatabaseRefused, DatabaseUnreachable

if TYPE_CHECKING:
    from workers.systems.postgres.database import Database

ANOTHER: Final = "Use another set: /mlflow backup list."
_ARCHIVE: Final = re.compile(
    r"not appear to be a valid (tar )?archive|did not find magic string|input file is too short|"
    r"could not read from input file|could not read input file|unexpected end of file|could not (un|de)compress|"
    r"unrecognized data block|found unexpected block ID|corrupt (tar header|large object TOC|archive)|"
    r"invalid dumpId|entry ID \d+ out of range",
    re.IGNORECASE,
)
_ROWS: Final = re.compile(
    r"could not create (unique|exclusion) |duplicate key value violates|"
    r"violates (foreign key|check|not-null) constraint|"
    r"invalid input syntax for|invalid byte sequence for encoding|value too long for type|"
    r"missing data for column|extra data after last expected column|null value in column",
    re.IGNORECASE,
)
_RIGHTS: Final = re.compile(r"permission denied|must be (owner|member|superuser|able)|role \"[^\"]*\" does not exist")


def explained(said: str, target: Database) -> OperatorError:
    """What pg_restore, or the server, said at the end, as an error of its kind. said: empty where it said nothing."""
    if _ARCHIVE.search(said):
        return SetDamaged(f"pg_restore failed: {target.explained(said).message}", ANOTHER)
    error = target.explained(said or "it said nothing")
    message = f"pg_restore failed: {error.message}"
    if isinstance(error, DatabaseFull | DatabaseUnreachable | DatabaseRefused):
        return type(error)(message, error.hint)
    if _RIGHTS.search(said):
        return DatabaseRefused(message, "See mlflow-ops check.")
    if _ROWS.search(said):
        return SetDamaged(message, ANOTHER)
    return OperatorError(message, error.hint)
