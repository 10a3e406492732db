"""All artifacts of a bucket into a set: what is new is copied, what is kept already is referred to.

Two sorted listings are walked side by side, the bucket's and the last set's, so memory does not grow with them.
Copies run in threads; a bounded window keeps the lines of the new listing in order. What was copied is written down in
parts as it goes, each only after its bytes are there: killed at any moment, the next run goes on from the last part.
"""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Final

from workers.operations.backup.artifacts import bundling, listing, object_keys
from workers.operations.backup.artifacts.known import Found, Known, Sources
from workers.operations.backup.artifacts.listing import Frames
from workers.operations.backup.artifacts.object_copying import SMALL, ObjectCopied, ObjectCopier, Tuning
from workers.operations.backup.artifacts.presence import Presence
from workers.operations.backup.artifacts.writing import ListingWriter, NoListing, Notes, read_back
from workers.operations.backup.locking import nothing
from workers.operations.backup.manifest import ArtifactsPart, OtherBucket
from workers.systems.errors import GatewayError
from workers.systems.s3.attributes import kinds
from workers.systems.s3.metadata import Listed
from workers.systems.s3.transfer import Transfer

if TYPE_CHECKING:
    from workers.operation import Progress
    from workers.operations.backup.manifest import Elsewhere, Stored
    from workers.systems.s3.objects import Objects

