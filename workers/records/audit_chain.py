"""Is a row of sealed entries as it was sealed: of those in Redis, and of those in an export.

Each entry is held against its own seal and the one before as it stands, so one that was changed is named alone, and not
with all that follow it. Whoever has no key can still count, and says so: `unproven` is how many it could not verify.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from workers.records import audit_seals
from workers.records.audit_log import SET_BACK, order
from workers.records.audit_seals import NO_KEY, NOTHING_BEFORE, Seal, SealKeys
from workers.wording import count

if TYPE_CHECKING:
    from redis import Redis

    from workers.records.audit_log import Entry

FAULTS_TOLD: Final = 20
CHANGED: Final = "changed after it was sealed"
NOT_OUR_KEY: Final = "sealed anew with a key that isn't ours"
WITHOUT_KEY: Final = "sealed anew without our key"
INSERTED: Final = "inserted: it has no seal, and later ones have"
REMOVED: Final = "removed from Redis, where its seal still is"


@dataclass(frozen=True)
class _Fault:
    """number: of entries, `first` to `last`; 0: `what` is a whole sentence."""

    what: str
    first: str = ""
    last: str = ""
    number: int = 0

    @property
    def sentence(self) -> str:
        match self.number:
            case 0:
                return self.what
            case 1:
                return f"The entry {self.first} was {self.what}"
        return f"{count(self.number, 'moment')}, {self.first} to {self.last}, were each {self.what}"


@dataclass
class Faults:
    """What is wrong, in the order in which it was met; the same of entries that follow each other is told once."""

    _told: list[_Fault] = field(default_factory=list)

    def of(self, entry_id: str, what: str) -> None:
        """Of an entry, what was done with it, as a participle."""
        if self._told and self._told[-1].what == what:
            known = self._told[-1]
            self._told[-1] = replace(known, last=entry_id, number=known.number + 1)
        else:
            self._told.append(_Fault(what, entry_id, entry_id, 1))

    def say(self, sentence: str) -> None:
        """Of the record as a whole."""
        self._told.append(_Fault(sentence))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The first FAULTS_TOLD, without full stops."""
        return tuple(each.sentence for each in self._told[:FAULTS_TOLD])

    def __bool__(self) -> bool:
        return bool(self._told)


@dataclass
class Chain:
    """Follows the entries one by one. before: the seal before the next one.

    counted: how many entries. proven: whose seal our key has made. keyless: whose seal needs no key.
    """

    keys: SealKeys
    faults: Faults = field(default_factory=Faults)
    before: Seal = NOTHING_BEFORE
    counted: int = 0
    proven: int = 0
    keyless: int = 0
    unproven: int = 0

    def follow(self, entry: Entry, seal: Seal) -> None:
        """The next entry with its seal."""
        self.counted += 1
        before, self.before = self.before, seal
        if SET_BACK in entry.text and entry.event.get("what") == SET_BACK:
            self.faults.say(str(entry.event.get("text", "")).rstrip("."))
        if seal.number != before.number + 1:
            self.faults.say(_gap(before, seal, entry))
        elif seal.key == NO_KEY:
            self._without_key(before, seal, entry)
        elif not self.keys.given:
            self.unproven += 1
        elif seal.key not in self.keys.ids:
            self.faults.of(entry.id, f"{NOT_OUR_KEY} ({seal.key[:12]})")
        elif self.keys.made(seal, before, entry):
            self.proven += 1
        else:
            self.faults.of(entry.id, CHANGED)

    def _without_key(self, before: Seal, seal: Seal, entry: Entry) -> None:
        if before.key not in {"", NO_KEY}:
            self.faults.of(entry.id, WITHOUT_KEY)
        elif SealKeys().seal(before, entry) == seal:
            self.keyless += 1
        else:
            self.faults.of(entry.id, CHANGED)


def _gap(before: Seal, seal: Seal, entry: Entry) -> str:
    if seal.number <= before.number:
        return f"The numbers begin anew: the entry {entry.id} bears seal {seal.number}, after seal {before.number}"
    missing = seal.number - before.number - 1
    were = "was removed with its seal" if missing == 1 else "were removed with their seals"
    return (
        f"{count(missing, 'moment')} {were} before the entry {entry.id}: {numbers(before.number + 1, seal.number - 1)}"
    )


def numbers(first: int, last: int) -> str:
    """Which seals, in words."""
    return f"seal {first}" if first == last else f"seals {first} to {last}"


@dataclass(frozen=True)
class Verdict:
    """What Redis' own record says of itself. faults: sentences without full stops. waiting: entries behind the last
    seal. waiting_since: of the oldest of them, seconds since the epoch.
    """

    faults: tuple[str, ...]
    entries: int
    proven: int
    keyless: int
    unproven: int
    waiting: int
    waiting_since: float | None
    last: Seal


def verify(redis: Redis, keys: SealKeys) -> Verdict:
    """Make each seal in Redis anew, in constant memory."""
    chain, waiting, since = Chain(keys), 0, None
    ends_at, newest = audit_seals.last(redis) or ("", NOTHING_BEFORE)
    for number, each in enumerate(audit_seals.sealed(redis)):
        if each.seal is None:
            if order(each.id) < order(ends_at):
                chain.faults.of(each.id, INSERTED)
                continue
            waiting += 1
            since = order(each.id)[0] / 1000 if since is None else since
        elif each.entry is None:
            if number:
                chain.faults.of(each.id, REMOVED)
            # Otherwise what came before was trimmed: the chain begins here.
            chain.before = each.seal
        else:
            chain.follow(each.entry, each.seal)
    counted = (chain.counted, chain.proven, chain.keyless, chain.unproven)
    return Verdict(chain.faults.sentences, *counted, waiting, since, newest)
