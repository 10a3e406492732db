"""The databases that restores have left: kept for some days, so that `restore undo` can, then removed.

Four kinds: one that was live until a restore, one that an undo has taken out of the live one's place, one that was
restored and waits to be taken up, and what a restore or a drill that was cut off has left. The last is of no use to
anybody and goes whatever its age: nobody works on it, because whoever does holds the same lock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import waiting
from workers.operations.restore import auth, replaying, side_database
from workers.report import Report, Status
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo


class RestorePrune(Operation):
    """Remove databases that restores left longer ago than ops.yaml keeps them. everything: also the younger ones."""

    name: ClassVar[str] = "restore-prune"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database",)
    timeout_seconds: ClassVar[int] = 1800

    everything: bool = False

    def plan(self, systems: Systems) -> Plan:
        """Which ones. Raises AlreadySo where there are none."""
        going = _left(systems, everything=self.everything)
        days = systems.settings.ops.restore.keep_aside_days
        if not going:
            younger = len(_left(systems, everything=True))
            if not younger:
                raise AlreadySo("No restore has put a database aside.", "Nothing to remove.")
            raise AlreadySo(
                f"No restore has put a database aside more than {days} days ago.",
                f"To remove {count(younger, 'younger one')} too: /mlflow restore prune --all",
            )
        return Plan(
            title="Remove databases that were put aside",
            summary=f"remove {count(len(going), 'database')}, {size(sum(each.size_bytes for each in going))}",
            steps=tuple(f"DROP DATABASE {each.name}" for each in going),
            changes=tuple(Change(what=f"database {each.name}", before="kept", after="removed") for each in going),
            warnings=("restore undo cannot switch back to what is removed.",),
            undo="it cannot be undone",
            facts={"going": [each.name for each in going]},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Remove them."""
        server, going = systems.server, _left(systems, everything=self.everything)
        for each in going:
            progress.step(f"Removing {each.name}", of=f"DROP DATABASE {each.name}")
            progress.checkpoint()
            replaying.discard(server, each)
        freed = size(sum(each.size_bytes for each in going))
        return Report(
            title="Remove databases that were put aside",
            status=Status.OK,
            summary=f"{count(len(going), 'database')} removed, {freed} are free.",
            hints=("health postgres",),
        )


def _left(systems: Systems, *, everything: bool) -> list[DatabaseInfo]:
    """What is there to be removed. everything: also what is younger than ops.yaml keeps it."""
    lives = [systems.database.name]
    if systems.settings.environment.auth_database_url:
        lives.append(auth.systems_of(systems).database.name)
    before = datetime.now(UTC) - timedelta(days=systems.settings.ops.restore.keep_aside_days)
    return [
        each
        for each in systems.server.databases().values()
        for live in lives
        if _goes(each, live, old=everything or (side_database.since(each.comment) or before) <= before)
    ]


def _goes(found: DatabaseInfo, live: str, *, old: bool) -> bool:
    made = side_database.is_restored(found.name, live)
    waits = made and (found.name == side_database.undone_name(live) or bool(waiting.age(found.comment)))
    if waits or side_database.is_previous(found.name, live):
        return old
    return made or side_database.is_scratch(found.name, live)
