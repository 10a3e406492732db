"""A figure over time in one word of text: eight heights, for a table's cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HEIGHTS: Final = "▁▂▃▄▅▆▇█"
GAP: Final = " "


def drawn(values: Sequence[float | None]) -> str:
    """One character each; None, where nothing was measured, is a gap. What never moves is a line in the middle."""
    known = [each for each in values if each is not None]
    if not known:
        return ""
    least, most = min(known), max(known)
    spread = most - least

    def character(value: float) -> str:
        place = (value - least) / spread if spread else 0.5
        return HEIGHTS[min(len(HEIGHTS) - 1, int(place * len(HEIGHTS)))]

    return "".join(GAP if each is None else character(each) for each in values)


def averaged(points: Sequence[tuple[float, float]], begin: float, end: float, places: int) -> list[float | None]:
    """The mean of what lies in each of so many equal stretches of time. points: when, and what."""
    held: list[list[float]] = [[] for _ in range(places)]
    for at, value in points:
        if begin <= at <= end:
            held[min(places - 1, int((at - begin) / (end - begin) * places))].append(value)
    return [sum(each) / len(each) if each else None for each in held]
