"""Who asked for what, who decided, what came of it: the moments of every command, oldest first.

    audit   stream: one JSON object per moment

Moments are written by the scripts that make them happen (`NOTE` in Lua), so none is missing. Whoever owns Redis could
change them, so a worker seals each within seconds (`audit_seals`), and they are exported from here (operations/audit).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

STREAM: Final = PREFIX + "audit"
PAGE: Final = 500

ALERT: Final = "alert"
ALERT_RESOLVED: Final = "alert-resolved"
"""Moments of an alert, not of a command: its group as `id`, and `text`."""
SET_BACK: Final = "audit-set-back"
"""A moment of the record itself: a worker saw that what it had sealed is gone, or another. `text` says which."""
NO_COMMAND: Final = frozenset({ALERT, ALERT_RESOLVED, SET_BACK})

NOTE: Final = f"""
local function note(text) redis.call('XADD', '{STREAM}', '*', 'e', text) end
"""


@dataclass(frozen=True)
class Entry:
    """One moment. text: its JSON as it stands; event: the same, read."""

    id: str
    text: str

    @property
    def event(self) -> dict[str, Any]:
        """Empty where the text is not JSON of ours."""
        try:
            event = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return event if isinstance(event, dict) else {}

    @property
    def at(self) -> float:
        """When it was written, seconds since the epoch, by Redis' clock."""
        return order(self.id)[0] / 1000


def order(entry_id: str) -> tuple[int, int]:
    """What sorts entries' ids; those of no entry come first."""
    at, _, number = entry_id.partition("-")
    return int(at) if at.isdigit() else 0, int(number) if number.isdigit() else 0


def note(redis: Redis, moment: str) -> None:
    """Write a moment that no script writes: of a command that was carried out from a terminal."""
    redis.xadd(STREAM, {"e": moment})


def entries(redis: Redis, *, after: str = "-") -> Iterator[Entry]:
    """All entries, oldest first; after: the id of one before them."""
    for entry_id, fields in pages(redis, STREAM, after=after):
        yield Entry(entry_id, fields.get(b"e", b"").decode("utf-8", "replace"))


def pages(redis: Redis, stream: str, *, after: str = "-") -> Iterator[tuple[str, dict[bytes, bytes]]]:
    """A stream's entries in order, asked for page by page."""
    start = after if after == "-" else f"({after}"
    while True:
        page: Any = redis.xrange(stream, min=start, count=PAGE)
        for raw_id, fields in page:
            yield raw_id.decode(), fields
        if len(page) < PAGE:
            return
        start = f"({page[-1][0].decode()}"
