"""The modal that asks why a command is denied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from workers.redaction import without_secrets
from workers.rendering.blocks import asks, code, form, section, text_field, whom

if TYPE_CHECKING:
    from workers.records.record import Record

CALLBACK: Final = "denial"
_REASON: Final = "reason"
_REASON_CHARACTERS: Final = 300


def view(record: Record) -> dict[str, Any]:
    """The modal."""
    why = text_field(_REASON, max_length=_REASON_CHARACTERS, focus_on_load=True)
    blocks = [
        section(f"{code('/mlflow ' + record.words)} asked by {whom(record.requester)}"),
        asks(_REASON, "Why?", why, optional=True),
    ]
    return form(CALLBACK, record.id, "Deny it", "Deny", blocks)


def reason(values: dict[str, Any]) -> str:
    """What was filled in. values: the view's state."""
    said = values.get(_REASON, {}).get(_REASON, {}).get("value") or ""
    return without_secrets(str(said).strip()[:_REASON_CHARACTERS])
