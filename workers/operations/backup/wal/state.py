"""What the process that keeps the WAL says of itself, in Redis: `wal:state`, JSON, and when it said so.

Only a remark, for Prometheus, which asks every few seconds: whether the WAL is kept is looked at in the bucket and at
the server. What it said last stays for a week, so that its silence is seen.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

    from workers.operations.backup.wal.receiving import State

KEY: Final = f"{PREFIX}wal:state"
SILENT_SECONDS: Final = 60
"""It says something about every second; after this long it is not there."""
_KEPT_SECONDS: Final = 7 * 86_400


def note(redis: Redis, state: State) -> None:
    """Say how it is now. What could be brought back last is still there where nothing new is known of it."""
    point_at = state.point_at or read(redis).get("point_at", 0.0)
    redis.set(KEY, json.dumps(asdict(state) | {"point_at": point_at, "at": time.time()}), ex=_KEPT_SECONDS)


def read(redis: Redis) -> dict[str, Any]:
    """What it has said last, `at` when; nothing where it never did."""
    raw: Any = redis.get(KEY)
    told = json.loads(raw) if raw else {}
    return told if isinstance(told, dict) else {}
