"""A table's lines in a window of so many characters: what identifies a row is never cut and never wrapped.

A row that is too long loses columns, those that the table calls spare first and then from the right; prose goes on
below itself. Without a width (a pipe, a file) a row is one line, whatever it holds. The trap: characters that take two
places, and line breaks and escape sequences in what comes from outside.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from workers.report import Table
from workers.wording import NOTHING, Figure

GAP: Final = 2
PROSE: Final = 24
"""A text with spaces that is longer than that may go on below itself; it is given so much room at least."""


@dataclass(frozen=True)
class Grid:
    """lines: of each the cells, padded; the first one holds the headings. left_out: columns that had no room."""

    lines: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()


def fitted(table: Table, width: int | None = None) -> Grid:
    """Lay a table out. width: of the window, in characters; None: as wide as it is."""
    every = [[flat(cell) for cell in row] for row in (table.columns, *table.rows)]
    natural = [max(places(row[at]) for row in every) for at in range(len(table.columns))]
    least = [min(natural[at], PROSE) if _prose(table, at) else natural[at] for at in range(len(table.columns))]
    shown = list(range(len(table.columns))) if width is None else _chosen(table, least, width)
    widths = _given(shown, natural, least, width)
    right = {at for at in shown if table.columns[at] in table.numeric}
    lines = [line for row in every for line in _lines([row[at] for at in shown], shown, widths, right)]
    left_out = tuple(name for at, name in enumerate(table.columns) if at not in shown and name.strip())
    return Grid(tuple(lines), left_out)


def flat(text: str) -> str:
    """On one line, and without what moves a terminal's cursor."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def places(text: str) -> int:
    """How many places of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _prose(table: Table, at: int) -> bool:
    """Whether a column may be wrapped: it holds sentences, and is neither a name nor a figure."""
    if at in {0, table.identity} or table.columns[at] in table.numeric:
        return False
    cells = [row[at] for row in table.rows if row[at] != NOTHING]
    return any(len(cell) > PROSE and " " in cell for cell in cells if not isinstance(cell, Figure))


def _chosen(table: Table, least: Sequence[int], width: int) -> list[int]:
    shown = list(range(len(table.columns)))
    named = [table.columns.index(name) for name in table.spare if name in table.columns]
    last = [at for at in reversed(shown) if at not in named]
    for at in (*named, *last):
        if sum(least[each] + GAP for each in shown) - GAP <= width:
            break
        if at not in {0, table.identity}:
            shown.remove(at)
    return shown


def _given(shown: Sequence[int], natural: Sequence[int], least: Sequence[int], width: int | None) -> dict[int, int]:
    """Each column's width: what is left over goes to prose, the leftmost first."""
    if width is None:
        return {at: natural[at] for at in shown}
    left = max(0, width - sum(least[at] + GAP for at in shown) + GAP)
    widths = {}
    for at in shown:
        more = min(left, natural[at] - least[at])
        widths[at] = least[at] + more
        left -= more
    return widths


def _lines(row: Sequence[str], shown: Sequence[int], widths: dict[int, int], right: set[int]) -> list[tuple[str, ...]]:
    cells = [
        [cell] if places(cell) <= widths[at] else textwrap.wrap(cell, max(1, widths[at]), break_on_hyphens=False)
        for at, cell in zip(shown, row, strict=True)
    ]
    return [
        tuple(
            _padded(lines[number] if number < len(lines) else "", widths[at], right=at in right)
            for at, lines in zip(shown, cells, strict=True)
        )
        for number in range(max(map(len, cells)))
    ]


def _padded(text: str, width: int, *, right: bool) -> str:
    padding = " " * max(0, width - places(text))
    return padding + text if right else text + padding
