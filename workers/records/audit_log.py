"""Who asked for what, who decided, what came of it: append-only, and an edit shows.

    audit         stream: one JSON object per moment of a command
    audit:seals   hash: entry id → SHA-256 over the seal before, the entry's id and its text

Moments are written by the scripts that make them happen (`NOTE` in Lua), so none is missing; the scheduler seals them
within seconds, one after the other, each seal over the one before. Whoever edits, removes or inserts an entry later
would have to make all seals after it anew, and the last one is told in every export.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

STREAM: Final = PREFIX + "audit"
SEALS: Final = STREAM + ":seals"
_LAST: Final = STREAM + ":last"
PAGE: Final = 500

ALERT: Final = "alert"
ALERT_RESOLVED: Final = "alert-resolved"
"""Moments of an alert, not of a command: its group as `id`, and `text`."""

NOTE: Final = f"""
local function note(text) redis.call('XADD', '{STREAM}', '*', 'e', text) end
"""


@dataclass(frozen=True)
class Entry:
    """One moment. text: its JSON as it stands; event: the same, read."""

    id: str
    text: str
    event: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What a verification found. broken: the id of the first entry that is not as it was sealed, and how."""

    entries: int
    sealed: int
    last_seal: str
    broken: str = ""


def note(redis: Redis, moment: str) -> None:
    """Write a moment that no script writes: of a command that was carried out from a terminal."""
    redis.xadd(STREAM, {"e": moment})


def entries(redis: Redis, *, after: str = "-") -> Iterator[Entry]:
    """All entries, oldest first."""
    start = after if after == "-" else f"({after}"
    while True:
        page: Any = redis.xrange(STREAM, min=start, count=PAGE)
        for raw_id, fields in page:
            text = fields.get(b"e", b"").decode("utf-8", "replace")
            try:
                event = json.loads(text)
            except ValueError:
                event = {}
            yield Entry(raw_id.decode(), text, event if isinstance(event, dict) else {})
        if len(page) < PAGE:
            return
        start = f"({page[-1][0].decode()}"


def lines(redis: Redis) -> Iterator[str]:
    """The record as JSON Lines, oldest first: each moment with its id and, where it is sealed, its seal."""
    raw: Any = redis.hgetall(SEALS)
    seals = {key.decode(): value.decode() for key, value in raw.items()}
    for entry in entries(redis):
        line = {"entry": entry.id, "seal": seals.get(entry.id, ""), "text": entry.text}
        yield json.dumps(line, ensure_ascii=False)


def seal(redis: Redis) -> int:
    """Seal what is new; how many. For one process at a time (the scheduler's seat)."""
    raw: Any = redis.get(_LAST)
    last_id, _, last_seal = raw.decode().partition(" ") if raw else ("-", "", "")
    sealed = 0
    for entry in entries(redis, after=last_id):
        last_seal = _over(last_seal, entry)
        pipe = redis.pipeline(transaction=True)
        pipe.hset(SEALS, entry.id, last_seal)
        pipe.set(_LAST, f"{entry.id} {last_seal}")
        pipe.execute()
        sealed += 1
    return sealed


def verify(redis: Redis) -> Verdict:
    """Make every seal anew and compare."""
    # Read first: what is sealed meanwhile comes after it.
    known: Any = redis.get(_LAST)
    final = known.decode().partition(" ")[2] if known else ""
    raw: Any = redis.hgetall(SEALS)
    seals = {key.decode(): value.decode() for key, value in raw.items()}
    before, count, sealed, met = "", 0, 0, not final
    for entry in entries(redis):
        count += 1
        told = seals.pop(entry.id, None)
        if told is None:
            if seals:
                return Verdict(count, sealed, before, f"{entry.id} was inserted")
            continue
        expected = _over(before, entry)
        if told != expected:
            return Verdict(count, sealed, before, f"{entry.id} was changed, or one before it was removed")
        before, sealed, met = expected, sealed + 1, met or expected == final
    if seals:
        return Verdict(count, sealed, before, f"{min(seals)} was removed")
    if not met:
        return Verdict(count, sealed, before, "the last entries were removed together with their seals")
    return Verdict(count, sealed, before)


def _over(before: str, entry: Entry) -> str:
    return hashlib.sha256(f"{before}\n{entry.id}\n{entry.text}".encode()).hexdigest()
