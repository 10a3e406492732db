"""A database that a dump is replayed into, and the role that does it: made together, and parted once all is there.

Where our role may not make roles, MLflow's own replays the dump, as it did before; then only the set's signature stands
between a forged dump and the live database, which `check` and every plan say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from workers.systems.errors import DatabaseError, DatabaseTaken
from workers.systems.postgres import replay_role

if TYPE_CHECKING:
    from workers.systems.postgres.admin import DatabaseInfo, Server
    from workers.systems.postgres.database import Database
    from workers.systems.postgres.replay_role import ReplayRole

_log = structlog.get_logger(__name__)

ALONE: Final = "Only a set's signature stands between a forged dump and the live database."
EXPOSED: Final = (
    f"Dumps are replayed by MLflow's own role. {ALONE} To have a role made for each restore, as a superuser: "
    "ALTER ROLE {} CREATEROLE;"
)


@dataclass
class Replaying:
    """An empty database. target: as whoever replays. owner: whose it will be. role: None where that is the owner."""

    server: Server
    target: Database
    owner: str
    role: ReplayRole | None

    def hand_over(self) -> None:
        """Give all of it to its owner, and remove the role. Raises DatabaseError."""
        if self.role:
            replay_role.hand_over(self.server, self.role, self.target.name, self.owner)
            self.role = None


def exposed(server: Server) -> tuple[str, ...]:
    """What stands between a dump and the live database if no role can be made for it, as a warning; else none."""
    return () if replay_role.possible(server) else (EXPOSED.format(server.admin.role().name),)


@contextmanager
def into(server: Server, live: Database, name: str, like: DatabaseInfo, said: str) -> Iterator[Replaying]:
    """Make the database `name`, to be filled and handed over within; it is removed where that fails.

    live: an address of MLflow's role. like: what it is like, and whose it will be. said: its comment.
    Raises DatabaseError.
    """
    role = replay_role.make(server) if replay_role.possible(server) else None
    try:
        _create(server, name, replace(like, owner=role.name) if role else like, said)
        target = server.database(name, live)
        if role:
            replay_role.let_in(server, role, name)
            target = role.database(name, live)
            try:
                target.role()
            except DatabaseError as error:
                # pg_hba.conf may let in roles by their names, or by certificates alone.
                _log.warning("the role that was made is not let in", why=error.message)
                replay_role.hand_over(server, role, name, like.owner)
                role, target = None, server.database(name, live)
        going = Replaying(server, target, like.owner, role)
        yield going
        role = going.role
        going.hand_over()
    except BaseException:
        # What failed is what is told, and not that tidying up failed after it; the next run sweeps.
        with suppress(DatabaseError):
            server.drop(name)
            if role:
                replay_role.drop(server, role.name)
        raise


def discard(server: Server, found: DatabaseInfo) -> None:
    """Remove a database that a killed run has left, and the role that was made for it. Raises DatabaseError."""
    server.drop(found.name)
    if replay_role.is_one(found.owner):
        replay_role.drop(server, found.owner)


def _create(server: Server, name: str, like: DatabaseInfo, said: str) -> None:
    try:
        server.create(name, like, said)
    except DatabaseTaken:
        # The session of a worker that was killed goes on making it, and has it since we looked.
        server.drop(name)
        server.create(name, like, said)
