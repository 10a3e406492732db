"""Each documented error of each method that we call is sorted, and what isn't documented is told apart."""

import json
from pathlib import Path

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web import SlackResponse

from bot.slack_errors import KINDS, Kind, meaning

DOCUMENTED = json.loads((Path(__file__).parent / "slack_errors.json").read_text())
"""By method, what https://docs.slack.dev/reference/methods names."""


def answer(data, status=200, **headers):
    response = SlackResponse(
        client=None, http_verb="POST", api_url="", req_args={}, data=data, headers=headers, status_code=status
    )
    return SlackApiError("refused", response)


@pytest.mark.parametrize("method", DOCUMENTED)
def test_each_documented_error_is_sorted(method):
    assert [error for error in DOCUMENTED[method] if error not in KINDS] == []


def test_no_error_is_of_two_kinds():
    from bot import slack_errors

    sorted_ = [error for errors in slack_errors._ERRORS.values() for error in errors.split()]
    assert len(sorted_) == len(set(sorted_))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("restricted_action_read_only_channel", Kind.CLOSED),
        ("ekm_access_denied", Kind.CLOSED),
        ("restricted_action_thread_locked", Kind.THREAD),
        ("edit_window_closed", Kind.GONE),
        ("msg_blocks_too_long", Kind.CONTENT),
        ("file_uploads_disabled", Kind.CONTENT),
        ("team_added_to_org", Kind.WAIT),
        ("missing_scope", Kind.OURS),
        ("no_such_subteam", Kind.NOBODY),
        ("no_pin", Kind.MOOT),
        ("something_of_next_year", Kind.UNKNOWN),
    ],
)
def test_what_an_error_means(error, kind):
    assert meaning(answer({"ok": False, "error": error})).kind is kind


@pytest.mark.parametrize(
    ("raised", "untaken"),
    [
        (answer({"ok": False, "error": "internal_error"}), False),
        (answer({"ok": False, "error": "is_archived"}, status=503), False),
        (answer({}, status=502), False),
        (answer({}, status=403), False),
        (answer({"ok": False, "error": "ratelimited"}, status=429, **{"Retry-After": "7"}), True),
        (ConnectionResetError(), False),
        (json.JSONDecodeError("no", "", 0), False),
    ],
)
def test_what_is_no_answer_to_what_was_asked_is_asked_again(raised, untaken):
    told = meaning(raised)
    assert told.again
    assert told.untaken is untaken


def test_slack_says_how_long_to_wait():
    assert meaning(answer({"ok": False, "error": "ratelimited"}, status=429, **{"Retry-After": "7"})).after_seconds == 7


def test_what_a_gateway_finds_too_large_is_said_in_another_form():
    assert meaning(answer({}, status=413)).kind is Kind.CONTENT
