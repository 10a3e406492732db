"""Which health check and which commands fit an alert: by ops.yaml, by its rule's annotation, by words in its name.

An annotation is text from outside: of the commands that it may name only a health check is run by itself; anything else
becomes a button, for which whoever presses it needs the right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from commands import grammar
from workers.operation import Operation
from workers.operations.health import Health
from workers.report import Offer

if TYPE_CHECKING:
    from workers.settings import Ops

OFFERS: Final = 4
_PROGRAM: Final = "/mlflow "
_ABOUT: Final = {
    "backup": ("backup", "drill", "restore", "rpo"),
    "ingress": ("cert", "certificate", "tls", "ingress", "http"),
    "queues": ("queue", "queues", "worker", "workers"),
    "postgres": ("postgres", "postgresql", "pg", "database", "db", "sql", "connections"),
    "storage": ("minio", "s3", "bucket", "storage", "object", "artifacts", "disk", "volume", "filesystem"),
    "resources": ("memory", "cpu", "oom", "throttling", "resources", "killed"),
    "pods": ("pod", "pods", "crash", "looping", "container", "restarts", "restarting", "memory", "oom", "killed"),
    "deployment": ("deployment", "replicas", "rollout", "hpa"),
    "service": ("service", "endpoint", "endpoints"),
    "logs": ("log", "logs", "errors", "error"),
    "mlflow": ("latency", "slow", "down", "mlflow", "requests", "response"),
}
"""By a check: words in the names of alerts, as kube-prometheus and the exporters' own rules write them."""
_COMMANDS: Final = {
    "pods": (("See the logs", "logs show"), ("Restart …", "restart")),
    "deployment": (("See the rollout", "rollout"), ("Roll back …", "rollback")),
    "service": (("Look at the pods", "health pods"),),
    "ingress": (("See the certificate", "cert show"),),
    "resources": (("Draw the memory", "trend memory --days 7"), ("Restart …", "restart")),
    "postgres": (("See who is busy", "db activity"), ("See its size", "db size")),
    "storage": (("See what it takes", "storage"),),
    "mlflow": (("Draw the latency", "trend latency --days 7"), ("Restart …", "restart")),
    "logs": (("See the logs", "logs show"),),
    "queues": (("See the jobs", "jobs"),),
    "backup": (("Back up now", "backup"), ("List the backups", "backup list")),
}
_KNOWN: Final = {command: label for pairs in _COMMANDS.values() for label, command in pairs}
_WORDS: Final = re.compile(r"[A-Z]{2,}(?=[A-Z][a-z]|\b|_)|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_AT_MOST: Final = 3


@dataclass(frozen=True)
class Fit:
    """check: the health check that its thread begins with, as it would be typed; empty for none."""

    check: str
    offers: tuple[Offer, ...]


def fit(name: str, annotation: str, ops: Ops) -> Fit:
    """What fits an alert of that name. annotation: the command that its rule names."""
    named = _named(annotation)
    chosen = ops.alerts.checks.get(name)
    if chosen is not None:
        checks = list(chosen)
        check = " ".join(["health", *checks]) if checks else ""
    elif named is not None and isinstance(named[1], Health):
        checks, check = list(named[1].checks), named[0]
    else:
        checks = about(name)
        check = " ".join(["health", *checks])
    pairs = [(named[0], "Its rule names this command.")] if named and not isinstance(named[1], Health) else []
    pairs += [(command, "") for each in checks for _, command in _COMMANDS[each]]
    offers = {command: _offer(command, sentence) for command, sentence in reversed(pairs)}
    return Fit(check, tuple(offers[command] for command in dict(pairs))[:OFFERS])


def about(name: str) -> list[str]:
    """The checks that an alert's name speaks of; none where it speaks of nothing that we know."""
    words = {word.lower() for word in _WORDS.findall(name)}
    found = [check for check, signs in _ABOUT.items() if words.intersection(signs)]
    # "MLflow" and "down" stand in names of which another word says more; if none does, a pod that died may say why.
    return (["mlflow", "pods"] if found == ["mlflow"] else [each for each in found if each != "mlflow"])[:_AT_MOST]


def _named(annotation: str) -> tuple[str, Operation] | None:
    if not annotation.startswith(_PROGRAM):
        return None
    text = annotation.removeprefix(_PROGRAM).strip()
    try:
        request = grammar.parse(text)
    except grammar.UsageError:
        return None
    return (text, request) if isinstance(request, Operation) else None


def _offer(command: str, sentence: str) -> Offer:
    label = _KNOWN.get(command, f"/mlflow {command}")
    return Offer(sentence=sentence or f"/mlflow {command}", label=label, command=command)
