"""What there is under wal/ of a server: its bases, its WAL, where that has gaps, and so how far back one can go.

Nothing is believed of what a process says it has stored: gaps are found in the listing. WAL without a gap from a base
on reaches up to the first segment that is missing; beyond it only a later base helps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from workers.errors import OperatorError, SetDamaged
from workers.operations.backup.manifest import Stored
from workers.operations.backup.wal import places
from workers.operations.backup.wal.packing import Packing
from workers.operations.backup.wal.places import Part, Places
from workers.systems.errors import ObjectMissing
from workers.systems.postgres.wal_position import Segment, position
from workers.wording import count

if TYPE_CHECKING:
    from workers.systems.s3.metadata import Listed
    from workers.systems.s3.objects import Objects
    from workers.systems.s3.transfer import Transfer

AT_MOST: Final = 1 << 20
"""Bytes of a small document."""


class Base(BaseModel):
    """A base backup. starts: where replaying begins; checkpoint: what is read before; ends: from there on it is whole.

    previous: the base that it rests on, where it holds only what has changed since.
    started_at and finished_at are by the server's clock. settings: what must not be less where it is replayed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    name: str
    system: str
    segment_bytes: int
    timeline: int
    starts: str
    checkpoint: str
    ends: str
    started_at: datetime
    finished_at: datetime
    server_version: str
    superuser: str
    settings: dict[str, int]
    tar: Stored
    tar_bytes: int
    files: int
    seconds: float
    previous: str = ""

    @property
    def first(self) -> Segment:
        """The segment that replaying begins with."""
        return Segment.holding(position(self.starts), self.timeline, self.segment_bytes)

    @property
    def major(self) -> int:
        """18 of 18.4."""
        return int(self.server_version.partition(".")[0])


class Point(BaseModel):
    """All that was committed at that moment of the server's clock lies before `written`, and is in the bucket."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    at: datetime
    written: str
    segment_bytes: int
    timeline: int
    server_version: str = ""

    @property
    def lsn(self) -> int:
        """As a number."""
        return position(self.written)


@dataclass(frozen=True)
class Gap:
    """Segments that are missing between two that are there. since and until: when what stands around it was stored."""

    first: Segment
    last: Segment
    since: datetime
    until: datetime

    @property
    def segments(self) -> int:
        """How many."""
        return self.last.number - self.first.number + 1


@dataclass
class Kept:
    """WAL, by segment. whole: when each was stored. parts: of those that are not whole, in order."""

    whole: dict[Segment, datetime] = field(default_factory=dict)
    parts: dict[Segment, list[Part]] = field(default_factory=dict)
    histories: list[str] = field(default_factory=list)
    stored: dict[Segment, datetime] = field(default_factory=dict)
    sizes: dict[Segment, int] = field(default_factory=dict)

    def add(self, named: Segment | Part | str | None, item: Listed) -> None:
        """Take note of what a key of the listing names."""
        if named is None or isinstance(named, str):
            return
        segment = named.segment if isinstance(named, Part) else named
        at = datetime.fromisoformat(item.last_modified)
        self.sizes[segment] = self.sizes.get(segment, 0) + item.size
        self.stored[segment] = max(at, self.stored.get(segment, at))
        if isinstance(named, Part):
            self.parts.setdefault(segment, []).append(named)
        else:
            self.whole[segment] = at

    def ordered(self) -> list[Segment]:
        """All segments, whole or not; of those on several timelines, the older timeline's first."""
        return sorted({*self.whole, *self.parts})

    def reaches(self, first: Segment) -> Segment | None:
        """The last segment that is there without a gap from `first` on; None where that itself is missing.

        Where the last one is not whole, it ends there.
        """
        numbers, whole = self._numbers()
        last = None
        number = first.number
        while number in numbers:
            last = numbers[number]
            if number not in whole:
                break
            number += 1
        return last

    def gaps(self, since: Segment, last: Point | None = None) -> tuple[Gap, ...]:
        """What is missing from `since` on, oldest first: whole segments, and ends of such as are not whole.

        last: read before the listing: up to there all should be here, also where nothing has followed what is missing.
        """
        numbers, whole = self._numbers()
        there = sorted(number for number in numbers if number >= since.number)
        found = []
        if there and there[0] > since.number:
            at = self.stored[numbers[there[0]]]
            found.append(Gap(since, Segment(there[0] - 1, since.timeline), at, at))
        for one, other in pairwise(there):
            missing = one + 1 if one in whole else one
            if other > missing:
                around = numbers[one], numbers[other]
                lost = Segment(missing, around[0].timeline), Segment(other - 1, around[1].timeline)
                found.append(Gap(*lost, self.stored[around[0]], self.stored[around[1]]))
        if there and last and (short := self._short_of(last, there[-1], whole=there[-1] in whole)):
            found.append(Gap(*short, self.stored[numbers[there[-1]]], last.at))
        return tuple(found)

    def _short_of(self, last: Point, newest: int, *, whole: bool) -> tuple[Segment, Segment] | None:
        """The segments between the newest that is here and the point."""
        size = last.segment_bytes
        wanted = (last.lsn - 1) // size
        first = newest + 1 if whole else newest
        here = max((self.end(each, size) for each in self.parts if each.number == newest), default=0)
        if wanted < first or (wanted == newest and last.lsn <= newest * size + here):
            return None
        return Segment(first, last.timeline), Segment(wanted, last.timeline)

    def since(self, first: Segment) -> Kept:
        """The same from a segment on."""
        return Kept(
            {each: at for each, at in self.whole.items() if each.number >= first.number},
            {each: parts for each, parts in self.parts.items() if each.number >= first.number},
            self.histories,
            {each: at for each, at in self.stored.items() if each.number >= first.number},
            {each: taken for each, taken in self.sizes.items() if each.number >= first.number},
        )

    @property
    def bytes(self) -> int:
        """What it takes in the bucket."""
        return sum(self.sizes.values())

    def _numbers(self) -> tuple[dict[int, Segment], set[int]]:
        """By number, of whatever timeline (a newer one begins with what the older one's segment held)."""
        numbers = {each.number: each for each in self.ordered()}
        return numbers, {each.number for each in self.whole}

    def end(self, segment: Segment, segment_bytes: int) -> int:
        """Up to where a segment's bytes are there, from its beginning on and without a gap."""
        if segment in self.whole:
            return segment_bytes
        end = 0
        for part in sorted(self.parts.get(segment, [])):
            if part.first > end:
                break
            end = max(end, part.end)
        return end


