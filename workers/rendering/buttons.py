"""The buttons of our messages. A button's value is the record's id and nothing else: all it means is looked up here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.rendering.message import plain, section

if TYPE_CHECKING:
    from workers.records.record import Record
    from workers.rendering.message import Block
    from workers.report import Offer


@dataclass(frozen=True)
class Button:
    """action: Slack's action id. style: primary, danger or none."""

    action: str
    text: str
    style: str = ""


APPROVE: Final = Button("approve", "Approve", "primary")
DENY: Final = Button("deny", "Deny …", "danger")
WITHDRAW: Final = Button("withdraw", "Withdraw")
DETAILS: Final = Button("details", "Details")
CANCEL: Final = Button("cancel", "Cancel", "danger")
AGAIN: Final = Button("again", "Ask again")
UNDO: Final = Button("undo", "Undo …")
SILENCE: Final = Button("silence", "Silence …")
UNSILENCE: Final = Button("unsilence", "End the silence")

OFFERS: Final = 10
"""As many things to do as a message may offer; the record holds their commands."""
_LABEL_CHARACTERS: Final = 75
"""https://docs.slack.dev/reference/block-kit/block-elements/button-element"""


def offered(number: int) -> str:
    """The action of the offer with this number."""
    return f"offer-{number}"


def offer(record: Record, number: int, what: Offer) -> Block:
    """Something to do, with its button beside it; its command is looked up in the record."""
    button = {
        "type": "button",
        "action_id": offered(number),
        "text": {"type": "plain_text", "text": what.label[:_LABEL_CHARACTERS]},
        "value": record.id,
        **({"url": what.url} if what.url else {}),
        "accessibility_label": f"{what.label}: {what.sentence}"[:_LABEL_CHARACTERS],
    }
    return {**section(plain(what.sentence)), "accessory": button}


def row(record: Record, *buttons: Button) -> Block:
    """Buttons beside each other (https://docs.slack.dev/reference/block-kit/blocks/actions-block)."""
    elements = [
        {
            "type": "button",
            "action_id": button.action,
            "text": {"type": "plain_text", "text": button.text},
            "value": record.id,
            **({"style": button.style} if button.style else {}),
        }
        for button in buttons
    ]
    return {"type": "actions", "elements": elements}
