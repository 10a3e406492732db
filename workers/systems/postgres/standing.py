"""What our role may do with other roles' things on a server, and what the server has: asked once, judged elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.systems.postgres.admin import Server

_SET_OPTION: Final = 160_000
_OURSELVES: Final = """
SELECT r.rolname::text, r.rolsuper, r.rolcreaterole, (SELECT rolname::text FROM pg_roles WHERE oid = 10)
FROM pg_roles r WHERE r.rolname = current_user
"""
_ROLES: Final = """
SELECT r.rolname::text, pg_has_role(r.oid, %(lend)s), pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')
FROM pg_roles r WHERE r.rolname = ANY (%(names)s)
"""
_EXTENSIONS: Final = "SELECT name::text, version::text FROM pg_available_extension_versions"
_SUPERUSERS: Final = "SELECT name::text FROM pg_settings WHERE context NOT IN ('user')"
_TABLESPACES: Final = "SELECT spcname::text FROM pg_tablespace WHERE has_tablespace_privilege(oid, 'CREATE')"


@dataclass(frozen=True)
class Standing:
    """A server, and our role on it.

    first: the role that the server was made with. known: which of the roles asked for there are. takes_on: which of
    them ours may become. administers: whose settings ours may change. settings: those that only a superuser may set.
    extensions: name to versions. tablespaces: where ours may put a database.
    """

    name: str
    superuser: bool
    first: str
    version: int
    known: frozenset[str]
    takes_on: frozenset[str]
    administers: frozenset[str]
    settings: frozenset[str]
    extensions: dict[str, frozenset[str]]
    tablespaces: frozenset[str]

    @property
    def major(self) -> int:
        """18 of 18.4."""
        return self.version // 10_000


def of(server: Server, names: Iterable[str]) -> Standing:
    """Where we stand with these roles. Raises DatabaseError."""
    with server.connected() as connection:
        version = connection.info.server_version
        lend = "SET" if version >= _SET_OPTION else "MEMBER"
        row = connection.execute(_OURSELVES).fetchone()
        assert row is not None
        ours, superuser, creates, first = row
        roles = connection.execute(_ROLES, {"lend": lend, "names": list(names)}).fetchall()
        found: dict[str, set[str]] = {}
        for extension, number in connection.execute(_EXTENSIONS):
            found.setdefault(extension, set()).add(number)
        settings = frozenset(each for (each,) in connection.execute(_SUPERUSERS))
        tablespaces = frozenset(each for (each,) in connection.execute(_TABLESPACES))
    return Standing(
        name=ours,
        superuser=superuser,
        first=first,
        version=version,
        known=frozenset(role for role, _, _ in roles),
        takes_on=frozenset(role for role, lends, _ in roles if lends or superuser),
        administers=frozenset(
            role
            for role, _, admin in roles
            if superuser or role == ours or (creates and (admin or version < _SET_OPTION))
        ),
        settings=settings,
        extensions={name: frozenset(versions) for name, versions in found.items()},
        tablespaces=tablespaces,
    )
