"""The same content in blocks that every workspace has: a table in fixed width, a plan as lines, a chart as figures.

For a workspace that does not have a block yet, for modals, which take none of these, and for whoever reads a message
without its blocks. Nothing is left out. The trap: what stands in these blocks is plain, and mrkdwn is not, so all of it
is escaped on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from workers.rendering import richtext, tables
from workers.rendering.blocks import Block, actions, literal, paragraphs, plain, section
from workers.rendering.limits import NEW

SIGNS: Final = {
    "pending": ":white_circle:",
    "in_progress": ":hourglass_flowing_sand:",
    "complete": ":white_check_mark:",
    "error": ":x:",
}


def older(shown: Iterable[Block]) -> list[Block]:
    """The blocks, with older ones in the place of each that a workspace may not have."""
    return [each for block in shown for each in (_as_older(block) if block.get("type") in NEW else (block,))]


def any_new(shown: Iterable[Block]) -> set[str]:
    """The types of those that a workspace may not have."""
    return {str(block.get("type")) for block in shown} & NEW


def _as_older(block: Block) -> Iterator[Block]:
    match block["type"]:
        case "table" | "data_table":
            yield from _table(block)
        case "plan":
            yield from paragraphs("\n".join([f"*{plain(block['title'])}*", *map(_task, block["tasks"])]))
        case "task_card":
            yield from paragraphs(_task(block))
        case "data_visualization":
            yield from _chart(block)
        case _:
            said = [f"*{block['title']['text']}*" if "title" in block else ""]
            said += [block[name]["text"] for name in ("subtitle", "body", "text") if name in block]
            yield from paragraphs("\n".join(filter(None, said)))
            if block.get("actions"):
                yield actions(block["actions"])


def _table(block: Block) -> Iterator[Block]:
    if "caption" in block:
        yield section(f"*{plain(block['caption'])}*")
    rows = [[_cell(each) for each in row] for row in block["rows"]]
    right = {at for at, each in enumerate(block.get("column_settings", ())) if (each or {}).get("align") == "right"}
    right |= {at for row in block["rows"][1:] for at, each in enumerate(row) if each["type"] == "raw_number"}
    yield from literal(tables.fixed(rows, right))


def _cell(cell: Block) -> str:
    return richtext.words(cell) if cell["type"] == "rich_text" else str(cell["text"])


def _task(task: Block) -> str:
    about = [richtext.words(task[name]) for name in ("details", "output") if name in task]
    return " · ".join([f"{SIGNS[task['status']]} {plain(task['title'])}", *map(plain, about)])


def _chart(block: Block) -> Iterator[Block]:
    chart: Any = block["chart"]
    yield section(f"*{plain(block['title'])}*")
    if chart["type"] == "pie":
        yield from literal(tables.fixed([[each["label"], _number(each["value"])] for each in chart["segments"]], {1}))
        return
    rows = [["", *(each["name"] for each in chart["series"])]]
    for at, label in enumerate(chart["axis_config"]["categories"]):
        rows.append([label, *(_number(each["data"][at]["value"]) for each in chart["series"])])
    yield from literal(tables.fixed(rows, set(range(1, len(rows[0])))))


def _number(value: float) -> str:
    return f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
