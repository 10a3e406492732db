"""A report's table as Slack's own: `data_table`, which people sort and filter, for a long one, `table` for a short one.

A number is a raw_number, so that it is sorted by what it stands for; if all of a column's figures have the same unit,
that stands in the heading. Nothing is cut: a table with more rows than one block takes goes on in another message, and
what no block takes (a cell of pages, twenty-one columns) is None here and is shown as lines. The trap: a message takes
one table of either kind (docs.slack.dev/reference/block-kit/blocks/table-block), and no cell may be empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from workers.redaction import UNSEEN
from workers.rendering import limits
from workers.rendering.blocks import Block, in_one_line, weight
from workers.rendering.richtext import leads, rich
from workers.report import Table
from workers.wording import NOTHING, Figure, Linked

SHORT: Final = 8
"""Rows that are seen at a glance: neither sorted nor turned over."""
PAGE, IN_ONE_PAGE = 10, 15
"""Rows of a page, and as many as need none."""
TITLE: Final = limits.CAPTION - 40
"""Of a data_table's caption; the rest of it says which rows these are."""
KINDS: Final = frozenset({"table", "data_table"})

_WIDE: Final = 60
_NUMBER: Final = re.compile(r"-?\d[\d,]*(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)
_WITH_UNIT: Final = re.compile(r"(-?[\d.,]+) ([A-Za-z%/]+)")


def native(table: Table, caption: str) -> list[Block] | None:
    """The table, a block for each message; None where Slack has no block for it. caption: of one without a title."""
    width = len(table.columns)
    if not table.rows or not 0 < width <= limits.TABLE_COLUMNS:
        return None
    rows = [[cell(each) for each in row] for row in _wide(table.rows[: table.screenful or None], width)]
    columns = list(table.columns)
    for at in range(width):
        _unit_above(columns, rows, at)
    heading = [_raw(name) for name in columns]
    if any(len(_shown(each)) > limits.CELL for row in (heading, *rows) for each in row):
        return None
    right = [at for at in range(width) if columns[at] != table.columns[at] or table.columns[at] in table.numeric]
    if len(rows) <= SHORT:
        block = _table(heading, rows, right)
        if weight(block) <= limits.TABLE_BYTES:
            return [block]
    return _data_tables(table, caption, heading, rows)


def cell(text: str) -> Block:
    """A cell: a number, a link, or text."""
    shown = _flat(text)
    if isinstance(text, Linked):
        return rich(leads(shown, text.url))
    value = _value(text, shown)
    return _raw(shown) if value is None else {"type": "raw_number", "value": value, "text": shown}


def lines(table: Table) -> Iterator[str]:
    """The table in fixed width, a row per line: numbers to the right, a long cell pushes the rest aside."""
    rows = [[_flat(each) for each in row] for row in (table.columns, *table.rows[: table.screenful or None])]
    return fixed(rows, {at for at, name in enumerate(table.columns) if name in table.numeric})


def fixed(rows: Sequence[Sequence[str]], right: set[int]) -> Iterator[str]:
    """Rows of texts in fixed width. right: the columns of numbers."""
    if not rows:
        return
    width = max(map(len, rows))
    widths = [max(min(len(row[at]), _WIDE) for row in rows if at < len(row)) for at in range(width)]
    for row in rows:
        cells = (each.rjust(widths[at]) if at in right else each.ljust(widths[at]) for at, each in enumerate(row))
        yield "  ".join(cells).rstrip()


def _wide(rows: Sequence[Sequence[str]], width: int) -> Iterator[list[str]]:
    for row in rows:
        yield [*row, *[NOTHING] * (width - len(row))][:width]


def _table(heading: list[Block], rows: list[list[Block]], right: list[int]) -> Block:
    # A `table` has no caption, and sorts nothing: its numbers are text that stands on the right.
    settings = [{"align": "right"} if at in right else {"is_wrapped": True} for at in range(len(heading))]
    body = [[_raw(each["text"]) if each["type"] == "raw_number" else each for each in row] for row in rows]
    return {"type": "table", "column_settings": settings, "rows": [heading, *body]}


def _data_tables(table: Table, caption: str, heading: list[Block], rows: list[list[Block]]) -> list[Block] | None:
    groups: list[list[list[Block]]] = []
    room = limits.TABLE_BYTES - weight(heading) - limits.CAPTION
    taken = 0
    for row in rows:
        heavy = weight(row)
        if heavy > room:
            return None
        if not groups or len(groups[-1]) == limits.DATA_TABLE_ROWS - 1 or taken + heavy > room:
            groups.append([])
            taken = 0
        groups[-1].append(row)
        taken += heavy
    name, first = (table.title or caption)[:TITLE].translate(UNSEEN).strip() or NOTHING, 1
    made = []
    for group in groups:
        last = first + len(group) - 1
        made.append(
            {
                "type": "data_table",
                "caption": name if len(groups) == 1 else f"{name} ({first:,} to {last:,} of {len(rows):,})",
                "page_size": PAGE if len(group) > IN_ONE_PAGE else len(group),
                "row_header_column_index": table.identity,
                "rows": [heading, *group],
            }
        )
        first = last + 1
    return made


def _unit_above(columns: list[str], rows: list[list[Block]], at: int) -> None:
    """Put a unit that all of a column's figures have into its heading."""
    cells = [row[at] for row in rows if row[at].get("text") != NOTHING]
    found = [_WITH_UNIT.fullmatch(each["text"]) if each["type"] == "raw_number" else None for each in cells]
    units = {each[2] if each else "" for each in found}
    if len(units) != 1 or not (unit := units.pop()) or "(" in columns[at]:
        return
    columns[at] = f"{columns[at]} ({unit})"
    for each, parts in zip(cells, found, strict=True):
        if parts:
            each["text"] = parts[1]


def _value(text: str, shown: str) -> float | None:
    if isinstance(text, Figure):
        number = text.value if not isinstance(text.value, str) and text.unit != "name" else None
        return number if number is not None and math.isfinite(number) else None
    if not _NUMBER.fullmatch(shown):
        return None
    number = float(shown.replace(",", ""))
    return number if math.isfinite(number) and abs(number) < 1 << 53 else None


def _flat(text: str) -> str:
    return in_one_line(str(text)) or NOTHING


def _raw(text: str) -> Block:
    return {"type": "raw_text", "text": _flat(text)}


def _shown(made: Block) -> str:
    text: Any = made.get("text")
    return str(text) if text is not None else str(made)
