"""The same message in another form, where Slack refuses it as it is: with older blocks, with fewer, as plain text in
pieces, and at last its one line.

What the message showed is kept as long as a form can hold it: what no longer fits goes into further messages, in order.
Buttons stay with the first of these, and where no form can hold them the text says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from workers.records.message import Message
from workers.rendering.blocks import BLOCKS, MESSAGE_BYTES, Block, cut, literal, paragraphs, section, weight
from workers.rendering.older import older

AS_MADE, OLDER, FEWER_BLOCKS, PLAIN, ONE_LINE = range(5)
"""In this order they are tried."""
MANY_BYTES, FEW_BYTES = 8000, 3000
"""What the blocks of one message weigh, where they were too many, and where Slack refused fewer than that."""
PIECE_BYTES: Final = 3500
"""Of a message of text alone: chat.update takes 4,000 (https://docs.slack.dev/reference/methods/chat.update)."""
PIECES: Final = 12
"""A text that needs more is cut; all of it is thousands of lines that nobody reads in a chat."""
_SHOWN: Final = frozenset({"section", "header", "context", "divider", "actions"})
_BUTTONS_LOST: Final = "_Slack refused this message's buttons; what waits for you is in my Home tab._"
_FENCE: Final = "```"


def in_form(form: int, text: str, blocks: list[Block]) -> list[Message]:
    """The message in a form: what stands in its place, and what follows."""
    if form == AS_MADE:
        return [Message(text, blocks)]
    blocks = older(blocks)
    if form == OLDER:
        return _apart(text, blocks, MESSAGE_BYTES)
    if form == FEWER_BLOCKS:
        return _fewer(text, blocks)
    if form == PLAIN:
        return _plain(text, blocks)
    return [Message(text, [])]


def file_as_text(text: str, content: str, why: str) -> list[Message]:
    """A file's content as messages, where Slack takes no file. why: as a sentence's end."""
    pieces = list(_pieces(block["text"]["text"] for block in literal(content.splitlines())))
    head = f"{text} (as text: {why})"
    shown = [Message(head, [section(head)])]
    shown += [Message(cut(piece, PIECE_BYTES, in_bytes=True), [section(piece)]) for piece in pieces[:PIECES]]
    if len(pieces) > PIECES:
        left = sum(piece.count("\n") - 1 for piece in pieces[PIECES:])
        rest = f"{left:,} more lines are not shown."
        shown.append(Message(rest, [section(rest)]))
    return shown


def text_of(blocks: Iterable[Block]) -> list[str]:
    """What the blocks say, in mrkdwn: a text per block."""
    return [said for block in blocks if (said := "\n".join(_texts(block)))]


def _fewer(text: str, blocks: list[Block]) -> list[Message]:
    buttons = [block for block in blocks if block["type"] == "actions"]
    words: list[Block] = []
    for block in blocks:
        if block["type"] in _SHOWN - {"actions"}:
            words.append(block)
        elif block["type"] != "actions":
            words += paragraphs("\n".join(_texts(block)))
    return _apart(text, [*words, *buttons], MANY_BYTES if weight(blocks) > MESSAGE_BYTES else FEW_BYTES)


def _apart(text: str, blocks: list[Block], most: int) -> list[Message]:
    """In as many messages as that takes; the buttons are in the first one."""
    buttons = [block for block in blocks if block["type"] == "actions"]
    all_groups = list(_grouped((block for block in blocks if block["type"] != "actions"), most)) or [[]]
    # A divider at a group's end may be all of the next.
    groups = [each for each in all_groups if text_of(each)] or [[]]
    if len(all_groups) == 1:
        return [Message(text, blocks)]
    first, *rest = groups
    return [Message(text, [*first, *buttons]), *(Message(_told(each) or text, each) for each in rest)]


def _grouped(blocks: Iterable[Block], most: int) -> Iterator[list[Block]]:
    held: list[Block] = []
    size = 0
    for block in blocks:
        heavy = weight(block)
        if held and (size + heavy > most or len(held) == BLOCKS - 2):
            yield held
            held, size = [], 0
        held.append(block)
        size += heavy
    if held:
        yield held


def _plain(text: str, blocks: list[Block]) -> list[Message]:
    said = text_of(block for block in blocks if block["type"] != "actions")
    if any(block["type"] == "actions" or "accessory" in block for block in blocks):
        said.append(_BUTTONS_LOST)
    return [Message(piece, []) for piece in _pieces(said)][:PIECES] or [Message(text, [])]


def _told(blocks: list[Block]) -> str:
    return cut(" ".join(text_of(blocks)).replace(_FENCE, ""), PIECE_BYTES, in_bytes=True)


def _pieces(texts: Iterable[str]) -> Iterator[str]:
    """Texts joined to pieces of at most PIECE_BYTES. A fence that a piece would break is closed, and opened again."""
    held: list[str] = []
    size = 0
    for text in texts:
        for part in _parted(text):
            length = len(part.encode()) + 1
            if held and size + length > PIECE_BYTES:
                yield "\n".join(held)
                held, size = [], 0
            held.append(part)
            size += length
    if held:
        yield "\n".join(held)


def _parted(text: str) -> Iterator[str]:
    if len(text.encode()) < PIECE_BYTES:
        yield text
        return
    fenced = text.startswith(_FENCE)
    left = re.sub(rf"^{_FENCE}\n?|\n?{_FENCE}$", "", text) if fenced else text
    while left:
        part = cut(left, PIECE_BYTES - 50, mark="", in_bytes=True)
        if "\n" in part and len(part) < len(left):
            part = part[: part.rindex("\n") + 1]
        left = left[len(part) :]
        yield f"{_FENCE}\n{part.strip(chr(10))}\n{_FENCE}" if fenced else part.strip("\n")


def _texts(block: Block) -> Iterator[str]:
    """Every text in a block that is read, in the order in which it stands there."""
    if isinstance(block.get("text"), str):
        yield block["text"]
        return
    for name in ("title", "caption", "text", "fields", "elements", "columns", "rows", "cells"):
        yield from _deep(block.get(name))


def _deep(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict) and part.get("type") != "button":
        yield from _texts(part)
    elif isinstance(part, list):
        for each in part:
            if isinstance(each, list):
                yield " · ".join(_deep(each))
            else:
                yield from _deep(each)
