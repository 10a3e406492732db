"""What an answer of Slack's means for what was to be said: again, in another form, elsewhere, or not at all.

https://docs.slack.dev/reference/methods names the errors of each method; every one of those that we call is sorted
here, and tests/bot/slack_errors.json, which holds them, keeps it so. What Slack doesn't document is `UNKNOWN`: tried a
few times, then taken for refused, because a message that is tried for ever holds up whatever comes after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPException
from typing import Any, Final

from slack_sdk.errors import SlackApiError, SlackClientError

FAILURES: Final = (SlackClientError, HTTPException, OSError, json.JSONDecodeError, UnicodeDecodeError)
"""What a call to Slack raises where it did not do what was asked; slack_sdk lets through that an answer is no JSON."""
UNREACHABLE: Final = "unreachable"


class Kind(StrEnum):
    """Why Slack did not do what it was asked."""

    WAIT = "wait"
    """Not now: the same is taken later."""
    OURS = "ours"
    """The app's token, scopes or settings: whoever runs the bot must act, and then the same is taken."""
    CLOSED = "closed"
    """We may not post in that channel."""
    THREAD = "thread"
    """Not as a reply to that message."""
    GONE = "gone"
    """The message that was to be changed can't be."""
    CONTENT = "content"
    """Not in this form."""
    NOBODY = "nobody"
    """There is no such person or group, or none that we may reach."""
    MOOT = "moot"
    """It is so already."""
    UNKNOWN = "unknown"
    """Nothing that Slack documents."""


_ERRORS: Final = {
    Kind.WAIT: """
        ratelimited rate_limited message_limit_exceeded service_unavailable internal_error fatal_error request_timeout
        team_added_to_org org_login_required external_channel_migrating
        """,
    Kind.OURS: """
        invalid_auth not_authed account_inactive token_revoked token_expired missing_scope not_allowed_token_type
        team_access_not_granted accesslimited enterprise_is_restricted two_factor_setup_required is_bot
        deprecated_endpoint method_deprecated unknown_method as_user_not_supported
        """,
    Kind.CLOSED: """
        channel_not_found not_in_channel is_archived is_inactive restricted_action restricted_action_read_only_channel
        restricted_action_thread_only_channel ekm_access_denied access_denied no_permission app_access_restricted
        channel_is_limited_access method_not_supported_for_channel_type invalid_channel team_not_found
        duplicate_channel_not_found
        """,
    Kind.THREAD: """
        thread_not_found cannot_reply_to_message invalid_thread_ts restricted_action_non_threadable_channel
        restricted_action_thread_locked
        """,
    Kind.GONE: "message_not_found cant_update_message edit_window_closed block_mismatch file_deleted file_is_deleted",
    Kind.CONTENT: """
        invalid_blocks invalid_blocks_format invalid_attachments msg_too_long msg_blocks_too_long no_text
        too_many_attachments attachment_payload_limit_exceeded too_many_contact_cards markdown_text_conflict
        invalid_metadata_format invalid_metadata_schema metadata_too_large metadata_must_be_sent_from_app
        invalid_arguments invalid_arg_name invalid_array_arg invalid_charset invalid_form_data invalid_post_type
        missing_post_type missing_argument invalid_json json_not_object
        draft_already_deleted draft_already_sent draft_has_conflict draft_not_found duplicate_message_not_found
        send_on_behalf_not_allowed cant_broadcast_message no_dual_broadcast_content_update
        missing_file_data file_not_found file_not_shared file_comment_not_found file_update_failed
        file_share_limit_reached max_file_sharing_exceeded unable_to_share_files file_type_not_allowed
        file_upload_size_restricted file_uploads_disabled file_uploads_except_images_disabled storage_limit_reached
        posting_to_channel_denied blocked_file_type alt_txt_too_large snippet_too_large unknown_snippet_type
        unknown_subtype channels_limit_exceeded
        slack_connect_blocked_file_type slack_connect_canvas_sharing_blocked slack_connect_clip_sharing_blocked
        slack_connect_file_link_sharing_blocked slack_connect_file_upload_sharing_blocked
        slack_connect_lists_sharing_blocked
        bad_timestamp no_item_specified not_pinnable too_many_pins
        invalid_cursor invalid_limit invalid_metadata_filter_keys invalid_ts_latest invalid_ts_oldest
        list_record_comment_fetch_failed
        view_too_large duplicate_external_id missing_profile_id hash_conflict not_enabled not_implemented
        """,
    Kind.NOBODY: """
        user_not_found user_not_visible user_not_in_channel too_many_users messages_tab_disabled
        no_such_subteam plan_upgrade_required expired_trigger_id exchanged_trigger_id invalid_trigger_id
        """,
    Kind.MOOT: "already_pinned no_pin not_pinned",
    Kind.UNKNOWN: "update_failed streaming_state_conflict",
}
KINDS: Final = {error: kind for kind, errors in _ERRORS.items() for error in errors.split()}
"""By error. Of those that may pass by themselves, but need not, are the documented ones among `UNKNOWN`."""

