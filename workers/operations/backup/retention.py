"""Which sets are kept: the newest of each of the last so many hours, days, weeks and months that have one.

Judged for each part by itself: a set of the configuration alone takes nothing from the place of a whole one. The
newest good set of each part stays whatever the figures are, and so does the newest that neither shrank nor failed its
drill. Only sets that are good are judged; periods are those of the team's time zone, and those without a set are not
counted, so a week without backups costs none of the older ones.

Trap this avoids: within an hour, a day, a week, the newest set is not always the best one. A set that shrank or failed
its drill does not take the place of one that is sound, however little older that is; each has places of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from workers.settings import Retention


@dataclass(frozen=True)
class Dated:
    """A good set: its name, when it was made, and what it holds. shrank: it lost something that nobody accepted.

    condemned: it failed its last drill.
    """

    name: str
    made: datetime
    parts: tuple[str, ...]
    shrank: bool = False
    condemned: bool = False

    @property
    def sound(self) -> bool:
        """Whether it can be latest."""
        return not (self.shrank or self.condemned)


_PERIODS: Final[tuple[tuple[str, Callable[[datetime], object]], ...]] = (
    # The offset tells the two hours apart that the clock shows twice when it is put back.
    ("hourly", lambda made: (made.date(), made.hour, made.utcoffset())),
    ("daily", lambda made: made.date()),
    ("weekly", lambda made: tuple(made.isocalendar())[:2]),
    ("monthly", lambda made: (made.year, made.month)),
)


def kept(sets: Iterable[Dated], wanted: Retention, zone: ZoneInfo) -> dict[str, str]:
    """The names of the sets to keep, each with the reason ("hourly", "the newest"). zone: of hours, days and weeks."""
    newest_first = sorted(sets, key=lambda each: each.name, reverse=True)
    reasons: dict[str, str] = {}
    for part in sorted({part for each in newest_first for part in each.parts}):
        with_it = [each for each in newest_first if part in each.parts]
        reasons.setdefault(with_it[0].name, "the newest")
        sound = next((each for each in with_it if each.sound), with_it[0])
        if sound is not with_it[0]:
            why = "before something was lost" if with_it[0].shrank else "that did not fail its drill"
            reasons.setdefault(sound.name, f"the last {why}")
        for period, of in _PERIODS:
            for those in ([each for each in with_it if each.sound], [each for each in with_it if not each.sound]):
                _keep(
                    those, [of(each.made.astimezone(zone)) for each in those], getattr(wanted, period), period, reasons
                )
    return reasons


def _keep(newest_first: list[Dated], periods: list[object], number: int, word: str, reasons: dict[str, str]) -> None:
    seen: set[object] = set()
    for each, period in zip(newest_first, periods, strict=True):
        if len(seen) == number:
            return
        if period not in seen:
            seen.add(period)
            reasons.setdefault(each.name, word)
