"""What of a database will come back from a set, on this server and by our role; and what will not, in sentences.

A dump holds more than can be put back anywhere: grants to a role that is gone, objects of one that ours may not become,
what only a superuser makes. All of that follows from the lines that describe the database (systems/postgres/catalog.py)
and from where we stand on the server; so it is told before anybody approves, and a difference that was not told stops
the switch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.systems.postgres import standing
from workers.systems.postgres.admin import USUAL_TABLESPACE
from workers.systems.postgres.catalog import Line, named
from workers.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.standing import Standing

NAMED_AT_MOST: Final = 6
PUBLIC_SCHEMA: Final = "schema public"
PUBLIC_OWNED_SINCE: Final = 150_000
"""From then on the schema public belongs to whoever owns the database; before, to the server's first role."""
BY_HAND: Final = frozenset(
    {
        "subscription",
        "event trigger",
        "foreign-data wrapper",
        "server",
        "user mapping",
        "foreign table",
        "access method",
        "transform",
        "label",
    }
)
"""Kinds that are never restored: a superuser makes them, and a superuser obeys no dump."""
_SUPERUSERS: Final = frozenset({"type", "cast", "operator class", "operator family", "language", "text search parser"})
ALL_TABLES: Final = "of all tables"
DATABASE: Final = "database"


@dataclass(frozen=True)
class Foreseen:
    """expected: the lines that the restored database will have. lost: what will not come back, a sentence each.

    loose: names about which nothing is expected.
    """

    expected: frozenset[Line]
    lost: tuple[str, ...]
    loose: frozenset[str] = frozenset()


def of(lines: Iterable[Line], server: Server, owner: str) -> Foreseen:
    """Judge the lines of a database that will belong to `owner` on that server. Raises DatabaseError."""
    lines = frozenset(lines)
    return judged(lines, standing.of(server, roles({*lines, Line("owner", "", owner)})), owner)


def roles(lines: Iterable[Line]) -> frozenset[str]:
    """The roles that lines name: owners, those who were granted something, and those with settings of their own."""
    found: set[str] = set()
    for line in lines:
        if line.kind == "owner" or (line.kind, line.name) == ("database", "owner"):
            found.add(line.detail)
        elif line.kind == "grant":
            to, _, _, by = json.loads(line.detail)
            found.update({to, by} - {None})
        elif line.kind == "default grant":
            found.update({json.loads(line.name)[0], json.loads(line.detail[1:])[0]} - {None})
        elif line.kind == "setting" and line.name:
            found.add(line.name)
    return frozenset(found)


def judged(lines: frozenset[Line], where: Standing, owner: str) -> Foreseen:
    """The same, where we stand being known."""
    return _Judging(where, owner, named((each for each in lines if each.name == "owner"), "database")).all(lines)


