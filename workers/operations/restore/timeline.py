"""What happened to MLflow's data, and where one would go back to before it happened.

From the rows as they are now, our own record (events), and gaps in the WAL that is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from workers.operation import Operation, Progress, Risk
from workers.operations.backup.wal import archive
from workers.operations.restore import events, moment
from workers.operations.restore.events import Event
from workers.report import Facts, Report, Status, Table
from workers.wording import NOTHING, count, duration

if TYPE_CHECKING:
    from workers.systems import Systems

MOST: Final = 60
"""Lines that are shown, the newest."""


class Timeline(Operation):
    """What happened to MLflow's data. since_seconds: how far back."""

    name: ClassVar[str] = "timeline"
    risk: ClassVar[Risk] = Risk.READ

    since_seconds: Annotated[float, Field(gt=0)] = 2 * 3600

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Gather it. Raises DatabaseError."""
        since = datetime.now(UTC) - timedelta(seconds=self.since_seconds)
        progress.step("Reading MLflow's rows and the record")
        found, why = events.happened(systems, since)
        reach = None
        if systems.settings.ops.recovery.point_in_time:
            progress.step("Looking at what is kept")
            reach = moment.reach(systems)
            found += [
                Event(each.since, f"WAL is missing: {each.words}") for each in reach.missing if each.until >= since
            ]
        found.sort()
        shown = found[-MOST:]
        back = reach.spans if reach else []
        kept = (("can go back to", archive.spans_words(back) if reach else "backups only"),)
        table = Table(
            columns=("when (UTC)", "what", "who", "just before"),
            rows=tuple(_row(each, back) for each in reversed(shown)),
        )
        within = f"within {duration(self.since_seconds)}"
        more = f", the newest {MOST} shown" if len(found) > MOST else ""
        said = f"{count(len(found), 'change')} of MLflow's data {within}{more}." if found else f"Nothing {within}."
        return Report(
            title="Timeline",
            status=Status.WARN if why else Status.OK,
            summary=f"{said} Our own commands are not in it: {why}" if why else said,
            sections=(*((table,) if shown else ()), Facts(items=kept)),
            hints=("restore database --at TIME --dry-run", "restore experiment NAME --at TIME --dry-run"),
        )


def _row(of: Event, spans: list[tuple[datetime, datetime]]) -> tuple[str, ...]:
    return f"{of.at:%m-%d %H:%M:%S}", of.what, of.who or NOTHING, _back(of, spans)


def _back(of: Event, spans: list[tuple[datetime, datetime]]) -> str:
    """The option that goes back to just before it; where that can be reached."""
    wanted = of.just_before
    return f"--at {wanted:%Y-%m-%dT%H:%M:%SZ}" if any(since <= wanted <= until for since, until in spans) else NOTHING
