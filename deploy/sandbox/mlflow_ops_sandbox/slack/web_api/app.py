"""auth.test and apps.connections.open: the app about itself."""

from __future__ import annotations

from urllib.parse import urlencode

from mlflow_ops_sandbox.slack.delivery.socketmode import SocketMode
from mlflow_ops_sandbox.slack.errors import Json, SlackError
from mlflow_ops_sandbox.slack.web_api.call import Call, method


@method("auth.test", tier="none")
def auth_test(call: Call) -> Json:
    """Say whose token it is."""
    workspace = call.slack.workspace
    return {
        "url": f"{call.slack.base_url}/",
        "team": workspace.team.name,
        "user": workspace.bot.name,
        "team_id": workspace.team.id,
        "user_id": workspace.bot.user_id,
        "bot_id": workspace.bot.bot_id,
        "is_enterprise_install": False,
        **({"enterprise_id": workspace.team.enterprise_id} if workspace.team.enterprise_id else {}),
    }


@method("apps.connections.open", tier="1", by="app")
def open_connection(call: Call) -> Json:
    """Return the address of a WebSocket for Socket Mode."""
    if not isinstance(call.slack.delivery, SocketMode) or call.slack.faults.socket_mode_off:
        raise SlackError("socket_mode_not_enabled")
    query = urlencode({"ticket": call.slack.delivery.ticket(), "app_id": call.slack.workspace.bot.app_id})
    return {"url": f"{call.slack.base_url.replace('http', 'ws', 1)}/link/?{query}"}
