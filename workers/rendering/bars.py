"""Horizontal bars, each with its figure written out: how large several things are beside each other.

What is drawn may bear any name: a character that the font does not have would be a warning of matplotlib's and an empty
box, so it is replaced, and a long name is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.rendering import charts
from workers.wording import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST: Final = 8
LABEL_CHARACTERS: Final = 32
_SLOTS: Final = 4
_STRANGE: Final = "\u00b7"
_FONT: Final = "DejaVu Sans"


@dataclass(frozen=True)
class Bars:
    """items: name, value and how that is written, the largest first. whole: what the longest bar could be at most."""

    title: str
    items: Sequence[tuple[str, float, str]]
    whole: float | None = None


def paint(ax: Axes, bars: Bars) -> None:
    """One panel; the first MOST items."""
    shown = list(bars.items)[:MOST]
    charts.frame(ax, bars.title)
    ax.grid(visible=False)
    ax.spines[["bottom"]].set_visible(False)
    ax.set_xticks([])
    if not shown:
        ax.set_yticks([])
        ax.text(0.5, 0.5, "nothing", transform=ax.transAxes, ha="center", va="center", color=charts.INK)
        return
    places = range(len(shown))
    ax.barh(places, [value for _, value, _ in shown], height=0.62, color=charts.BLUE)
    ax.set_yticks(places, [legible(name) for name, _, _ in shown])
    # The first on top; few bars are no thicker than many.
    ax.set_ylim(max(len(shown), _SLOTS) - 0.5, -0.5)
    longest = bars.whole or max((value for _, value, _ in shown), default=0) or 1
    # The figure stands behind its bar, so there is room for it.
    ax.set_xlim(0, longest * 1.3)
    for place, (_, value, words) in enumerate(shown):
        ax.annotate(
            words, (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8, color=charts.INK
        )


def words(bars: Bars) -> str:
    """The same as a sentence, for who does not see it."""
    said = ", ".join(f"{name} {shown}" for name, _, shown in list(bars.items)[:MOST]) or "nothing"
    return f"{bars.title}: {said}."


def legible(name: str, most: int = LABEL_CHARACTERS) -> str:
    """A name as the font can write it, on one line, and no longer than that."""
    from matplotlib import font_manager

    face = font_manager.get_font(font_manager.findfont(_FONT))
    told = "".join(each if each.isprintable() and face.get_char_index(ord(each)) else _STRANGE for each in name)
    return shortened(told, most)