OURS_SECONDS: Final = 30.0
MOVING_SECONDS: Final = 60.0
_LIMITED: Final = frozenset({"ratelimited", "rate_limited"})
_MOVING: Final = frozenset(
    {"team_added_to_org", "org_login_required", "external_channel_migrating", "message_limit_exceeded"}
)
"""A workspace or a channel moves elsewhere, or has said enough: neither is over in a moment."""

_OF_A_METHOD: Final = frozenset(
    {
        "missing_scope", "not_allowed_token_type", "team_access_not_granted", "enterprise_is_restricted", "is_bot",
        "deprecated_endpoint", "method_deprecated", "unknown_method", "as_user_not_supported",
    }
)  # fmt: skip
"""Ours, though other methods may be taken."""

_IN_WORDS: Final = {
    "channel_not_found": "I'm not in that channel",
    "not_in_channel": "I'm not in that channel",
    "is_archived": "the channel is archived",
    "is_inactive": "the channel is archived or frozen",
    "restricted_action": "the workspace's settings don't let me post there",
    "restricted_action_read_only_channel": "the channel is read-only",
    "restricted_action_thread_only_channel": "only replies are allowed in that channel",
    "restricted_action_non_threadable_channel": "replies aren't allowed in that channel",
    "restricted_action_thread_locked": "the thread is locked",
    "ekm_access_denied": "your Slack admins have suspended messages there",
    "file_uploads_disabled": "your workspace doesn't allow files",
    "file_uploads_except_images_disabled": "your workspace allows images only",
    "file_type_not_allowed": "your workspace doesn't allow this type of file",
    "file_upload_size_restricted": "your workspace doesn't allow files of this size",
    "storage_limit_reached": "your workspace's file storage is full",
    "posting_to_channel_denied": "files aren't allowed in that channel",
}
_INVITED: Final = frozenset({"channel_not_found", "not_in_channel"})


@dataclass(frozen=True)
class Answer:
    """What Slack's answer means. why: its name for it. after_seconds: when to ask again, where Slack says so. untaken:
    what was asked was certainly not done. told: what it says is wrong, a sentence each.
    """

    why: str
    kind: Kind
    after_seconds: float = 0.0
    untaken: bool = True
    told: tuple[str, ...] = ()

    def lacking(self, kinds: set[str]) -> set[str]:
        """Of these types of blocks, those that the workspace does not have: as it says, or all if it does not say."""
        if self.why == "invalid_blocks" and not self.told:
            return kinds
        return {kind for kind in kinds if f"unsupported type: {kind}" in self.told}

    @property
    def again(self) -> bool:
        """Whether the same is to be asked again, however often."""
        return self.kind in {Kind.WAIT, Kind.OURS}

    @property
    def of_the_method(self) -> bool:
        """Whether it is ours to mend, and other methods need not be refused."""
        return self.why in _OF_A_METHOD

    @property
    def in_words(self) -> str:
        """For people: why not."""
        return f"{_IN_WORDS[self.why]} ({self.why})" if self.why in _IN_WORDS else f"Slack says {self.why}"

    @property
    def to_do(self) -> str:
        """For people: what now."""
        return "Invite me with /invite, then ask again." if self.why in _INVITED else "Ask in another channel."


def meaning(error: Exception) -> Answer:
    """From what slack_sdk raised.

    What isn't Slack's own answer (a page of a proxy, a reset, a 5xx) says nothing about what was asked: ask again.
    """
    if not isinstance(error, SlackApiError):
        return Answer(UNREACHABLE if isinstance(error, OSError) else type(error).__name__, Kind.WAIT, untaken=False)
    response: Any = error.response
    status = int(getattr(response, "status_code", None) or _get(response, "status") or HTTPStatus.OK)
    why = str(_get(response, "error") or "")
    if status == HTTPStatus.TOO_MANY_REQUESTS or why in _LIMITED:
        return Answer(why or "ratelimited", Kind.WAIT, _retry_after(response))
    if not why and status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Answer(f"HTTP {status}", Kind.CONTENT)
    if not why or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Answer(why or f"HTTP {status}", Kind.WAIT, untaken=False)
    kind = KINDS.get(why, Kind.UNKNOWN)
    if kind is Kind.WAIT:
        return Answer(why, kind, MOVING_SECONDS if why in _MOVING else 0.0, untaken=why in _MOVING)
    return Answer(why, kind, OURS_SECONDS if kind is Kind.OURS else 0.0, told=_told(response))


def _told(response: Any) -> tuple[str, ...]:
    """What it says is wrong, without the places."""
    messages = (_get(response, "response_metadata") or {}).get("messages") or ()
    return tuple(str(each).removeprefix("[ERROR] ").partition(" [json-pointer:")[0] for each in messages)


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
