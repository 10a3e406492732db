"""Tables and rich text in messages: `table`, `data_table`, and the `rich_text` that their cells may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.blocks.findings import Findings
    from mlflow_ops_sandbox.slack.errors import Json

TABLE_ROWS = 100
TABLE_COLUMNS = 20
DATA_TABLE_ROWS = 101
CHARACTERS = 10_000
TABLES = ("table", "data_table")
_CELLS = ("raw_text", "raw_number", "rich_text")
_PARTS = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
_INLINE = ("text", "link", "emoji", "user", "usergroup", "channel", "broadcast", "date", "color", "team")


def rich_text(found: Findings, pointer: str, block: Json) -> None:
    """Check rich text: its parts, and what stands in a line."""
    for index, item in enumerate(found.count(f"{pointer}/elements", block.get("elements"), 1000)):
        at = f"{pointer}/elements/{index}"
        kind = item.get("type") if isinstance(item, dict) else item
        if kind not in _PARTS:
            found.add(f"{at}/type", f"unsupported type: {kind}")
        elif kind == "rich_text_list":
            for number, line in enumerate(item.get("elements") or []):
                _line(found, f"{at}/elements/{number}", line)
        else:
            _line(found, at, item)


def _line(found: Findings, pointer: str, line: Json) -> None:
    for index, item in enumerate(line.get("elements") or []):
        at = f"{pointer}/elements/{index}"
        kind = item.get("type") if isinstance(item, dict) else item
        if kind not in _INLINE:
            found.add(f"{at}/type", f"unsupported type: {kind}")
        elif kind == "text":
            found.length(f"{at}/text", item.get("text"), 40_000, least=1)


def table(found: Findings, pointer: str, block: Json) -> None:
    """Check a table."""
    found.only(pointer, block, "type", "block_id", "rows", "column_settings")
    for index, row in enumerate(found.count(f"{pointer}/rows", block.get("rows"), TABLE_ROWS)):
        _row(found, f"{pointer}/rows/{index}", row)
    if "column_settings" in block:
        found.count(f"{pointer}/column_settings", block["column_settings"], TABLE_COLUMNS, least=0)
    _sum(found, pointer, block)


def data_table(found: Findings, pointer: str, block: Json) -> None:
    """Check a data table: its caption, a row of headings, and every row as wide as it."""
    found.only(pointer, block, "type", "block_id", "rows", "caption", "page_size", "row_header_column_index")
    found.length(f"{pointer}/caption", block.get("caption"), 3000, least=1)
    rows = found.count(f"{pointer}/rows", block.get("rows"), DATA_TABLE_ROWS, least=2)
    for index, row in enumerate(rows):
        _row(found, f"{pointer}/rows/{index}", row, _CELLS if index else _CELLS[:2])
        if isinstance(row, list) and isinstance(rows[0], list) and len(row) != len(rows[0]):
            found.add(f"{pointer}/rows/{index}", "must have as many items as the first row")
    if not _within(block.get("page_size", 5), 1, TABLE_ROWS):
        found.add(f"{pointer}/page_size", f"must be between 1 and {TABLE_ROWS}")
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 1
    if not _within(block.get("row_header_column_index", 0), 0, width - 1):
        found.add(f"{pointer}/row_header_column_index", "must be the index of a column")
    _sum(found, pointer, block)


def _within(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and least <= value <= most


def _sum(found: Findings, pointer: str, block: Json) -> None:
    if characters(block.get("rows")) > CHARACTERS:
        found.add(f"{pointer}/rows", f"no more than {CHARACTERS} characters allowed in all cells")


def characters(part: object) -> int:
    """Return how many characters are read in cells."""
    if isinstance(part, list):
        return sum(map(characters, part))
    if not isinstance(part, dict):
        return 0
    return sum(
        len(value) if name in ("text", "url") and isinstance(value, str) else characters(value)
        for name, value in part.items()
    )


def _row(found: Findings, pointer: str, row: object, kinds: tuple[str, ...] = _CELLS) -> None:
    for column, cell in enumerate(found.count(pointer, row, TABLE_COLUMNS)):
        at = f"{pointer}/{column}"
        kind = cell.get("type") if isinstance(cell, dict) else None
        if kind not in kinds:
            found.add(f"{at}/type", f"unsupported type: {kind}")
        elif kind == "rich_text":
            rich_text(found, at, cell)
        else:
            found.length(f"{at}/text", cell.get("text"), 3000, least=1)
            if kind == "raw_number" and not isinstance(cell.get("value"), (int, float)):
                found.add(f"{at}/value", "must be a number")
