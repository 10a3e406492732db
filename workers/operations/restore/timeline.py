"""What happened to MLflow's data, and where one would go back to before it happened.

From the rows as they are now, and from our own record: what was purged leaves no row, but whoever purged it through us
left a line there. Times of rows are MLflow's (its client's, for runs), so what is offered is a second before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.audit.trail import commands_of
from workers.operations.backup.wal import archive, overview
from workers.records import audit_log
from workers.report import Facts, Report, Status, Table
from workers.wording import NOTHING, count, duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.systems import Systems
    from workers.systems.postgres.database import Database

MOST: Final = 60
"""Lines that are shown, the newest."""
ROWS: Final = 5000
"""Runs that are read."""
TOGETHER: Final = timedelta(minutes=1)
"""Runs of an experiment that are begun or deleted within that share a line."""
BEFORE: Final = timedelta(seconds=1)
DATA: Final = frozenset({"experiments", "runs", "models", "restore", "recover", "db"})
"""What commands that may change MLflow's data begin with."""

_EXPERIMENTS: Final = """
SELECT name, lifecycle_stage, creation_time, last_update_time FROM experiments
WHERE creation_time >= %(since)s OR (lifecycle_stage = 'deleted' AND last_update_time >= %(since)s)
"""
_RUNS: Final = """
SELECT e.name, r.lifecycle_stage, r.start_time, r.deleted_time FROM runs r JOIN experiments e USING (experiment_id)
WHERE r.start_time >= %(since)s OR r.deleted_time >= %(since)s ORDER BY greatest(r.start_time, r.deleted_time) DESC
LIMIT %(most)s
"""


@dataclass(frozen=True, order=True)
class Moment:
    """Something that happened. who: as the record has it; empty for what the rows say."""

    at: datetime
    what: str
    who: str = ""


class Timeline(Operation):
    """What happened to MLflow's data. since_seconds: how far back."""

    name: ClassVar[str] = "timeline"
    risk: ClassVar[Risk] = Risk.READ

    since_seconds: Annotated[float, Field(gt=0)] = 2 * 3600

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Gather it. Raises DatabaseError."""
        since = datetime.now(UTC) - timedelta(seconds=self.since_seconds)
        progress.step("Reading MLflow's rows")
        found = [*_rows(systems.database, since)]
        progress.step("Reading the record")
        found += _record(systems, since)
        seen = None
        if systems.settings.ops.recovery.point_in_time:
            progress.step("Looking at what is kept")
            seen = overview.look(systems)
            found += [
                Moment(each.since, f"WAL is missing: {archive.gap_words(each, seen.where.segment_bytes)}")
                for each in seen.gaps
                if each.until >= since
            ]
        found.sort()
        shown = found[-MOST:]
        kept = (("can go back to", seen.spans),) if seen else (("can go back to", "backups only"),)
        back = archive.spans(seen.windows) if seen else []
        table = Table(
            columns=("when (UTC)", "what", "who", "just before"),
            rows=tuple(_row(each, back) for each in reversed(shown)),
        )
        within = f"within {duration(self.since_seconds)}"
        more = f", the newest {MOST} shown" if len(found) > MOST else ""
        return Report(
            title="Timeline",
            status=Status.OK,
            summary=f"{count(len(found), 'change')} of MLflow's data {within}{more}."
            if found
            else f"Nothing {within}.",
            sections=(*((table,) if shown else ()), Facts(items=kept)),
            hints=("restore database --at TIME --dry-run", "restore experiment NAME --at TIME --dry-run"),
        )


def _row(of: Moment, spans: list[tuple[datetime, datetime]]) -> tuple[str, ...]:
    return f"{of.at:%m-%d %H:%M:%S}", of.what, of.who or NOTHING, _back(of, spans)


def _back(of: Moment, spans: list[tuple[datetime, datetime]]) -> str:
    """The option that goes back to just before it; where that can be reached."""
    wanted = (of.at - BEFORE).replace(microsecond=0)
    return f"--at {wanted:%Y-%m-%dT%H:%M:%SZ}" if any(since <= wanted <= until for since, until in spans) else NOTHING


def _rows(database: Database, since: datetime) -> list[Moment]:
    given = {"since": int(since.timestamp() * 1000), "most": ROWS}
    with database.session() as connection:
        experiments = connection.execute(_EXPERIMENTS, given).fetchall()
        runs = connection.execute(_RUNS, given).fetchall()
    found = []
    for name, stage, created, updated in experiments:
        if created is not None and created >= given["since"]:
            found.append(Moment(_at(created), f"experiment “{name}” created"))
        if stage == "deleted" and updated is not None and updated >= given["since"]:
            found.append(Moment(_at(updated), f"experiment “{name}” deleted"))
    begun = [(_at(start), str(name)) for name, _, start, _ in runs if start is not None and start >= given["since"]]
    gone = [(_at(end), str(name)) for name, _, _, end in runs if end is not None and end >= given["since"]]
    return [*found, *together(begun, "begun"), *together(gone, "deleted")]


def together(moments: Iterable[tuple[datetime, str]], verb: str) -> list[Moment]:
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
        Moment(first, f"{count(number, 'run')} {verb} in “{name}”")
        for name, groups in lines.items()
        for first, _, number in groups
    ]


def _record(systems: Systems, since: datetime) -> list[Moment]:
    """The changes that were carried out through us."""
    found = []
    for told in commands_of(audit_log.entries(systems.redis, after=f"{int(since.timestamp() * 1000)}-0")).values():
        if told.began_at is None or told.end not in {"done", "failed"} or told.words.split(" ", 1)[0] not in DATA:
            continue
        said = f"/mlflow {told.words}" + ("" if told.end == "done" else " (failed)")
        found.append(Moment(datetime.fromtimestamp(told.began_at, UTC), said, told.requester))
    return found


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
