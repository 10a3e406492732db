"""Our own queues: is Redis there and does it keep what it is told, and does anybody work.

Read with plain commands: RQ's registries clean up when they are counted, which starts callbacks, and a check must not
change what it looks at.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status, Table
from workers.wording import NOTHING, count, duration, milliseconds, size

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

    from workers.operations.health.questions import Asking
    from workers.settings import Settings

DAY_SECONDS: Final = 86400


@dataclass(frozen=True)
class QueueState:
    """One queue. oldest_seconds: the age of the job that waits longest; None where none waits."""

    name: str
    waiting: int
    oldest_seconds: float | None
    workers: int
    failed_today: int


@dataclass(frozen=True)
class RedisState:
    """Redis itself. append_only: None where it does not tell (hosted ones may not)."""

    address: str
    round_trip_seconds: float
    used_bytes: float
    append_only: bool | None
    last_write_ok: bool


def ask(asking: Asking) -> Answer:
    """Redis, then each queue."""
    from workers.systems.redis import address_of, translated

    client = asking.systems.redis
    with translated(client):
        return judge(*_read(client, address_of(client), asking.now), asking.settings)


def judge(redis: RedisState, queues: Sequence[QueueState], settings: Settings) -> Answer:
    """From Redis' state and that of each queue."""
    waiting = sum(queue.waiting for queue in queues)
    oldest = max((queue.oldest_seconds or 0.0 for queue in queues), default=0.0)
    status, sentence = _verdict(redis, queues, settings)
    columns = ("queue", "waiting", "oldest", "workers", "failed in a day")
    rows = tuple(
        (
            queue.name,
            str(queue.waiting),
            NOTHING if queue.oldest_seconds is None else duration(queue.oldest_seconds),
            str(queue.workers),
            str(queue.failed_today),
        )
        for queue in queues
    )
    kept = {True: "on", False: "off", None: "not told"}[redis.append_only]
    facts = (
        ("address", redis.address),
        ("one round trip", milliseconds(redis.round_trip_seconds)),
        ("memory", size(redis.used_bytes)),
        ("append-only file", kept),
    )
    return Answer(
        status,
        sentence,
        figure=f"{waiting} waiting, {count(sum(queue.workers for queue in queues), 'worker')}",
        details=(Facts(items=facts), Table(columns=columns, rows=rows, numeric=columns[1:])),
        figures={
            "latency_seconds": redis.round_trip_seconds,
            "used_bytes": redis.used_bytes,
            "waiting": waiting,
            "oldest_waiting_seconds": oldest,
            "workers": sum(queue.workers for queue in queues),
            "failed_today": sum(queue.failed_today for queue in queues),
        },
    )


def _verdict(  # noqa: PLR0911 - one line per finding, worst first
    redis: RedisState, queues: Sequence[QueueState], settings: Settings
) -> tuple[Status, str]:
    idle = [queue for queue in queues if queue.workers == 0]
    stuck = [queue for queue in idle if queue.waiting]
    if stuck:
        return Status.FAIL, f"{count(stuck[0].waiting, 'job', 'wait')} on {stuck[0].name} and no worker serves it."
    if not redis.last_write_ok:
        return Status.FAIL, f"Redis at {redis.address} cannot write its append-only file: its disk may be full."
    if idle:
        return Status.WARN, f"No worker serves {' and '.join(queue.name for queue in idle)}."
    slow = [
        queue
        for queue in queues
        if (queue.oldest_seconds or 0) >= settings.ops.health.thresholds.queue_age_warn_seconds
    ]
    if slow:
        return Status.WARN, f"A job on {slow[0].name} has waited for {duration(slow[0].oldest_seconds or 0)}."
    if redis.append_only is False:
        return Status.WARN, "Redis keeps no append-only file: what waits and who approved what is lost if it restarts."
    failed = sum(queue.failed_today for queue in queues)
    if failed:
        return Status.WARN, f"{count(failed, 'job')} failed within a day."
    workers = sum(queue.workers for queue in queues)
    return Status.OK, f"{count(workers, 'worker')} on {count(len(queues), 'queue')}; nothing waits long."


def _read(client: Redis, address: str, now: datetime) -> tuple[RedisState, list[QueueState]]:
    from workers.engine.queues import QUEUES, queue

    client.ping()
    began = time.perf_counter()
    client.ping()
    round_trip = time.perf_counter() - began
    info: dict[str, Any] = {**client.info("memory"), **client.info("persistence")}
    state = RedisState(
        address=address,
        round_trip_seconds=round_trip,
        used_bytes=float(info.get("used_memory", 0)),
        append_only=bool(info["aof_enabled"]) if "aof_enabled" in info else None,
        last_write_ok=info.get("aof_last_write_status", "ok") == "ok",
    )
    return state, [_queue(queue(name, client), client, now) for name in QUEUES]


def _queue(queue: Queue, client: Redis, now: datetime) -> QueueState:
    from rq.registry import FailedJobRegistry
    from rq.worker_registration import get_keys

    from workers.engine.queues import FAILURE_SECONDS

    # Jobs are taken from the left; a failed one is remembered until FAILURE_SECONDS after it failed.
    first = client.lindex(queue.key, 0)
    since = now.timestamp() + FAILURE_SECONDS - DAY_SECONDS
    alive = [key for key in get_keys(queue=queue) if client.exists(key)]
    return QueueState(
        name=queue.name,
        waiting=int(client.llen(queue.key)),
        oldest_seconds=_age(as_text(first), queue, client, now) if first else None,
        workers=len(alive),
        failed_today=int(client.zcount(FailedJobRegistry(queue=queue).key, since, "+inf")),
    )


def _age(job: str, queue: Queue, client: Redis, now: datetime) -> float:
    raw = client.hget(queue.job_class.key_for(job), "enqueued_at")
    if not raw:
        return 0.0
    at = datetime.fromisoformat(as_text(raw))
    return max(0.0, (now - (at if at.tzinfo else at.replace(tzinfo=UTC))).total_seconds())


def as_text(raw: bytes | str) -> str:
    """What Redis gave, as text, however its client was set up."""
    return raw if isinstance(raw, str) else raw.decode("utf-8", "replace")


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'rq info --url "$REDIS_URL" quick ops'


QUESTION = Question("queues", "Queues", "Redis", ask, _look, command="jobs")
