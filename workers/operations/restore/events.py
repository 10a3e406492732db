"""What happened to MLflow's data, from its rows and our record; and the moment just before one of it.

An experiment that was purged has left no row; the command that purged it, if it was one of ours, has left a line in
the record. Times of rows are MLflow's (its client's, for runs), so "just before" is a second before them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError
from workers.operation import Call
from workers.operations.audit.trail import commands_of
from workers.records import audit_log
from workers.systems.redis import if_there
from workers.wording import count, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

    from workers.operation import Operation, Plan
    from workers.systems import Systems
    from workers.systems.postgres.database import Database

ROWS: Final = 5000
"""Runs that are read."""
TOGETHER: Final = timedelta(minutes=1)
"""Runs of an experiment that are begun or deleted within that share a line."""
BEFORE: Final = timedelta(seconds=1)
SEARCHED: Final = timedelta(days=30)
DATA: Final = frozenset({"experiments", "runs", "models", "restore", "recover", "db"})
"""What commands that may change MLflow's data begin with."""
_STEM: Final = 5
"""Letters by which "delete" and "deleted" are one word."""

_EXPERIMENTS: Final = """
SELECT experiment_id, name, lifecycle_stage, creation_time, last_update_time FROM experiments
WHERE creation_time >= %(since)s OR (lifecycle_stage = 'deleted' AND last_update_time >= %(since)s)
"""
_RUNS: Final = """
SELECT e.name, r.lifecycle_stage, r.start_time, r.deleted_time FROM runs r JOIN experiments e USING (experiment_id)
WHERE r.start_time >= %(since)s OR r.deleted_time >= %(since)s ORDER BY greatest(r.start_time, r.deleted_time) DESC
LIMIT %(most)s
"""


@dataclass(frozen=True, order=True)
class Event:
    """Something that happened. who: as the record has it; empty for what the rows say. id: the experiment's."""

    at: datetime
    what: str
    who: str = ""
    id: str = ""

    @property
    def just_before(self) -> datetime:
        """A moment at which it had not happened yet."""
        return (self.at - BEFORE).replace(microsecond=0)

    def fits(self, words: str) -> bool:
        """Whether each of the words stands in it, in whatever form ("delete", "deleted") and order."""
        said = _words(f"{self.what} {self.who} {self.id}")
        return all(any(word == other or _alike(word, other) for other in said) for word in _words(words))


def happened(systems: Systems, since: datetime) -> tuple[list[Event], str]:
    """All of it, oldest first; and why our own commands are not in it, if Redis is not there. Raises DatabaseError."""
    redis, why = if_there(systems)
    return sorted([*_rows(systems.database, since), *(_record(redis, since) if redis else ())]), why


def before(systems: Systems, words: str) -> datetime:
    """The moment just before the newest event that fits. Raises OperatorError where none does."""
    found, why = happened(systems, datetime.now(UTC) - SEARCHED)
    fitting = [each for each in found if each.fits(words)]
    if fitting:
        return fitting[-1].just_before
    meant = nearest(words, [each.what for each in reversed(found)], alike=0.4)
    more = f" Did you mean “{meant}”?" if meant else ""
    more += f" Our own commands were not looked at: {why}" if why else ""
    raise OperatorError(
        f"Nothing that happened in the last {SEARCHED.days} days fits “{words[:80]}”.{more}", "See /mlflow timeline."
    )


def of_the_moment(asked: Operation, systems: Systems, words: str) -> Plan:
    """The plan of the same operation for the moment just before what fits; that moment is what is approved and run.

    Raises OperatorError and AlreadySo.
    """
    there = asked.model_copy(update={"at": before(systems, words), "event": ""})
    call = Call(operation=there.name, arguments=there.model_dump(mode="json"))
    return there.plan(systems).model_copy(update={"instead": call})


def _words(text: str) -> list[str]:
    return re.findall(r"[\w.-]+", text.casefold())


def _alike(one: str, other: str) -> bool:
    return len(one) >= _STEM <= len(other) and one[:_STEM] == other[:_STEM] and one.isalpha() and other.isalpha()


def _rows(database: Database, since: datetime) -> list[Event]:
    given = {"since": int(since.timestamp() * 1000), "most": ROWS}
    with database.session() as connection:
        experiments = connection.execute(_EXPERIMENTS, given).fetchall()
        runs = connection.execute(_RUNS, given).fetchall()
    found = []
    for number, name, stage, created, updated in experiments:
        if created is not None and created >= given["since"]:
            found.append(Event(_at(created), f"experiment “{name}” created", id=str(number)))
        if stage == "deleted" and updated is not None and updated >= given["since"]:
            found.append(Event(_at(updated), f"experiment “{name}” deleted", id=str(number)))
    begun = [(_at(start), str(name)) for name, _, start, _ in runs if start is not None and start >= given["since"]]
    gone = [(_at(end), str(name)) for name, _, _, end in runs if end is not None and end >= given["since"]]
    return [*found, *together(begun, "begun"), *together(gone, "deleted")]


def together(moments: Iterable[tuple[datetime, str]], verb: str) -> list[Event]:
    """One line for runs of an experiment that follow one another within a minute; at the first one's time."""
    lines: dict[str, list[tuple[datetime, datetime, int]]] = {}
    for at, name in sorted(moments):
        groups = lines.setdefault(name, [])
        if groups and at - groups[-1][1] <= TOGETHER:
            first, _, number = groups[-1]
            groups[-1] = first, at, number + 1
        else:
            groups.append((at, at, 1))
    return [
        Event(first, f"{count(number, 'run')} {verb} in “{name}”")
        for name, groups in lines.items()
        for first, _, number in groups
    ]


def _record(redis: Redis, since: datetime) -> list[Event]:
    """The changes that were carried out through us."""
    found = []
    for told in commands_of(audit_log.entries(redis, after=f"{int(since.timestamp() * 1000)}-0")).values():
        if told.began_at is None or told.end not in {"done", "failed"} or told.words.split(" ", 1)[0] not in DATA:
            continue
        said = f"/mlflow {told.words}" + ("" if told.end == "done" else " (failed)")
        found.append(Event(datetime.fromtimestamp(told.began_at, UTC), said, told.requester))
    return found


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
