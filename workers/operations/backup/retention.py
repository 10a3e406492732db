"""Which sets are kept: the newest of each of the last so many hours, days, weeks and months that have one.

Judged for each part by itself: a set of the configuration alone takes nothing from the place of a whole one. The
newest good set of each part stays whatever the figures are, and so does the newest that did not shrink. Only sets that
are good are judged; periods are counted in UTC, and those without a set are not counted, so a week without backups
costs none of the older ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.settings import Retention


@dataclass(frozen=True)
class Dated:
    """A good set: its name, when it was made, and what it holds. shrank: it lost something that nobody accepted."""

    name: str
    made: datetime
    parts: tuple[str, ...]
    shrank: bool = False


_PERIODS: Final[tuple[tuple[str, Callable[[datetime], object]], ...]] = (
    ("hourly", lambda made: (made.date(), made.hour)),
    ("daily", lambda made: made.date()),
    ("weekly", lambda made: tuple(made.isocalendar())[:2]),
    ("monthly", lambda made: (made.year, made.month)),
)


def kept(sets: Iterable[Dated], wanted: Retention) -> dict[str, str]:
    """The names of the sets to keep, each with the reason ("hourly", "the newest")."""
    newest_first = sorted(sets, key=lambda each: each.name, reverse=True)
    reasons: dict[str, str] = {}
    for part in sorted({part for each in newest_first for part in each.parts}):
        with_it = [each for each in newest_first if part in each.parts]
        reasons.setdefault(with_it[0].name, "the newest")
        whole = next((each for each in with_it if not each.shrank), with_it[0])
        if whole is not with_it[0]:
            reasons.setdefault(whole.name, "the last before something was lost")
        for period, of in _PERIODS:
            seen: set[object] = set()
            for each in with_it:
                if len(seen) == getattr(wanted, period):
                    break
                if of(each.made) not in seen:
                    seen.add(of(each.made))
                    reasons.setdefault(each.name, period)
    return reasons
