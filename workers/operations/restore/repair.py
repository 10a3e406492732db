"""MLflow is let back in where something that was cut off keeps it out: said by health, done with one press.

Three things may: a live database that takes no sessions (a restore of an older version of this program, or somebody by
hand), clients that wait at PgBouncer, and pods that a restore has taken away. Each is put back, and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.restore import downtime, switching
from workers.report import Report, Status
from workers.systems.postgres.pooler import PgBouncer
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems import Systems


class RestoreRepair(Operation):
    """Open the live database, let the pooler's clients go on, and give MLflow its pods back."""

    name: ClassVar[str] = "restore-repair"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment")
    timeout_seconds: ClassVar[int] = 300
    urgent: ClassVar[bool] = True

    def plan(self, systems: Systems) -> Plan:
        """What keeps MLflow out. Raises AlreadySo where nothing does."""
        live, changes = systems.database.name, []
        known = systems.server.databases().get(live)
        if known is not None and not known.open:
            changes.append(Change(what=f"database {live}", before="closed to sessions", after="open"))
        bouncer = PgBouncer.connect(systems.settings)
        if bouncer is not None and bouncer.paused_of(live):
            changes.append(Change(what=f"PgBouncer's clients of {live}", before="waiting", after="served"))
        replicas = downtime.taken_away(systems) if downtime.wanted(systems) else 0
        if replicas:
            changes.append(Change(what="MLflow's pods", before="none", after=count(replicas, "pod")))
        if not changes:
            raise AlreadySo(f"{live} is open, and no restore keeps MLflow out of it.", "See /mlflow health.")
        return Plan(
            title="Let MLflow back in",
            summary="; ".join(f"{each.what}: {each.before} → {each.after}" for each in changes),
            steps=("; ".join(f"{each.what}: {each.after}" for each in changes),),
            changes=tuple(changes),
            undo="nothing else is changed",
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it."""
        progress.step("Letting MLflow back in")
        said = switching.mended(systems).strip()
        return Report(
            title="Let MLflow back in",
            status=Status.OK,
            summary=said or "Nothing kept MLflow out any more.",
            hints=("health",),
        )
