"""The database of a set in the place of the live one, and back again.

The live database is not touched until what replaces it stands beside it, checked. The switch is two renames in one
transaction; MLflow finds itself reconnected, because its pool asks before it uses a connection (facts of SQLAlchemy's
pool_pre_ping). The old database stays, closed to sessions, and `restore undo` switches back just as fast.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import drill_result, sets
from workers.operations.deployment import schema
from workers.operations.restore import checks, downtime, side_database
from workers.report import Facts, Report, Status
from workers.systems.errors import GatewayError
from workers.systems.postgres.admin import Server
from workers.wording import count, duration, moment, size

if TYPE_CHECKING:
    from workers.operations.backup.manifest import DatabasePart, Manifest
    from workers.systems import Systems
    from workers.systems.postgres.admin import DatabaseInfo

ANSWER_SECONDS: Final = 60.0
START_SECONDS: Final = 300.0
"""For MLflow to answer where its pods were taken away."""
LOOK_SECONDS: Final = 0.25
LARGEST: Final = 5
"""Tables whose rows a report names."""
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def _identifier(name: str) -> str:
    if name and not _NAME.fullmatch(name):
        msg = f"“{name[:40]}” is no database's name: lower-case letters, digits and underscores, 63 at most"
        raise ValueError(msg)
    return name


class RestoreDatabase(Operation):
    """Put a set's database in the live one's place, or beside it. set: an id or latest. beside: a name for that."""

    name: ClassVar[str] = "restore-database"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    beside: Annotated[str, AfterValidator(_identifier)] = ""
    from_elsewhere: bool = False
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """What would take whose place, and what would be lost. Raises OperatorError where it cannot be done."""
        found, part = self._wanted(systems)
        server, live = systems.server, systems.database.name
        checks.refuse_without_rights(server, systems.database)
        checks.refuse_without_room(systems, server, part)
        databases = server.databases()
        now = databases.get(live)
        if self.beside in databases:
            raise OperatorError(f"There is a database {self.beside} already.", "Choose another name.")
        if side_database.is_restored(self.beside, live) or side_database.is_previous(self.beside, live):
            raise OperatorError(f"{self.beside} is a name that restores give to their own.", "Choose another name.")
        if self.beside:
            return self._plan_beside(found)
        previous = side_database.previous_name(live, found.id, databases)
        if not self.from_elsewhere:
            sets.refuse_foreign(systems, found)
        revision = _revision(systems)
        checks.refuse_newer(systems, found, part, revision)
        older = bool(revision) and part.alembic_revision != revision
        return Plan(
            title=f"Restore the database {live}",
            summary=f"from the backup {found.id}",
            steps=(
                f"Restore {found.id} into {side_database.restored_name(live, found.id)}, beside the live database",
                "Compare its tables with the backup's manifest",
                *((f"Run mlflow db upgrade on it: its schema is {part.alembic_revision}",) if older else ()),
                *_switch_steps(systems, live, previous, "the restored one"),
            ),
            changes=(
                Change(what=f"database {live}", before="the live one", after=f"the backup {found.id}"),
                Change(what=f"database {previous}", before="none", after="the live one of before, closed to sessions"),
            ),
            warnings=(_loss(systems, found), *sets.skipped(systems, self.set, found)),
            undo="/mlflow restore undo",
            estimate_seconds=_estimate(systems, part),
            sections=(_sizes(found, part, now),),
            facts={"set": found.name, **found.checksums, "live": now is not None, "schema": revision},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Restore beside, compare, and switch, unless it is to stay beside. Where that fails, nothing is switched."""
        found, part = self._wanted(systems)
        server, live = systems.server, systems.database.name
        restored = self.beside or side_database.restored_name(live, found.id)
        repair(server, live)
        side_database.restore_into(systems, server, restored, found, progress)
        if not self.beside:
            _upgrade(systems, progress, restored, part)
        if self.beside:
            server.comment(restored, side_database.comment("restored beside", found.name))
            summary = f"The backup {found.id} is in the database {restored}; the live one was not touched."
            return Report(title="Restore beside", status=Status.OK, summary=summary)
        databases = server.databases()
        previous = side_database.previous_name(live, found.id, databases)
        with downtime.scaled_to_0(systems, progress):
            progress.step(f"Switching: {live} becomes {previous}")
            progress.checkpoint()
            gap = _switch(server, (live, restored, previous), side_database.comments(live, previous, found.name))
        progress.step("Asking MLflow")
        trouble = _answers(systems)
        title = f"Restore the database {live}"
        if trouble:
            server.switch(live, previous, restored, {live: databases[live].comment})
            server.drop(restored)
            return Report(
                title=title,
                status=Status.FAIL,
                summary=f"MLflow does not answer with it: {trouble}. The database of before is live again.",
                hints=("health",),
            )
        with server.opened(previous):
            lost = checks.lost_since(server.database(previous, systems.database), found)
        missed = f" {lost.words} that were begun since the backup are in {previous} only." if lost else ""
        rows = sum(part.rows.values())
        return Report(
            title=title,
            status=Status.OK,
            summary=f"{live} is the backup {found.id} ({count(len(part.rows), 'table')}, {count(rows, 'row')}); nobody "
            f"could get in for {gap * 1000:.0f} ms. The one of before is {previous}.{missed}",
            sections=(_checks(systems, part, gap),),
            hints=("health", "experiments list"),
            undo="restore undo",
        )

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let sessions in where the switch was cut off, and say which database is live."""
        server, live = systems.server, systems.database.name
        said = _mended(systems)
        left = [name for name in server.databases() if side_database.is_restored(name, live)]
        half = f" {left[0]} is half restored; the next restore removes it." if left else ""
        return f"{said}{super().aftermath(systems, planned)}{half}"

    def _wanted(self, systems: Systems) -> tuple[Manifest, DatabasePart]:
        found = sets.good(
            systems, self.set, part="database", unsigned=self.unsigned, from_elsewhere=self.from_elsewhere
        )
        assert found.database is not None
        return found, found.database

    def _plan_beside(self, found: Manifest) -> Plan:
        return Plan(
            title="Restore beside",
            summary=f"the backup {found.id} as the database {self.beside}",
            steps=(f"Restore {found.id} into {self.beside}", "Compare its tables with the backup's manifest"),
            changes=(Change(what=f"database {self.beside}", before="none", after=f"the backup {found.id}"),),
            undo=f"drop database {self.beside}",
            facts={"set": found.name, **found.checksums},
        )


class RestoreUndo(Operation):
    """Switch back to the database that the last restore put aside."""

    name: ClassVar[str] = "restore-undo"
    risk: ClassVar[Risk] = Risk.DESTRUCTIVE
    touches: ClassVar[tuple[str, ...]] = ("database", "deployment", "backup")
    timeout_seconds: ClassVar[int] = 600

    def plan(self, systems: Systems) -> Plan:
        """Which one comes back. Raises OperatorError where none was put aside."""
        live = systems.database.name
        previous, undone = _newest_previous(systems.server, live), side_database.undone_name(live)
        return Plan(
            title=f"Undo the restore of {live}",
            summary=f"{previous} becomes {live} again",
            steps=_switch_steps(systems, live, undone, previous),
            changes=(
                Change(what=f"database {live}", before="the restored one", after=f"{previous}, the one of before"),
            ),
            warnings=("What was written since the restore is no longer in the live database.",),
            undo="the restored one stays beside it until the next restore",
            facts={"aside": previous},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Switch."""
        server, live = systems.server, systems.database.name
        repair(server, live)
        previous, undone = _newest_previous(server, live), side_database.undone_name(live)
        server.drop(undone)
        told = {name: each.comment for name, each in server.databases().items()}
        with downtime.scaled_to_0(systems, progress):
            progress.step(f"Switching: {previous} becomes {live}")
            gap = _switch(server, (live, previous, undone), {live: "", undone: told.get(live, "")})
        progress.step("Asking MLflow")
        trouble = _answers(systems)
        title = f"Undo the restore of {live}"
        if trouble:
            server.switch(live, undone, previous, {live: told[live], previous: told[previous]})
            summary = f"MLflow does not answer with it: {trouble}. The restored database is live again."
            return Report(title=title, status=Status.FAIL, summary=summary, hints=("health",))
        summary = f"{live} is the database of before the restore; nobody could get in for {gap * 1000:.0f} ms."
        return Report(title=title, status=Status.OK, summary=summary, hints=("health",))

    def aftermath(self, systems: Systems, planned: Plan) -> str:
        """Let sessions in, and MLflow's pods back, where the switch was cut off; and say which database is live."""
        return f"{_mended(systems)}{super().aftermath(systems, planned)}"


