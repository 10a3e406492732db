"""What an answer of Slack's means for a message that was to be sent: again, or in another form.

https://docs.slack.dev/reference/methods/chat.postMessage#errors names the errors; what it does not name is tried
again, because a message that is lost is worse than one that is late.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from slack_sdk.errors import SlackApiError

UNREADABLE = (json.JSONDecodeError, UnicodeDecodeError)
"""What slack_sdk lets through where an answer is no JSON."""
UNREACHABLE = "unreachable"

_CHANNEL_CLOSED = frozenset(
    {"channel_not_found", "not_in_channel", "is_archived", "restricted_action", "no_permission", "is_inactive"}
)
_MESSAGE_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed", "thread_not_found"})
_FORM = frozenset(
    {
        "invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text",
        "too_many_attachments", "invalid_arguments", "invalid_arg_name", "invalid_metadata_format",
        "invalid_metadata_schema", "metadata_too_large", "cannot_reply_to_message",
        "already_pinned", "not_pinned", "no_pin", "too_many_pins",
        "not_pinnable",
    }
)  # fmt: skip
_OURS = frozenset({"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"})
_OURS_SECONDS = 30.0


@dataclass(frozen=True)
class Again:
    """Try again, after so many seconds where Slack says so. limited: it was certainly not taken."""

    why: str
    after_seconds: float = 0.0
    limited: bool = False


@dataclass(frozen=True)
class Refused:
    """Slack will not take it as it is."""

    why: str
    channel_closed: bool = False
    message_gone: bool = False


def meaning(error: Exception) -> Again | Refused:
    """From what slack_sdk raised."""
    if not isinstance(error, SlackApiError):
        return Again(UNREACHABLE if isinstance(error, OSError) else type(error).__name__)
    response: Any = error.response
    status = getattr(response, "status_code", None) or _get(response, "status")
    why = str(_get(response, "error") or f"HTTP {status}")
    if status == HTTPStatus.TOO_MANY_REQUESTS or why in {"ratelimited", "rate_limited", "message_limit_exceeded"}:
        return Again(why, _retry_after(response), limited=True)
    if why in _CHANNEL_CLOSED:
        return Refused(why, channel_closed=True)
    if why in _MESSAGE_GONE:
        return Refused(why, message_gone=True)
    if why in _FORM:
        return Refused(why)
    return Again(why, _OURS_SECONDS if why in _OURS else 0.0, limited=why in _OURS)


def _get(response: Any, name: str) -> Any:
    try:
        return response.get(name)
    except (AttributeError, ValueError):
        return None


def _retry_after(response: Any) -> float:
    headers = {str(name).lower(): value for name, value in (getattr(response, "headers", None) or {}).items()}
    value = headers.get("retry-after", "1")
    try:
        return max(1.0, float(value[0] if isinstance(value, list) else value))
    except ValueError:
        return 1.0
