"""The database that was live before the last restore, in its place again: the same switch, the other way round."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from workers.errors import AlreadySo
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.restore import auth, downtime, side_database, switching
from workers.report import Report, Status
from workers.systems.postgres.switch import Names

if TYPE_CHECKING:
    from workers.systems import Systems
    from workers.systems.postgres.admin import Server


class RestoreUndo(Operation):
    """Switch back to the database that the last restore put aside. auth: basic-auth's instead of MLflow's."""

    name: ClassVar[str] = "restore-undo"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment", "backup")
    timeout_seconds: ClassVar[int] = 600

    auth: bool = False

    def plan(self, systems: Systems) -> Plan:
        """Which one comes back. Raises OperatorError where none was put aside."""
        systems = auth.systems_of(systems) if self.auth else systems
        live = systems.database.name
        previous, undone = _newest_previous(systems.server, live), side_database.undone_name(live)
        return Plan(
            title=f"Undo the restore of {live}",
            summary=f"{previous} becomes {live} again",
            steps=switching.steps(systems, live, undone, previous),
            changes=(
                Change(what=f"database {live}", before="the restored one", after=f"{previous}, the previous one"),
            ),
            warnings=(
                "What was written since the restore is no longer in the live database.",
                *switching.refuse_obstacles(systems),
            ),
            undo="the restored one stays beside it until the next restore",
            facts={"aside": previous},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Switch."""
        systems = auth.systems_of(systems) if self.auth else systems
        server, live = systems.server, systems.database.name
        switching.mended(systems)
        switching.refuse_obstacles(systems)
        previous, undone = _newest_previous(server, live), side_database.undone_name(live)
        server.drop(undone)
        told = {name: each.comment for name, each in server.databases().items()}
        with downtime.scaled_to_0(systems, progress):
            progress.step(f"Switching: {previous} becomes {live}", of=switching.RENAME)
            gap = switching.do(systems, Names(live, previous, undone), _told(told, live, previous, undone))
        progress.step("Asking MLflow", of=switching.ASK)
        trouble = switching.answers(systems)
        title = f"Undo the restore of {live}"
        if trouble:
            comments = {live: told[live], previous: told[previous]}
            progress.ended(trouble, well=False)
            progress.step("Switching back")
            switching.do(systems, Names(live, undone, previous), comments)
            progress.ended("the restored database is live again")
            summary = f"MLflow doesn't answer with it: {trouble}. The restored database is live again."
            return Report(title=title, status=Status.FAIL, summary=summary, hints=("health",))
        summary = f"{live} is the database from before the restore again, with {gap * 1000:.0f} ms of downtime."
        return Report(title=title, status=Status.OK, summary=summary, hints=("health",))

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let sessions in, and MLflow's pods back, where the switch was cut off; and say which database is live."""
        ours = auth.systems_of(systems) if self.auth else systems
        return switching.mended_and(ours, lambda: super(RestoreUndo, self).aftermath(systems, planned))


def _told(told: dict[str, str], live: str, previous: str, undone: str) -> dict[str, str]:
    """What is written on both after an undo: the previous one's own comment, which it had before it was put aside."""
    return {live: side_database.was(told.get(previous, "")), undone: told.get(live, "")}


def _newest_previous(server: Server, live: str) -> str:
    found = [each for each in server.databases().values() if side_database.is_previous(each.name, live)]
    if not found:
        raise AlreadySo("No restore has put a database aside.", "Nothing to undo.")
    # By the time that is written on it: its name ends with a set's id, which says nothing of when.
    return max(found, key=lambda each: side_database.since(each.comment) or datetime.min.replace(tzinfo=UTC)).name
