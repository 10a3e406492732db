"""A drill of going back: a moment is brought back where nobody sees it, checked, and thrown away.

A random one of all that are said to be possible, so that what fails is found before it is needed. How long it took is
the measured recovery time, and how old the newest possible moment was is the measured recovery point. The last result
is kept beside the WAL.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from pydantic import AwareDatetime

from workers.errors import OperatorError, SetDamaged
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup.wal import archive, drilled
from workers.operations.backup.wal.drilled import MomentDrill
from workers.operations.restore import checks, moment, rows, side_database
from workers.report import Facts, Report, Status
from workers.wording import duration

if TYPE_CHECKING:
    from workers.systems import Systems

NEWEST_RUN = "SELECT run_uuid, start_time FROM runs ORDER BY start_time DESC NULLS LAST LIMIT 1"


class DrillMoment(Operation):
    """Bring a moment back where nobody sees it, check it, and throw it away. at: which; None: a random one."""

    name: ClassVar[str] = "drill-moment"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("database", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    at: AwareDatetime | None = None

    def plan(self, systems: Systems) -> Plan:
        """What would be brought back, and where. Raises OperatorError where nothing can be."""
        checks.refuse_without_rights(systems.server, systems.database)
        at = self.at or some(moment.reach(systems).spans, random.SystemRandom())
        chosen = moment.choose(systems, at)
        which = archive.moment_of(chosen.at) if self.at else "a random moment"
        return Plan(
            title="Drill of going back",
            summary=f"bring {which} back to one side, check it, and remove it",
            steps=(
                *chosen.source.steps(chosen.to if self.at else None, systems.database.name),
                "Restore the dump beside the live one, compare the two, and remove all of it",
                "Note the result",
            ),
            undo="nothing stays",
            estimate_seconds=chosen.estimate_seconds,
            facts={"at": self.at.isoformat() if self.at else "random"},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. Raises OperatorError where a right, room, a program or a server was lacking."""
        reach = moment.reach(systems)
        at = self.at or some(reach.spans, random.SystemRandom())
        chosen = moment.choose(systems, at)
        began, problem, held = time.monotonic(), "", 0
        newest = "none"
        try:
            with (
                moment.taken(systems, chosen, progress) as found,
                side_database.restored_beside(systems, found, progress, side_database.DRILL) as side,
            ):
                assert found.database is not None
                held = sum(found.database.rows.values())
                newest = _newest(rows.row(side, NEWEST_RUN))
        except SetDamaged as error:
            problem = error.message
            progress.ended(problem, well=False)
        progress.step("Noting the result", of="Note the result")
        done = MomentDrill(
            moment=at,
            at=datetime.now(UTC),
            well=not problem,
            seconds=time.monotonic() - began,
            point_seconds=reach.point_seconds or 0.0,
            problem=problem,
        )
        drilled.note(moment.kept_at(systems, chosen), done)
        progress.ended()
        return _report(done, chosen, (held, newest), systems.settings.ops.restore.rto_seconds)

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Remove what it was brought back with."""
        moment.clear(systems)
        return super().aftermath(systems, planned)


def some(spans: list[tuple[datetime, datetime]], chance: random.Random) -> datetime:
    """A moment out of all that can be brought back, each second as likely as another.

    Raises OperatorError where there is none.
    """
    total = sum((until - since).total_seconds() for since, until in spans)
    if not spans:
        raise OperatorError("No moment can be brought back yet.", "See /mlflow health recovery.")
    left = chance.uniform(0, total)
    for since, until in spans:
        length = (until - since).total_seconds()
        if left <= length:
            return since + timedelta(seconds=left)
        left -= length
    return spans[-1][1]


def _newest(row: tuple[object, ...] | None) -> str:
    return f"{str(row[0])[:8]}" if row else "none"


def _report(done: MomentDrill, chosen: moment.Chosen, held: tuple[int, str], allowed: int) -> Report:
    title = f"Drill of {archive.moment_of(done.moment)}"
    if not done.well:
        return Report(
            title=title,
            status=Status.FAIL,
            summary=f"It can't be brought back: {done.problem.rstrip('.')}.",
            hints=("health recovery", "backup base --now"),
        )
    slow = done.seconds > allowed
    over = f", more than the {duration(allowed)} that a recovery may take" if slow else ""
    return Report(
        title=title,
        status=Status.WARN if slow else Status.OK,
        summary=f"Drill passed: {archive.moment_of(done.moment)} restored in {duration(done.seconds)}{over}; the "
        f"newest possible moment was {duration(done.point_seconds)} old. Scratch copies removed.",
        sections=(
            Facts(
                items=(
                    *chosen.source.facts(),
                    ("rows compared", f"{held[0]:,}"),
                    ("newest run then", held[1]),
                )
            ),
        ),
        hints=("health recovery",),
    )
