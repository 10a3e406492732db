"""Opening modals, and saying something to one person in one: a press at home stands in no channel to answer in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bot.slack_errors import FAILURES
from workers.rendering import blocks

if TYPE_CHECKING:
    from slack_sdk import WebClient

_log = structlog.get_logger(__name__)


def pressed_at_home(body: dict[str, Any]) -> bool:
    """Whether a press comes from somebody's App Home: a view, in no channel and in no modal.

    https://docs.slack.dev/reference/interaction-payloads/block_actions-payload
    """
    container, view = body.get("container") or {}, body.get("view") or {}
    return container.get("type") == "view" and view.get("type") == "home" and not body.get("channel")


def notice(text: str, title: str = "mlflow-ops") -> dict[str, Any]:
    """A modal that says something. text: mrkdwn."""
    return blocks.notice(title, blocks.formatted(text)[: blocks.BLOCKS])


def opened(client: WebClient, trigger: str, view: dict[str, Any]) -> bool:
    """Open a modal for whoever caused the trigger; False where Slack does not."""
    try:
        client.views_open(trigger_id=trigger, view=view)
    except FAILURES as error:
        _log.warning("a modal could not be opened", error=str(error))
        return False
    return True


def tell(client: WebClient, trigger: str, user: str, text: str) -> None:
    """Say something to one person in a modal; in a direct message where none can be opened."""
    if opened(client, trigger, notice(text)):
        return
    try:
        client.chat_postMessage(channel=user, text=blocks.cut(text, blocks.SECTION_TEXT))
    except FAILURES as error:
        _log.warning("somebody could not be told", user=user, error=str(error))
