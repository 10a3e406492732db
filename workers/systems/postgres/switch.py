"""The switch: two databases change their names in one transaction, and nobody gets in meanwhile.

ALTER DATABASE … RENAME locks the database before it looks who is in it, and whoever connects waits for that lock
(PostgreSQL's sources: RenameDatabase in dbcommands.c, InitPostgres in postinit.c, the same from 13 to 18). So the
rename itself keeps newcomers out, and nothing has to be closed before: a process that is killed at any moment, ours or
the server's, leaves the live database as before or as after, and open. The rename waits five seconds for those who are
in it, sends autovacuum's workers away itself, and gives up where somebody stays; a second connection ends the others.

The trap: a worker that vanishes with its machine leaves a session that the server believes in for hours. So the server
ends ours itself where it is idle in that transaction for longer than a moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import psycopg
import structlog
from psycopg import sql

from workers.systems import fencing
from workers.systems.errors import DatabaseOccupied
from workers.systems.postgres import occupants
from workers.systems.postgres.admin import write_comment
from workers.wording import duration

if TYPE_CHECKING:
    from workers.systems.postgres.admin import Server
    from workers.systems.postgres.occupants import Occupants

LOCK_SECONDS: Final = 5
"""For the lock on the database: those who are just connecting hold it for milliseconds."""
IDLE_SECONDS: Final = 10
"""After which the server gives up a transaction whose client is silent."""
STATEMENT_SECONDS: Final = 20
LOOK_SECONDS: Final = 0.25
BREATH_SECONDS: Final = 5.0
NAMED: Final = 5
END_SECONDS: Final = 0.02
"""Between two rounds in which sessions are ended."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Names:
    """`live` becomes `aside`, and `fresh` becomes `live`."""

    live: str
    fresh: str
    aside: str


def switch(server: Server, names: Names, comments: Mapping[str, str], *, patience_seconds: float) -> float:
    """Do it; the seconds that nobody could get in. The one put aside takes no sessions afterwards, the other one does.

    comments: by the new names, written at that same moment: a process that is killed after it leaves no database that
    does not say what it is. patience_seconds: for who may not be ended to leave; meanwhile nobody is disturbed.
    Where it fails, `live` is as it was. Raises DatabaseOccupied, which names who stayed, and DatabaseError.
    """

    def work(connection: psycopg.Connection[Any]) -> None:
        _rename(connection, names.live, names.aside)
        _rename(connection, names.fresh, names.live)
        _allow(connection, names.aside, sessions=False)
        _allow(connection, names.live, sessions=True)
        for name, text in comments.items():
            write_comment(connection, name, text)

    return _emptied(server, [names.live, names.fresh], work, patience_seconds)


def rename(server: Server, old: str, new: str, comment: str, *, patience_seconds: float) -> float:
    """One database gets a name that no other has, and takes sessions afterwards; the rest is as with `switch`."""

    def work(connection: psycopg.Connection[Any]) -> None:
        _rename(connection, old, new)
        _allow(connection, new, sessions=True)
        write_comment(connection, new, comment)

    return _emptied(server, [old], work, patience_seconds)


def _emptied(
    server: Server, names: list[str], work: Callable[[psycopg.Connection[Any]], None], patience_seconds: float
) -> float:
    """Do that in one transaction while nobody is in those databases; how long nobody could get in."""
    deadline = time.monotonic() + patience_seconds
    with server.connected() as connection:
        while True:
            seen = [occupants.look(connection, name) for name in names]
            if not any(each.blocking for each in seen):
                fencing.before_changing()
                began = time.monotonic()
                if _done(server, connection, names, work):
                    return time.monotonic() - began
                seen = [occupants.look(connection, name) for name in names]
                # Those who were kept out get in again: nobody is shut out for the sake of one who does not leave.
                time.sleep(max(0.0, min(BREATH_SECONDS, deadline - time.monotonic())))
            if time.monotonic() >= deadline:
                raise _occupied(names[0], seen, patience_seconds)
            time.sleep(LOOK_SECONDS)


def _occupied(name: str, seen: list[Occupants], patience_seconds: float) -> DatabaseOccupied:
    lines = [each for found in seen for each in (*found.blocking, *(one.line for one in found.leaving))][:NAMED]
    who = "; ".join(what for what, _ in lines) or "someone who connects again and again"
    message = f"{name} was still in use after {duration(patience_seconds)}: {who}."
    return DatabaseOccupied(message, " ".join(dict.fromkeys(remedy for _, remedy in lines)))


def _done(
    server: Server,
    connection: psycopg.Connection[Any],
    names: list[str],
    work: Callable[[psycopg.Connection[Any]], None],
) -> bool:
    """One try. False where somebody stayed in one of the databases, or held one: nothing has changed then."""
    try:
        with _ending(server, names, _pid(connection)), connection.transaction():
            for setting, seconds in (
                ("lock_timeout", LOCK_SECONDS),
                ("idle_in_transaction_session_timeout", IDLE_SECONDS),
                ("statement_timeout", STATEMENT_SECONDS),
            ):
                connection.execute("SELECT set_config(%s, %s, true)", (setting, f"{seconds}s"))
            work(connection)
    except (psycopg.errors.ObjectInUse, psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
        _log.info("the switch is tried again", reason=str(error).strip())
        return False
    return True


@contextmanager
def _ending(server: Server, names: list[str], without: int) -> Iterator[None]:
    """Within it, sessions in these databases are ended again and again, from another connection."""
    stop = threading.Event()

    def work() -> None:
        try:
            while not stop.is_set():
                occupants.end(beside, names, without)
                stop.wait(END_SECONDS)
        except psycopg.Error as error:
            # The rename tells who is there.
            _log.warning("sessions are not ended", reason=str(error).strip())

    with server.connected() as beside:
        thread = threading.Thread(target=work, name="switch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _pid(connection: psycopg.Connection[Any]) -> int:
    """Of the server's process, which through a pooler is not what the connection was told."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def _rename(connection: psycopg.Connection[Any], old: str, new: str) -> None:
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


def _allow(connection: psycopg.Connection[Any], name: str, *, sessions: bool) -> None:
    flag = sql.SQL("true" if sessions else "false")
    connection.execute(sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}").format(sql.Identifier(name), flag))