@dataclass(frozen=True)
class Window:
    """Where one can go back to from one base: from `since` until `until`. gap: what ends it before now."""

    base: Base
    since: datetime
    until: datetime
    gap: Gap | None = None


def list_wal(transfer: Transfer, bucket: str, where: Places, *, since: Segment | None = None) -> Kept:
    """All WAL that is kept, of every timeline. since: only from that segment on. Raises ObjectsError."""
    kept = Kept()
    for item in transfer.items(bucket, where.histories):
        name = where.read(item.key)
        if isinstance(name, str):
            kept.histories.append(name)
    for folder in transfer.objects.folders(bucket, where.prefix):
        timeline = where.timeline(folder)
        if timeline is None:
            continue
        after = where.stem(Segment(since.number, timeline)) if since else ""
        for item in transfer.items(bucket, folder, after=after):
            kept.add(where.read(item.key), item)
    for segment in kept.whole:
        kept.parts.pop(segment, None)
    return kept


@dataclass(frozen=True)
class Archive:
    """What is kept of one server. Methods raise ObjectsError; SetDamaged where something is not what was written."""

    objects: Objects
    bucket: str
    where: Places
    packing: Packing

    def bases(self) -> list[Base]:
        """The whole bases, oldest first."""
        prefix = f"{self.where.prefix}{places.BASE}"
        named = (places.base_in(folder) for folder in self.objects.folders(self.bucket, prefix))
        found = [base for name in named if name and (base := self._base(name))]
        return sorted(found, key=lambda each: each.finished_at)

    def point(self) -> Point | None:
        """Up to when all is there; None where nothing is."""
        content = self.document(self.where.point)
        if content is None:
            return None
        try:
            return Point.model_validate_json(content)
        except ValidationError:
            hint = "The process mlflow-ops wal writes it anew."
            raise SetDamaged(f"{self.where.point} cannot be read.", hint) from None

    def document(self, key: str) -> bytes | None:
        """A small document as it was written; None where there is none."""
        try:
            return self.packing.read(self.objects.read(self.bucket, key, at_most=AT_MOST), key)
        except ObjectMissing:
            return None

    def write(self, key: str, content: bytes) -> None:
        """Write a small document."""
        self.objects.write(self.bucket, key, self.packing.document(content, key))

    def _base(self, name: str) -> Base | None:
        """One base; None where it is not whole."""
        key = f"{self.where.base(name)}{places.BASE_MANIFEST}"
        content = self.document(key)
        if content is None:
            return None
        hint = "Make another base: /mlflow backup base."
        try:
            base = Base.model_validate_json(content)
        except ValidationError:
            raise SetDamaged(f"{key} cannot be read.", hint) from None
        if (base.name, base.system) != (name, self.where.system):
            raise SetDamaged(f"{key} is that of another base, {base.name}.", hint)
        return base


