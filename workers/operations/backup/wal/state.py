"""What the process that keeps the WAL says of itself, in Redis: `wal:state`, JSON, for as long as it says it.

Only a remark: whether the WAL is kept is looked at in the bucket and at the server.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

    from workers.operations.backup.wal.receiving import State

KEY: Final = f"{PREFIX}wal:state"
SECONDS: Final = 60


def note(redis: Redis, state: State) -> None:
    """Say how it is now."""
    redis.set(KEY, json.dumps(asdict(state)), ex=SECONDS)


def read(redis: Redis) -> dict[str, Any]:
    """What it has said within the last minute; nothing where it was silent."""
    raw: Any = redis.get(KEY)
    told = json.loads(raw) if raw else {}
    return told if isinstance(told, dict) else {}
