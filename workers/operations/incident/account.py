"""An incident as a Markdown document: what it was, who was called, and everything that was done until it was over."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from workers.operations.history.store import History
from workers.records.requester import BY_CLOCK, BY_TERMINAL
from workers.redaction import UNSEEN
from workers.report import Attachment
from workers.wording import NOTHING, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis import Redis

    from workers.operations.incident.store import Incident
    from workers.operations.incident.timeline import Line
    from workers.settings import Ops

ROWS: Final = 2000
_NEAR: Final = timedelta(minutes=10)
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown_file(  # noqa: PLR0913 - what it was, until when, by whom, and in whose time
    incident: Incident, lines: Sequence[Line], redis: Redis, ops: Ops, *, now: datetime, closed_by: str, outcome: str
) -> Attachment:
    """The document. closed_by: as in a record; outcome: what it was, as somebody says, or nothing."""
    began = datetime.fromtimestamp(incident.began_at, ops.zone)
    ended = now.astimezone(ops.zone)
    facts = (
        ("Opened", f"{began:%a %d %b %Y %H:%M:%S %Z} by {person(incident.by)}"),
        ("On call", f"{incident.on_call} ({', '.join(incident.called)})" if incident.called else "nobody in ops.yaml"),
        ("Closed", f"{ended:%a %d %b %Y %H:%M:%S %Z} by {person(closed_by)}"),
        ("Lasted", duration((now - began).total_seconds())),
        ("What it was", outcome or "nobody said"),
        ("Id", incident.id),
    )
    kept, left = lines[:ROWS], max(0, len(lines) - ROWS)
    rows = [
        (
            f"{datetime.fromtimestamp(line.at, ops.zone):%d %b %H:%M:%S}",
            person(line.by) if line.by else NOTHING,
            line.what,
        )
        for line in kept
    ]
    parts = [
        f"# Incident: {plain(incident.what)}",
        "\n".join(f"- **{name}**: {plain(value)}" for name, value in facts),
        "## Timeline",
        f"Times are those of {ops.time_zone}.",
        _table(("Time", "Who", "What"), rows),
    ]
    if left:
        parts.append(f"And {left} more: see the audit record.")
    before = _health(redis, began.astimezone(UTC))
    if before:
        parts += ["## Health when it was opened", _table(("Check", "Verdict"), before)]
    name = f"incident-{began:%Y-%m-%d-%H%M}-{incident.id}.md"
    return Attachment(filename=name, content="\n\n".join(parts) + "\n")


def person(who: str) -> str:
    """Who it was, as text: a file shows no mention."""
    if who.startswith(BY_CLOCK):
        return f"the schedule {who.removeprefix(BY_CLOCK)}"
    if who.startswith(BY_TERMINAL):
        return f"{who.removeprefix(BY_TERMINAL)} in a terminal"
    return who


def plain(text: str) -> str:
    """Text from outside on one line of Markdown, where it formats nothing and ends no cell."""
    return _MARKUP.sub(r"\\\1", " ".join(text.translate(UNSEEN).split()))


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *(tuple(map(plain, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _health(redis: Redis, at: datetime) -> list[tuple[str, ...]]:
    """What the health check said at about that time."""
    made = History(redis).near(at, _NEAR)
    return list(made.verdicts.items()) if made else []