class _Judging:
    """Goes through the lines once. lost: why, with the names of what it is true of."""

    def __init__(self, where: Standing, owner: str, was: dict[str, str]) -> None:
        self.where, self.owner = where, owner
        self.was = was.get("owner", owner)
        self.recorded = {DATABASE: owner}
        self.owners = {DATABASE: owner}
        self.dropped: set[str] = set()
        self.lost: dict[str, list[str]] = {}
        self.loose: set[str] = set()
        self.public_is_fixed = not where.superuser and where.version < PUBLIC_OWNED_SINCE

    def all(self, lines: frozenset[Line]) -> Foreseen:
        ordered = sorted(lines)
        for line in ordered:
            self.drop(line)
        kept = [line for line in ordered if not self.is_dropped(line)]
        judges: dict[str, Callable[[Line], Iterable[Line]]] = {
            "owner": self.owned,
            "grant": self.granted,
            "default grant": self.granted_from_now_on,
            "setting": self.set,
            "database": self.database,
            "extension": self.extension,
        }
        # Owners first: who may grant follows from them.
        kept.sort(key=lambda line: line.kind != "owner")
        expected = {each for line in kept for each in judges.get(line.kind, _as_it_was)(line)}
        sentences = tuple(f"{_few(names)}: {why}." for why, names in self.lost.items())
        return Foreseen(frozenset(expected), sentences, frozenset(self.loose))

    def note(self, why: str, name: str) -> None:
        names = self.lost.setdefault(why, [])
        if name not in names:
            names.append(name)

    def drop(self, line: Line) -> None:
        thing = f"{line.kind} {line.name}"
        if line.kind in BY_HAND:
            self.note("a superuser makes it again by hand", thing)
            self.dropped.add(thing)
        all_tables = line.kind == "publication" and line.detail.startswith(ALL_TABLES)
        if (all_tables or line.kind == "publication schema") and not self.where.superuser:
            thing = thing if all_tables else f"publication {line.name.rpartition(' ')[0]}"
            self.note("publishing all tables, or a schema's, takes a superuser", thing)
            self.dropped.add(thing)

    def is_dropped(self, line: Line) -> bool:
        if line.kind in {"owner", "comment", "grant"}:
            return self.thing(line.name) in self.dropped
        if line.kind in {"publication table", "publication schema"}:
            return any(line.name.startswith(f"{each.removeprefix('publication ')} ") for each in self.dropped)
        if line.kind == "column":
            return f"foreign table {line.name.rpartition('.')[0]}" in self.dropped
        return f"{line.kind} {line.name}" in self.dropped

    @staticmethod
    def thing(name: str) -> str:
        """What a grant's name names: a column's table."""
        return name.rpartition(" (")[0] if " (" in name and name.endswith(")") else name

    def whose(self, role: str) -> str:
        return self.owner if role == self.was else role

    def owned(self, line: Line) -> Iterable[Line]:
        role = self.recorded[line.name] = self.whose(line.detail)
        if line.name == PUBLIC_SCHEMA and role != self.owner:
            self.owners[line.name] = role
            return self.public(line, role)
        if line.name == PUBLIC_SCHEMA and self.public_is_fixed:
            return self.public(line, role)
        if role != self.owner and role not in self.where.known:
            self.note(f"the role {role} is gone, so they become {self.owner}'s", line.name)
            role = self.owner
        elif role != self.owner and role not in self.where.takes_on:
            grant = f"GRANT {role} TO {self.where.name}"
            self.note(f"our role is no member of {role}, so they become {self.owner}'s ({grant})", line.name)
            role = self.owner
        self.owners[line.name] = role
        return (line._replace(detail=role),)

    def public(self, line: Line, role: str) -> Iterable[Line]:
        """The schema that each new database has: before version 15 it is its server's first role's."""
        usual = {self.where.first} if self.where.version < PUBLIC_OWNED_SINCE else {"pg_database_owner"}
        if role in usual and not self.public_is_fixed:
            return (line._replace(detail=role),)
        self.loose.add(line.name)
        if role not in usual:
            self.note(f"a superuser makes it {role}'s again (ALTER SCHEMA public OWNER TO {role})", line.name)
        return ()

    def granted(self, line: Line) -> Iterable[Line]:
        to, what, passing, by = json.loads(line.detail)
        to, by = to and self.whose(to), self.whose(by)
        if line.name in self.loose:
            return ()
        thing = self.thing(line.name)
        if by == self.recorded.get(thing, by):
            owner = self.owners.get(thing, by if by in self.where.takes_on else self.owner)
            to, by = owner if to == by else to, owner
        elif by not in self.where.takes_on:
            self.note(f"{by} has given it, which our role may not become", f"{what} on {line.name} for {to}")
            return ()
        if to is not None and to not in {*self.where.known, self.owner, by}:
            self.note(f"the role {to} is gone", f"{what} on {line.name}")
            return ()
        return (line._replace(detail=_written([to, what, passing, by])),)

    def granted_from_now_on(self, line: Line) -> Iterable[Line]:
        role, schema, kind = json.loads(line.name)
        to, what, passing = json.loads(line.detail[1:])
        role, to = self.whose(role), to and self.whose(to)
        if role not in {*self.where.takes_on, self.owner}:
            self.note(f"our role may not become {role}", f"default privileges of {role}")
            return ()
        if to is not None and to not in {*self.where.known, self.owner}:
            self.note(f"the role {to} is gone", f"default privilege {what}")
            return ()
        return (
            line._replace(name=_written([role, schema, kind]), detail=line.detail[0] + _written([to, what, passing])),
        )

    def set(self, line: Line) -> Iterable[Line]:
        setting = line.detail.partition("=")[0]
        role = self.whose(line.name) if line.name else ""
        if role and role not in {*self.where.known, self.owner}:
            self.note(f"the role {role} is gone", f"its setting {setting}")
        elif role and role not in {*self.where.administers, self.owner}:
            statement = f"ALTER ROLE {role} IN DATABASE … SET {setting}"
            self.note(f"our role may not change {role}'s settings ({statement}, as a superuser)", setting)
        elif setting in self.where.settings and not self.where.superuser:
            self.note("only a superuser may set it", setting)
        else:
            return (line._replace(name=role),)
        return ()

    def database(self, line: Line) -> Iterable[Line]:
        if line.name == "owner":
            return (line._replace(detail=self.owner),)
        if line.name == "tablespace" and line.detail not in self.where.tablespaces:
            if line.detail != USUAL_TABLESPACE:
                self.note("our role may not put a database there", f"tablespace {line.detail}")
            return (line._replace(detail=USUAL_TABLESPACE),)
        # What is sorted anew is sorted by the library that is there now, so a new database's version is the right one.
        return () if line.name in {"comment", "collation version"} else (line,)

    def extension(self, line: Line) -> Iterable[Line]:
        version = line.detail.partition(" in ")[0]
        there = self.where.extensions.get(unquoted(line.name), frozenset())
        if there and version not in there:
            self.note("the server has other versions of it", f"extension {line.name} {version}")
            self.loose.add(line.name)
        return (line,)


def impossible(lines: Iterable[Line], where: Standing) -> tuple[str, ...]:
    """Why a dump of such a database could not be restored here at all, a sentence each; for a warning.

    Where extensions are missing, or where it holds what only superusers make and other things may rest on.
    """
    found = []
    for line in sorted(lines):
        if line.kind == "extension" and unquoted(line.name) not in where.extensions:
            found.append(f"the server does not have the extension {line.name} (any more)")
        elif line.kind in _SUPERUSERS and _made_by_superusers(line):
            found.append(f"only a superuser makes the {line.kind} {line.name}, and a restore is made by none")
        elif line.kind in {"function", "procedure"} and line.detail.partition(";")[0] in {"c", "internal"}:
            found.append(f"only a superuser makes the {line.kind} {line.name}, which is in C")
    return tuple(found)


def _made_by_superusers(line: Line) -> bool:
    # Composite, enumerated and range types are anybody's; a base type ("b") is not.
    return line.kind not in {"type", "cast"} or (line.kind == "type" and line.detail.partition(";")[0] == "b")


def _as_it_was(line: Line) -> Iterable[Line]:
    return (line,)


def unquoted(name: str) -> str:
    """The name in an identifier as the server writes it."""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _written(parts: list[Any]) -> str:
    # As PostgreSQL's json_build_array writes it.
    return json.dumps(parts, ensure_ascii=False)


def _few(names: list[str]) -> str:
    more = len(names) - NAMED_AT_MOST
    return listed(names[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
