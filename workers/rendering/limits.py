"""What Slack takes: the documented limits of each block that we make, as one model, asked before anything is sent.

Where sources differ, the stricter figure stands here. Slack answers `invalid_blocks` to what is too long instead of
shortening it, so what this model refuses is said in another form (`workers.rendering.forms`) and never sent.
https://docs.slack.dev/reference/block-kit/blocks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from workers.rendering import blocks
from workers.rendering.blocks import Block, weight

TABLE_ROWS: Final = 100
TABLE_COLUMNS: Final = 20
DATA_TABLE_ROWS: Final = 101
"""With the heading; newer pages say 201."""
TABLE_CHARACTERS: Final = 10_000
"""In all cells, of a table and of a message; newer pages say 20,000."""
TABLE_BYTES: Final = blocks.MESSAGE_BYTES - 1000
"""Of a table, beside what stands above it."""
CELL: Final = 3000
CAPTION: Final = 250
CHART_TITLE: Final = 50
SERIES: Final = 6
"""Lines or slices; newer pages say 12."""
POINTS: Final = 20
LABEL: Final = 20
AXIS: Final = 50
TASKS: Final = 12
"""Accepted; no maximum is documented, 50 is said."""
TASK_TITLE: Final = 150
TASK_TEXT: Final = 1000
OPTIONS: Final = 100
OPTION_TEXT: Final = 75
OPTION_VALUE: Final = 150
CONTEXT_ELEMENTS: Final = 10
ACTIONS_ELEMENTS: Final = 25
FIELDS: Final = 10
BUTTON_VALUE: Final = 2000
URL: Final = 3000
ALERT_TEXT: Final = 200
CARD_TITLE, CARD_BODY, CARD_BUTTONS = 150, 200, 3
_STATES: Final = frozenset({"pending", "in_progress", "complete", "error"})

NEW: Final = frozenset({"table", "data_table", "plan", "task_card", "data_visualization", "card", "alert"})
"""Blocks that a workspace may not have yet."""
_IN_VIEWS: Final = {"modal": frozenset({"card", "alert"}), "home": frozenset({"table", "data_table", "card"})}
"""Those of them that a view takes."""


def refused(shown: Sequence[Block]) -> list[str]:
    """Why Slack would not take these blocks as a message, a sentence each; empty where it would."""
    return [*_of_all(shown), *(f"{block.get('type')}: {why}" for block in shown for why in _of_one(block))]


def refused_view(view: Block) -> list[str]:
    """Why Slack would not take a modal or a Home."""
    shown = view["blocks"]
    found = [f"{block.get('type')}: {why}" for block in shown for why in _of_one(block)]
    if len(shown) > blocks.VIEW_BLOCKS:
        found.append(f"{len(shown)} blocks")
    kind = view["type"]
    found += [f"{block['type']}: in a {kind}" for block in shown if block["type"] in NEW - _IN_VIEWS[kind]]
    if sum(block["type"] in {"table", "data_table"} for block in shown) > blocks.TABLES:
        # Documented of messages; of a Home nothing is said, so the same.
        found.append("more than one table")
    if kind == "modal":
        named = (view[name]["text"] for name in ("title", "submit", "close") if name in view)
        found += [f"a title of {len(text)} characters" for text in named if not 0 < len(text) <= blocks.VIEW_TITLE]
    return found


def _of_all(shown: Sequence[Block]) -> Iterator[str]:
    kinds = [block.get("type") for block in shown]
    if len(shown) > blocks.BLOCKS:
        yield f"{len(shown)} blocks"
    if kinds.count("table") + kinds.count("data_table") > blocks.TABLES:
        yield "more than one table"
    if kinds.count("data_visualization") > blocks.CHARTS:
        yield "more than two charts"
    if kinds.count("alert"):
        yield "an alert outside of a modal"
    if weight(shown) > blocks.MESSAGE_BYTES:
        yield f"{weight(shown)} bytes"


def _of_one(block: Block) -> Iterator[str]:
    check = _CHECKS.get(str(block.get("type")))
    if check is None:
        yield "unknown"
        return
    yield from check(block)


def _text(text: object, most: int, what: str = "text") -> Iterator[str]:
    said = text.get("text") if isinstance(text, dict) else text
    if not isinstance(said, str) or not 0 < len(said) <= most:
        yield f"{what} of {len(said) if isinstance(said, str) else 'no'} characters"


def _section(block: Block) -> Iterator[str]:
    if "text" in block:
        yield from _text(block["text"], blocks.SECTION_TEXT)
    elif not 0 < len(block.get("fields", ())) <= FIELDS:
        yield "no text, or too many fields"
    for each in block.get("fields", ()):
        yield from _text(each, blocks.FIELD_TEXT, "field")
    if "accessory" in block:
        yield from _element(block["accessory"])


def _context(block: Block) -> Iterator[str]:
    if not 0 < len(block["elements"]) <= CONTEXT_ELEMENTS:
        yield f"{len(block['elements'])} elements"
    for each in block["elements"]:
        yield from _text(each, blocks.CONTEXT_TEXT)


def _actions(block: Block) -> Iterator[str]:
    elements = block["elements"]
    if not 0 < len(elements) <= ACTIONS_ELEMENTS:
        yield f"{len(elements)} elements"
    names = [each.get("action_id") for each in elements]
    if len(set(names)) < len(names):
        yield "an action_id twice"
    for each in elements:
        yield from _element(each)


def _element(element: Block) -> Iterator[str]:
    if element["type"] == "button":
        yield from _text(element["text"], blocks.BUTTON_TEXT, "a button's text")
        if len(element.get("value", "")) > BUTTON_VALUE or len(element.get("url", "")) > URL:
            yield "a button's value or url"
    if element["type"] == "static_select":
        options = element["options"]
        if not 0 < len(options) <= OPTIONS:
            yield f"{len(options)} options"
        for each in options:
            yield from _text(each["text"], OPTION_TEXT, "an option")
            yield from _text(each["value"], OPTION_VALUE, "an option's value")
            if "description" in each:
                yield from _text(each["description"], OPTION_TEXT, "an option's description")


def _input(block: Block) -> Iterator[str]:
    yield from _text(block["label"], blocks.FIELD_TEXT, "label")
    yield from _element(block["element"])


def _cells(rows: Sequence[Sequence[Block]], kinds: frozenset[str]) -> Iterator[str]:
    size = 0
    for row in rows:
        if not 0 < len(row) <= TABLE_COLUMNS:
            yield f"{len(row)} columns"
        for each in row:
            if each.get("type") not in kinds:
                yield f"a cell of type {each.get('type')}"
            elif each["type"] == "raw_number" and not math.isfinite(each["value"]):
                yield "a cell that is no number"
            elif each["type"] != "rich_text":
                yield from _text(each, CELL, "a cell")
            size += _characters(each)
    if size > TABLE_CHARACTERS:
        yield f"{size} characters in its cells"


def _characters(part: Any) -> int:
    """Of what is read in a cell."""
    if isinstance(part, dict):
        return sum(len(value) if name in {"text", "url"} else _characters(value) for name, value in part.items())
    return sum(map(_characters, part)) if isinstance(part, list) else 0


def _table(block: Block) -> Iterator[str]:
    if not 0 < len(block["rows"]) <= TABLE_ROWS:
        yield f"{len(block['rows'])} rows"
    if len(block.get("column_settings", ())) > TABLE_COLUMNS:
        yield "too many settings"
    yield from _cells(block["rows"], frozenset({"raw_text", "rich_text"}))


def _data_table(block: Block) -> Iterator[str]:
    rows = block["rows"]
    yield from _text(block.get("caption"), CAPTION, "caption")
    if not 2 <= len(rows) <= DATA_TABLE_ROWS:  # noqa: PLR2004 - the heading and a row
        yield f"{len(rows)} rows"
    if len({len(row) for row in rows}) > 1:
        yield "rows of different lengths"
    if not 1 <= block.get("page_size", 5) <= TABLE_ROWS:
        yield "page_size"
    if not 0 <= block.get("row_header_column_index", 0) < len(rows[0]):
        yield "row_header_column_index"
    yield from _cells(rows[:1], frozenset({"raw_text", "raw_number"}))
    yield from _cells(rows, frozenset({"raw_text", "raw_number", "rich_text"}))


def _plan(block: Block) -> Iterator[str]:
    tasks = block.get("tasks", ())
    yield from _text(block.get("title"), TASK_TITLE, "title")
    if len(tasks) > TASKS:
        yield f"{len(tasks)} tasks"
    if len({each["task_id"] for each in tasks}) < len(tasks):
        yield "a task_id twice"
    for each in tasks:
        yield from _task(each)


def _task(task: Block) -> Iterator[str]:
    yield from _text(task.get("title"), TASK_TITLE, "a task's title")
    if task.get("status") not in _STATES:
        yield f"status {task.get('status')}"
    for name in ("details", "output"):
        if name in task and not 0 < _characters(task[name]) <= TASK_TEXT:
            yield f"a task's {name}"


def _task_alone(task: Block) -> Iterator[str]:
    yield from _task(task)
    if task.get("status") == "pending":
        yield "pending, outside of a plan"


def _chart(block: Block) -> Iterator[str]:
    chart = block["chart"]
    yield from _text(block.get("title"), CHART_TITLE, "title")
    if chart["type"] == "pie":
        yield from _named([each["label"] for each in chart["segments"]])
        if not all(math.isfinite(each["value"]) and each["value"] > 0 for each in chart["segments"]):
            yield "a slice of nothing"
        return
    axis = chart["axis_config"]
    labels = axis["categories"]
    yield from _named([each["name"] for each in chart["series"]])
    if not 1 <= len(labels) <= POINTS or len(set(labels)) < len(labels):
        yield f"{len(labels)} categories, or one twice"
    for label in labels:
        yield from _text(label, LABEL, "category")
    for name in ("x_label", "y_label"):
        if name in axis:
            yield from _text(axis[name], AXIS, name)
    for each in chart["series"]:
        if [point["label"] for point in each["data"]] != labels:
            yield "not one point for each category"
        if not all(math.isfinite(point["value"]) for point in each["data"]):
            yield "a value that is no number"


def _named(names: Sequence[str]) -> Iterator[str]:
    if not 1 <= len(names) <= SERIES or len(set(names)) < len(names):
        yield f"{len(names)} series, or a name twice"
    for name in names:
        yield from _text(name, LABEL, "name")


def _card(block: Block) -> Iterator[str]:
    for name, most in (("title", CARD_TITLE), ("subtitle", CARD_TITLE), ("body", CARD_BODY)):
        if name in block:
            yield from _text(block[name], most, name)
    if len(block.get("actions", ())) > CARD_BUTTONS:
        yield "too many buttons"


_CHECKS: Final[dict[str, Callable[[Block], Iterator[str]]]] = {
    "section": _section,
    "header": lambda block: _text(block["text"], blocks.HEADER_TEXT),
    "divider": lambda _: iter(()),
    "context": _context,
    "actions": _actions,
    "input": _input,
    "table": _table,
    "data_table": _data_table,
    "plan": _plan,
    "task_card": _task_alone,
    "data_visualization": _chart,
    "alert": lambda block: _text(block["text"], ALERT_TEXT),
    "card": _card,
}
