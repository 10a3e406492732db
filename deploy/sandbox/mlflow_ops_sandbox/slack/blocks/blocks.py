"""Block Kit as Slack accepts it: limits, refusals, and the ids that Slack fills in.

`checked` returns a copy with `block_id` and `action_id` in each place where one was missing, as Slack
stores it. The trap: the SDK validates only its own classes, so a plain dict that is too long passes
there and is refused only here.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Container, Iterator
from typing import Any

from mlflow_ops_sandbox.slack.blocks import tables, tasks, visuals
from mlflow_ops_sandbox.slack.blocks.elements import IDENTIFIER, IN_ACTIONS, IN_INPUT, IN_SECTION, element, image
from mlflow_ops_sandbox.slack.blocks.findings import Findings, text
from mlflow_ops_sandbox.slack.errors import Json

IN_MESSAGE = 50
IN_VIEW = 100
SECTION_TEXT = 3000
SECTION_FIELDS = 10
FIELD_TEXT = 2000
HEADER_TEXT = 150
CONTEXT_ELEMENTS = 10
ACTIONS_ELEMENTS = 25
MARKDOWN_TEXT = 12_000
# All blocks of a message together, as measured by others: text, and what each block costs beside it. One markdown
# block of 13,297 characters passes, and of 13,172 beside a divider (github.com/slackapi/bolt-js/issues/2509).
MESSAGE_WEIGHT = 13_422
BLOCK_WEIGHT = 125
MESSAGE, MODAL, HOME = "message", "modal", "home"
_SURFACES = {
    **dict.fromkeys(("markdown", "context_actions", "plan", "task_card", "data_visualization"), (MESSAGE,)),
    **dict.fromkeys(("table", "data_table"), (MESSAGE, HOME)),
    "alert": (MODAL,),
}
"""Where a block may stand; the others stand everywhere."""


def checked(
    blocks: object, *, limit: int = IN_MESSAGE, surface: str = MESSAGE, lacking: Container[str] = ()
) -> tuple[list[Json], list[str]]:
    """Return the blocks as Slack would store them, and what is wrong with them (empty if nothing). lacking: types that
    this workspace does not have.
    """
    found = Findings()
    stored: list[Json] = []
    if not isinstance(blocks, list):
        found.add("/blocks", "must be an array")
        return stored, found.messages
    if len(blocks) > limit:
        found.add("/blocks", f"no more than {limit} items allowed")
    block_ids: set[str] = set()
    for index, block in enumerate(blocks):
        pointer = f"/blocks/{index}"
        if not isinstance(block, dict):
            found.add(pointer, "must be an object")
            continue
        kind = str(block.get("type"))
        if kind in lacking or surface not in _SURFACES.get(kind, (surface,)):
            found.add(f"{pointer}/type", f"unsupported type: {block['type']}")
            continue
        _block(found, pointer, block)
        if isinstance(block_id := block.get("block_id"), str):
            if block_id in block_ids:
                found.add(f"{pointer}/block_id", "`block_id` already exists for another block")
            block_ids.add(block_id)
        stored.append(with_ids(block))
    return stored, found.messages


def with_ids(block: Json) -> Json:
    """Return a copy of a block with the ids that Slack generates where the app gave none."""
    block = copy.deepcopy(block)
    block.setdefault("block_id", secrets.token_urlsafe(4)[:5])
    for item in interactive(block):
        item.setdefault("action_id", secrets.token_urlsafe(4)[:5])
    return block


def interactive(block: Json) -> Iterator[Json]:
    """Yield the elements of a block that a person can act on."""
    parts = [block.get("accessory"), block.get("element")]
    if block.get("type") in ("actions", "context_actions"):
        parts += block.get("elements") or []
    if block.get("type") == "card":
        parts += block.get("actions") or []
    for part in parts:
        if isinstance(part, dict) and part.get("type") != "image":
            yield part


def weight(part: Any) -> int:
    """Return what blocks weigh against a message's limit: the characters of each text, and something for each block."""
    if isinstance(part, list):
        return sum(weight(item) for item in part)
    if not isinstance(part, dict):
        return 0
    own = len(part["text"]) if isinstance(part.get("text"), str) else 0
    own += BLOCK_WEIGHT if "block_id" in part else 0
    return own + sum(weight(value) for value in part.values() if isinstance(value, (dict, list)))


