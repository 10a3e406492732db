"""Who and what is in a database, and may keep it from being renamed.

A session that our role may not end, or a prepared transaction, keeps a database from being renamed for as long as it
is there; a subscription's worker comes back for as long as the subscription is enabled. A logical slot does not, but
stays with the old database, and goes on keeping WAL. Autovacuum's workers are nobody's business: the rename sends them
away itself.

A role that is no member of pg_read_all_stats sees of others' sessions their pid, role, and application, and neither
since when they are there nor of what kind they are; an autovacuum worker is known by having no role.
https://www.postgresql.org/docs/current/monitoring-stats.html, …/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, LiteralString, Protocol

from workers.wording import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

_ROLE: Final = "the role of MLFLOW_OPS_DATABASE_ADMIN_URL"

_MAY_END: Final[LiteralString] = """
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  OR (NOT coalesce(r.rolsuper, false)
      AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))
"""
_IN_IT: Final[LiteralString] = """
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.usesysid IS NOT NULL AND a.datname = ANY(%(names)s) AND a.pid NOT IN (pg_backend_pid(), %(without)s)
  AND coalesce(a.backend_type, '') <> 'autovacuum worker'
"""
_SESSIONS: Final[LiteralString] = f"""
SELECT a.pid, coalesce(a.usename::text, a.usesysid::text), coalesce(a.application_name, ''),
       coalesce(a.backend_type, ''), coalesce(r.rolsuper, false),
       extract(epoch FROM clock_timestamp() - a.backend_start)::float, coalesce({_MAY_END}, false)
{_IN_IT} ORDER BY a.backend_start, a.pid
"""  # noqa: S608 - all of it is ours
_END: Final[LiteralString] = f"SELECT pg_terminate_backend(a.pid) {_IN_IT} AND ({_MAY_END})"
_PREPARED: Final = """
SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float FROM pg_prepared_xacts
WHERE database = %(name)s ORDER BY prepared
"""
_SUBSCRIPTIONS: Final = """
SELECT s.subname::text, pg_get_userbyid(s.subowner)::text, s.subenabled FROM pg_subscription s
JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %(name)s ORDER BY 1
"""
_SLOTS: Final = """
SELECT slot_name::text, coalesce(active_pid, 0), coalesce(plugin::text, '') FROM pg_replication_slots
WHERE database = %(name)s ORDER BY 1
"""


# What is said of each: what it is, and what to do about it.
Line = tuple[str, str]


class _Told(Protocol):
    """What has such a line."""

    @property
    def line(self) -> Line: ...


def _lines(found: Iterable[_Told]) -> tuple[Line, ...]:
    return tuple(each.line for each in found)


@dataclass(frozen=True)
class Session:
    """Somebody in a database. kind: as pg_stat_activity's backend_type, empty where our role may not see it.

    seconds: since it began, None where that may not be seen. ours_to_end: whether our role may end it.
    """

    pid: int
    user: str
    application: str
    kind: str
    superuser: bool
    seconds: float | None
    ours_to_end: bool

    @property
    def line(self) -> Line:
        """For one that our role may not end."""
        program = f" ({self.application})" if self.application else ""
        kind = f"{self.kind} " if self.kind not in {"", "client backend"} else ""
        since = "" if self.seconds is None else f", connected {duration(self.seconds)} ago"
        what = f"{kind}session {self.pid} of {self.user}{program}{since}"
        if self.ours_to_end:
            return what, "Find out why they do not end, or what opens them again: /mlflow db activity."
        if self.superuser:
            return what, f"Close it, or as a superuser: SELECT pg_terminate_backend({self.pid});"
        return what, f"Close it, or as a superuser: GRANT pg_signal_backend TO {_ROLE};"


@dataclass(frozen=True)
class Prepared:
    """A transaction that was prepared and neither committed nor rolled back. seconds: since then."""

    gid: str
    owner: str
    seconds: float

    @property
    def line(self) -> Line:
        """For any."""
        what = f"prepared transaction '{self.gid}' of {self.owner}, {duration(self.seconds)} old"
        return what, f"As {self.owner}, in that database: COMMIT PREPARED or ROLLBACK PREPARED '{self.gid}';"


@dataclass(frozen=True)
class Subscription:
    """A subscription of logical replication in that database."""

    name: str
    owner: str
    enabled: bool

    @property
    def line(self) -> Line:
        """For any: it writes into the old database, whatever that is called."""
        what = f"subscription {self.name} of {self.owner}"
        if self.enabled:
            return what, f"As {self.owner}, in that database: ALTER SUBSCRIPTION {self.name} DISABLE;"
        return what, "It stays with the previous database: create it again in the restored one."


@dataclass(frozen=True)
class Slot:
    """A logical replication slot of that database. pid: of who reads from it just now, 0 where nobody does."""

    name: str
    pid: int
    plugin: str

    @property
    def line(self) -> Line:
        """For any: it does not keep the database from being renamed."""
        reader = f", read by session {self.pid}" if self.pid else ", read by nobody just now"
        remedy = (
            "It stays with the previous database, keeps WAL, and its reader gets nothing of the restored one: after "
            f"the restore SELECT pg_drop_replication_slot('{self.name}'); and set its reader up anew."
        )
        return f"logical slot {self.name} ({self.plugin}){reader}", remedy


@dataclass(frozen=True)
class Occupants:
    """All that was found in a database."""

    sessions: tuple[Session, ...] = ()
    prepared: tuple[Prepared, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    slots: tuple[Slot, ...] = ()

    @property
    def staying(self) -> tuple[Session, ...]:
        """The sessions that our role may not end."""
        return tuple(each for each in self.sessions if not each.ours_to_end)

    @property
    def leaving(self) -> tuple[Session, ...]:
        """The sessions that our role may end."""
        return tuple(each for each in self.sessions if each.ours_to_end)

    @property
    def blocking(self) -> tuple[Line, ...]:
        """What keeps it from being renamed: what it is, and what to do."""
        subscribed = tuple(each for each in self.subscriptions if each.enabled)
        return _lines(self.staying) + _lines(self.prepared) + _lines(subscribed)

    @property
    def left_behind(self) -> tuple[Line, ...]:
        """What stays with the old database when another one takes its name."""
        subscribed = tuple(each for each in self.subscriptions if not each.enabled)
        return _lines(subscribed) + _lines(self.slots)


def look(connection: psycopg.Connection[Any], name: str) -> Occupants:
    """Who and what is in the database `name`, without this connection. Raises psycopg.Error."""
    one = {"name": name}
    return Occupants(
        tuple(Session(*row) for row in connection.execute(_SESSIONS, {"names": [name], "without": 0}).fetchall()),
        tuple(Prepared(*row) for row in connection.execute(_PREPARED, one).fetchall()),
        tuple(Subscription(*row) for row in connection.execute(_SUBSCRIPTIONS, one).fetchall()),
        tuple(Slot(*row) for row in connection.execute(_SLOTS, one).fetchall()),
    )


def end(connection: psycopg.Connection[Any], names: list[str], without: int = 0) -> int:
    """Tell the sessions in these databases to end, as far as our role may; how many. Raises psycopg.Error.

    without: the pid of another session of ours that is to stay.
    """
    return len(connection.execute(_END, {"names": names, "without": without}).fetchall())
