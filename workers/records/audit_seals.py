"""Each entry of the audit record bears a seal: an HMAC over it, its number and the seal before.

    audit:sealed   stream: an entry's id → its seal ("1201 3f9a… 8c1d…": number, key, HMAC-SHA-256)

The key is the workers' (audit_key.py): neither the bot nor Redis holds it, so whoever owns those can make no seal. Any
worker seals what is new, as often as it likes: seals are written only behind the one that was read as the last (in
Lua), so two at once make one chain.

Trap this avoids: a worker seals whatever it finds, so taking seals off and having workers make them anew would be a way
to rewrite entries. It shows: numbers that were exported, or that a worker remembers, come a second time with other
seals (`came_after`, operations/audit/comparing.py).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from workers import TARGET
from workers.records.audit_log import PAGE, STREAM, Entry, entries, order, pages

if TYPE_CHECKING:
    from redis import Redis

    from workers.settings import Settings

SEALED: Final = STREAM + ":sealed"
NO_KEY: Final = "none"
"""Stands for the key where there is none: then a seal finds accidents only."""
_PURPOSE: Final = b"mlflow-ops audit seal 1"

_APPEND: Final = """
-- KEYS: sealed. ARGV: the last one's id and seal, as they were read (empty: there was none), then ids and seals.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if (last and last[1] .. ' ' .. last[2][2] or '') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do redis.call('XADD', KEYS[1], ARGV[i], 's', ARGV[i + 1]) end
return 1
"""

_TRIM: Final = """
-- KEYS: audit, sealed. ARGV: the oldest entry that stays. The seal before it stays too: the chain begins there.
local before = redis.call('XREVRANGE', KEYS[2], '(' .. ARGV[1], '-', 'COUNT', 1)[1]
if not before then return 0 end
redis.call('XTRIM', KEYS[2], 'MINID', before[1])
return redis.call('XTRIM', KEYS[1], 'MINID', ARGV[1])
"""


@dataclass(frozen=True)
class Seal:
    """number: counts all entries that were ever sealed. key: its id, or NO_KEY. mac: in hexadecimal."""

    number: int
    key: str
    mac: str

    @property
    def text(self) -> str:
        """As it stands in Redis and in an export."""
        return f"{self.number} {self.key} {self.mac}"

    @classmethod
    def read(cls, text: str) -> Self:
        """What is no seal becomes one that nobody has made."""
        number, _, rest = text.partition(" ")
        key, _, mac = rest.partition(" ")
        return cls(int(number) if number.isdigit() else 0, key, mac)


NOTHING_BEFORE: Final = Seal(0, "", "")
"""Before the first seal of all."""


@dataclass(frozen=True)
class Sealed:
    """What stands in Redis under one id: an entry, its seal, or, where one was taken away, only the other."""

    id: str
    entry: Entry | None
    seal: Seal | None


@dataclass(frozen=True)
class SealKeys:
    """The key that seals, first, and those that verify. Does not show them."""

    _keys: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Derived from MLFLOW_OPS_AUDIT_KEY, else MLFLOW_OPS_BACKUP_KEY; those of …_KEYS_OLD verify, too."""
        environment = settings.environment
        secrets = (environment.audit_key, environment.backup_key, environment.backup_keys_old)
        texts = [text for each in secrets if each for text in each.get_secret_value().split(",")]
        return cls(tuple(_derived(base64.b64decode(each.strip())) for each in texts))

    @classmethod
    def from_key(cls, key: bytes) -> Self:
        """Derived from that one."""
        return cls((_derived(key),))

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return bool(self._keys)

    @property
    def ids(self) -> tuple[str, ...]:
        """Short names, from which the keys cannot be found."""
        return tuple(map(_id, self._keys))

    def seal(self, before: Seal, entry: Entry) -> Seal:
        """The seal of the entry that comes after the one with the seal `before`."""
        key = self._keys[0] if self._keys else b""
        return _seal(key, before, entry)

    def made(self, seal: Seal, before: Seal, entry: Entry) -> bool:
        """Whether the key that a seal names, one of these, has sealed this entry there."""
        key = next((each for each in self._keys if _id(each) == seal.key), b"")
        if _id(key) != seal.key:
            return False
        return hmac.compare_digest(_seal(key, before, entry).mac.encode(), seal.mac.encode())


