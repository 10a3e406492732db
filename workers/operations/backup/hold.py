"""A legal hold on a set: nothing of it can be removed, however old it is, until somebody lifts the hold.

Each object of the set is held in the store, its artifacts' bytes with them, so this needs a bucket with Object Lock; a
mark beside the manifest keeps prune away. Bytes that another held set uses stay held when one is released.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING, ClassVar, Final

from workers.errors import AlreadySo, OperatorError
from workers.operation import Change, Operation, Plan, Progress, Risk
from workers.operations.backup import backup, manifest, sets
from workers.operations.backup.encryption import Keys
from workers.operations.backup.show import SetId
from workers.report import Report, Status
from workers.systems.s3 import lock
from workers.wording import count

if TYPE_CHECKING:
    from workers.operations.backup.manifest import Manifest
    from workers.settings import Ops
    from workers.systems import Systems

MARK: Final = "held.json"
"""Beside the manifest of a set that is held."""
_AT_ONCE: Final = 16
_TOGETHER: Final = 1000


class BackupHold(Operation):
    """Hold a set, or release it. id: the short one or the whole name."""

    name: ClassVar[str] = "backup-hold"
    risk: ClassVar[Risk] = Risk.CHANGE
    touches: ClassVar[tuple[str, ...]] = (backup.LOCK,)
    timeout_seconds: ClassVar[int] = 2 * 3600
    resumes: ClassVar[bool] = True

    id: SetId
    release: bool = False

    def gated(self, ops: Ops) -> bool:  # noqa: ARG002 - what is held can be lost only by lifting that
        """Lifting a hold needs a second person; putting one on loses nothing."""
        return self.release

    def plan(self, systems: Systems) -> Plan:
        """What would be held or released. Raises OperatorError, and AlreadySo."""
        made = self._wanted(systems)
        own, artifacts = len(made.stored) + 1, made.artifacts.objects if made.artifacts else 0
        everything = count(own, "object") + (f" and the bytes of {count(artifacts, 'artifact')}" if artifacts else "")
        what = "release" if self.release else "hold"
        states = ("held", "released") if self.release else ("not held", "held")
        return Plan(
            title=f"{what.capitalize()} backup {made.id}",
            summary=f"{what} {made.id}: {everything}",
            steps=(f"{'Lift the' if self.release else 'Put a'} legal hold on each: {everything}",),
            changes=(Change(what=made.name, before=states[0], after=states[1]),),
            warnings=("Prune may remove it from then on.",) if self.release else (),
            undo=f"/mlflow backup hold {made.id}" + ("" if self.release else " --release"),
            facts={"set": made.name, **made.checksums},
        )

    def run(self, systems: Systems, progress: Progress) -> Report:
        """Do it. Raises OperatorError: what was held until then is, and asking again goes on."""
        made, bucket = self._wanted(systems), systems.settings.ops.storage.backups_bucket
        what = "Releasing" if self.release else "Holding"
        progress.step(f"{what} {made.id}")
        if not self.release:
            _mark(systems, made)
        own = (f"{made.name}{manifest.NAME}", *(each.key for each in made.stored))
        keys = iter((*own, *_artifacts(systems, made, released=self.release)))
        done = 0
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="hold") as pool:
            while some := list(islice(keys, _TOGETHER)):
                list(pool.map(lambda key: lock.hold(systems.backups, bucket, key, on=not self.release), some))
                done += len(some)
                progress.advance(done, max(done, made.artifacts.objects if made.artifacts else 0), "objects")
                progress.checkpoint()
        if self.release:
            systems.backups.delete(bucket, f"{made.name}{MARK}")
        return Report(
            title=f"{'Release' if self.release else 'Hold'} backup {made.id}",
            status=Status.OK,
            summary=f"{made.id} is {'released' if self.release else 'held'}: {count(done, 'object')}.",
            hints=(f"backup show {made.id}", "backup prune --dry-run"),
        )

    def _wanted(self, systems: Systems) -> Manifest:
        made, bucket = sets.good(systems, self.id), systems.settings.ops.storage.backups_bucket
        if self.release and not held(systems, [made.name]):
            raise AlreadySo(f"The backup {made.id} is not held.", "Nothing to do.")
        if not self.release and systems.backups.versioning(bucket) != "Enabled":
            raise OperatorError(
                f"s3://{bucket} has no Object Lock: nothing in it can be held.",
                "It is chosen when a bucket is made: aws s3api create-bucket --object-lock-enabled-for-bucket.",
            )
        return made


def held(systems: Systems, names: Iterable[str]) -> frozenset[str]:
    """Those of these sets that are held. Raises ObjectsError."""
    objects, bucket = systems.backups, systems.settings.ops.storage.backups_bucket
    every = list(names)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda name: objects.exists(bucket, f"{name}{MARK}"), every)
        return frozenset(name for name, there in zip(every, found, strict=True) if there)


def _mark(systems: Systems, made: Manifest) -> None:
    told = json.dumps({"at": datetime.now(UTC).isoformat()}).encode()
    systems.backups.write(systems.settings.ops.storage.backups_bucket, f"{made.name}{MARK}", told)


def _artifacts(systems: Systems, made: Manifest, *, released: bool) -> Iterator[str]:
    """The keys of its artifacts' bytes; of one that is released, those that no other held set uses."""
    from workers.operations.backup.artifacts import object_keys, references

    bucket, keys = systems.settings.ops.storage.backups_bucket, Keys.all_of(systems.settings)

    def of(name: str) -> Iterator[str]:
        return references(systems.backups, bucket, name, keys)

    if made.artifacts is None:
        return
    if not released:
        yield from of(made.name)
        return
    found = [each.manifest for each in sets.every(systems) if each.manifest and each.manifest.artifacts]
    others = held(systems, [each.name for each in found if each.name != made.name])
    bundles: dict[bool, set[str]] = {True: set(), False: set()}

    def alone(name: str, *, mine: bool) -> Iterator[tuple[str, bool]]:
        """Those of a set that are no bundles, in order; bundles have none."""
        for key in of(name):
            if object_keys.bundled(key):
                bundles[mine].add(key)
            else:
                yield key, mine

    streams = [alone(made.name, mine=True), *(alone(name, mine=False) for name in others)]
    for key, together in groupby(heapq.merge(*streams), lambda each: each[0]):
        if all(mine for _, mine in together):
            yield key
    yield from sorted(bundles[True] - bundles[False])
