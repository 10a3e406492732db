"""Whether our own record explains what a set lost: a purge, a restore, that somebody asked for and others approved.

Trap this avoids: an explanation must not cover more than it did. A purge explains rows and artifacts, never a table or
an experiment; and only if no more runs are gone than it says that it removed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from workers.operations.backup.shrinking import ARTIFACTS, CONFIGURATION, EXPERIMENTS, ROWS, TABLES
from workers.records import audit_log
from workers.settings import SettingsError
from workers.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from workers.operations.audit.trail import AuditedCommand
    from workers.operations.backup.manifest import Manifest
    from workers.operations.backup.shrinking import Loss
    from workers.systems import Systems

GONE: Final = "are gone for good"
"""What a purge's first line says after the number of runs."""
PURGE: Final = "runs purge"
_DATABASE: Final = frozenset({TABLES, EXPERIMENTS, ROWS})
_EXPLAINS: Final = {
    PURGE: frozenset({ROWS, ARTIFACTS}),
    "restore database": _DATABASE,
    "restore undo": _DATABASE,
    "restore all": _DATABASE | {CONFIGURATION},
    "restore config": frozenset({CONFIGURATION}),
    "restore artifacts": frozenset({ARTIFACTS}),
    "recover": _DATABASE | {ARTIFACTS, CONFIGURATION},
}
_LONGEST_SECONDS: Final = 86_400
"""A command that changes something was asked for at most so long before it ended."""
_RUNS: Final = re.compile(rf"([\d,]+) runs? {GONE}")


def explanations(systems: Systems, before: Manifest, now: Manifest, losses: Iterable[Loss]) -> dict[Loss, str]:
    """For each loss that it explains, which command did it, by whom and when: of those between the two sets."""
    from workers.operations.audit.trail import commands_of

    wanted = list(losses)
    since, until = before.started_at.timestamp(), now.started_at.timestamp()
    try:
        entries = audit_log.entries(systems.redis, after=f"{int((since - _LONGEST_SECONDS) * 1000)}-0")
        known = [each for each in commands_of(entries).values() if _between(each, since, until)]
    except (RedisError, SettingsError):
        return {}
    found: dict[Loss, str] = {}
    for each in known:
        for loss in wanted:
            if loss.kind in _kinds(each) and (not each.words.startswith(PURGE) or _purged(known) >= _runs(before, now)):
                found[loss] = _told(each)
    return found


def _between(command: AuditedCommand, since: float, until: float) -> bool:
    return command.end == "done" and command.ended_at is not None and since <= command.ended_at <= until


def _kinds(command: AuditedCommand) -> frozenset[str]:
    words = command.words
    if "--dry-run" in words or " --as" in words or (words.startswith("restore artifacts") and "--exact" not in words):
        return frozenset()
    return next((kinds for start, kinds in _EXPLAINS.items() if words.startswith(start)), frozenset())


def _purged(known: list[AuditedCommand]) -> int:
    """How many runs purges say that they removed."""
    said = (_RUNS.match(each.outcome) for each in known if each.words.startswith(PURGE))
    return sum(int(found[1].replace(",", "")) for found in said if found)


def _runs(before: Manifest, now: Manifest) -> int:
    """How many runs fewer there are; 0 where the two cannot be compared."""
    if before.database is None or now.database is None:
        return 0
    return before.database.rows.get("runs", 0) - now.database.rows.get("runs", 0)


def _told(command: AuditedCommand) -> str:
    approved = f", approved by {', '.join(command.decided_by)}" if command.decided_by else ""
    approved = f", break-glass: {command.break_glass}" if command.break_glass else approved
    when = datetime.fromtimestamp(command.ended_at or command.asked_at, UTC)
    return f"{command.words} ({command.requester}{approved}, {moment(when)})"
