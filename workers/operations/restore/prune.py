"""The databases that restores have put aside: kept for some days, so that `restore undo` can, then removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.restore import auth, side_database
from workers.report import Report, Status
from workers.wording import count, size

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo


class RestorePrune(Operation):
    """Remove databases that were put aside longer ago than ops.yaml keeps them. everything: also the younger ones."""

    name: ClassVar[str] = "restore-prune"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database",)
    timeout_seconds: ClassVar[int] = 1800

    everything: bool = False

    def plan(self, systems: Systems) -> Plan:
        """Which ones. Raises AlreadySo where there are none."""
        going = self._going(systems)
        days = systems.settings.ops.restore.keep_aside_days
        if not going:
            raise AlreadySo(f"No restore has put a database aside more than {days} days ago.", "--all takes all.")
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
        server, going = systems.server, self._going(systems)
        for each in going:
            progress.step(f"Removing {each.name}")
            progress.checkpoint()
            server.drop(each.name)
        freed = size(sum(each.size_bytes for each in going))
        return Report(
            title="Remove databases that were put aside",
            status=Status.OK,
            summary=f"{count(len(going), 'database')} removed, {freed} are free.",
            hints=("health postgres",),
        )

    def _going(self, systems: Systems) -> list[DatabaseInfo]:
        lives = [systems.database.name]
        if systems.settings.environment.auth_database_url:
            lives.append(auth.systems_of(systems).database.name)
        before = datetime.now(UTC) - timedelta(days=systems.settings.ops.restore.keep_aside_days)
        kept = [
            each
            for each in systems.server.databases().values()
            if any(side_database.is_previous(each.name, live) for live in lives)
        ]
        return [each for each in kept if self.everything or (side_database.since(each.comment) or before) <= before]
