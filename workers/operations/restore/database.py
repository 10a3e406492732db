"""The database of a set in the place of the live one, and back again.

The live database is not touched until what replaces it stands beside it, checked. The switch is two renames in one
transaction; MLflow finds itself reconnected, because its pool asks before it uses a connection (facts of SQLAlchemy's
pool_pre_ping). The old database stays, closed to sessions, and `restore undo` switches back just as fast. What was
restored and could not be switched to is kept for the next try.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, AwareDatetime, Field

from workers import wording
from workers.errors import OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import drill_result, sets, waiting
from workers.operations.deployment import schema
from workers.operations.restore import (
    auth,
    checks,
    downtime,
    events,
    kept,
    likeness,
    moment,
    prerequisites,
    replaying,
    room,
    side_database,
    switching,
    to_moment,
)
from workers.report import Facts, Report, Status, Text
from workers.systems.errors import DatabaseOccupied, GatewayError
from workers.systems.postgres.maintenance import DatabaseMaintenance
from workers.systems.postgres.switch import Names
from workers.wording import count, duration, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.operations.backup.manifest import DatabasePart, Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo

TAKE_UP_SECONDS: Final = 30.0
LARGEST: Final = 5
"""Tables whose rows a report names."""
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _identifier(name: str) -> str:
    if name and not _NAME.fullmatch(name):
        msg = f"“{name[:40]}” is no database's name: lower-case letters, digits and underscores, 63 at most"
        raise ValueError(msg)
    return name


class RestoreDatabase(Operation):
    """Put a set's database in the live one's place, or beside it. set: an id or latest. beside: a name for that.

    auth: basic-auth's database instead of MLflow's. at: as it was then, from a base backup and WAL instead of a set.
    exclusive: without what was committed at that very moment. event: words of what happened, instead of `at`: just
    before it.
    """

    name: ClassVar[str] = "restore-database"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    beside: Annotated[str, AfterValidator(_identifier)] = ""
    from_elsewhere: bool = False
    auth: bool = False
    at: AwareDatetime | None = None
    exclusive: bool = False
    event: Annotated[str, Field(max_length=200)] = ""
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """What would take whose place, and what would be lost. Raises OperatorError where it cannot be done."""
        if self.event:
            return events.of_the_moment(self, systems, self.event)
        if self.at:
            self._refuse_beside(systems)
            chosen = moment.choose(systems, self.at, inclusive=not self.exclusive)
            return to_moment.plan(systems, chosen, self.beside, _undo(auth=False))
        systems, found, part = self._wanted(systems)
        server, live = systems.server, systems.database.name
        checks.refuse_without_rights(server, systems.database)
        passed = sets.cautions(systems, self.set, found, part="database")
        databases = server.databases()
        now = databases.get(live)
        self._refuse_beside(systems)
        owner = now.owner if now else prerequisites.role_of(systems)
        likely = (*likeness.warnings(systems, part, owner), *replaying.exposed(server))
        if self.beside:
            return self._plan_beside(found, (*passed, *likely, *room.warnings(systems, part)))
        previous = side_database.previous_name(live, found.id, databases)
        if not self.from_elsewhere:
            sets.refuse_foreign(systems, found)
        revision = _revision(systems)
        checks.refuse_newer(systems, found, part, revision)
        older = bool(revision) and part.alembic_revision != revision
        restored = side_database.restored_name(live, found.id)
        waits = _waiting(databases, restored, part, revision)
        warnings = [*passed, _loss(systems, found), *switching.refuse_obstacles(systems)]
        warnings += [f"{restored} was restored and checked {waits}."] if waits else room.warnings(systems, part)
        making = (
            f"Restore {found.id} into {restored}, beside the live database",
            "Compare its tables with the backup's manifest",
            *((f"Run mlflow db upgrade on it: its schema is {part.alembic_revision}",) if older else ()),
        )
        taking = (
            f"Take up {restored}, which an earlier try has restored, if it holds what it held when it was checked",
        )
        return Plan(
            title=f"Restore the database {live}",
            summary=f"from the backup {found.id}",
            steps=(
                *(taking if waits else making),
                *switching.steps(systems, live, previous, "the restored one"),
            ),
            changes=(
                Change(what=f"database {live}", before="the live one", after=f"the backup {found.id}"),
                Change(what=f"database {previous}", before="none", after="the previous live one, closed to sessions"),
            ),
            warnings=(*warnings, *likely),
            undo=f"/mlflow {_undo(auth=self.auth)}",
            estimate_seconds=TAKE_UP_SECONDS if waits else _estimate(systems, part),
            sections=(_sizes(found, part, now),),
            facts={"set": found.name, **found.checksums, "live": now is not None, "schema": revision},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Restore beside, compare, and switch, unless it is to stay beside. Where that fails, nothing is switched."""
        if self.at:
            chosen = moment.choose(systems, self.at, inclusive=not self.exclusive)
            with moment.taken(systems, chosen, progress) as found:
                return self._run((systems, systems), found, chosen.words, progress)
        ours, found, _ = self._wanted(systems)
        return self._run((systems, ours), found, f"the backup {found.id}", progress)

    def _run(self, given: tuple[Systems, Systems], found: Manifest, what: str, progress: Progress) -> Report:
        """what: the database will be, as in "the backup 1a2b3c"."""
        all_systems, systems = given
        part = found.database
        assert part is not None
        server, live = systems.server, systems.database.name
        restored = self.beside or side_database.restored_name(live, found.id)
        switching.mended(systems)
        if self.beside:
            made = side_database.restore_into(systems, server, restored, found, progress)
            server.comment(restored, side_database.comment("restored beside", found.name))
            summary = f"{what[0].upper()}{what[1:]} is in the database {restored}; the live one was not touched."
            if self.at:
                summary = f"{restored} is {live} {what}; the live one was not touched."
            return Report(
                title="Restore beside", status=_well(made), summary=summary, sections=side_database.notes(made)
            )
        switching.refuse_obstacles(systems)
        made = _taken_up(systems, restored, part, progress) or self._made(systems, restored, found, progress)
        databases = server.databases()
        previous = side_database.previous_name(live, found.id, databases)
        comments = side_database.comments(live, previous, found.name, was=databases[live].comment)
        with (
            downtime.scaled_to_0(systems, progress),
            _kept_for_the_next_try(restored, "" if self.at else _again(found.id, auth=self.auth)),
        ):
            progress.step(f"Switching: {live} becomes {previous}", of=switching.RENAME)
            progress.checkpoint()
            gap = switching.do(systems, Names(live, restored, previous), comments)
        progress.step("Asking MLflow", of=switching.ASK)
        trouble = switching.answers(systems)
        title = f"Restore the database {live}"
        if trouble:
            progress.ended(trouble, well=False)
            progress.step("Switching back")
            switching.do(systems, Names(live, previous, restored), {live: databases[live].comment})
            server.drop(restored)
            progress.ended("the previous database is live again")
            return Report(
                title=title,
                status=Status.FAIL,
                summary=f"MLflow doesn't answer with it: {trouble}. The previous database is live again.",
                hints=("health",),
            )
        with server.opened(previous):
            lost = checks.lost_since(server.database(previous, systems.database), found)
        missed = f" {lost.words(_it(self.at))}" if lost else ""
        missed += f" They're in {previous}." if lost and (lost.runs or lost.experiments) else ""
        return Report(
            title=title,
            status=_well(made),
            summary=f"{live} is {what} ({part.held}), "
            f"with {gap * 1000:.0f} ms of downtime. The previous database is kept as {previous}.{missed}",
            sections=(_checks(systems, part, gap), *side_database.notes(made), *_users(all_systems, found)),
            hints=("health", *((f"restore auth {found.id}",) if found.auth_database else ()), "experiments list"),
            undo=_undo(auth=self.auth),
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let sessions in where the switch was cut off, and say which database is live."""
        if self.at or self.event:
            moment.clear(systems)
        ours = auth.systems_of(systems) if self.auth else systems
        said = switching.mended_and(ours, lambda: super(RestoreDatabase, self).aftermath(systems, planned))
        live, half = ours.database.name, ""
        for name, each in ours.server.databases().items():
            if side_database.is_restored(name, live) and name != side_database.undone_name(live):
                set_id = waiting.set_id(each.comment)
                take = f": `{_again(set_id, auth=self.auth)}` takes it up" if set_id else ""
                then = f"was restored and checked{take}" if waiting.age(each.comment) else "is half restored"
                half = f" {name} {then}; a restore of another backup removes it."
        return f"{said}{half}"

    @staticmethod
    def _made(systems: Systems, restored: str, found: Manifest, progress: Progress) -> side_database.Restored:
        assert found.database is not None
        made = side_database.restore_into(systems, systems.server, restored, found, progress)
        upgraded = _upgrade(systems, progress, restored, found.database)
        kept.keep(systems.server, made, found, systems.database.name, upgraded=upgraded)
        return made

    def _refuse_beside(self, systems: Systems) -> None:
        live = systems.database.name
        if self.beside in systems.server.databases():
            raise OperatorError(f"There is a database {self.beside} already.", "Choose another name.")
        if side_database.is_ours(self.beside, live):
            raise OperatorError(f"{self.beside} is a name that restores give to their own.", "Choose another name.")

    def _wanted(self, systems: Systems) -> tuple[Systems, Manifest, DatabasePart]:
        found = sets.good(
            systems, self.set, part="database", unsigned=self.unsigned, from_elsewhere=self.from_elsewhere
        )
        if self.auth:
            found, systems = auth.manifest_of(systems, found), auth.systems_of(systems)
        assert found.database is not None
        return systems, found, found.database

    def _plan_beside(self, found: Manifest, warnings: tuple[str, ...]) -> Plan:
        return Plan(
            title="Restore beside",
            summary=f"the backup {found.id} as the database {self.beside}",
            steps=(f"Restore {found.id} into {self.beside}", "Compare its tables with the backup's manifest"),
            changes=(Change(what=f"database {self.beside}", before="none", after=f"the backup {found.id}"),),
            warnings=warnings,
            undo=f"drop database {self.beside}",
            facts={"set": found.name, **found.checksums},
        )


def _well(made: side_database.Restored) -> Status:
    return Status.WARN if made.notes else Status.OK


def _undo(*, auth: bool) -> str:
    return "restore undo --auth" if auth else "restore undo"


def _again(set_id: str, *, auth: bool) -> str:
    return f"restore {'auth' if auth else 'database'} {set_id}"


def _users(systems: Systems, found: Manifest) -> tuple[Text, ...]:
    """That basic-auth's database was not restored with MLflow's, where the set has one."""
    if found.auth_database is None:
        return ()
    text = auth.left_out(systems, found) or (
        f"Basic-auth's users are in the backup too, and stay as they are: /mlflow restore auth {found.id}."
    )
    return (Text(title="Not restored", text=text),)


def _upgrade(systems: Systems, progress: Progress, restored: str, part: DatabasePart) -> bool:
    """Where the set's schema is another than the live one's, run MLflow's own upgrade on it before anybody sees it."""
    revision = _revision(systems)
    if not revision or part.alembic_revision == revision:
        return False
    server = systems.server
    names = systems.settings.ops.kubernetes
    spec = systems.cluster.deployment(names.deployment)["spec"]["template"]["spec"]
    image = next((each["image"] for each in spec["containers"] if each["name"] == names.container), "")
    progress.step(f"Upgrading {restored} from {part.alembic_revision} to {revision}", of="Run mlflow db upgrade")
    care = DatabaseMaintenance(server.database(restored, systems.database))
    try:
        for index in schema.early(care, part.alembic_revision, revision):
            progress.step(f"Dropping the index {index} of {restored}, which the upgrade makes")
            care.drop_index(index)
        ended = schema.upgrade(systems, progress, image or spec["containers"][0]["image"], database=restored)
        now = server.database(restored, systems.database).schema_revision()
    except BaseException:
        server.drop(restored)
        raise
    if not ended.well or now != revision:
        server.drop(restored)
        last = f" Its last words: {ended.lines[-1][:200]}" if ended.lines else ""
        raise OperatorError(
            f"mlflow db upgrade did not bring the backup's schema {part.alembic_revision} to {revision}: "
            f"{ended.why or f'it is {now}'}.{last}",
            "The live database was not touched; use a backup of the schema that runs.",
        )
    return True


def _waiting(databases: Mapping[str, DatabaseInfo], restored: str, part: DatabasePart, revision: str) -> str:
    """Since when an earlier try's database waits to be taken up; empty where there is none."""
    there = databases.get(restored)
    return waiting.since(there.comment, part, revision or part.alembic_revision) if there else ""


def _taken_up(systems: Systems, restored: str, part: DatabasePart, progress: Progress) -> side_database.Restored | None:
    server = systems.server
    if not _waiting(server.databases(), restored, part, _revision(systems)):
        return None
    progress.step(f"Looking whether {restored} holds what it held when it was checked", of="Take up ")
    return kept.taken_up(server, server.database(restored, systems.database))


@contextmanager
def _kept_for_the_next_try(restored: str, again: str) -> Iterator[None]:
    """Say of a switch that failed what was restored for nothing, so far."""
    try:
        yield
    except DatabaseOccupied as error:
        then = f"Then `/mlflow {again}` takes it up in seconds." if again else "Then ask again."
        raise OperatorError(
            f"{error.message} The live database was not touched, and what was restored is kept as {restored}.",
            f"{error.hint} {then}".strip(),
        ) from None


def _checks(systems: Systems, part: DatabasePart, gap: float) -> Facts:
    """What was looked at before and after the switch; none of it has failed, else there would have been none."""
    asked = systems.settings.environment.mlflow_tracking_uri is not None
    largest = sorted(part.rows.items(), key=lambda each: -each[1])[:LARGEST]
    return Facts(
        title="Checked",
        items=(
            ("bytes of the dump", f"{size(part.bytes)}, their SHA-256 is that of the backup's manifest"),
            ("rows of each table", f"as in the manifest: {count(len(part.rows), 'table')}"),
            *((f"  {table}", f"{held:,}") for table, held in largest if held),
            ("schema", _revision(systems) or "none"),
            ("downtime", f"{gap * 1000:.0f} ms"),
            ("MLflow", "answers from it" if asked else "was not asked: MLFLOW_TRACKING_URI is not set"),
        ),
    )


def _revision(systems: Systems) -> str:
    try:
        return systems.database.schema_revision()
    except GatewayError:
        return ""


def _it(at: datetime | None) -> str:
    return "that moment" if at else "the backup"


def _loss(systems: Systems, found: Manifest) -> str:
    # Of its beginning: what was written while it was made is not in it.
    age = duration((datetime.now(UTC) - found.started_at).total_seconds())
    lost = checks.lost_since(systems.database, found)
    if lost is None:
        return f"The backup is {age} old; what was written since then could not be counted."
    return f"The backup is {age} old. {lost.words('it')} What is written until the switch is lost."


def _estimate(systems: Systems, part: DatabasePart) -> float:
    """By the last drill's pace where there was one, else by how long the dump took."""
    last = drill_result.last(systems.backups, systems.settings.ops.storage.backups_bucket)
    if last is not None and last.well and last.database_bytes:
        return last.seconds * part.size_bytes / last.database_bytes
    return part.seconds * 2


def _sizes(found: Manifest, part: DatabasePart, now: DatabaseInfo | None) -> Facts:
    return Facts(
        items=(
            ("backup", f"{found.name}, {wording.moment(found.finished_at)}"),
            ("holds", part.held),
            ("size there", size(part.size_bytes)),
            ("live now", size(now.size_bytes) if now else "there is none"),
        )
    )
