"""Slack's bad days, on demand: refusals, resets, slowness, absence, limits of calls per minute.

A rule names a method by pattern (`chat.*`, `response_url`, `files.upload`), a kind, and how often: a `count` of
hits, a `probability` drawn from a seeded generator so that a run can be repeated, or both. The first rule that
applies wins. The nasty kinds are `reset_after`, `error_after` and `latency_after`: the call took effect, and the
caller cannot know.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal, cast, get_args

from mlflow_ops_sandbox.slack.errors import InvalidArgumentsError, Json
from mlflow_ops_sandbox.slack.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["ratelimited", "error", "error_after", "reset_before", "reset_after", "latency", "latency_after", "hang"]
Absence = Literal["reset", "hang", "503"]
_SHORT = {"429": "ratelimited", "500": "error"}


@dataclass(slots=True)
class Rule:
    """One fault: what it applies to, what it does, how often. `skip` lets the first calls pass."""

    method: str
    kind: Kind
    remaining: int | None
    probability: float
    skip: int
    retry_after: int
    status: int
    seconds: float
    error: str
    html: bool
    seed: int
    name: str
    hits: int = 0
    chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Seed this rule's own generator."""
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable faults, no secrets

    def applies(self, method: str) -> bool:
        """Say whether this call is hit, and count it if so."""
        if self.remaining == 0 or not fnmatchcase(method, self.method):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.hits += 1
        if self.remaining is not None:
            self.remaining -= 1
        return True

    def as_json(self) -> Json:
        """Return the rule as the control endpoint shows it."""
        names = ("name", "method", "kind", "remaining", "probability", "hits", "seed")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The faults in force."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start without any."""
        self._clock = clock
        self._back = 0.0
        self.limits = Limits(clock)
        self.rules: list[Rule] = []
        self.absence: Absence = "reset"
        self.socket_mode_off = False
        self.redeliveries = 0
        self.swallowed_acknowledgements = 0
        self.cut_envelopes = 0

    @property
    def away(self) -> bool:
        """Whether Slack cannot be reached now."""
        return self._clock() < self._back

    def leave(self, seconds: float = math.inf, how: str = "reset") -> None:
        """Be away for some of Slack's seconds: connections are reset, hang, or are answered with 503."""
        if how not in get_args(Absence):
            raise InvalidArgumentsError(f"how: one of {', '.join(get_args(Absence))}")
        self.absence = cast("Absence", how)
        self._back = self._clock() + seconds

    def come_back(self) -> None:
        """Be there again."""
        self._back = 0.0

    def add(self, body: Json) -> Rule:
        """Add a rule from the control endpoint's JSON; raise SlackError where it makes no sense."""
        kind = _SHORT.get(str(body.get("kind")), body.get("kind"))
        if kind not in get_args(Kind):
            raise InvalidArgumentsError(f"kind: one of {', '.join(get_args(Kind))}")
        count = body.get("count", None if "probability" in body else 1)
        rule = Rule(
            method=str(body.get("method", "*")),
            kind=cast("Kind", kind),
            remaining=None if count is None else int(count),
            probability=float(body.get("probability", 1)),
            skip=int(body.get("skip", 0)),
            retry_after=int(body.get("retry_after", 1)),
            status=int(body.get("status", 500)),
            seconds=float(body.get("seconds", 1)),
            error=str(body.get("error", "internal_error")),
            html=bool(body.get("html")),
            seed=int(body.get("seed", 0)),
            name=str(body.get("name", "")),
        )
        self.rules.append(rule)
        return rule

    def remove(self, name: str) -> None:
        """Take away the rules with this name."""
        self.rules = [rule for rule in self.rules if rule.name != name]

    def clear(self) -> None:
        """Let everything work again."""
        self.rules.clear()
        self.limits.clear()
        self.come_back()
        self.socket_mode_off = False
        self.redeliveries = self.swallowed_acknowledgements = self.cut_envelopes = 0

    def strike(self, method: str) -> Rule | None:
        """Return the rule that hits this call, if one does."""
        return next((rule for rule in self.rules if rule.applies(method)), None)

    def as_json(self) -> Json:
        """Return what is in force, as the control endpoint shows it."""
        left = self._back - self._clock()
        return {
            "rules": [rule.as_json() for rule in self.rules],
            "away": self.away,
            "away_seconds": None if left <= 0 or math.isinf(left) else round(left, 1),
            "tiers": self.limits.on,
            "socket_mode_off": self.socket_mode_off,
            "redeliveries": self.redeliveries,
            "swallowed_acknowledgements": self.swallowed_acknowledgements,
            "cut_envelopes": self.cut_envelopes,
        }
