"""The client of Slack's Web API."""

from __future__ import annotations

from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from workers.settings import Settings

TIMEOUT_SECONDS = 10


def web_client(settings: Settings, *, patient: bool = True, timeout_seconds: int = TIMEOUT_SECONDS) -> WebClient:
    """A client at SLACK_API_URL with the bot's token. Raises SettingsError without one.

    patient: after a 429 it sleeps and asks again; the senders plan that themselves. slack_sdk's own default, asking
    again after a reset connection, is left out: it may post twice.
    """
    environment = settings.environment
    environment.require("slack_bot_token")
    assert environment.slack_bot_token is not None
    return WebClient(
        token=environment.slack_bot_token.get_secret_value(),
        base_url=str(environment.slack_api_url),
        timeout=timeout_seconds,
        retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=5)] if patient else [],
    )
