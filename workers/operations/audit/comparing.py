"""Redis' audit record beside its export: what was cut off, rewritten, deleted or set back since it was exported.

The export is walked once, in the order in which it was written, and Redis' record beside it, both in constant memory.
What was exported and is older than the oldest in Redis was trimmed, if Redis' record begins where the export says that
it might: behind an entry that was exported. Otherwise it was deleted, and began anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from workers.operations.audit.files import FileDamaged
from workers.records import audit_seals
from workers.records.audit_chain import Chain, Faults, numbers
from workers.records.audit_log import order
from workers.records.audit_seals import NOTHING_BEFORE
from workers.wording import count, moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from redis import Redis

    from workers.operation import Progress
    from workers.operations.audit.files import Content, Export, File
    from workers.records.audit_log import Entry
    from workers.records.audit_seals import Seal, Sealed, SealKeys


@dataclass(frozen=True)
class Comparison:
    """faults: sentences without full stops. first: the first seal's number in what was read; 0: there is no export.

    last: the last one. written_at: when that was exported.
    """

    faults: tuple[str, ...]
    files: int = 0
    entries: int = 0
    proven: int = 0
    keyless: int = 0
    unproven: int = 0
    first: int = 0
    last: Seal = NOTHING_BEFORE
    written_at: datetime | None = None


def compare(export: Export, redis: Redis, keys: SealKeys, *, since: datetime | None, progress: Progress) -> Comparison:
    """The whole export, or what was written from the day of `since` on. Raises ObjectsError and RedisError."""
    faults = Faults()
    chain, beside = Chain(keys, faults), _Beside.of(redis, faults)
    head, recent, files, first, at = NOTHING_BEFORE, frozenset[str](), 0, 0, None
    for file in export.files(since):
        progress.checkpoint()
        files += 1
        progress.advance(files, 0, "files")
        try:
            content = export.read(file)
        except FileDamaged as error:
            faults.say(error.message.rstrip("."))
            continue
        first = first or file.first
        if head.number and content.after != head:
            _joint(head, content, file, recent, faults)
        # Within a file: what comes before it was judged where it was written.
        chain.before = content.after
        for entry, seal in content.entries:
            chain.follow(entry, seal)
            beside.exported(entry, seal)
        head, at = content.last[1], file.written_at
        recent = frozenset(seal.mac for _, seal in content.entries)
    beside.end(head)
    counted = (chain.counted, chain.proven, chain.keyless, chain.unproven)
    return Comparison(faults.sentences, files, *counted, first, head, at)


def _joint(head: Seal, content: Content, file: File, recent: frozenset[str], faults: Faults) -> None:
    """Where a file does not go on from the one before."""
    after = content.after.number
    if after > head.number:
        missing = numbers(head.number + 1, after)
        faults.say(f"The export lacks {missing}: a file before {file.name} was removed")
    elif not all(seal.mac in recent for _, seal in content.entries if seal.number <= head.number):
        faults.say(
            f"Redis was set back before {moment(file.written_at)}: up to seal {head.number} had been exported, and "
            f"{file.name} begins again with seal {file.first}"
        )


OTHER: Final = "rewritten since it was exported"
SEALED_ANEW: Final = "sealed anew since it was exported"
NOT_EXPORTED: Final = "inserted: it isn't in the export, and later ones are"


@dataclass
class _Beside:
    """Redis' record, walked beside the export. missing: numbers of exported seals that Redis lacks, from the first
    entry on that both have.
    """

    faults: Faults
    rest: Iterator[Sealed]
    at: Sealed | None = None
    begun: tuple[int, int] | None = None
    matched: bool = False
    missing: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, redis: Redis, faults: Faults) -> Self:
        """From its oldest entry on."""
        rest = audit_seals.sealed(redis)
        return cls(faults, rest, next(rest, None))

    def exported(self, entry: Entry, seal: Seal) -> None:
        """The next entry of the export."""
        where = order(entry.id)
        if self.begun is not None and where <= self.begun:
            return
        while self.at is not None and order(self.at.id) < where:
            # What is before the first file that is read isn't compared; what has no seal was named already.
            if self.begun is not None and self.at.entry is not None and self.at.seal is not None:
                self.faults.of(self.at.id, NOT_EXPORTED)
            self.at = next(self.rest, None)
        self.begun = where
        if self.at is None or order(self.at.id) > where:
            if self.matched:
                self.missing.append(seal.number)
            return
        self._same(self.at, entry, seal)
        self.at = next(self.rest, None)

    def _same(self, here: Sealed, entry: Entry, seal: Seal) -> None:
        self.matched = True
        if self.missing and (here.seal is None or here.seal.number > self.missing[-1]):
            self._removed()
        # Otherwise it was set back, and the file that goes on from there says so.
        self.missing = []
        if here.entry is not None and here.entry.text != entry.text:
            self.faults.of(entry.id, OTHER)
        elif here.seal is not None and here.seal != seal:
            self.faults.of(entry.id, SEALED_ANEW)

    def _removed(self) -> None:
        which = numbers(self.missing[0], self.missing[-1])
        self.faults.say(f"{count(len(self.missing), 'moment')} that had been exported ({which}) {_isnt(self.missing)}")

    def end(self, head: Seal) -> None:
        """The export is at its end. head: its last seal."""
        if self.begun is None:
            return
        here = self.at.seal if self.at is not None else None
        if not self.matched:
            now = f"it began anew with the entry {self.at.id}" if self.at is not None else "nothing of it is left"
            self.faults.say(f"The record was deleted from Redis: up to seal {head.number} had been exported, and {now}")
        elif self.missing and here is not None and here.number <= self.missing[-1]:
            lost = f"{count(len(self.missing), 'moment')}, {numbers(self.missing[0], self.missing[-1])}"
            self.faults.say(
                f"Redis was set back to seal {self.missing[0] - 1}: {lost}, had been exported, and other moments bear "
                "these numbers now"
            )
        elif self.missing and here is None:
            which = numbers(self.missing[0], self.missing[-1])
            lost = f"{count(len(self.missing), 'moment')} that had been exported ({which})"
            self.faults.say(f"The end of the record was cut off: {lost} {_isnt(self.missing)}")
        elif self.missing:
            self._removed()


def _isnt(missing: list[int]) -> str:
    return "isn't in Redis any more" if len(missing) == 1 else "aren't in Redis any more"
