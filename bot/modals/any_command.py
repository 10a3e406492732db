"""The modal, opened from the App Home, in which any command can be typed."""

from __future__ import annotations

from typing import Any, Final

from commands import grammar
from workers.rendering.blocks import asks, channel_field, form, plain_text, text_field

CALLBACK: Final = "anything"
WORDS: Final = "words"
"""The field of the command."""
_CHANNEL: Final = "channel"


def view(channel: str, *, program: str, several: bool) -> dict[str, Any]:
    """The modal. channel: where it is answered, unless there are several and another is chosen."""
    hint = plain_text(f"As after {program}: for example logs --level error, or help.")
    typed = text_field(WORDS, max_length=grammar.MAX_CHARACTERS, focus_on_load=True)
    words = asks(WORDS, "What should be done?", typed, hint=hint)
    place = asks(_CHANNEL, "Where is it answered?", channel_field(_CHANNEL, channel))
    return form(CALLBACK, channel, "Ask", "Ask", [words, place] if several else [words])


def typed(submitted: dict[str, Any]) -> tuple[str, str]:
    """What was typed, and the channel. submitted: the view."""
    values = submitted["state"]["values"]
    chosen = values.get(_CHANNEL, {}).get(_CHANNEL, {}).get("selected_conversation")
    return str(values[WORDS][WORDS].get("value") or "").strip(), str(chosen or submitted["private_metadata"])
