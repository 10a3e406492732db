"""What was done since an incident was opened: read from the audit record each time, and kept nowhere else.

Of a change every moment is told, of a look, and of what the clock changes, its end; what the clock looks at, and
digests, are left out. A note's text and who took the incident are the outcomes of those commands. While it lasts, the
scheduler says in its thread what is new (`follow`).

    incident:<id>:told   the last entry of the audit record that was
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from workers import registry
from workers.operation import Risk
from workers.operations.audit.trail import ENDS
from workers.operations.incident import store
from workers.records import audit_log
from workers.records.keys import PREFIX
from workers.records.message import Message, draft
from workers.records.outbox import Outbox
from workers.records.requester import BY_CLOCK
from workers.records.store import RECORD_SECONDS, Records
from workers.rendering.blocks import at, paragraphs, plain, short, whom

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from redis import Redis

    from workers.operations.incident.store import Incident
    from workers.records.audit_log import Entry

_SILENT: Final = frozenset(
    {"digest", "incident-show", "incident-close", "jobs", "audit", "audit-verify", "audit-export", "dry-run"}
)
_BY_OUTCOME: Final = frozenset({"escalate", "incident-note", "incident-take"})
"""Commands whose outcome says all of it."""
_MOMENTS: Final = {"pending": "waits for approval", "approved": "approved", "started": "began"}
_OUTCOME_CHARACTERS: Final = 300
AT_ONCE: Final = 20


@dataclass(frozen=True)
class Line:
    """at: seconds since the epoch. by: who, as in a record; empty for a machine. entry: of the audit record.

    known: its command has said so in the incident's thread.
    """

    at: float
    what: str
    by: str = ""
    entry: str = ""
    known: bool = False


@dataclass(frozen=True)
class _Command:
    words: str
    requester: str
    operation: str
    end_only: bool


def lines(redis: Redis, incident: Incident) -> list[Line]:
    """From its beginning until now, oldest first. Raises redis.exceptions.RedisError."""
    called = f"; on call: {incident.on_call}" if incident.called else ""
    first = Line(incident.began_at, f"opened the incident: {incident.what}{called}", incident.by)
    entries = audit_log.entries(redis, after=incident.after)
    return [first, *told((each for each in entries if each.event.get("id") != incident.id), redis)]


def told(entries: Iterable[Entry], redis: Redis) -> Iterator[Line]:
    """A line for each moment that a person would want to read."""
    asked: dict[str, _Command | None] = {}
    for entry in entries:
        event = entry.event
        at, what, key = int(entry.id.partition("-")[0]) / 1000, str(event.get("what", "")), str(event.get("id", ""))
        if what == "asked":
            asked[key] = _command(key, event, redis)
        elif what in {audit_log.ALERT, audit_log.ALERT_RESOLVED}:
            yield Line(at, f"{what.replace('-', ' ')}: {event.get('text', '')}"[:_OUTCOME_CHARACTERS], entry=entry.id)
            continue
        elif key not in asked:
            asked[key] = _command(key, {}, redis)
        command = asked[key]
        if command is not None:
            yield from (replace(line, entry=entry.id) for line in _said(at, what, event, command))


def follow(redis: Redis) -> None:
    """Say in the thread of every open incident what is new since this was last called. For one process at a time."""
    for incident in store.all_open(redis):
        last, key = store.last_entry(redis), f"{PREFIX}incident:{incident.id}:told"
        raw: Any = redis.set(key, last, get=True, ex=RECORD_SECONDS)
        before = raw.decode() if raw else incident.after
        if before == last:
            continue
        fresh = [each for each in lines(redis, incident) if _after(each.entry, before) and not each.known]
        if fresh:
            Outbox(redis).push(incident.id, draft("reply", _message(fresh)))


def _after(entry: str, other: str) -> bool:
    return bool(entry) and _order(entry) > _order(other)


def _order(entry: str) -> tuple[int, int]:
    at, _, number = entry.partition("-")
    return int(at or 0), int(number or 0)


def _message(fresh: list[Line]) -> Message:
    said = [f"{at(each.at)} {plain(each.what)}{_by(each)}" for each in fresh[-AT_ONCE:]]
    if len(fresh) > AT_ONCE:
        said.insert(0, f"{len(fresh) - AT_ONCE} earlier moments, which the account will have")
    return Message(short("; ".join(each.what for each in fresh)), paragraphs("\n".join(said)))


def _by(line: Line) -> str:
    return f" ({', '.join(map(whom, line.by.split(', ')))})" if line.by else ""


def _command(key: str, event: dict[str, Any], redis: Redis) -> _Command | None:
    """The command of a moment; None where nobody wants to read of it."""
    record = Records(redis).get(key)
    words = str(event.get("words") or (record.words if record else ""))
    requester = str(event.get("requester") or (record.requester if record else ""))
    operation = (
        record.operation
        if record
        else "-".join(words.split()[:2] if words.startswith("incident") else words.split()[:1])
    )
    kind = registry.operations().get(operation)
    look, by_clock = kind is not None and kind.risk is Risk.READ, requester.startswith(BY_CLOCK)
    if not words or operation in _SILENT or (look and by_clock):
        return None
    return _Command(words, requester, operation, end_only=look or by_clock)


def _said(at: float, what: str, event: dict[str, Any], command: _Command) -> Iterator[Line]:
    said = f"/mlflow {command.words}"
    outcome = str(event.get("reason") or event.get("outcome") or "")[:_OUTCOME_CHARACTERS]
    if command.operation in _BY_OUTCOME:
        if what in ENDS:
            text = outcome if what == "done" else f"{said}: {what}: {outcome}"
            yield Line(at, text, command.requester, known=True)
    elif what in ENDS:
        by = ", ".join(event.get("decided_by") or ())
        yield Line(at, f"{said}: {what}{f': {outcome}' if outcome else ''}", by or command.requester)
    elif command.end_only:
        return
    elif what == "asked":
        urgent = f" (break-glass: {event['break_glass']})" if event.get("break_glass") else ""
        yield Line(at, f"{said}: asked for{urgent}", command.requester)
    elif what in _MOMENTS:
        by = ", ".join(event.get("decided_by") or ()) if what == "approved" else ""
        yield Line(at, f"{said}: {_MOMENTS[what]}", by)