def repair(server: Server, live: str) -> bool:
    """Let sessions into a live database that an interrupted switch has closed; whether that was so."""
    known = server.databases().get(live)
    if known is None or known.open:
        return False
    server.allow(live, connections=True)
    return True


def _mended(systems: Systems) -> str:
    """Undo what an interrupted switch has done to who may get in; what that was, in a sentence."""
    live = systems.database.name
    said = f"{live} had been closed to sessions, and is open again. " if repair(systems.server, live) else ""
    return said + downtime.mended(systems)


def _upgrade(systems: Systems, progress: Progress, restored: str, part: DatabasePart) -> None:
    """Where the set's schema is another than the live one's, run MLflow's own upgrade on it before anybody sees it."""
    revision = _revision(systems)
    if not revision or part.alembic_revision == revision:
        return
    server = systems.server
    names = systems.settings.ops.kubernetes
    spec = systems.cluster.deployment(names.deployment)["spec"]["template"]["spec"]
    image = next((each["image"] for each in spec["containers"] if each["name"] == names.container), "")
    progress.step(f"Upgrading {restored} from {part.alembic_revision} to {revision}")
    try:
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


def _switch(server: Server, trio: tuple[str, str, str], comments: dict[str, str]) -> float:
    live, restored, previous = trio
    if live not in server.databases():
        raise OperatorError(f"There is no database {live} to be replaced.", "Restore beside: --as NAME.")
    return server.switch(live, restored, previous, comments)


