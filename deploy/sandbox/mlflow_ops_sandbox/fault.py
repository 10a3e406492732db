"""Trouble on purpose, as both stand-ins know it: what it hits, how often, and by which seed it can be repeated."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Fault(ABC):
    """One fault: the first `skip` pass, each of the others is hit with `probability`, `count` in all."""

    kind: str
    seconds: float = 1.0
    count: int | None = None
    """How many it hits before it is over; None is no end."""
    probability: float = 1.0
    skip: int = 0
    seed: int | None = None
    hits: int = 0
    chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Seed this fault's own generator."""
        self.chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose, no secrets

    @property
    def remaining(self) -> int | None:
        """How many it will still hit."""
        return None if self.count is None else max(self.count - self.hits, 0)

    @abstractmethod
    def matches(self, asked: str) -> bool:
        """Say whether what is asked for is of the kind that it hits."""

    def strikes(self, asked: str) -> bool:
        """Say whether it hits this one, and count it if so."""
        if self.remaining == 0 or not self.matches(asked):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        self.hits += 1
        return True