NAMES_AT_MOST: Final = 100
_LOOK_EVERY: Final = 100
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Copied:
    """What a run did. changed and vanished: the first hundred keys of artifacts that did so while it ran.

    left_out: the first hundred that cannot be read, each with the reason; left_out_objects and _bytes: of all of them.
    others: how many artifacts, and bytes, of each other bucket. classes: how many are of each storage class but the
    default. missing: of how many the bytes that were kept before are gone; they are copied again.
    attributes: how many have what a restore does not set again, of each kind.
    """

    objects: int
    bytes: int
    copied_objects: int
    copied_bytes: int
    changed: tuple[str, ...]
    vanished: tuple[str, ...]
    listing: Stored
    seconds: float
    left_out: tuple[str, ...] = ()
    left_out_objects: int = 0
    left_out_bytes: int = 0
    others: dict[str, tuple[int, int]] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    attributes: dict[str, int] = field(default_factory=dict)

    def part(self, sources: Sources, elsewhere: tuple[Elsewhere, ...], acls: str) -> ArtifactsPart:
        """As the manifest has it. elsewhere: places of artifacts that are not in it. acls: what is said of these."""
        return ArtifactsPart(
            listing=self.listing,
            bucket=sources.source_bucket,
            objects=self.objects,
            bytes=self.bytes,
            copied_objects=self.copied_objects,
            copied_bytes=self.copied_bytes,
            changed=self.changed,
            vanished=self.vanished,
            left_out=self.left_out,
            left_out_objects=self.left_out_objects,
            left_out_bytes=self.left_out_bytes,
            key_id=sources.key_id,
            others=tuple(OtherBucket(bucket=each, objects=n, bytes=b) for each, (n, b) in sorted(self.others.items())),
            elsewhere=elsewhere,
            storage_classes=self.classes,
            attributes=self.attributes,
            acls=acls,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class Place:
    """What copying takes: the two stores, what is known, and threads."""

    origin: Transfer
    target: Transfer
    known: Known
    copier: ObjectCopier
    pool: ThreadPoolExecutor


def begin(objects: Objects, sources: Sources, stack: ExitStack) -> Place:
    """Open it; `stack` closes it. objects: the store of the backups."""
    tuning = sources.tuning
    rule = sources.locking.rule if sources.locking else nothing
    target = stack.enter_context(Transfer.of(objects, tuning.at_once, rule))
    origin = stack.enter_context(Transfer.of(sources.source, tuning.at_once)) if sources.source else target
    known = Known(target, sources)
    keys = sources.keys if sources.encrypt else None
    copier = ObjectCopier(origin, sources.source_bucket, target, sources.backup_bucket, sources.set_name, tuning, keys)
    pool = ThreadPoolExecutor(tuning.at_once, thread_name_prefix="artifacts")
    stack.callback(pool.shutdown, cancel_futures=True)
    # Waits between attempts end at once where the run does not go on.
    stack.callback(origin.stopping.set)
    return Place(origin, target, known, copier, pool)


def copy(  # noqa: PLR0913, PLR0917 - what a set is made of
    objects: Objects,
    source_bucket: str,
    backup_bucket: str,
    set_name: str,
    previous: tuple[str, ...],
    progress: Progress,
    *,
    source: Objects | None = None,
    distrust: Collection[str] = (),
    tuning: Tuning = Tuning(),  # noqa: B008 - frozen
) -> Copied:
    """`whole` from its parts one by one (see Sources)."""
    bad = frozenset(distrust)
    return whole(objects, Sources(source_bucket, backup_bucket, set_name, previous, source, bad, tuning), progress)


def whole(objects: Objects, sources: Sources, progress: Progress, *, after_spans: bool = False) -> Copied:
    """Write a set's listing of all artifacts in the source, and copy those that are not kept yet.

    objects: the store of the backups. after_spans: the set has parts already, which spans of it have written.
    Raises ObjectsError, and Cancelled at a checkpoint; what was copied until then is not copied again by the next.
    """
    began = time.monotonic()
    bucket, set_name = sources.backup_bucket, sources.set_name
    with ExitStack() as stack:
        known_to = replace(sources, previous=(set_name, *sources.previous)) if after_spans else sources
        place = begin(objects, known_to, stack)
        target = place.target
        target.put(bucket, f"{set_name}{listing.BASES}", json.dumps({"previous": sources.previous}).encode())
        writer = stack.enter_context(ListingWriter.of(target, sources))
        notes = Notes(target, sources, silent=after_spans)
        run = Run(place.copier, place.pool, writer, notes, progress, place.known.objects)
        others = sources.others(place.origin) if sources.others else ()
        run.presence = Presence(target.items(bucket, object_keys.PREFIX))
        run.walk(chain(others, place.origin.items(sources.source_bucket)), place.known)
        writer.close()
        read_back(target, bucket, writer)
        target.delete(bucket, [*listing.parts(target, bucket, set_name), f"{set_name}{listing.BASES}"])
    return Copied(
        run.frames.objects,
        run.frames.bytes,
        run.copied_objects,
        run.copied_bytes,
        tuple(run.changed),
        tuple(run.vanished),
        writer.stored,
        time.monotonic() - began,
        tuple(run.left_out),
        run.left_out_objects,
        run.left_out_bytes,
        run.others,
        dict(run.classes),
        run.missing,
        dict(run.attributes),
    )


@dataclass(slots=True)
class _Item:
    """An artifact on its way: being copied, or known with its line. unfinished: known to an unfinished set only."""

    listed: Listed
    copying: Future[ObjectCopied] | None = None
    line: bytes = b""
    unfinished: bool = False

    @property
    def settled(self) -> bool:
        return self.copying is None or self.copying.done()


@dataclass
class Run:
    """The walk, with the window of copies that are under way in the order of their keys.

    presence: to see whether what is known is there still; missing: how many were not.
    """

    copier: ObjectCopier
    pool: ThreadPoolExecutor
    writer: ListingWriter | NoListing
    notes: Notes
    progress: Progress
    expected: int
    frames: Frames = field(default_factory=Frames)
    window: deque[_Item] = field(default_factory=deque)
    seen: int = 0
    copied_objects: int = 0
    copied_bytes: int = 0
    changed: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    left_out_objects: int = 0
    left_out_bytes: int = 0
    others: dict[str, tuple[int, int]] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    attributes: Counter[str] = field(default_factory=Counter)
    presence: Presence | None = None
    missing: int = 0
    bundle: bundling.Bundle | None = None

    def walk(self, source: Iterator[Listed], known: Known) -> None:
        """Take every artifact; at the end the listing is complete, save that it is not closed."""
        try:
            for listed in source:
                self._take(listed, known)
                self.seen += 1
                if self.seen % _LOOK_EVERY == 0:
                    self._look()
            while self.window:
                self._settle()
        except BaseException:
            # Also where the job's time is up or a person cancels: what is done stays done.
            self._leave()
            raise
        self.writer.write(self.frames.end())

    def _take(self, listed: Listed, known: Known) -> None:
        if listed.storage_class:
            self.classes[listed.storage_class] += 1
        copier = replace(self.copier, source_bucket=listed.bucket) if listed.bucket else self.copier
        found = known.find(listed)
        lost = found is not None and self._lost(found)
        if found is None or (lost and not found.mends):
            self.window.append(_Item(listed, self._begun(copier, listed)))
        elif lost:
            self.window.append(_Item(listed, self.pool.submit(copier.copy, listed, found.kept)))
        elif found.short:
            self.window.append(_Item(listed, self.pool.submit(copier.lock_longer, found.line)))
        else:
            self.attributes.update(kinds(found.attributes))
            self.window.append(_Item(listed, None, found.line, found.unfinished))
        while self.window and self.window[0].settled:
            self._settle()
        while len(self.window) >= self.copier.tuning.ahead:
            self._settle()

    def _lost(self, found: Found) -> bool:
        """Whether its bytes are bad, or gone."""
        if found.bad or self.presence is None or not self.presence.problem(found.kept, found.length, found.at):
            return found.bad
        self.missing += 1
        return True

    def _begun(self, copier: ObjectCopier, listed: Listed) -> Future[ObjectCopied]:
        """The copy of something new, begun."""
        if copier.keys is None or listed.size > SMALL:
            return self.pool.submit(copier.copy, listed)
        self.bundle = self.bundle or bundling.Bundle(self.copier)
        told = self.bundle.add(self.pool, copier, listed)
        if self.bundle.full:
            self._close()
        return told

    def _close(self) -> None:
        if self.bundle:
            self.bundle.close(self.pool)
        self.bundle = None

    def _settle(self) -> None:
        item = self.window[0]
        if not item.settled:
            # What is waited for may be in the bundle that is still open.
            self._close()
        if item.copying is None:
            self._write(item.line, item.listed.size, item.listed.bucket)
            if item.unfinished:
                self.notes.add(item.line, item.listed.size)
        else:
            while not item.copying.done():
                wait([item.copying], timeout=_LOOK_SECONDS)
                self._look()
            self._record(item.listed, item.copying.result())
        self.window.popleft()

    def _record(self, listed: Listed, moved: ObjectCopied) -> None:
        where = f"s3://{listed.bucket}/{listed.key}" if listed.bucket else listed.key
        if moved.why:
            self.left_out += [f"{where}: {moved.why}"] if len(self.left_out) < NAMES_AT_MOST else []
            self.left_out_objects += 1
            self.left_out_bytes += listed.size
            return
        if moved.entry is None:
            self.vanished += [where] if len(self.vanished) < NAMES_AT_MOST else []
            return
        if moved.changed:
            self.changed += [where] if len(self.changed) < NAMES_AT_MOST else []
        self.copied_objects += moved.copied
        self.copied_bytes += moved.entry.size * moved.copied
        self.attributes.update(kinds(moved.entry.attributes))
        line = replace(moved.entry, bucket=listed.bucket).line()
        self._write(line, moved.entry.size, listed.bucket)
        self.notes.add(line, moved.entry.size)

    def _write(self, line: bytes, size: int, bucket: str) -> None:
        if bucket:
            objects, held = self.others.get(bucket, (0, 0))
            self.others[bucket] = objects + 1, held + size
        frame = self.frames.add(line, size)
        if frame:
            self.writer.write(frame)

    def _look(self) -> None:
        self.progress.checkpoint()
        done = self.seen - len(self.window)
        # The set before tells how many there will be about; more than that, or without one, nobody knows.
        self.progress.advance(done, self.expected if self.expected >= self.seen else 0, "artifacts")

    def _leave(self) -> None:
        for item in self.window:
            if item.copying is not None:
                item.copying.cancel()
        with suppress(GatewayError, CancelledError):
            while self.window and self.window[0].settled:
                item = self.window.popleft()
                if item.copying is not None:
                    self._record(item.listed, item.copying.result())
        with suppress(GatewayError):
            self.notes.flush()
