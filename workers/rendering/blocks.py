"""Slack's mrkdwn and Block Kit: the one place that makes them, and that knows Slack's limits.

Slack refuses what is too long instead of shortening it, so every text is cut or split here
(https://docs.slack.dev/reference/block-kit/blocks). Whatever comes from outside (a pod's name, a log line) goes through
`escape`, `plain` or `code`: it can neither mention anybody nor end a code span. Further fields of an element are given
by Slack's names for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from workers.records.requester import BY_ALERT, BY_CLOCK, BY_TERMINAL
from workers.redaction import UNSEEN

Block = dict[str, Any]

BLOCKS: Final = 50
"""In a message."""
VIEW_BLOCKS: Final = 100
"""In a modal, or in an App Home (https://docs.slack.dev/reference/views/home-tab-views)."""
SECTION_TEXT: Final = 3000
FIELD_TEXT: Final = 2000
CONTEXT_TEXT: Final = 2000
HEADER_TEXT: Final = 150
VIEW_TITLE: Final = 24
"""Of a modal, and of its buttons."""
BUTTON_TEXT: Final = 75
"""Of its label, and of what is read aloud instead
(https://docs.slack.dev/reference/block-kit/block-elements/button-element).
"""
TABLES: Final = 1
"""In a message, of either kind."""
CHARTS: Final = 2
"""In a message."""
MESSAGE_BYTES: Final = 10_000
"""What all blocks of a message may weigh, kept below what Slack answers msg_blocks_too_long to: its documentation names
no figure, people measured 10,600 to 13,400.
"""
BLOCK_BYTES: Final = 125
"""What a block weighs beside its texts (https://github.com/slackapi/bolt-js/issues/2509)."""
SHORT_TEXT: Final = 250

_TOP: Final = frozenset(
    {"section", "header", "divider", "context", "actions", "image", "input", "markdown", "table", "data_table", "plan",
     "task_card", "data_visualization", "card", "alert"}
)  # fmt: skip
_READ: Final = frozenset({"text", "title", "caption", "label", "name", "x_label", "y_label", "url"})
"""Fields of a block that are texts of their own."""
_FENCED: Final = re.compile(r"^```\n?(.*?)\n?```$", re.DOTALL | re.MULTILINE)
_WHOLE: Final = re.compile(r"<[^<>]*>|&\w+;")
"""What a cut must not go through."""


# Texts.


def escape(text: str) -> str:
    """Text from outside, harmless in mrkdwn (https://docs.slack.dev/messaging/formatting-message-text/#escaping)."""
    return text.translate(UNSEEN).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """Text from outside as a code span on one line; a backtick in it becomes an apostrophe."""
    flat = " ".join(text.split()).replace("`", "'")
    return f"`{escape(flat)}`" if flat else ""


def plain(text: str) -> str:
    """Text from outside among formatted text: a mark that would open bold, italic, strike or code is defused.

    Marks inside a word (snake_case) format nothing and stay as they are, so that names can be copied.
    """
    return re.sub(r"(?<!\w)([*_~`]+)(?=\w)", "\\1\u2060", escape(text))


def short(text: str) -> str:
    """What notifications show, and Slack where it refuses the blocks: harmless there too."""
    return escape(" ".join(text.split())[:SHORT_TEXT])


def link(name: str, url: str) -> str:
    """A place to go to."""
    label = escape(" ".join(name.split())).replace("|", "\u00a6")
    return f"<{escape(url).replace('|', '%7C')}|{label}>"


def at(moment: float | None, shown: str = "{time}") -> str:
    """A time of day, which Slack shows in the reader's own (docs.slack.dev/messaging/formatting-message-text).

    moment: seconds since the epoch. shown: Slack's words for how, such as {date_short_pretty}.
    """
    whole = int(moment or 0)
    day = "%d %b " if "date" in shown or "ago" in shown else ""
    return f"<!date^{whole}^{shown}|{datetime.fromtimestamp(whole, UTC):{day}%H:%M} UTC>"


def called(ids: tuple[str, ...]) -> str:
    """A mention of each, which notifies them where it is posted, and not where it is edited in. ids: of Slack users and
    groups, from ops.yaml.
    """
    return " ".join(f"<!subteam^{each}>" if each.startswith("S") else f"<@{each}>" for each in ids)


def whom(requester: str) -> str:
    """Who asked, as Slack shows it: a person, the clock, or an alert."""
    if requester.startswith(BY_ALERT):
        return f"the alert {code(requester.removeprefix(BY_ALERT))}"
    if requester.startswith(BY_CLOCK):
        return f"the schedule {code(requester.removeprefix(BY_CLOCK))}"
    if requester.startswith(BY_TERMINAL):
        return f"{code(requester.removeprefix(BY_TERMINAL))} in a terminal"
    return f"<@{requester}>"


# Blocks.


def section(text: str, **more: Any) -> Block:
    """A section of mrkdwn, cut to Slack's limit. more: an accessory."""
    return {"type": "section", "text": _mrkdwn(cut(text, SECTION_TEXT)), **more}


def paragraphs(text: str) -> list[Block]:
    """As many sections as the text needs."""
    return [section(part) for part in _split(text.split("\n"), SECTION_TEXT) if part.strip()]


def formatted(text: str) -> list[Block]:
    """As many sections as mrkdwn with fenced code in it needs: no fence is broken between two of them."""
    shown: list[Block] = []
    for number, part in enumerate(_FENCED.split(text)):
        if number % 2 == 0:
            shown += paragraphs(part)
        else:
            shown += [section(f"```\n{piece}\n```") for piece in _split(part.split("\n"), SECTION_TEXT - 8)]
    return shown


def literal(lines: Iterable[str]) -> Iterator[Block]:
    """Lines from outside as code blocks; a block ends between two lines."""
    safe = (escape(line).replace("```", "'''") for line in lines)
    for text in _split(safe, SECTION_TEXT - 8):
        yield section(f"```\n{text}\n```")


def context(text: str) -> Block:
    """Small print, of mrkdwn."""
    return {"type": "context", "elements": [_mrkdwn(cut(text, CONTEXT_TEXT))]}


def header(text: str) -> Block:
    """A heading, of plain text."""
    return {"type": "header", "text": plain_text(text[:HEADER_TEXT])}


def divider() -> Block:
    """A line."""
    return {"type": "divider"}


def actions(elements: Sequence[Block]) -> Block:
    """Buttons beside each other (https://docs.slack.dev/reference/block-kit/blocks/actions-block)."""
    return {"type": "actions", "elements": list(elements)}


def asks(block_id: str, label: str, element: Block, **more: Any) -> Block:
    """A field of a form (https://docs.slack.dev/reference/block-kit/blocks/input-block)."""
    return {"type": "input", "block_id": block_id, "label": plain_text(label), "element": element, **more}


# Elements.


def plain_text(text: str) -> Block:
    """A text object without formatting."""
    return {"type": "plain_text", "text": text}


def _mrkdwn(text: str) -> Block:
    return {"type": "mrkdwn", "text": text}


def button(action_id: str, label: str, **more: Any) -> Block:
    """A button. more: its value, style, url."""
    return {"type": "button", "action_id": action_id, "text": plain_text(label[:BUTTON_TEXT]), **more}


def text_field(action_id: str, **more: Any) -> Block:
    """Where something is typed."""
    return {"type": "plain_text_input", "action_id": action_id, **more}


def channel_field(action_id: str, first: str) -> Block:
    """Where a channel is chosen. first: the one that stands there."""
    return {"type": "conversations_select", "action_id": action_id, "initial_conversation": first}


def choice(action_id: str, options: Mapping[str, str], first: str) -> Block:
    """Where one of several is chosen. options: by value, what each is called. first: the value that stands there."""
    shown = {value: {"text": plain_text(text), "value": value} for value, text in options.items()}
    return {
        "type": "static_select",
        "action_id": action_id,
        "options": list(shown.values()),
        "initial_option": shown[first],
    }


# Views.


def home(blocks: Sequence[Block]) -> Block:
    """What an App Home shows."""
    return {"type": "home", "blocks": list(blocks[:VIEW_BLOCKS])}


def notice(title: str, blocks: Sequence[Block]) -> Block:
    """A modal that says something (https://docs.slack.dev/reference/views/modal-views). title: of 24 characters."""
    return {
        "type": "modal",
        "title": plain_text(title),
        "close": plain_text("Close"),
        "blocks": list(blocks[:VIEW_BLOCKS]),
    }


def form(callback_id: str, metadata: str, title: str, submit: str, blocks: Sequence[Block]) -> Block:
    """A modal that asks for something. metadata: comes back with it. title, submit: of 24 characters."""
    return {
        "type": "modal",
        "callback_id": callback_id,
        "private_metadata": metadata,
        "title": plain_text(title),
        "submit": plain_text(submit),
        "close": plain_text("Back"),
        "blocks": list(blocks[:VIEW_BLOCKS]),
    }


# Cutting.


def in_one_line(text: str) -> str:
    """Without line breaks and what cannot be seen, for where Slack takes no markup."""
    return " ".join(text.translate(UNSEEN).split())


def cut(text: str, limit: int, *, mark: str = "…", in_bytes: bool = False) -> str:
    """Mrkdwn of at most `limit` characters (in_bytes: bytes of UTF-8), with the mark at its end where it was cut.

    What Slack reads as one thing, a mention, a link, an entity, stays whole or goes; a code span that is cut is closed.
    """
    size = len(text.encode()) if in_bytes else len(text)
    if size <= limit:
        return text
    # A code span's closing mark may be needed as well.
    room = max(0, limit - (len(mark.encode()) if in_bytes else len(mark)) - (bool(mark) and "`" in text))
    end = len(text.encode()[:room].decode("utf-8", "ignore")) if in_bytes else room
    for whole in _WHOLE.finditer(text):
        if whole.start() < end < whole.end():
            end = whole.start()
        if whole.end() >= end:
            break
    head = text[:end]
    open_span = mark and "```" not in head and head.count("`") % 2
    return f"{head}{mark}{'`' if open_span else ''}"


def per_message(parts: Iterable[Sequence[Block]]) -> Iterator[list[Block]]:
    """Blocks, as many together as one message may hold. parts: each stays in one message."""
    held: list[Block] = []
    size = 0
    for part in parts:
        length = weight(part)
        full = len(held) + len(part) > BLOCKS or size + length > MESSAGE_BYTES
        if held and (full or not _together(held, part)):
            yield held
            held, size = [], 0
        held = [*held, *part]
        size += length
    if held:
        yield held


def _together(held: Sequence[Block], part: Sequence[Block]) -> bool:
    """Whether a message takes both: one table, two charts."""
    kinds = [str(block["type"]) for block in (*held, *part)]
    tables = sum(kind.endswith("table") for kind in kinds)
    return tables <= TABLES and kinds.count("data_visualization") <= CHARTS


def weight(part: Any) -> int:
    """What a block, or all blocks of a message, count against MESSAGE_BYTES."""
    if isinstance(part, str):
        return len(part.encode())
    if isinstance(part, dict):
        texts = (value for name, value in part.items() if name in _READ or not isinstance(value, str))
        return sum(map(weight, texts)) + (BLOCK_BYTES if "elements" in part or part.get("type") in _TOP else 0)
    return sum(map(weight, part)) if isinstance(part, (list, tuple)) else 0


def _split(lines: Iterable[str], limit: int) -> Iterator[str]:
    """Lines joined to texts of at most `limit` characters; a longer line is cut through, between two mentions."""
    held: list[str] = []
    size = 0
    for line in lines:
        for part in _parts(line, limit):
            if held and size + len(part) + 1 > limit:
                yield "\n".join(held)
                held, size = [], 0
            held.append(part)
            size += len(part) + 1
    if held:
        yield "\n".join(held)


def _parts(line: str, limit: int) -> Iterator[str]:
    while len(line) > limit:
        part = cut(line, limit, mark="") or line[:limit]
        yield part
        line = line[len(part) :]
    yield line