def seal(redis: Redis, keys: SealKeys) -> list[tuple[Entry, Seal]]:
    """Seal what is new, a page at a time: what was sealed; nothing where there is none, or another was quicker."""
    last_id, before = last(redis) or ("-", NOTHING_BEFORE)
    known = f"{last_id} {before.text}" if before.number else ""
    made: list[tuple[Entry, Seal]] = []
    for entry in entries(redis, after=last_id):
        before = keys.seal(before, entry)
        made.append((entry, before))
        if len(made) == PAGE:
            break
    told = [part for entry, sealed in made for part in (entry.id, sealed.text)]
    if not made or not redis.register_script(_APPEND)(keys=[SEALED], args=[known, *told]):
        return []
    return made


def last(redis: Redis) -> tuple[str, Seal] | None:
    """The latest seal, with the id of its entry."""
    found: Any = redis.xrevrange(SEALED, count=1)
    return (found[0][0].decode(), _read(found[0][1])) if found else None


def at(redis: Redis, entry_id: str) -> Seal | None:
    """The seal of that entry."""
    found: Any = redis.xrange(SEALED, min=entry_id, max=entry_id)
    return _read(found[0][1]) if found else None


def anchor(redis: Redis) -> tuple[str, Seal] | None:
    """The oldest seal that is kept, with its entry's id: where the record was trimmed, of an entry that is not."""
    found: Any = redis.xrange(SEALED, count=1)
    return (found[0][0].decode(), _read(found[0][1])) if found else None


def came_after(redis: Redis, known: tuple[str, Seal]) -> str:
    """What speaks against that seal's having been the last one, in a sentence; empty where it stands as it was made,
    or was trimmed.
    """
    known_id, known_seal = known
    stands = at(redis, known_id)
    first, newest = anchor(redis), last(redis)
    if stands == known_seal or (stands is None and first is not None and order(first[0]) > order(known_id)):
        return ""
    now = f"seal {newest[1].number}" if newest else "no seal at all"
    return f"seal {known_seal.number} was made for the entry {known_id}, and is not there any more: Redis ends at {now}"


def sealed(redis: Redis, *, after: str = "-") -> Iterator[Sealed]:
    """Entries and seals side by side, by their ids, in constant memory."""
    # Seals first: what is written and sealed meanwhile is seen without its seal, never the other way round.
    ends = last(redis)
    seals = ((each, _read(fields)) for each, fields in pages(redis, SEALED, after=after))
    seals = (each for each in seals if ends is not None and order(each[0]) <= order(ends[0]))
    moments = entries(redis, after=after)
    entry, of = next(moments, None), next(seals, None)
    while entry is not None or of is not None:
        mine = order(entry.id) if entry else (1 << 64, 0)
        its = order(of[0]) if of else (1 << 64, 0)
        found_id = entry.id if entry is not None and mine <= its else (of[0] if of else "")
        yield Sealed(found_id, entry if mine <= its else None, of[1] if of and its <= mine else None)
        if mine <= its:
            entry = next(moments, None)
        if its <= mine:
            of = next(seals, None)


def line(entry: Entry, seal: Seal) -> str:
    """An entry as it is exported, as JSON."""
    told = {"n": seal.number, "entry": entry.id, "seal": seal.text, "text": entry.text}
    return json.dumps(told, ensure_ascii=False)


def lines(redis: Redis) -> Iterator[str]:
    """The record as it stands in Redis, as JSON Lines; what is not sealed yet bears the number 0."""
    for each in sealed(redis):
        if each.entry is not None:
            yield line(each.entry, each.seal or NOTHING_BEFORE)


def trim(redis: Redis, oldest: str) -> int:
    """Remove the entries before that id, which were sealed; how many. The last seal before it stays."""
    return int(redis.register_script(_TRIM)(keys=[STREAM, SEALED], args=[oldest]))


def _read(fields: dict[bytes, bytes]) -> Seal:
    return Seal.read(fields.get(b"s", b"").decode("utf-8", "replace"))


def _seal(key: bytes, before: Seal, entry: Entry) -> Seal:
    number = before.number + 1
    content = f"{TARGET}\n{number}\n{before.mac}\n{entry.id}\n{entry.text}".encode()
    return Seal(number, _id(key), hmac.digest(key, content, "sha256").hex())


def _id(key: bytes) -> str:
    return hashlib.sha256(b"mlflow-ops audit key id" + key).hexdigest()[:12] if key else NO_KEY


def _derived(key: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(key)