def chain(found: list[Base], base: Base) -> list[Base] | None:
    """What a base rests on, the full one first, and itself; None where one of them is not there any more."""
    named = {each.name: each for each in found}
    links = [base]
    while links[0].previous:
        before = named.get(links[0].previous)
        if before is None or before in links:
            return None
        links.insert(0, before)
    return links


def windows(found: list[Base], kept: Kept, last: Point | None) -> list[Window]:
    """Where one can go back to, oldest first. Windows of neighboring bases overlap."""
    seen = []
    for base in found:
        reached = kept.reaches(base.first)
        if reached is None or last is None or chain(found, base) is None:
            continue
        gap = next((each for each in kept.gaps(base.first, last) if each.first.number > reached.number), None)
        # About: what was committed when is known only once it is replayed.
        until = kept.stored[reached] if gap else last.at
        if reached.number >= Segment.holding(position(base.ends) - 1, 0, base.segment_bytes).number:
            seen.append(Window(base, base.finished_at, max(base.finished_at, until), gap))
    return seen


def window_of(seen: list[Window], at: datetime) -> Window:
    """The newest base from which that moment can be reached. Raises OperatorError that says what can be."""
    fitting = [each for each in seen if each.since <= at <= each.until]
    if fitting:
        return fitting[-1]
    raise OperatorError(f"{moment_of(at)} can't be brought back: {_instead(seen, at)}", "See /mlflow timeline.")


def _instead(seen: list[Window], at: datetime) -> str:
    if not seen:
        return "there is no base backup with its WAL yet (/mlflow backup base makes one)."
    joined = spans(seen)
    if at > joined[-1][1]:
        return f"what is kept reaches up to {moment_of(joined[-1][1])}."
    if at < joined[0][0]:
        return f"what is kept begins at {moment_of(joined[0][0])}."
    before = max(until for _, until in joined if until < at)
    after = min(since for since, _ in joined if since > at)
    return f"WAL is missing there, between {moment_of(before)} and {moment_of(after)}."


def spans(seen: list[Window]) -> list[tuple[datetime, datetime]]:
    """The stretches of time that can be gone back to, joined, oldest first."""
    joined: list[tuple[datetime, datetime]] = []
    for each in sorted(seen, key=lambda each: each.since):
        if joined and each.since <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], each.until)
        else:
            joined.append((each.since, each.until))
    return joined


def spans_words(joined: list[tuple[datetime, datetime]]) -> str:
    """Them, for people."""
    said = [f"{moment_of(since)} to {moment_of(until)}" for since, until in joined]
    return "; ".join(said) or "nowhere yet"


def moment_of(at: datetime) -> str:
    """A moment to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def servers(objects: Objects, bucket: str) -> list[str]:
    """The system identifiers of the servers that something is kept of."""
    return [each.removeprefix(places.PREFIX).rstrip("/") for each in objects.folders(bucket, places.PREFIX)]


def gap_words(gap: Gap, segment_bytes: int) -> str:
    """As in "000000010000000000000007, stored between 14:01 and 14:03"."""
    names = gap.first.name(segment_bytes)
    if gap.segments > 1:
        names = f"{count(gap.segments, 'segment')} from {names}"
    return f"{names}, between {moment_of(gap.since)} and {moment_of(gap.until)}"
