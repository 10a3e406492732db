"""The buttons of our messages. A button's value is the record's id and nothing else: all it means is looked up here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.rendering.blocks import BUTTON_TEXT, Block, actions, button, plain, section

if TYPE_CHECKING:
    from workers.records.record import Record
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
UNDO: Final = Button("undo", "Undo")
SILENCE: Final = Button("silence", "Silence …")
UNSILENCE: Final = Button("unsilence", "End the silence")

OFFERS: Final = 10
"""As many things to do as a message may offer; the record holds their commands."""


def offered(number: int) -> str:
    """The action of the offer with this number."""
    return f"offer-{number}"


def offer(record: Record, number: int, what: Offer) -> Block:
    """Something to do, with its button beside it; its command is looked up in the record."""
    link = {"url": what.url} if what.url else {}
    aloud = f"{what.label}: {what.sentence}"[:BUTTON_TEXT]
    beside = button(offered(number), what.label, value=record.id, **link, accessibility_label=aloud)
    return section(plain(what.sentence), accessory=beside)


def row(record: Record, *shown: Button) -> Block:
    """Buttons beside each other."""
    return actions([element(record, each) for each in shown])


def element(record: Record, shown: Button) -> Block:
    """One of them."""
    style = {"style": shown.style} if shown.style else {}
    return button(shown.action, shown.text, value=record.id, **style)
