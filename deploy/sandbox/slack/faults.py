"""Slack's bad days, on demand: refusals, resets, slowness, absence, limits of calls per minute.

A rule names a method by pattern (`chat.*`, `response_url`, `files.upload`), a kind, and how often:
a `count` of hits or a `probability` drawn from a seeded generator, so that a run can be repeated. The
first rule that applies wins. `reset_after` is the nasty one: the call took effect and the caller cannot
know.
"""

from __future__ import annotations

import random
import socket
import struct
from collections import defaultdict, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, cast, get_args

from .errors import InvalidArgumentsError, Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

Kind = Literal["ratelimited", "error", "reset_before", "reset_after", "latency"]
MINUTE = 60.0
# Calls a minute, by tier; Slack, apis/web-api/rate-limits. Posting is counted by channel.
TIERS = {"1": 1, "2": 20, "3": 50, "4": 100, "post": 60, "none": 1_000_000}


@dataclass(slots=True)
class Rule:
    """One fault: what it applies to, what it does, how often."""

    method: str
    kind: Kind
    remaining: int | None
    probability: float
    retry_after: int
    status: int
    seconds: float
    error: str
    seed: int
    hits: int = 0
    chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Seed this rule's own generator."""
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable faults, no secrets

    def applies(self, method: str) -> bool:
        """Say whether this call is hit, and count it if so."""
        if self.remaining == 0 or not fnmatchcase(method, self.method):
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.hits += 1
        if self.remaining is not None:
            self.remaining -= 1
        return True

    def as_json(self) -> Json:
        """Return the rule as the control endpoint shows it."""
        return {
            "method": self.method,
            "kind": self.kind,
            "remaining": self.remaining,
            "probability": self.probability,
            "hits": self.hits,
            "seed": self.seed,
        }


class Faults:
    """The faults in force."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without any."""
        self._clock = clock
        self._windows: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self.rules: list[Rule] = []
        self.away = False
        self.tiers = False
        self.redeliveries = 0
        self.swallowed_acknowledgements = 0

    def add(self, body: Json) -> Rule:
        """Add a rule from the control endpoint's JSON; raise SlackError where it makes no sense."""
        kind = body.get("kind")
        if kind == "429":
            kind = "ratelimited"
        if kind == "500":
            kind = "error"
        if kind not in get_args(Kind):
            raise InvalidArgumentsError(f"kind: one of {', '.join(get_args(Kind))}")
        count = body.get("count", None if "probability" in body else 1)
        rule = Rule(
            method=str(body.get("method", "*")),
            kind=cast("Kind", kind),
            remaining=None if count is None else int(count),
            probability=float(body.get("probability", 1)),
            retry_after=int(body.get("retry_after", 1)),
            status=int(body.get("status", 500)),
            seconds=float(body.get("seconds", 1)),
            error=str(body.get("error", "internal_error")),
            seed=int(body.get("seed", 0)),
        )
        self.rules.append(rule)
        return rule

    def clear(self) -> None:
        """Let everything work again."""
        self.rules.clear()
        self._windows.clear()
        self.away = self.tiers = False
        self.redeliveries = self.swallowed_acknowledgements = 0

    def strike(self, method: str) -> Rule | None:
        """Return the rule that hits this call, if one does."""
        return next((rule for rule in self.rules if rule.applies(method)), None)

    def over_limit(self, method: str, tier: str, detail: str = "") -> int | None:
        """Count a call against its tier; return the seconds to wait where it was one too many."""
        if not self.tiers:
            return None
        now, allowed = self._clock(), TIERS[tier]
        window = self._windows[method, detail]
        while window and window[0] <= now - MINUTE:
            window.popleft()
        if len(window) >= allowed:
            return max(1, int(window[0] + MINUTE - now) + 1)
        window.append(now)
        return None

    def as_json(self) -> Json:
        """Return what is in force, as the control endpoint shows it."""
        return {
            "rules": [rule.as_json() for rule in self.rules],
            "away": self.away,
            "tiers": self.tiers,
            "redeliveries": self.redeliveries,
            "swallowed_acknowledgements": self.swallowed_acknowledgements,
        }


def cut(request: web.Request, *, silently: bool = False) -> None:
    """Cut a connection: with a reset, or silently, as when the other end just stops.

    slack_sdk's Socket Mode client notices a reset at its next look (its ping interval, 10 s), but a
    silent end only after five failed pings.
    """
    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None and not silently:
        # Lingering for no time makes the kernel send RST rather than FIN.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
