"""Which lines somebody wants to see: from a level up, and with an expression in them."""

from __future__ import annotations

from dataclasses import dataclass

from workers.operations.choices import Level
from workers.operations.logs.levels import rank, rank_of
from workers.operations.logs.pattern import Pattern


@dataclass(frozen=True)
class LineFilter:
    """grep: a regular expression; level: the least severe. Empty: all."""

    grep: str = ""
    level: Level = ""

    @property
    def everything(self) -> bool:
        """True where nothing is left out."""
        return not self.grep and not self.level

    @property
    def said(self) -> str:
        """As it is told: “from warning up, with x in them”; empty for all."""
        parts = ([f"from {self.level} up"] if self.level else []) + ([f"with “{self.grep}”"] if self.grep else [])
        return " and ".join(parts)

    def sieve(self, pattern: Pattern | None) -> Sieve:
        """For the lines of one container, in their order."""
        return Sieve(pattern, rank(self.level) if self.level else 0)


class Sieve:
    """Judges the lines of one container one after the other: what bears no level has that of the line before it."""

    def __init__(self, pattern: Pattern | None, least: int) -> None:
        self._pattern = pattern
        self._least = least
        self._last = rank("info")

    def passes(self, text: str) -> bool:
        """True for what is wanted. Raises OperatorError where the expression takes too long."""
        if self._least:
            found = rank_of(text)
            self._last = self._last if found is None else found
            if self._last < self._least:
                return False
        return self._pattern is None or self._pattern.found(text)
