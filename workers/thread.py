"""A Slack thread as the place where progress is shown: the only module that posts for an operation.

Slack bears about one message a second in a channel (https://docs.slack.dev/apis/web-api/rate-limits), so progress
edits the root message at most once in `EDIT_SECONDS` and drops what comes between. slack_sdk raises on 429 unless it
is given a handler; and it repeats a post whose connection was reset, which may post twice, so that handler is
taken out for posts that are not idempotent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from workers import render
from workers.operation import Report

if TYPE_CHECKING:
    from workers.settings import Settings
    from workers.state import Record

EDIT_SECONDS = 1.0

_log = structlog.get_logger(__name__)


def web_client(settings: Settings) -> WebClient:
    """A client for Slack's Web API at SLACK_API_URL with the bot's token. Raises SettingsError without one."""
    environment = settings.environment
    environment.require("slack_bot_token")
    assert environment.slack_bot_token is not None
    return WebClient(
        token=environment.slack_bot_token.get_secret_value(),
        base_url=str(environment.slack_api_url),
        timeout=10,
        retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=5)],
    )


class SlackThread:
    """Progress and result of one record, in its thread. Raises SlackApiError where Slack refuses a message."""

    def __init__(self, client: WebClient, record: Record, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._record = record
        self._monotonic = monotonic
        self._step = ""
        self._edited = monotonic()

    def step(self, name: str) -> None:
        """See Progress."""
        self._step = name
        self._edit("")

    def advance(self, done: int, total: int, unit: str) -> None:
        """See Progress."""
        self._edit(f"{done:,} of {total:,} {unit}")

    def checkpoint(self) -> None:
        """See Progress."""

    def finish(self, report: Report) -> None:
        """The report replaces the root message; its details go into the thread."""
        self._update(render.root(report, self._record.words, self._record.requester))
        for message in render.details(report):
            self._client.chat_postMessage(
                channel=self._record.channel,
                thread_ts=self._record.root_ts,
                text=message.text,
                blocks=message.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )

    def fail(self, message: str, hint: str) -> None:
        """The root message says that it failed, why, and what now."""
        self._update(render.failed(self._record.words, self._record.requester, message, hint))

    def _edit(self, figure: str) -> None:
        now = self._monotonic()
        if now - self._edited < EDIT_SECONDS:
            return
        self._edited = now
        try:
            self._update(render.under_way(self._record.words, self._record.requester, self._step, figure))
        except (SlackApiError, OSError) as error:
            _log.warning("progress could not be shown", error=type(error).__name__)

    def _update(self, message: render.Message) -> None:
        self._client.chat_update(
            channel=self._record.channel, ts=self._record.root_ts or "", text=message.text, blocks=message.blocks
        )
