"""Rows as CSV, for a file in a thread.

Bounded, because a file is held in memory and in Redis until Slack has it; what did not fit is counted, so that it can
be told. A cell that a spreadsheet would take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Final

from workers.report import Attachment

CHARACTERS: Final = 8 * 1024 * 1024
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class Sheet:
    """A table that is being written. left_out: rows that did not fit."""

    def __init__(self, columns: Sequence[str], *, most: int = CHARACTERS) -> None:
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._most = most
        self.left_out = 0
        self._writer.writerow([_safe(column) for column in columns])

    def row(self, cells: Sequence[object]) -> None:
        """Write one row; None is an empty cell."""
        if self._text.tell() >= self._most:
            self.left_out += 1
            return
        self._writer.writerow(["" if cell is None else _safe(cell) for cell in cells])

    def file(self, name: str) -> Attachment:
        """What is written so far."""
        return Attachment(filename=name, content=self._text.getvalue())


def _safe(cell: object) -> str:
    text = str(cell)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False
