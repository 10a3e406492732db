"""Backups in a few words: how old the last one is against what is allowed, and whether anybody has ever tried one.

A drill leaves its result in Redis (`mlflow-ops:drill`, JSON: ended_at in epoch seconds, ok, rto_seconds), so that the
digest need not search for it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from workers.health.amounts import duration
from workers.outbox import PREFIX

if TYPE_CHECKING:
    from redis import Redis

    from workers.operation import Check
    from workers.settings import Settings

DRILL: Final = PREFIX + "drill"


def last(checks: tuple[Check, ...], settings: Settings) -> str:
    """The last good set's age against the recovery point; what the check says where there is none."""
    check = next((each for each in checks if each.name == "backup"), None)
    if check is None:
        return "not looked at"
    age = check.figures.get("age_seconds")
    if age is None:
        return check.sentence.rstrip(".")
    allowed = settings.ops.health.thresholds.backup_age_fail_seconds
    return f"last backup {duration(age)} old ({duration(allowed)} allowed)"


def drill(redis: Redis) -> str:
    """The last drill and the recovery time that it measured."""
    raw: Any = redis.get(DRILL)
    if not raw:
        return "no restore drill yet"
    known = json.loads(raw)
    ago = duration(max(0.0, time.time() - float(known["ended_at"])))
    if not known.get("ok"):
        return f"the last restore drill, {ago} ago, failed"
    return f"last restore drill {ago} ago, restored in {duration(float(known['rto_seconds']))}"