def _checks(systems: Systems, part: DatabasePart, gap: float) -> Facts:
    """What was looked at before and after the switch; none of it has failed, else there would have been none."""
    asked = systems.settings.environment.mlflow_tracking_uri is not None
    largest = sorted(part.rows.items(), key=lambda each: -each[1])[:LARGEST]
    return Facts(
        title="Checked",
        items=(
            ("bytes of the dump", f"{size(part.dump.bytes)}, their SHA-256 is that of the backup's manifest"),
            ("rows of each table", f"as in the manifest: {count(len(part.rows), 'table')}"),
            *((f"  {table}", f"{held:,}") for table, held in largest if held),
            ("schema", _revision(systems) or "none"),
            ("nobody could get in for", f"{gap * 1000:.0f} ms"),
            ("MLflow", "answers from it" if asked else "was not asked: MLFLOW_TRACKING_URI is not set"),
        ),
    )


def _answers(systems: Systems) -> str:
    """Why MLflow does not answer from its database, at last; empty where it does."""
    if systems.settings.environment.mlflow_tracking_uri is None:
        return ""
    patience = START_SECONDS if downtime.wanted(systems) else ANSWER_SECONDS
    until, why = time.monotonic() + patience, ""
    while time.monotonic() < until:
        try:
            systems.tracking.search_experiments()
        except GatewayError as error:
            why = error.message.rstrip(".")
            time.sleep(LOOK_SECONDS)
        else:
            return ""
    return why


def _switch_steps(systems: Systems, live: str, becomes: str, comes: str) -> tuple[str, ...]:
    name = systems.settings.ops.kubernetes.deployment
    scaled = (f"Scale {name} to 0, and back once its database was switched",) if downtime.wanted(systems) else ()
    return (
        *scaled,
        f"Refuse sessions, end those that are there, and rename: {live} → {becomes}, {comes} → {live}",
        "Ask MLflow; where it does not answer, switch back",
    )


def _newest_previous(server: Server, live: str) -> str:
    found = [each for each in server.databases().values() if side_database.is_previous(each.name, live)]
    if not found:
        raise AlreadySo("No restore has put a database aside.", "Nothing is to be undone.")
    # By the time that is written on it: its name ends with a set's id, which says nothing of when.
    return max(found, key=lambda each: side_database.since(each.comment) or datetime.min.replace(tzinfo=UTC)).name


def _revision(systems: Systems) -> str:
    try:
        return systems.database.schema_revision()
    except GatewayError:
        return ""


def _loss(systems: Systems, found: Manifest) -> str:
    # Of its beginning: what was written while it was made is not in it.
    age = duration((datetime.now(UTC) - found.started_at).total_seconds())
    lost = checks.lost_since(systems.database, found)
    if lost is None:
        return f"The backup is {age} old; what was written since then could not be counted."
    return (
        f"The backup is {age} old: {lost.words} that were begun since then will not be in it, nor what is written "
        "until the switch."
    )


def _estimate(systems: Systems, part: DatabasePart) -> float:
    """By the last drill's pace where there was one, else by how long the dump took."""
    last = drill_result.last(systems.backups, systems.settings.ops.storage.backups_bucket)
    if last is not None and last.well and last.database_bytes:
        return last.seconds * part.size_bytes / last.database_bytes
    return part.seconds * 2


def _sizes(found: Manifest, part: DatabasePart, now: DatabaseInfo | None) -> Facts:
    return Facts(
        items=(
            ("backup", f"{found.name}, {moment(found.finished_at)}"),
            ("holds", f"{count(len(part.rows), 'table')}, {count(sum(part.rows.values()), 'row')}"),
            ("size there", size(part.size_bytes)),
            ("live now", size(now.size_bytes) if now else "there is none"),
        )
    )
