"""What was done since an incident was opened: read from the audit record each time, and kept nowhere else.

Of a change every moment is told, of a look its end; what the clock looks at, and digests, are left out. A note's text
and who took the incident are the outcomes of those commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers import audit, registry
from workers.auditing import ENDS
from workers.operation import Risk
from workers.render import BY_CLOCK
from workers.state import Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from workers.audit import Entry
    from workers.incident.keeping import Incident

_SILENT: Final = frozenset({"digest", "incident-show", "incident-close", "jobs", "audit", "dry-run"})
_BY_OUTCOME: Final = frozenset({"escalate", "incident-note", "incident-take"})
"""Commands whose outcome says all of it."""
_MOMENTS: Final = {"pending": "waits for approval", "approved": "approved", "started": "began"}
_OUTCOME_CHARACTERS: Final = 300


@dataclass(frozen=True)
class Line:
    """at: seconds since the epoch. by: who, as in a record; empty for a machine."""

    at: float
    what: str
    by: str = ""


@dataclass(frozen=True)
class _Command:
    words: str
    requester: str
    operation: str
    look: bool


def lines(redis: Redis, incident: Incident) -> list[Line]:
    """From its beginning until now, oldest first. Raises redis.exceptions.RedisError."""
    called = f"; on call: {incident.on_call}" if incident.called else ""
    first = Line(incident.began_at, f"opened the incident: {incident.what}{called}", incident.by)
    entries = audit.entries(redis, after=incident.after)
    return [first, *told((each for each in entries if each.event.get("id") != incident.id), redis)]


def told(entries: Iterable[Entry], redis: Redis) -> Iterator[Line]:
    """A line for each moment that a person would want to read."""
    asked: dict[str, _Command | None] = {}
    for entry in entries:
        event = entry.event
        at, what, key = int(entry.id.partition("-")[0]) / 1000, str(event.get("what", "")), str(event.get("id", ""))
        if what == "asked":
            asked[key] = _command(key, event, redis)
        elif what in {"alert", "alert-resolved"}:
            yield Line(at, f"{what.replace('-', ' ')}: {event.get('text', '')}"[:_OUTCOME_CHARACTERS])
            continue
        elif key not in asked:
            asked[key] = _command(key, {}, redis)
        command = asked[key]
        if command is not None:
            yield from _said(at, what, event, command)


def _command(key: str, event: dict[str, Any], redis: Redis) -> _Command | None:
    """The command of a moment; None where nobody wants to read of it."""
    record = Records(redis).get(key)
    words = str(event.get("words") or (record.words if record else ""))
    requester = str(event.get("requester") or (record.requester if record else ""))
    # What is asked for in a terminal leaves no record.
    operation = (
        record.operation
        if record
        else "-".join(words.split()[:2] if words.startswith("incident") else words.split()[:1])
    )
    kind = registry.operations().get(operation)
    look = kind is not None and kind.risk is Risk.READ
    if not words or operation in _SILENT or (look and requester.startswith(BY_CLOCK)):
        return None
    return _Command(words, requester, operation, look)


def _said(at: float, what: str, event: dict[str, Any], command: _Command) -> Iterator[Line]:
    said = f"/mlflow {command.words}"
    outcome = str(event.get("reason") or event.get("outcome") or "")[:_OUTCOME_CHARACTERS]
    if command.operation in _BY_OUTCOME:
        if what in ENDS:
            yield Line(at, outcome if what == "done" else f"{said}: {what}: {outcome}", command.requester)
    elif what in ENDS:
        by = ", ".join(event.get("decided_by") or ())
        yield Line(at, f"{said}: {what}{f': {outcome}' if outcome else ''}", by or command.requester)
    elif command.look:
        return
    elif what == "asked":
        urgent = f" (break-glass: {event['break_glass']})" if event.get("break_glass") else ""
        yield Line(at, f"{said}: asked for{urgent}", command.requester)
    elif what in _MOMENTS:
        by = ", ".join(event.get("decided_by") or ()) if what == "approved" else ""
        yield Line(at, f"{said}: {_MOMENTS[what]}", by)
