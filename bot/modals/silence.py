"""The modal that asks for how long an alert is to be silent, and why: what it shows, and the command that it comes to.

What was filled in becomes the command that could have been typed, so it goes the same way: grammar, policy, worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workers.rendering.blocks import asks, choice, code, form, plain_text, section, text_field
from workers.wording import as_typed

if TYPE_CHECKING:
    from workers.records.record import Record

CALLBACK: Final = "silencing"
FOR: Final = "for"
WHY: Final = "why"
WHY_CHARACTERS: Final = 300
TIMES: Final = {
    "30m": "30 minutes",
    "1h": "1 hour",
    "2h": "2 hours",
    "4h": "4 hours",
    "8h": "8 hours",
    "1d": "1 day",
    "3d": "3 days",
    "7d": "1 week",
}
USUAL: Final = "2h"


def group_of(record: Record) -> str:
    """The alert group whose message it is; empty where it is none."""
    return str(record.arguments.get("group") or "") if record.operation == "alerts-list" else ""


def view(record: Record) -> dict[str, Any]:
    """The modal."""
    kept = plain_text("Alertmanager keeps it, with your name")
    blocks = [
        section(f"Alertmanager will not tell of the alert group {code(group_of(record))}."),
        asks(FOR, "For how long?", choice(FOR, TIMES, USUAL)),
        asks(WHY, "Why?", text_field(WHY, max_length=WHY_CHARACTERS, placeholder=kept), optional=True),
    ]
    return form(CALLBACK, record.id, "Silence the alert", "Silence", blocks)


def command(record: Record, values: dict[str, Any]) -> str:
    """The command that was filled in. values: the view's state."""
    chosen = ((values.get(FOR) or {}).get(FOR) or {}).get("selected_option") or {}
    said = str(((values.get(WHY) or {}).get(WHY) or {}).get("value") or "")
    seconds = str(chosen.get("value") or USUAL)
    words = f"alerts silence {group_of(record)} --for {seconds if seconds in TIMES else USUAL}"
    why = " ".join(said.split())[:WHY_CHARACTERS]
    return f"{words} --why {as_typed(why)}" if why else words
