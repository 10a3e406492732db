"""What the sessions of the server do: long queries, who waits for whom, connections by client; and cancelling one.

The text of somebody else's query is shown without the values that it was given: they stand in quotes or behind dollars,
and may be names of people, keys or passwords. Numbers stay; they tell a limit from a full scan.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.redaction import redacted
from workers.report import Report, Section, Status, Table
from workers.wording import NOTHING, count, duration, share

if TYPE_CHECKING:
    from workers.settings import Ops
    from workers.systems import Systems
    from workers.systems.postgres.maintenance import DatabaseMaintenance, Session, WaitingLock

_ROWS: Final = 15
QUERY_CHARACTERS: Final = 120
OURS: Final = "mlflow-ops"
_VALUES: Final = re.compile(
    r"""(?isx)
      \$(?P<tag>[a-z_]\w*|)\$ .*? (?: \$(?P=tag)\$ | \Z )   # dollar quotes
    | \be' (?: [^'\\] | '' | \\. )* (?: ' | \Z )            # with escapes
    | ' (?: [^'] | '' )* (?: ' | \Z )                       # also one that was cut off
    """
)
_COMMENTS: Final = re.compile(r"/\*.*?(?:\*/|\Z)|--[^\n]*", re.DOTALL)


class DatabaseActivity(Operation):
    """Queries that run or wait, locks, and connections by client."""

    name: ClassVar[str] = "db-activity"
    risk: ClassVar[Risk] = Risk.READ

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Ask and report; waiting sessions and old transactions make it a warning."""
        progress.step("Asking PostgreSQL")
        maintenance = systems.maintenance
        sessions = maintenance.sessions()
        busy = [each for each in sessions if each.state not in {"idle", ""}]
        waiting = [each for each in sessions if each.blocked_by]
        limit = systems.settings.ops.health.thresholds.query_warn_seconds
        old = [each for each in busy if age(each) >= limit]
        most = maintenance.figures().max_connections
        connections = f"{len(sessions) + 1} of {most} connections ({share((len(sessions) + 1) / most)})"
        status, summary = Status.OK, f"{count(len(busy), 'session')} at work; {connections}."
        if old:
            status = Status.WARN
            summary = f"pid {old[0].pid} is {old[0].state} for {duration(age(old[0]))} already; {connections}."
        if waiting:
            status = Status.WARN
            verb = "waits" if len(waiting) == 1 else "wait"
            first = waiting[0]
            summary = f"{count(len(waiting), 'session')} {verb} for a lock: {_blocked(first, sessions)}."
        blockers = list(dict.fromkeys(pid for each in waiting for pid in each.blocked_by))
        suspects = [*blockers, *(each.pid for each in old)]
        return Report(
            title="Database activity",
            status=status,
            summary=summary,
            sections=(*_work(busy), *_locks(sessions, maintenance.waiting()), _clients(sessions)),
            hints=(f"db cancel {suspects[0]} --dry-run",) if suspects else ("db stats",),
        )


def age(session: Session) -> float:
    """How long its transaction is open; where there is none, how long its query runs."""
    return session.transaction_seconds if session.xact_start else session.query_seconds


def called(session: Session) -> str:
    """Whose it is."""
    return session.application or session.user or session.client


def shown_query(query: str) -> str:
    """What a query does, without its values: one line of at most QUERY_CHARACTERS."""
    bare = " ".join(redacted(_COMMENTS.sub(" ", _VALUES.sub("'…'", query))).split())
    return bare if len(bare) <= QUERY_CHARACTERS else f"{bare[: QUERY_CHARACTERS - 1]}…"


def _blocked(session: Session, sessions: list[Session]) -> str:
    by_pid = {each.pid: each for each in sessions}
    first = session.blocked_by[0]
    who = f"pid {first}" if first not in by_pid else f"pid {first} ({called(by_pid[first])}, {by_pid[first].state})"
    return f"pid {session.pid} ({called(session)}) for {duration(session.state_seconds)}, held up by {who}"


def _work(busy: list[Session]) -> tuple[Section, ...]:
    if not busy:
        return ()
    rows = tuple(
        (duration(age(each)), str(each.pid), called(each), each.user, each.state, shown_query(each.query))
        for each in busy[:_ROWS]
    )
    title = "At work, the oldest first" + (f" ({len(busy) - _ROWS} more)" if len(busy) > _ROWS else "")
    columns = ("age", "pid", "application", "user", "state", "query")
    return (Table(title=title, columns=columns, rows=rows, numeric=("age", "pid")),)


def _locks(sessions: list[Session], waiting: list[WaitingLock]) -> tuple[Section, ...]:
    by_pid = {each.pid: each for each in sessions}
    rows = tuple(
        (
            str(lock.pid),
            lock.what,
            lock.mode.removesuffix("Lock"),
            ", ".join(map(str, by_pid[lock.pid].blocked_by)) or NOTHING,
            duration(by_pid[lock.pid].state_seconds),
        )
        for lock in waiting
        if lock.pid in by_pid
    )
    if not rows:
        return ()
    columns = ("waits", "for a lock on", "mode", "held by", "since")
    return (Table(title="Locks that are waited for", columns=columns, rows=rows[:_ROWS], numeric=("waits", "since")),)


def _clients(sessions: list[Session]) -> Table:
    clients = Counter((called(each), each.user, each.client, each.database) for each in sessions)
    idle = Counter((called(each), each.user, each.client, each.database) for each in sessions if each.state == "idle")
    rows = tuple((*client, str(number), str(idle[client])) for client, number in clients.most_common(_ROWS))
    columns = ("application", "user", "from", "database", "connections", "idle")
    return Table(title="Connections by client", columns=columns, rows=rows, numeric=columns[4:])


class DatabaseCancel(Operation):
    """Cancel what a session is doing. end: end the session itself, and with it its transaction."""

    name: ClassVar[str] = "db-cancel"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ()

    pid: Annotated[int, Field(ge=1, le=2**31 - 1)]
    end: bool = False

    @property
    def title(self) -> str:
        """What people call it in a headline."""
        return f"{'End the session' if self.end else 'Cancel the query of'} {self.pid}"

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - always
        """Always: it is somebody's work."""
        return True

    def plan(self, systems: Systems) -> Plan:
        """Whose it is and what it does. Raises AlreadySo where it is idle, OperatorError where there is none."""
        session, _ = self._session(systems)
        if not self.end and session.state.startswith("idle in transaction"):
            raise OperatorError(
                f"The session {self.pid} of {called(session)} runs no query: its transaction is open and idle for "
                f"{duration(session.state_seconds)}, so there is nothing to cancel.",
                f"End it with its transaction: db cancel {self.pid} --end.",
            )
        if not self.end and session.state != "active":
            raise AlreadySo(f"The session {self.pid} of {called(session)} is idle.", "Nothing to cancel.")
        ours = session.application.startswith((OURS, "pg_dump", "pg_restore"))
        rests_on: dict[str, str] = {"session since": session.backend_start, "user": session.user}
        if not self.end:
            rests_on["query since"] = session.query_start
        after = "gone; its transaction is rolled back" if self.end else "cancelled; its transaction fails"
        return Plan(
            title=self.title,
            summary=f"{called(session)} ({session.user} from {session.client}), {session.state} for "
            f"{duration(age(session))}: {shown_query(session.query)}",
            steps=(f"{'End the session' if self.end else 'Cancel its query'}, if it is still this one",),
            changes=(Change(what=f"session {self.pid}", before="there" if self.end else "active", after=after),),
            warnings=("It looks like a backup or another operation of ours; cancel that one instead.",) if ours else (),
            undo="",
            facts={**rests_on},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Send the signal, to exactly that session and query."""
        progress.step("Telling PostgreSQL")
        session, maintenance = self._session(systems)
        if not maintenance.signal(session, end=self.end):
            raise OperatorError(
                f"The session {self.pid} is not doing that any more, so nothing was cancelled.", "Look: db activity."
            )
        done = "was ended" if self.end else "was told to cancel its query"
        summary = f"The session {self.pid} of {called(session)} {done}."
        return Report(title=self.title, status=Status.OK, summary=summary, hints=("db activity",))

    def _session(self, systems: Systems) -> tuple[Session, DatabaseMaintenance]:
        """The session, and who may end it: our own role where it is of that role, else the admin's."""
        session = next((each for each in systems.maintenance.sessions() if each.pid == self.pid), None)
        if session is None:
            raise OperatorError(
                f"PostgreSQL has no client session with the pid {self.pid}.", "See who is there: db activity."
            )
        if session.user == systems.database.role().name:
            return session, systems.maintenance
        if systems.settings.environment.database_admin_url is None:
            raise OperatorError(
                f"The session {self.pid} is of the role {session.user}, and only that one or an admin may cancel it.",
                "Set MLFLOW_OPS_DATABASE_ADMIN_URL to a role that is a member of pg_signal_backend.",
            )
        seen = next((each for each in systems.admin_maintenance.sessions() if each.pid == self.pid), session)
        return seen, systems.admin_maintenance
