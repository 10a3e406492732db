"""Is a set still what it was: every part is read and compared, and every artifact's bytes are looked for.

What is wrong is named, all of it. With `deep` the artifacts' bytes are read as well, which takes as long as it takes to
read them; that one goes to the queue of what takes long, and notes what is bad for the next backup to copy again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from workers.errors import OperatorError
from workers.operation import Operation, Plan, Progress, Risk
from workers.operations.backup import catalog_record, configuration, damaged, database, sets
from workers.operations.backup.encryption import Keys
from workers.operations.backup.show import SetId
from workers.operations.backup.stream import Reading
from workers.report import Report, Status, Text
from workers.systems.errors import ObjectMissing, Unreachable
from workers.wording import count, size

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.operations.backup.manifest import ArtifactsPart, Manifest
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

READERS = 4


class BackupVerify(Operation):
    """Compare a set with its manifest. id: the short one, the whole name, or latest."""

    name: ClassVar[str] = "backup-verify"
    risk: ClassVar[Risk] = Risk.READ
    timeout_seconds: ClassVar[int] = 3600
    resumes: ClassVar[bool] = True

    id: SetId = sets.LATEST

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it. Raises OperatorError where there is no such set."""
        return verified(systems, self.id, progress, deep=False)


class BackupVerifyDeep(Operation):
    """The same, and read the bytes of every artifact."""

    name: ClassVar[str] = "backup-verify-deep"
    risk: ClassVar[Risk] = Risk.CHANGE
    timeout_seconds: ClassVar[int] = 6 * 3600
    resumes: ClassVar[bool] = True

    id: SetId = sets.LATEST

    def plan(self, systems: Systems) -> Plan:
        """How much would be read."""
        bucket = systems.settings.ops.storage.backups_bucket
        made = sets.good(systems, self.id)
        amount = sum(each.bytes for each in made.stored) + (made.artifacts.bytes if made.artifacts else 0)
        return Plan(
            title=f"Verify backup {made.id}",
            summary=f"read all of {made.id}, {size(amount)}",
            steps=(f"Read {size(amount)} from {bucket} and compare every checksum",),
            facts={"set": made.name},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Read it. Raises OperatorError where there is no such set."""
        return verified(systems, self.id, progress, deep=True)


def verified(systems: Systems, wanted: str, progress: Progress, *, deep: bool) -> Report:
    """What came of comparing a set with its manifest."""
    from workers.systems.s3.transfer import Transfer

    made = sets.good(systems, wanted)
    with Transfer.of(systems.backups, READERS) as transfer:
        wrong = problems(systems, made, transfer, progress, deep=deep)
    what = f"{count(len(made.stored), 'part')} read"
    if made.artifacts:
        read = "read and compared" if deep else "present with the right sizes"
        what += f", {count(made.artifacts.objects, 'artifact')} ({size(made.artifacts.bytes)}) {read}"
    if not wrong:
        return Report(
            title=f"Verify backup {made.id}",
            status=Status.OK,
            summary=f"Intact: {what}.",
            hints=(f"backup show {made.id}", *(() if deep else (f"backup verify {made.id} --deep",))),
        )
    text = "\n".join(wrong)
    return Report(
        title=f"Verify backup {made.id}",
        status=Status.FAIL,
        summary=f"It is not good: {wrong[0]}" + (f" And {len(wrong) - 1} more." if len(wrong) > 1 else ""),
        sections=(Text(title="What is wrong", text=text, literal=True),),
        hints=("backup", "backup list"),
    )


def problems(systems: Systems, made: Manifest, transfer: Transfer, progress: Progress, *, deep: bool) -> list[str]:
    """A sentence for each thing of a set that is not as its manifest says. Raises Unreachable, Cancelled."""
    bucket = systems.settings.ops.storage.backups_bucket
    found: list[str] = []

    def look(check: Callable[[], object], key: str) -> None:
        try:
            check()
        except Unreachable:
            raise
        except ObjectMissing:
            found.append(f"{bucket}/{key} is missing.")
        except OperatorError as error:
            found.append(error.message)

    keys = Keys.all_of(systems.settings)
    for part in (each for each in (made.database, made.auth_database) if each):
        for stored in part.dumps:
            progress.step(f"Reading {stored.key}")
            reading = Reading(stored, transfer, bucket, progress, keys)
            look(partial(database.read_dump, reading, systems.settings, progress.checkpoint), stored.key)
        if part.catalog:
            look(partial(catalog_record.read, part, keys, transfer, bucket), part.catalog.key)
    exported = made.configuration
    if exported:
        progress.step(f"Reading {exported.document.key}")
        look(lambda: configuration.read(exported, keys, transfer, bucket), exported.document.key)
    if made.artifacts:
        progress.step("Artifacts: reading every byte" if deep else "Artifacts: looking for every object")
        artifacts = made.artifacts
        look(
            lambda: found.extend(_artifacts(systems, made.name, artifacts, transfer, progress, deep)),
            artifacts.listing.key,
        )
    return found


def _artifacts(  # noqa: PLR0913, PLR0917 - what is compared with what
    systems: Systems,
    name: str,
    part: ArtifactsPart,
    transfer: Transfer,
    progress: Progress,
    deep: bool,  # noqa: FBT001
) -> list[str]:
    from workers.operations.backup import artifacts

    bucket = systems.settings.ops.storage.backups_bucket
    stored = Reading(part.listing, transfer, bucket, progress)
    for _ in stored:
        pass
    stored.compare()
    seen = artifacts.verify(
        systems.backups,
        bucket,
        name,
        deep=deep,
        progress=progress,
        sha256=part.listing.sha256,
        keys=Keys.all_of(systems.settings),
        expected=part.objects,
    )
    found = list(seen.problems)
    if deep and seen.bad:
        damaged.note(systems.backups, bucket, seen.bad)
    if seen.objects != part.objects:
        found.append(f"The listing has {seen.objects:,} artifacts; the manifest says {part.objects:,}.")
    return found
