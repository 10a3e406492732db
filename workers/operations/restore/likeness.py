"""Is what was restored what was there? Both databases as lines, and what is in one of them only.

Expected is what the set recorded, less what was foreseen to be lost (backup/foreseen.py). A difference in an object
itself (a table, a function, a trigger that is missing, is more, or is another) stops the switch: either the restore has
failed, or the dump holds what was never in the database. A difference in rights, settings or expressions is told.

Servers of two versions write the same view in different words, so between them only names are compared. And a server
that reads its own words again may write others: of `x IN ('a', 'b')` on a varchar the casts move, which MLflow's own
checks are. So casts and needless parentheses are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from workers.errors import SetDamaged
from workers.operations.backup import catalog_record, foreseen
from workers.operations.backup.encryption import Keys, WrongKey
from workers.systems.errors import CatalogTooLarge, GatewayError
from workers.systems.postgres import catalog
from workers.systems.postgres.catalog import RIGHTS, Line, named
from workers.wording import listed

if TYPE_CHECKING:
    from workers.operations.backup.foreseen import Foreseen
    from workers.operations.backup.manifest import DatabasePart
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo, Server
    from workers.systems.postgres.database import Database

CALLS_AT_ONCE: Final = 2
_EXPRESSIONS: Final = frozenset({"constraint", "index", "view", "materialized view", "rule", "policy"})
"""Kinds that are little else than an expression."""
_CAST: Final = re.compile(
    r"""::(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?(?: varying| precision)?(?:\(\d+(?:,\d+)?\))?"""
    r"""(?: with(?:out)? time zone)?(?:\[\])*"""
)
_NEEDLESS: Final = re.compile(r"""\(('(?:[^']|'')*'|[\w.]+|ARRAY\[[^][()]*\]|\([^()]*\))\)""")
TOLD_AT_MOST: Final = 8
_NEW_PRIVILEGE: Final = '"MAINTAIN"'
"""On tables, since version 17."""
_NOT_COMPARED: Final = frozenset({("database", "comment"), ("database", "collation version"), ("database", "owner")})


@dataclass(frozen=True)
class Recorded:
    """What a database was like. exact: by the set; else by the live database, which has gone on since.

    unread: why there is no description to compare with, in a sentence.
    """

    lines: frozenset[Line]
    exact: bool
    unread: str = ""


def like(seen: Foreseen, live: DatabaseInfo) -> DatabaseInfo:
    """What a new database is made like: the expected locale, encoding and tablespace; the live one's owner."""
    told = named(seen.expected, "database")
    if not {"encoding", "collate", "ctype"} <= told.keys():
        return live
    return replace(
        live,
        encoding=told["encoding"],
        collate=told["collate"],
        ctype=told["ctype"],
        provider=told.get("locale provider", "c"),
        locale=told.get("locale", ""),
        rules=told.get("ICU rules", ""),
        tablespace=told.get("tablespace", ""),
    )


def recorded(systems: Systems, part: DatabasePart) -> Recorded:
    """What the set says, else what the live database is like; nothing where there is neither. Raises OperatorError.

    A key that is lost makes the description unreadable, and not the dump: the rows still come back.
    """
    from workers.systems.s3.transfer import Transfer

    bucket = systems.settings.ops.storage.backups_bucket
    unread = ""
    with Transfer.of(systems.backups, CALLS_AT_ONCE) as transfer:
        try:
            lines = catalog_record.read(part, Keys.all_of(systems.settings), transfer, bucket)
        except WrongKey as error:
            lines, unread = None, error.message
    if lines is not None:
        return Recorded(lines, exact=True)
    try:
        live = catalog.read(systems.database)
    except CatalogTooLarge as error:
        live, unread = frozenset(), unread or error.message
    except GatewayError:
        live = frozenset()
    return Recorded(live, exact=False, unread=unread)


def _of_live(database: Database) -> frozenset[Line]:
    try:
        return catalog.read(database)
    except GatewayError:
        return frozenset()


def extensions_of(systems: Systems) -> frozenset[str] | None:
    """The extensions that the live database has; None where there is no live database to ask, or nothing in it."""
    lines = _of_live(systems.database)
    if not named(lines, "table"):
        return None
    return frozenset(map(foreseen.unquoted, named(lines, "extension")))


def warnings(systems: Systems, part: DatabasePart, owner: str) -> tuple[str, ...]:
    """What will not come back, and what has changed since the backup: for a plan. Raises OperatorError."""
    known = recorded(systems, part)
    seen = foreseen.of(known.lines, systems.server, owner)
    told = [f"Will not come back: {each}" for each in seen.lost]
    told += uncompared(known)
    told += [
        f"The replication slot {name} stays with the previous database: what reads from it must begin anew."
        for name in _slots(systems.database)
    ]
    live = _of_live(systems.database)
    if known.exact and live:
        # Seen as our own result would be, so that what is not expected anyway is not told as a change.
        now = foreseen.of(live, systems.server, owner)
        changed = different(seen, now.expected, major=systems.server.major(), of=part)
        if changed.all:
            told.append(f"Changed since the backup, and as in the backup afterwards: {_few(changed.all)}.")
    return tuple(told)


def uncompared(known: Recorded) -> list[str]:
    """That the result cannot be compared with the set, and why; nothing where it can."""
    if not known.unread:
        return []
    whose = "owners, grants and settings are the live database's"
    if not known.lines:
        whose = "everything will be its owner's, without grants and settings"
    return [f"{known.unread} So {whose}, and the result isn't compared with the set."]


def _slots(database: Database) -> tuple[str, ...]:
    try:
        return catalog.slots(database)
    except GatewayError:
        return ()


@dataclass(frozen=True)
class Different:
    """What is not as expected, a few words each. objects: things; rights: owners, grants, settings, comments."""

    objects: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Both."""
        return (*self.objects, *self.rights)


def different(seen: Foreseen, actual: Iterable[Line], *, major: int, of: DatabasePart) -> Different:
    """Compare. major: of the server that `actual` is from; of: the set's part, for the version that it is from."""
    same_version = of.server_version.partition(".")[0] == str(major)
    wanted = _comparable(seen.expected, seen.loose, same_version=same_version)
    found = _comparable(actual, seen.loose, same_version=same_version)
    told: dict[bool, list[str]] = {True: [], False: []}
    missing, more = wanted - found, found - wanted
    both = {(line.kind, line.name) for line in missing} & {(line.kind, line.name) for line in more}
    for line in sorted(missing | more):
        what = f"{line.kind} {line.name}".strip()
        if line.kind in RIGHTS:
            verb = "is missing" if line in missing else "is more"
            told[False].append(f"{what} ({line.detail}) {verb}")
        elif (line.kind, line.name) not in both:
            told[True].append(f"{what} {'is missing' if line in missing else 'was not there'}")
        elif line in missing:
            told[line.kind not in _EXPRESSIONS].append(f"{what} is another")
    return Different(tuple(told[True]), tuple(told[False]))


def _comparable(lines: Iterable[Line], loose: frozenset[str], *, same_version: bool) -> frozenset[Line]:
    kept = {
        line
        for line in lines
        if line.name not in loose and (line.kind, line.name) not in _NOT_COMPARED and line.kind not in foreseen.BY_HAND
    }
    if same_version:
        return frozenset(line if line.kind in RIGHTS else line._replace(detail=_in_short(line.detail)) for line in kept)
    return frozenset(
        line if line.kind in RIGHTS else line._replace(detail="")
        for line in kept
        if _NEW_PRIVILEGE not in line.detail and line.name != foreseen.PUBLIC_SCHEMA and line.kind != "database"
    )


def _in_short(text: str) -> str:
    """A definition without casts and needless parentheses."""
    text, before = _CAST.sub("", text), ""
    while text != before:
        before, text = text, _NEEDLESS.sub(r"\1", text)
    return text


def refuse_other(told: Different) -> None:
    """Raise SetDamaged where an object is not as it was."""
    if told.objects:
        raise SetDamaged(
            f"What was restored is not what was backed up: {_few(told.objects)}.",
            "The live database was not touched. Use another set: /mlflow backup list.",
        )


def _few(told: tuple[str, ...]) -> str:
    more = len(told) - TOLD_AT_MOST
    return listed(told[:TOLD_AT_MOST]) + (f", and {more} more" if more > 0 else "")


def of_database(server: Server, name: str) -> frozenset[Line]:
    """The lines of a database of the server, as the administrator reads them.

    Raises DatabaseError, and CatalogTooLarge.
    """
    return catalog.read(server.database(name, server.admin))
