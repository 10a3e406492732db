"""A drill: a set is restored where nobody sees it, checked, and thrown away; how long it took is the measured RTO.

The database goes into one beside the live one, a sample of the artifacts under a prefix of the backups' bucket. A set
that is found damaged is marked in the bucket, and is never `latest` again; each drill's result is kept beside the sets.
Where a right, room, a program or a server was lacking, nothing is known of the set, and nothing is noted of it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from workers.errors import OperatorError, SetDamaged
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import artifacts, copies, drill_result, sets, summary
from workers.operations.backup.drill_result import DrillResult
from workers.operations.backup.encryption import Keys
from workers.operations.restore import auth, checks, room, side_database
from workers.report import Facts, Report, Status, Text
from workers.systems.errors import ObjectMissing
from workers.wording import count, duration, size

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.systems import Systems


class Drill(Operation):
    """Restore a set where nobody sees it, check it, and throw it away. set: an id or latest."""

    name: ClassVar[str] = "drill"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = ("database", "backup")
    timeout_seconds: ClassVar[int] = 6 * 3600

    set: Annotated[str, Field(min_length=1, max_length=80)] = sets.LATEST
    unsigned: bool = False

    def plan(self, systems: Systems) -> Plan:
        """What would be restored, and where."""
        there = _place(systems)
        found = sets.good(there, self.set, part="database", unsigned=self.unsigned)
        assert found.database is not None
        checks.refuse_without_rights(systems.server, systems.database)
        name = side_database.restored_name(systems.database.name, found.id, side_database.DRILL)
        sample = _sampled(systems, found)
        passed = sets.cautions(there, self.set, found, part="database")
        copy = "" if there is systems else f" from its copy in s3://{there.settings.ops.storage.backups_bucket}"
        return Plan(
            title=f"Drill with the backup {found.id}",
            summary=f"restore {size(found.database.size_bytes)} and {count(sample, 'artifact')} to one side, check "
            "them, and remove them",
            steps=(
                f"Restore the database{copy} into {name}, compare it with the manifest, and remove it",
                *((f"Read {count(sample, 'artifact')} as a restore does, and compare checksums",) if sample else ()),
                "Note the result",
            ),
            warnings=(*passed, *room.warnings(systems, found.database)),
            undo="nothing stays",
            estimate_seconds=found.database.seconds * 2,
            facts={"set": found.name, "from": copy, **found.checksums},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. Raises OperatorError where nothing is said about the set: a right, room, a program, a server lacks."""
        there = _place(systems)
        bucket = there.settings.ops.storage.backups_bucket
        found = sets.good(there, self.set, part="database", unsigned=self.unsigned)
        assert found.database is not None
        began, problem, copied, seconds = time.monotonic(), "", 0, 0.0
        users = auth.left_out(there, found) or "none in the set"
        try:
            with side_database.restored_beside(there, found, progress, side_database.DRILL):
                seconds = time.monotonic() - began
            if auth.restorable(there, found):
                with side_database.restored_beside(
                    auth.systems_of(there), auth.manifest_of(there, found), progress, side_database.DRILL
                ):
                    users = "restored too"
            copied = _sample(there, found, progress)
        except (SetDamaged, ObjectMissing) as error:
            problem = error.message
            progress.ended(problem, well=False)
        except OperatorError as error:
            message = (
                f"The drill could not be carried out: {error.message} That says nothing about the backup {found.id}."
            )
            raise OperatorError(message, error.hint) from None
        progress.step("Noting the result", of="Note the result")
        done = DrillResult(
            set_id=found.id,
            at=datetime.now(UTC),
            well=not problem,
            seconds=seconds or time.monotonic() - began,
            database_bytes=found.database.size_bytes,
            artifacts=copied,
            problem=problem,
            place="" if there is systems else bucket,
        )
        drill_result.note(there.backups, bucket, found.name, done)
        if there is not systems:
            drill_result.keep(systems.backups, systems.settings.ops.storage.backups_bucket, done)
        progress.ended()
        return _report(found, done, systems.settings.ops.restore.rto_seconds, users)


def _place(systems: Systems) -> Systems:
    """Where the drilled set is: in the first place and in each copy by turns."""
    places = (systems, *copies.every(systems))
    last = drill_result.last(systems.backups, systems.settings.ops.storage.backups_bucket)
    if last is None or len(places) == 1:
        return systems
    buckets = ["", *(each.settings.ops.storage.backups_bucket for each in places[1:])]
    at = buckets.index(last.place) if last.place in buckets else -1
    return places[(at + 1) % len(places)]


def _sample(systems: Systems, found: Manifest, progress: Progress) -> int:
    """Read some artifacts, spread over the set, decrypt and compare them. Raises SetDamaged where one is not right."""
    wanted = _sampled(systems, found)
    if found.artifacts is None or not wanted:
        return 0
    progress.step(f"Reading {count(wanted, 'artifact')}", of="as a restore does")
    bucket = systems.settings.ops.storage.backups_bucket
    seen = artifacts.verify(
        systems.backups,
        bucket,
        found.name,
        deep=True,
        progress=progress,
        sha256=found.artifacts.listing.sha256,
        keys=Keys.all_of(systems.settings),
        expected=found.artifacts.objects,
        some=wanted,
    )
    if seen.problems:
        raise SetDamaged(f"{count(len(seen.problems), 'artifact')} cannot be restored: {seen.problems[0]}")
    if seen.objects != wanted:
        raise SetDamaged(
            f"Its listing holds only {count(seen.objects, 'artifact')} of the {wanted:,} that were chosen."
        )
    return seen.objects


def _sampled(systems: Systems, found: Manifest) -> int:
    """How many artifacts are restored."""
    return min(systems.settings.ops.restore.drill_artifacts, found.artifacts.objects if found.artifacts else 0)


def _report(found: Manifest, done: DrillResult, allowed: int, users: str) -> Report:
    title = f"Drill with the backup {found.id}"
    if not done.well:
        return Report(
            title=title,
            status=Status.FAIL,
            summary=f"It cannot be restored: {done.problem.rstrip('.')}. It is not `latest` any more.",
            hints=("backup", f"backup verify {found.id} --deep", "backup list"),
        )
    slow = done.seconds > allowed
    over = f", more than the {duration(allowed)} that a recovery may take" if slow else ""
    return Report(
        title=title,
        status=Status.WARN if slow else Status.OK,
        summary=f"Drill passed: database restored in {duration(done.seconds)}{over}, "
        f"{count(done.artifacts, 'artifact')} compared. Scratch copies removed.",
        sections=(
            Facts(
                items=(
                    ("backup", f"{found.name}, its copy in s3://{done.place}" if done.place else found.name),
                    ("database", f"{size(done.database_bytes)} in {duration(done.seconds)}"),
                    ("basic-auth's database", users),
                    ("artifacts compared", f"{done.artifacts:,}"),
                )
            ),
            *(Text(title="Not in the backup", text=each) for each in summary.lacking(found)),
        ),
        hints=("backup show", "health backup"),
    )
