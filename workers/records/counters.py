"""What was done, counted in Redis: a work-horse ends with its command, so its memory is no place for a counter.

Hashes of whole numbers and seconds, which only grow, as Prometheus wants its counters
(https://prometheus.io/docs/concepts/metric_types/#counter).
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

from workers.records.keys import PREFIX

if TYPE_CHECKING:
    from redis import Redis

ENDED: Final = PREFIX + "count:operations"
SECONDS: Final = PREFIX + "count:operation-seconds"
SLACK: Final = PREFIX + "count:slack"
TOOK: Final = PREFIX + "count:took:"
"""And for each operation, how long the latest that went well took, in seconds."""
_LATEST: Final = 20
_BETWEEN: Final = "|"


def ended(redis: Redis, operation: str, outcome: str, seconds: float) -> None:
    """An operation has ended. Raises redis.exceptions.RedisError."""
    pipe = redis.pipeline(transaction=False)
    pipe.hincrby(ENDED, f"{operation}{_BETWEEN}{outcome}", 1)
    pipe.hincrbyfloat(SECONDS, operation, round(max(0.0, seconds), 3))
    if outcome == "done":
        pipe.lpush(TOOK + operation, round(max(0.0, seconds), 3))
        pipe.ltrim(TOOK + operation, 0, _LATEST - 1)
    pipe.execute()


def usual_seconds(redis: Redis, operation: str) -> float | None:
    """How long an operation takes as a rule; None where none has gone well yet. Raises redis.exceptions.RedisError."""
    latest: Any = redis.lrange(TOOK + operation, 0, -1)
    return statistics.median(map(float, latest)) if latest else None


def slack_called(redis: Redis, kind: str, result: str) -> None:
    """Slack was asked to show something. Raises redis.exceptions.RedisError."""
    redis.hincrby(SLACK, f"{kind}{_BETWEEN}{result}", 1)


def read(redis: Redis, key: str) -> dict[tuple[str, ...], float]:
    """One of these hashes: its values by the parts of their names. Raises redis.exceptions.RedisError."""
    raw: Any = redis.hgetall(key)
    return {tuple(name.decode().split(_BETWEEN)): float(value) for name, value in raw.items()}
