"""Each set once more in a second store or region (`backup.copies`): streamed after the first, compared, manifest last.

Bytes go as they are, encrypted or not: an object's name is the same there, and encryption knows an object by its name.
So whatever reads a set reads a copy too, through `seen_from`. What a copy lacks is looked for each time, so one that
failed is made up for by the next.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup import locking, manifest
from workers.operations.backup.encryption import Keys
from workers.operations.backup.stream import Reading
from workers.report import Report, Status, Text
from workers.wording import count, duration, size

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.artifacts.listing import Entry
    from workers.operations.backup.manifest import Manifest
    from workers.settings.ops import CopyTo
    from workers.systems import Systems
    from workers.systems.s3.transfer import Transfer

_AT_ONCE: Final = 16
_TOGETHER: Final = 512
_SMALL: Final = 1 << 20


@dataclass(frozen=True)
class Copied:
    """What became of one copy. problem: why there is none, empty where there is."""

    place: str
    objects: int = 0
    bytes: int = 0
    seconds: float = 0.0
    problem: str = ""


def seen_from(systems: Systems, to: CopyTo) -> Systems:
    """The systems of a target whose backups are the copy."""
    ops = systems.settings.ops
    storage = ops.storage.model_copy(update={"backups_bucket": to.bucket})
    settings = systems.settings.model_copy(update={"ops": ops.model_copy(update={"storage": storage})})
    return replace(systems, settings=settings, copy=to)


def place(systems: Systems) -> str:
    """Where the backups are, as in "s3://backups at s3.example:443"."""
    return f"s3://{systems.settings.ops.storage.backups_bucket} at {systems.backups.address}"


def every(systems: Systems) -> tuple[Systems, ...]:
    """The systems as seen from each copy."""
    return tuple(seen_from(systems, each) for each in systems.settings.ops.backup.copies)


def make(systems: Systems, made: Manifest, progress: Progress) -> tuple[Copied, ...]:
    """Copy a finished set to each place. What fails is told, and changes nothing about the set. Raises Cancelled."""
    done = []
    for there in every(systems):
        progress.step(f"Copying to {place(there)}", of=f"Copy the set to {place(there)} ")
        try:
            done.append(_copied(systems, there, made, progress))
        except OperatorError as error:
            done.append(Copied(place(there), problem=error.message))
            progress.ended(error.message, well=False)
    return tuple(done)


def told(report: Report, copies: tuple[Copied, ...]) -> Report:
    """The report of a backup, with what became of its copies."""
    if not copies:
        return report
    failed = [each for each in copies if each.problem]
    lines = [
        f"NOT COPIED to {each.place}: {each.problem}"
        if each.problem
        else f"{each.place}: {count(each.objects, 'object')} ({size(each.bytes)}) in {duration(each.seconds)}, compared"
        for each in copies
    ]
    loud = f" NOT COPIED to {failed[0].place}." if failed else ""
    return report.model_copy(
        update={
            "status": Status.WARN if failed else report.status,
            "summary": f"{report.summary}{loud}",
            "sections": (*report.sections, Text(title="Copies", text="\n".join(lines))),
        }
    )


def _copied(systems: Systems, there: Systems, made: Manifest, progress: Progress) -> Copied:
    from workers.systems.s3.transfer import Transfer

    began = time.monotonic()
    source, target = (each.settings.ops.storage.backups_bucket for each in (systems, there))
    rule = locking.rule(systems.settings, datetime.now(UTC))
    with (
        Transfer.of(systems.backups, _AT_ONCE) as origin,
        Transfer.of(there.backups, _AT_ONCE, rule) as goal,
        ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="copies") as pool,
    ):
        goal.objects.head_bucket(target)
        copying = _Copying(origin, source, goal, target)
        objects = amount = 0
        lacking = _lacking(systems, made, origin, goal, target)
        while some := list(islice(lacking, _TOGETHER)):
            for bytes_ in pool.map(copying.artifact, some):
                objects, amount = objects + 1, amount + bytes_
            progress.checkpoint()
            progress.advance(objects, 0, "artifacts")
        for stored in made.stored:
            amount += copying.whole(stored.key)
            objects += 1
            reading = Reading(stored, goal, target)
            for _ in reading:
                pass
            reading.compare("Ask for another backup: it copies what is missing.")
        _refuse_incomplete(there, made, progress)
        # Last, as in the first place: without it there is no set.
        copying.whole(f"{made.name}{manifest.NAME}")
    return Copied(place(there), objects, amount, time.monotonic() - began)


def _lacking(systems: Systems, made: Manifest, origin: Transfer, goal: Transfer, target: str) -> Iterator[Entry]:
    """The artifacts whose bytes are not there, or not in their length; of those in one bundle, one."""
    from workers.operations.backup.artifacts import listing, object_keys
    from workers.operations.backup.artifacts.presence import Presence

    if made.artifacts is None:
        return
    stored = made.artifacts.listing
    bucket = systems.settings.ops.storage.backups_bucket
    entries = listing.entries(origin, bucket, stored.key, stored.sha256, Keys.all_of(systems.settings))
    presence, bundles = Presence(goal.items(target, object_keys.PREFIX)), set[str]()
    for entry in entries:
        if entry.kept in bundles or not presence.problem(entry.kept, entry.kept_bytes, entry.at):
            continue
        if entry.at is not None:
            bundles.add(entry.kept)
        yield entry


def _refuse_incomplete(there: Systems, made: Manifest, progress: Progress) -> None:
    from workers.operations.backup import artifacts

    if made.artifacts is None:
        return
    seen = artifacts.verify(
        there.backups,
        there.settings.ops.storage.backups_bucket,
        made.name,
        deep=False,
        progress=progress,
        sha256=made.artifacts.listing.sha256,
        keys=Keys.all_of(there.settings),
        expected=made.artifacts.objects,
    )
    if seen.problems:
        raise SetDamaged(f"The copy is not whole: {seen.problems[0]}", "Check that store; then ask again.")


@dataclass(frozen=True)
class _Copying:
    """Streams objects from one bucket to another, under the same keys."""

    origin: Transfer
    source: str
    goal: Transfer
    target: str

    def artifact(self, entry: Entry) -> int:
        """Copy an artifact's bytes; how many they were."""
        if entry.at is None and 0 < entry.kept_bytes <= _SMALL:
            _, content = self.origin.fetch(self.source, entry.kept, at_most=entry.kept_bytes)
            self.goal.put(self.target, entry.kept, content)
            return len(content)
        return self.whole(entry.kept)

    def whole(self, key: str) -> int:
        """Copy an object of any length; how many bytes that were."""
        from workers.systems.s3.multipart import PARTS_AT_MOST, Writer

        described, pieces = self.origin.open(self.source, key)
        part_bytes = max(8 * _SMALL, -(-described.size // PARTS_AT_MOST))
        with Writer(self.goal, self.target, key, part_bytes=part_bytes, moves=described.moves) as writer:
            for piece in pieces:
                writer.write(piece)
            writer.close()
        return writer.size
