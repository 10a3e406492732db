"""The window that asks for how long an alert is to be silent, and why: what it shows, and the command that it comes to.

What was filled in becomes the command that could have been typed, so it goes the same way: grammar, policy, worker.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from bot.windows import plain_text
from workers.rendering.message import code, section

if TYPE_CHECKING:
    from workers.records.record import Record

SILENCING: Final = "silencing"
FOR: Final = "for"
WHY: Final = "why"
WHY_CHARACTERS: Final = 300
_TIMES: Final = {
    "30m": "30 minutes",
    "1h": "1 hour",
    "2h": "2 hours",
    "4h": "4 hours",
    "8h": "8 hours",
    "1d": "1 day",
    "3d": "3 days",
    "7d": "1 week",
}
_USUAL: Final = "2h"
_QUOTES: Final = str.maketrans(dict.fromkeys("'\"`\u201c\u201d\u201e\u2018\u2019\u201a", "\u2032"))
"""The grammar takes a phone's quotes for quotes, so none of them may stand in the middle of a word."""


def group_of(record: Record) -> str:
    """The alert group whose message it is; empty where it is none."""
    return str(record.arguments.get("group") or "") if record.operation == "alerts-list" else ""


def view(record: Record) -> dict[str, Any]:
    """The window (https://docs.slack.dev/reference/views/modal-views)."""
    options = [{"text": plain_text(text), "value": value} for value, text in _TIMES.items()]
    usual = next(each for each in options if each["value"] == _USUAL)
    select = {"type": "static_select", "action_id": FOR, "options": options, "initial_option": usual}
    why = {
        "type": "plain_text_input",
        "action_id": WHY,
        "max_length": WHY_CHARACTERS,
        "placeholder": plain_text("Alertmanager keeps it, with your name"),
    }
    return {
        "type": "modal",
        "callback_id": SILENCING,
        "private_metadata": record.id,
        "title": plain_text("Silence the alert"),
        "submit": plain_text("Silence"),
        "close": plain_text("Back"),
        "blocks": [
            section(f"Alertmanager will not tell of the alert group {code(group_of(record))}."),
            {"type": "input", "block_id": FOR, "label": plain_text("For how long?"), "element": select},
            {"type": "input", "block_id": WHY, "label": plain_text("Why?"), "element": why, "optional": True},
        ],
    }


def command(record: Record, values: dict[str, Any]) -> str:
    """The command that was filled in. values: the view's state."""
    chosen = ((values.get(FOR) or {}).get(FOR) or {}).get("selected_option") or {}
    said = str(((values.get(WHY) or {}).get(WHY) or {}).get("value") or "")
    seconds = str(chosen.get("value") or _USUAL)
    words = f"alerts silence {group_of(record)} --for {seconds if seconds in _TIMES else _USUAL}"
    why = " ".join(said.translate(_QUOTES).split())[:WHY_CHARACTERS]
    return f"{words} --why {shlex.quote(why)}" if why else words
