"""Events to the app (Events API): sent, and sent again at growing distances until acknowledged."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow_ops_sandbox.slack.errors import Json
    from mlflow_ops_sandbox.slack.state.installation import Installation


def emit(slack: Installation, event: Json, *, subscription: str | None = None) -> None:
    """Send an event in the background where the app subscribed to it."""
    if (subscription or event["type"]) not in slack.workspace.events:
        return
    event = {**event, "event_ts": slack.store.next_ts()}
    slack.spawn(_deliver(slack, envelope(slack, event)))


def envelope(slack: Installation, event: Json) -> Json:
    """Return an event as the Events API wraps it."""
    team, bot = slack.workspace.team, slack.workspace.bot
    return {
        "token": "sandbox",
        "team_id": team.id,
        "api_app_id": bot.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(slack.clock()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team.id,
                "user_id": bot.user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
    }


async def _deliver(slack: Installation, payload: Json) -> None:
    reason = ""
    for attempt, pause in enumerate((0.0, *slack.timings.event_retries)):
        await slack.clock.sleep(pause)
        result = await slack.delivery.deliver("events_api", payload, attempt=attempt, reason=reason)
        if result.error is None or result.final:
            return
        reason = result.reason
