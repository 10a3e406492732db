"""Redis: does it keep what it is told, over a restart and when it is full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workers.operations.health.questions import Answer, Question
from workers.report import Facts, Status

if TYPE_CHECKING:
    from workers.operations.health.questions import Asking
    from workers.settings import Settings

OLDEST = (6, 2)
"""BLMOVE, by which a dying worker's job is found again (https://redis.io/docs/latest/commands/blmove/)."""


def ask(asking: Asking) -> Answer:
    """Version, role, append-only file, eviction."""
    from workers.systems.redis import translated

    client = asking.systems.redis
    with translated(client):
        return judge(client.info("everything"))


def judge(told: dict[str, Any]) -> Answer:
    """From Redis' INFO."""
    version = str(told.get("redis_version", "0"))
    name = f"Valkey {told['valkey_version']}" if told.get("valkey_version") else f"Redis {version}"
    policy = str(told.get("maxmemory_policy", "unknown"))
    kept = bool(told.get("aof_enabled"))
    facts = Facts(items=(("version", name), ("append-only file", "on" if kept else "off"), ("eviction", policy)))
    status, sentence = Status.OK, "Redis keeps what it is told, and evicts nothing."
    if int(told.get("cluster_enabled", 0)):
        status, sentence = (
            Status.FAIL,
            "Redis is a Cluster: one step of ours writes keys of several slots. Use a single one, or Sentinel.",
        )
    elif told.get("role") == "slave":
        status, sentence = Status.FAIL, "Redis is a replica and takes no writes. Point REDIS_URL at the primary."
    elif tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        status, sentence = Status.FAIL, f"Redis {version} is too old: it must be 6.2 or newer."
    elif not kept:
        status, sentence = (
            Status.FAIL,
            "Redis keeps no append-only file: a restart loses commands. Set appendonly yes.",
        )
    elif policy not in {"noeviction", "unknown"}:
        status, sentence = (
            Status.FAIL,
            f"Redis evicts keys when it is full: set maxmemory-policy noeviction, not {policy}.",
        )
    return Answer(status, sentence, version, (facts,), own_fault=True)


def _look(settings: Settings) -> str:  # noqa: ARG001 - nothing in it is configured
    return 'redis-cli -u "$REDIS_URL" info persistence'


QUESTION = Question("redis", "Redis", "Redis", ask, _look)