def _section(found: Findings, pointer: str, block: Json) -> None:
    found.only(pointer, block, "type", "block_id", "text", "fields", "accessory", "expand")
    if "text" not in block and "fields" not in block:
        found.add(pointer, "must define either `text` or `fields`")
    if "text" in block:
        text(found, f"{pointer}/text", block["text"], SECTION_TEXT)
    if "fields" in block:
        fields = found.count(f"{pointer}/fields", block["fields"], SECTION_FIELDS)
        for index, item in enumerate(fields):
            text(found, f"{pointer}/fields/{index}", item, FIELD_TEXT)
    if "accessory" in block:
        element(found, f"{pointer}/accessory", block["accessory"], IN_SECTION)


def _header(found: Findings, pointer: str, block: Json) -> None:
    if found.required(pointer, block, "text"):
        text(found, f"{pointer}/text", block["text"], HEADER_TEXT, plain=True)


def _context(found: Findings, pointer: str, block: Json) -> None:
    found.only(pointer, block, "type", "block_id", "elements")
    items = found.count(f"{pointer}/elements", block.get("elements"), CONTEXT_ELEMENTS)
    for index, item in enumerate(items):
        at = f"{pointer}/elements/{index}"
        if isinstance(item, dict) and item.get("type") == "image":
            image(found, at, item)
        else:
            text(found, at, item, SECTION_TEXT)


def _actions(found: Findings, pointer: str, block: Json) -> None:
    found.only(pointer, block, "type", "block_id", "elements")
    seen: set[str] = set()
    items = found.count(f"{pointer}/elements", block.get("elements"), ACTIONS_ELEMENTS)
    for index, item in enumerate(items):
        at = f"{pointer}/elements/{index}"
        element(found, at, item, IN_ACTIONS)
        action_id = item.get("action_id") if isinstance(item, dict) else None
        if isinstance(action_id, str):
            if action_id in seen:
                found.add(f"{at}/action_id", "`action_id` already exists for another element")
            seen.add(action_id)


def _image(found: Findings, pointer: str, block: Json) -> None:
    image(found, pointer, block)
    if "title" in block:
        text(found, f"{pointer}/title", block["title"], 2000, plain=True)


def _input(found: Findings, pointer: str, block: Json) -> None:
    if found.required(pointer, block, "label", "element"):
        text(found, f"{pointer}/label", block["label"], 2000, plain=True)
        element(found, f"{pointer}/element", block["element"], IN_INPUT)
    if "hint" in block:
        text(found, f"{pointer}/hint", block["hint"], 2000, plain=True)


def _markdown(found: Findings, pointer: str, block: Json) -> None:
    found.length(f"{pointer}/text", block.get("text"), MARKDOWN_TEXT, least=1)


def _file(found: Findings, pointer: str, block: Json) -> None:
    found.required(pointer, block, "external_id", "source")


def _anything(found: Findings, pointer: str, block: Json) -> None:
    """Accept a block that has nothing to check, such as a divider."""


_CHECKS: dict[str, Callable[[Findings, str, Any], None]] = {
    "section": _section,
    "header": _header,
    "divider": _anything,
    "context": _context,
    "actions": _actions,
    "image": _image,
    "input": _input,
    "rich_text": tables.rich_text,
    "markdown": _markdown,
    "table": tables.table,
    "data_table": tables.data_table,
    "file": _file,
    "video": _anything,
    "alert": visuals.alert,
    "card": visuals.card,
    "plan": tasks.plan,
    "task_card": tasks.task_card,
    "data_visualization": visuals.data_visualization,
    "context_actions": _anything,
}


def _block(found: Findings, pointer: str, block: Json) -> None:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _CHECKS:
        found.add(f"{pointer}/type", f"unsupported type: {kind}")
        return
    if "block_id" in block:
        found.length(f"{pointer}/block_id", block["block_id"], IDENTIFIER)
    _CHECKS[kind](found, pointer, block)
